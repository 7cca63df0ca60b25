use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;

use scenario::{die, Arguments, Report};
use tokio::sync::mpsc;

use crate::{join_all, measure};

pub fn ping_pong(a: &Arguments, out: &mut Report) {
    let ops = a.number("ops", 200_000);
    measure(a, out, ops, move || async move {
        let (there, mut asked) = mpsc::channel(1);
        let (back, mut answered) = mpsc::channel(1);
        let echo = tokio::spawn(async move {
            while let Some(v) = asked.recv().await {
                back.send(v).await.unwrap();
            }
        });
        for i in 0..ops {
            there.send(i).await.unwrap();
            answered.recv().await.unwrap();
        }
        drop(there);
        echo.await.unwrap();
    });
}

pub fn items(a: &Arguments, out: &mut Report) {
    let (producers, consumers) = (a.number("producers", 1), a.number("consumers", 1));
    let each = a.number("ops", 1_000_000) / producers;
    let capacity = a.number("capacity", 128) as usize;
    measure(a, out, each * producers, move || async move {
        let sum = if consumers == 1 {
            to_one(producers, each, capacity).await
        } else {
            to_several(producers, consumers, each, capacity).await
        };
        if sum != each * (each + 1) / 2 * producers {
            die("items were lost");
        }
    });
}

async fn to_one(producers: i64, each: i64, capacity: usize) -> i64 {
    let (sender, mut receiver) = mpsc::channel::<i64>(capacity);
    let taker = tokio::spawn(async move {
        let mut sum = 0;
        while let Some(v) = receiver.recv().await {
            sum += v;
        }
        sum
    });
    for _ in 0..producers {
        let sender = sender.clone();
        tokio::spawn(async move {
            for v in 1..=each {
                sender.send(v).await.unwrap();
            }
        });
    }
    drop(sender);
    taker.await.unwrap()
}

async fn to_several(producers: i64, consumers: i64, each: i64, capacity: usize) -> i64 {
    let (sender, receiver) = async_channel::bounded::<i64>(capacity);
    let sum = Arc::new(AtomicI64::new(0));
    let mut takers = Vec::new();
    for _ in 0..consumers {
        let (receiver, sum) = (receiver.clone(), sum.clone());
        takers.push(tokio::spawn(async move {
            let mut mine = 0;
            while let Ok(v) = receiver.recv().await {
                mine += v;
            }
            sum.fetch_add(mine, Ordering::SeqCst);
        }));
    }
    for _ in 0..producers {
        let sender = sender.clone();
        tokio::spawn(async move {
            for v in 1..=each {
                sender.send(v).await.unwrap();
            }
        });
    }
    drop(sender);
    join_all(takers).await;
    sum.load(Ordering::SeqCst)
}

pub fn select(a: &Arguments, out: &mut Report) {
    let each = a.number("ops", 400_000) / 4;
    let capacity = a.number("capacity", 128).max(1) as usize;
    measure(a, out, each * 4, move || async move {
        let (s0, mut r0) = mpsc::channel::<i64>(capacity);
        let (s1, mut r1) = mpsc::channel::<i64>(capacity);
        let (s2, mut r2) = mpsc::channel::<i64>(capacity);
        let (s3, mut r3) = mpsc::channel::<i64>(capacity);
        // Kept: a channel without senders would be closed, and ready for ever.
        let senders = [s0, s1, s2, s3];
        for sender in senders.clone() {
            tokio::spawn(async move {
                for v in 1..=each {
                    sender.send(v).await.unwrap();
                }
            });
        }
        let mut sum = 0;
        for _ in 0..each * 4 {
            let v = tokio::select! {
                v = r0.recv() => v,
                v = r1.recv() => v,
                v = r2.recv() => v,
                v = r3.recv() => v,
            };
            sum += v.unwrap();
        }
        drop(senders);
        if sum != each * (each + 1) / 2 * 4 {
            die("items were lost");
        }
    });
}

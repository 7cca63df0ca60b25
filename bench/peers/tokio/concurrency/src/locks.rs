use std::sync::Arc;

use scenario::{die, Arguments, Report};
use tokio::sync::{Mutex, Notify, RwLock, Semaphore};

use crate::{join_all, measure};

pub fn mutex(a: &Arguments, out: &mut Report) {
    let fibers = a.number("fibers", 100);
    let each = a.number("ops", 1_000_000) / fibers;
    measure(a, out, each * fibers, move || async move {
        let count = Arc::new(Mutex::new(0));
        let mut all = Vec::new();
        for _ in 0..fibers {
            let count = count.clone();
            all.push(tokio::spawn(async move {
                for _ in 0..each {
                    *count.lock().await += 1;
                }
            }));
        }
        join_all(all).await;
        if *count.lock().await != each * fibers {
            die("the lock does not lock");
        }
    });
}

struct Turns {
    turn: std::sync::Mutex<usize>,
    changed: Notify,
}

async fn take_turns(shared: Arc<Turns>, me: usize, ops: i64) {
    for _ in 0..ops {
        loop {
            let change = shared.changed.notified();
            tokio::pin!(change);
            {
                let mut turn = shared.turn.lock().unwrap();
                if *turn == me {
                    *turn = 1 - me;
                    break;
                }
                change.as_mut().enable(); // waits from now on, as a condition variable does
            }
            change.await;
        }
        shared.changed.notify_one();
    }
}

pub fn condition(a: &Arguments, out: &mut Report) {
    let ops = a.number("ops", 200_000);
    measure(a, out, ops, move || async move {
        let shared = Arc::new(Turns { turn: std::sync::Mutex::new(0), changed: Notify::new() });
        let other = tokio::spawn(take_turns(shared.clone(), 1, ops));
        take_turns(shared, 0, ops).await;
        other.await.unwrap();
    });
}

async fn take(semaphore: &Semaphore) {
    semaphore.acquire().await.unwrap().forget();
}

pub fn semaphore(a: &Arguments, out: &mut Report) {
    let ops = a.number("ops", 200_000);
    measure(a, out, ops, move || async move {
        let there = Arc::new(Semaphore::new(0));
        let back = Arc::new(Semaphore::new(0));
        let (asked, answer) = (there.clone(), back.clone());
        let echo = tokio::spawn(async move {
            for _ in 0..ops {
                take(&asked).await;
                answer.add_permits(1);
            }
        });
        for _ in 0..ops {
            there.add_permits(1);
            take(&back).await;
        }
        echo.await.unwrap();
    });
}

pub fn read_lock(a: &Arguments, out: &mut Report) {
    let ops = a.number("ops", 1_000_000);
    measure(a, out, ops, move || async move {
        let lock = RwLock::new(());
        for _ in 0..ops {
            drop(lock.read().await);
        }
    });
}

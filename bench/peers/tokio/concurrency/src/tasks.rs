use scenario::{die, in_ms, run_as_task, runtime, Arguments, Clock, Report};
use tokio::sync::mpsc;

use crate::{join_all, measure};

pub fn yield_now(a: &Arguments, out: &mut Report) {
    let fibers = a.number("fibers", 2);
    let each = a.number("ops", 1_000_000) / fibers;
    measure(a, out, each * fibers, move || async move {
        let task = || async move {
            for _ in 0..each {
                tokio::task::yield_now().await;
            }
        };
        join_all((0..fibers).map(|_| tokio::spawn(task())).collect()).await;
    });
}

pub fn spawn_join(a: &Arguments, out: &mut Report) {
    let ops = a.number("ops", 100_000);
    measure(a, out, ops, move || async move {
        for _ in 0..ops {
            tokio::spawn(async {}).await.unwrap();
        }
    });
}

/// Not within node(): a future cannot contain itself.
fn spawn_node(sum: mpsc::Sender<i64>, number: i64, size: i64) {
    tokio::spawn(node(sum, number, size));
}

async fn node(sum: mpsc::Sender<i64>, number: i64, size: i64) {
    if size == 1 {
        sum.send(number).await.unwrap();
        return;
    }
    let (child, mut children) = mpsc::channel(10);
    for i in 0..10 {
        spawn_node(child.clone(), number + i * (size / 10), size / 10);
    }
    let mut total = 0;
    for _ in 0..10 {
        total += children.recv().await.unwrap();
    }
    sum.send(total).await.unwrap();
}

pub fn skynet(a: &Arguments, out: &mut Report) {
    let leaves = a.number("leaves", 1_000_000);
    let times = a.number("times", 2);
    let values = run_as_task(&runtime(a.number("procs", 1)), async move {
        let clock = Clock::start();
        let mut values = Vec::new();
        for _ in 0..=times {
            let (top, mut result) = mpsc::channel(1);
            let begin = clock.now();
            spawn_node(top, 0, leaves);
            let sum = result.recv().await.unwrap();
            values.push(in_ms(clock.now() - begin));
            if sum != leaves * (leaves - 1) / 2 {
                die("skynet's sum is wrong");
            }
        }
        values
    });
    for (i, v) in values.into_iter().enumerate() {
        out.add(if i == 0 { "first_ms" } else { "again_ms" }, v);
    }
}

//! tokio_parked_memory parked [key=value ...]: see bench/parked_memory/baton_parked_memory.cc. The tasks wait for one
//! Notify.
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;

use scenario::{run_as_task, runtime, Arguments, Clock, Report};
use tokio::sync::Notify;

/// VmRSS and VmPTE, in bytes.
fn memory() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let wanted = status.lines().filter(|line| line.starts_with("VmRSS:") || line.starts_with("VmPTE:"));
    wanted.map(|line| line.split_whitespace().nth(1).unwrap().parse::<i64>().unwrap() * 1024).sum()
}

struct Shared {
    gate: Notify,
    arrived: AtomicI64,
    left: AtomicI64,
    all_done: Notify,
}

async fn wait(shared: Arc<Shared>) {
    let opened = shared.gate.notified();
    shared.arrived.fetch_add(1, Ordering::Relaxed);
    opened.await;
    if shared.left.fetch_sub(1, Ordering::AcqRel) == 1 {
        shared.all_done.notify_one();
    }
}

fn parked(a: &Arguments, out: &mut Report) {
    let fibers = a.number("fibers", 100_000);
    let runtime = runtime(a.number("procs", 1));
    run_as_task(&runtime, async {});
    let before = memory();
    for round in ["first", "again"] {
        let (create, memory, wake) = run_as_task(&runtime, async move {
            let clock = Clock::start();
            let shared = Arc::new(Shared {
                gate: Notify::new(),
                arrived: AtomicI64::new(0),
                left: AtomicI64::new(fibers),
                all_done: Notify::new(),
            });
            let begin = clock.now();
            for i in 1..=fibers {
                tokio::spawn(wait(shared.clone()));
                if i % 64 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            while shared.arrived.load(Ordering::Relaxed) < fibers {
                tokio::task::yield_now().await;
            }
            let create = clock.now() - begin;
            let memory = memory();
            let begin = clock.now();
            shared.gate.notify_waiters();
            shared.all_done.notified().await;
            (create, memory, clock.now() - begin)
        });
        let names = match round {
            "first" => ("first_create_ns", "first_wake_ns", "first_bytes"),
            _ => ("again_create_ns", "again_wake_ns", "again_bytes"),
        };
        out.add(names.0, create as f64 / fibers as f64);
        out.add(names.1, wake as f64 / fibers as f64);
        out.add(names.2, (memory - before) as f64 / fibers as f64);
    }
}

fn main() {
    scenario::run(&[("parked", parked)]);
}

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use scenario::{in_ms, run_as_task, Arguments, Clock, Report, MS, US};
use tokio::task::{spawn_blocking, yield_now};

use crate::{block_ns, runtime, workers};

/// Tokio's pool ends at 512 threads unless it is told otherwise.
pub fn crowd(a: &Arguments, out: &mut Report) {
    let (fibers, length, times) = (a.number("fibers", 1_000), a.number("ms", 100) * MS, a.number("times", 3));
    let runtime = workers(a.number("procs", 2)).max_blocking_threads(fibers as usize).build().unwrap();
    let values = run_as_task(&runtime, async move {
        let clock = Clock::start();
        let mut values = Vec::new();
        for _ in 0..times {
            let begin = clock.now();
            let mut all = Vec::new();
            for _ in 0..fibers {
                all.push(spawn_blocking(move || block_ns(length)));
            }
            for call in all {
                call.await.unwrap();
            }
            values.push(in_ms(clock.now() - begin));
        }
        values
    });
    for (i, v) in values.into_iter().enumerate() {
        out.add(if i == 0 { "cold_ms" } else { "warm_ms" }, v);
    }
}

async fn percent_in_gaps(clock: Clock, length: i64) -> f64 {
    let begin = clock.now();
    let (mut last, mut lost) = (begin, 0);
    while last - begin < length {
        yield_now().await;
        let now = clock.now();
        if now - last > 100 * US {
            lost += now - last;
        }
        last = now;
    }
    100.0 * lost as f64 / (last - begin) as f64
}

pub fn blockers(a: &Arguments, out: &mut Report) {
    let procs = a.number("procs", 1);
    let count = procs + a.number("extra", 2);
    let (segment, segments) = (a.number("segment_ms", 500) * MS, a.number("segments", 2));
    let values = run_as_task(&runtime(procs), async move {
        let clock = Clock::start();
        let mut values = Vec::new();
        for _ in 0..segments {
            let without = percent_in_gaps(clock, segment).await;
            let stop = Arc::new(AtomicBool::new(false));
            let mut all = Vec::new();
            for _ in 0..count {
                let stop = stop.clone();
                all.push(tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        spawn_blocking(|| block_ns(10 * MS)).await.unwrap();
                    }
                }));
            }
            values.push((without, percent_in_gaps(clock, segment).await));
            stop.store(true, Ordering::Relaxed);
            for task in all {
                task.await.unwrap();
            }
        }
        values
    });
    for (without, with) in values {
        out.add("without", without);
        out.add("with", with);
    }
}

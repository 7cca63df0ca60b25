use std::time::Duration;

use scenario::{in_ms, run_as_task, runtime, Arguments, Clock, Report, MS};
use tokio::task::yield_now;

use crate::undeclared::compute_until;

/// Nothing here is declared: the scheduler is the one for one thread.
pub fn hog(a: &Arguments, out: &mut Report) {
    let (hogs, length, stretch) = (a.number("hogs", 1), a.number("ms", 1_000) * MS, a.number("stretch_ms", 1_000) * MS);
    let late = run_as_task(&runtime(1), async move {
        let clock = Clock::start();
        let end = clock.now() + length;
        let task = || {
            tokio::spawn(async move {
                let mut now = clock.now();
                while now < end {
                    compute_until(clock, end.min(now + stretch));
                    yield_now().await;
                    now = clock.now();
                }
            })
        };
        let all: Vec<_> = (0..hogs).map(|_| task()).collect();
        let mut late = Vec::new();
        let mut begin = clock.now();
        while begin < end {
            tokio::time::sleep(Duration::from_millis(1)).await;
            late.push(clock.now() - begin - MS);
            begin = clock.now();
        }
        for task in all {
            task.await.unwrap();
        }
        late
    });
    for ns in late {
        out.add("late_ms", in_ms(ns));
    }
}

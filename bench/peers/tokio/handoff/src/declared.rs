use scenario::{in_us, run_as_task, Arguments, Clock, Report, MS};
use tokio::task::block_in_place;

use crate::yielders::{pause, FirstRun, Yielders};
use crate::{block_ns, runtime};

/// Tokio knows no call sites: every variant is this one. due_us ends when block_in_place() returns; the task goes on
/// beside the workers then, without the one that it had, until it awaits something.
pub fn declared(a: &Arguments, out: &mut Report) {
    let (calls, fibers, length) = (a.number("calls", 10), a.number("fibers", 100), a.number("ms", 10) * MS);
    let warm_up = 5;
    let values = run_as_task(&runtime(1), async move {
        let clock = Clock::start();
        let first = FirstRun::new(clock);
        let others = Yielders::start(fibers, &first);
        let mut values = Vec::new();
        for i in 0..warm_up + calls {
            pause(clock).await;
            let length = if i < warm_up { 5 * MS } else { length };
            let begin = first.arm();
            block_in_place(|| block_ns(length));
            let back = clock.now();
            let latency = first.latency_ns().await;
            if i >= warm_up {
                values.push((latency, back - begin - length));
            }
        }
        others.stop().await;
        values
    });
    for (latency, late) in values {
        out.add("first_us", in_us(latency));
        out.add("due_us", in_us(late));
    }
}

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use scenario::{die, run_as_task, runtime, Arguments, Clock, Report, MS};
use tokio::time::{sleep, sleep_until, Instant, Sleep};

use crate::{join_all, measure};

/// Polls a timer once, which is all that is awaited; says whether it has fired.
struct PolledOnce<'a>(Pin<&'a mut Sleep>);

impl Future for PolledOnce<'_> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        Poll::Ready(self.0.as_mut().poll(context).is_ready())
    }
}

/// A Sleep is polled once, which sets its timer, and dropped, which takes it back. There is no function to be called
/// at its end. Unconstrained: a task that never yields has used up its budget after 128 timers, and further ones would
/// not be set.
pub fn timer(a: &Arguments, out: &mut Report) {
    let ops = a.number("ops", 500_000);
    measure(a, out, ops, move || {
        tokio::task::unconstrained(async move {
            for _ in 0..ops {
                let timer = sleep(Duration::from_secs(3_600));
                tokio::pin!(timer);
                if PolledOnce(timer.as_mut()).await {
                    die("a timer of an hour has fired");
                }
            }
        })
    });
}

pub fn sleepers(a: &Arguments, out: &mut Report) {
    let fibers = a.number("fibers", 100_000);
    let length = a.number("seconds", 4) * 1_000 * MS;
    let all_late = run_as_task(&runtime(a.number("procs", 1)), async move {
        let all_late = Arc::new(Mutex::new(Vec::new()));
        let clock = Clock::start();
        let mut all = Vec::new();
        for i in 0..fibers {
            let all_late = all_late.clone();
            all.push(tokio::spawn(async move {
                let mut dice = (i as u32).wrapping_mul(2_654_435_761).wrapping_add(1);
                let mut late = Vec::new();
                while clock.now() < length {
                    dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let until = Instant::now() + Duration::from_millis(u64::from(1 + (dice >> 16) % 1_000));
                    sleep_until(until).await;
                    let lateness = Instant::now() - until;
                    if i % 100 == 0 && clock.now() > 1_500 * MS {
                        late.push(lateness.as_nanos() as f64 / 1e3);
                    }
                }
                all_late.lock().unwrap().append(&mut late);
            }));
        }
        join_all(all).await;
        let values = std::mem::take(&mut *all_late.lock().unwrap());
        values
    });
    for v in all_late {
        out.add("late_us", v);
    }
}

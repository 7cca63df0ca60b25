//! tokio_concurrency SCENARIO [key=value ...]: the workloads of bench/concurrency with Tokio. What each measures and
//! prints stands in workloads.h and baton_concurrency.cc; here is said only what differs.
//!
//! - procs=1 is Tokio's current_thread scheduler, the quicker one for one thread; more are multi_thread's workers.
//! - Tokio has no channel without a buffer: there, mpsc channels of 1 stand in, which is less to do (a send returns
//!   when the item lies in the channel, not when it is taken).
//! - Its mpsc channels have one consumer. Several share an async_channel, the crate that its documentation names.
//! - It has no condition variable: a std::sync::Mutex, as its documentation advises for a lock that is not held
//!   across an await, and a Notify.
mod channels;
mod locks;
mod tasks;
mod time;

use std::future::Future;

use scenario::{run_as_task, runtime, Arguments, Clock, Report};

/// body() makes a future that does `ops` operations.
fn measure<B, F>(a: &Arguments, out: &mut Report, ops: i64, mut body: B)
where
    B: FnMut() -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let times = a.number("times", 5);
    let values = run_as_task(&runtime(a.number("procs", 1)), async move {
        let clock = Clock::start();
        let mut values = Vec::new();
        for i in 0..=times {
            let begin = clock.now();
            body().await;
            if i > 0 {
                values.push((clock.now() - begin) as f64 / ops as f64);
            }
        }
        values
    });
    for v in values {
        out.add("op_ns", v);
    }
}

async fn join_all<T>(tasks: Vec<tokio::task::JoinHandle<T>>) {
    for t in tasks {
        if t.await.is_err() {
            scenario::die("a task has panicked");
        }
    }
}

fn main() {
    scenario::run(&[
        ("yield", tasks::yield_now),
        ("spawn_join", tasks::spawn_join),
        ("skynet", tasks::skynet),
        ("ping_pong", channels::ping_pong),
        ("items", channels::items),
        ("select", channels::select),
        ("mutex", locks::mutex),
        ("condition", locks::condition),
        ("semaphore", locks::semaphore),
        ("read_lock", locks::read_lock),
        ("timer", time::timer),
        ("sleepers", time::sleepers),
    ]);
}

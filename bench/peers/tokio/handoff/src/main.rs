//! tokio_handoff SCENARIO [key=value ...]: the scenarios of bench/handoff with Tokio, as far as it has the means. What
//! each measures and prints stands in the C++ files of the same names; here is said only what differs.
//!
//! A declared call is one in block_in_place() where a task blocks beside others, and one in spawn_blocking() where
//! many block at once, which is what Tokio's documentation advises. block_in_place() exists with the multi_thread
//! scheduler only, so a P is one of its workers. Nothing watches the workers.
mod cached_reads;
mod crowd;
mod declared;
mod hog;
mod undeclared;
mod yielders;

use std::time::Duration;

use scenario::{in_ms, run_as_task, Arguments, Report, MS};
use tokio::runtime::{Builder, Runtime};

fn workers(procs: i64) -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(procs as usize).enable_time();
    builder
}

fn runtime(procs: i64) -> Runtime {
    workers(procs).build().unwrap()
}

/// Blocks the thread, whatever the scheduler thinks of that.
fn block_ns(ns: i64) {
    std::thread::sleep(Duration::from_nanos(ns as u64));
}

fn process_cpu() -> i64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    t.tv_sec * 1_000 * MS + t.tv_nsec
}

fn idle(a: &Arguments, out: &mut Report) {
    let seconds = a.number("seconds", 3) as u64;
    let cpu = run_as_task(&runtime(2), async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let before = process_cpu();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        process_cpu() - before
    });
    out.add("cpu_ms", in_ms(cpu));
}

fn main() {
    scenario::run(&[
        ("declared", declared::declared),
        ("undeclared", undeclared::undeclared),
        ("hog", hog::hog),
        ("crowd", crowd::crowd),
        ("blockers", crowd::blockers),
        ("cached_reads", cached_reads::cached_reads),
        ("idle", idle),
    ]);
}

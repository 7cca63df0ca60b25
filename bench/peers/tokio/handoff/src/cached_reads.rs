use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use scenario::{die, run_as_task, Arguments, Clock, Report, MS};
use tokio::task::spawn_blocking;

use crate::{process_cpu, runtime};

const BLOCK: usize = 4_096;
const WARM_UP: i64 = 300 * MS;

fn threads_of_process() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("Threads:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Each read is a spawn_blocking(), as in tokio::fs, whose files cannot read at a place. The buffer goes to and fro.
async fn read(file: Arc<File>, clock: Clock, begin: i64, length: i64, seed: u32) -> i64 {
    let blocks = (file.metadata().unwrap().len() / BLOCK as u64) as u32;
    let mut dice = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut buffer = vec![0_u8; BLOCK];
    let mut reads = 0;
    while clock.now() - begin < length {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let place = u64::from((dice >> 8) % blocks) * BLOCK as u64;
        let file = file.clone();
        buffer = spawn_blocking(move || {
            if file.read_exact_at(&mut buffer, place).is_err() {
                die("cannot read");
            }
            buffer
        })
        .await
        .unwrap();
        reads += 1;
    }
    reads
}

pub fn cached_reads(a: &Arguments, out: &mut Report) {
    let (fibers, length, segments) = (a.number("fibers", 64), a.number("ms", 300) * MS, a.number("segments", 2));
    let file = File::open(a.text("file", "")).unwrap_or_else(|_| die("cannot open the file"));
    let file = Arc::new(file);
    let values = run_as_task(&runtime(a.number("procs", 2)), async move {
        let clock = Clock::start();
        let mut values = Vec::new();
        for segment in -1..segments {
            let length = if segment < 0 { WARM_UP } else { length };
            let (begin, cpu_begin) = (clock.now(), process_cpu());
            let task = |i| tokio::spawn(read(file.clone(), clock, begin, length, i as u32));
            let all: Vec<_> = (0..fibers).map(task).collect();
            let mut reads = 0;
            for task in all {
                reads += task.await.unwrap();
            }
            let rate = reads as f64 * 1e6 / (clock.now() - begin) as f64;
            let cpu = (process_cpu() - cpu_begin) as f64 / reads as f64;
            if segment < 0 {
                continue;
            }
            values.push((rate, cpu, threads_of_process()));
        }
        values
    });
    for (rate, cpu, threads) in values {
        out.add("reads_per_s", rate);
        out.add("cpu_ns", cpu);
        out.add("threads", threads);
    }
}

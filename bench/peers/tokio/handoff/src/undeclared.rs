use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::io::AsRawFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use scenario::{die, in_ms, run_as_task, Arguments, Clock, Report, MS};

use crate::yielders::{pause, Gaps, Yielders};
use crate::{block_ns, runtime};

/// The process that holds the lock is baton's program.
struct Lock {
    file: File,
    ask: ChildStdin,
    answers: ChildStdout,
    _holder: Child,
}

impl Lock {
    fn new(path: &str, holder: &str) -> Lock {
        let file = OpenOptions::new().read(true).write(true).create(true).open(path);
        let mut command = Command::new(holder);
        command.arg("hold_lock").arg(format!("path={}", path)).stdin(Stdio::piped()).stdout(Stdio::piped());
        match (file, command.spawn()) {
            (Ok(file), Ok(mut child)) => {
                let (ask, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
                Lock { file, ask, answers, _holder: child }
            }
            _ => die("cannot start the lock holder"),
        }
    }
    fn hold(&mut self, milliseconds: i64) {
        let asked = self.ask.write_all(format!("{}\n", milliseconds).as_bytes());
        if asked.is_err() || self.answers.read_exact(&mut [0]).is_err() {
            die("the lock holder is gone");
        }
    }
    fn lock_and_unlock(&self) {
        unsafe {
            while libc::flock(self.file.as_raw_fd(), libc::LOCK_EX) != 0 {}
            libc::flock(self.file.as_raw_fd(), libc::LOCK_UN);
        }
    }
}

pub fn compute_until(clock: Clock, end: i64) {
    let mut sum = 0_u64;
    while clock.now() < end {
        for i in 0..1_000 {
            sum += i;
            unsafe { std::ptr::write_volatile(&mut sum, sum) };
        }
    }
}

/// There is no getaddrinfo: Tokio's lookup_host() calls it in spawn_blocking().
pub fn undeclared(a: &Arguments, out: &mut Report) {
    let (calls, fibers, milliseconds) = (a.number("calls", 10), a.number("fibers", 100), a.number("ms", 100));
    let warm_up = 1;
    let kind = a.text("kind", "nanosleep");
    let mut lock = match kind.as_str() {
        "flock" => Some(Lock::new(&a.text("lock", "handoff.lock"), &a.text("holder", "baton_handoff"))),
        "nanosleep" | "poll" | "compute" => None,
        _ => die("no such kind"),
    };
    let values = run_as_task(&runtime(1), async move {
        let clock = Clock::start();
        let gaps = Gaps::new(clock);
        let others = Yielders::start(fibers, &gaps);
        let mut values = Vec::new();
        for i in 0..warm_up + calls {
            let (alone_begin, alone_turns) = (clock.now(), gaps.turns());
            for _ in 0..5 {
                pause(clock).await;
            }
            let alone_rate = (gaps.turns() - alone_turns) as f64 / (clock.now() - alone_begin) as f64;
            if let Some(lock) = lock.as_mut() {
                lock.hold(milliseconds);
            }
            let turns = gaps.turns();
            let begin = gaps.arm();
            match (&lock, kind.as_str()) {
                (Some(lock), _) => lock.lock_and_unlock(),
                (None, "poll") => unsafe {
                    libc::poll(std::ptr::null_mut(), 0, milliseconds as i32);
                },
                (None, "compute") => compute_until(clock, clock.now() + milliseconds * MS),
                _ => block_ns(milliseconds * MS),
            }
            let end = clock.now();
            let rate = (gaps.turns() - turns) as f64 / (end - begin) as f64;
            let stall = gaps.longest_ns().await;
            if i >= warm_up {
                values.push((stall, end - begin, 100.0 * rate / alone_rate));
            }
        }
        others.stop().await;
        values
    });
    for (stall, took, share) in values {
        out.add("stall_ms", in_ms(stall));
        out.add("took_ms", in_ms(took));
        out.add("share", share);
    }
}

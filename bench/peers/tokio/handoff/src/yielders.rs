use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use scenario::{Clock, MS};
use tokio::task::JoinHandle;

/// A yield that puts the task at the end of its worker's queue at once. tokio::task::yield_now() puts it on a list that
/// the worker looks at later. Before Tokio 1.50, block_in_place() handed the worker over without that list (issue 7877 of
/// Tokio): the tasks on it stood still until the call had ended.
pub struct Yield {
    yielded: bool,
}

pub fn yield_now() -> Yield {
    Yield { yielded: false }
}

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

pub trait Turn: Send + Sync + 'static {
    fn turn(&self);
}

pub struct Yielders {
    stopped: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Yielders {
    pub fn start<T: Turn>(count: i64, turn: &Arc<T>) -> Yielders {
        let stopped = Arc::new(AtomicBool::new(false));
        let task = || {
            let (stopped, turn) = (stopped.clone(), turn.clone());
            tokio::spawn(async move {
                while !stopped.load(Ordering::Relaxed) {
                    yield_now().await;
                    turn.turn();
                }
            })
        };
        let tasks = (0..count).map(|_| task()).collect();
        Yielders { stopped, tasks }
    }
    pub async fn stop(self) {
        self.stopped.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

#[repr(align(64))]
struct Apart(AtomicI64);

pub struct FirstRun {
    clock: Clock,
    begin: Apart,
    latency: Apart,
}

impl FirstRun {
    pub fn new(clock: Clock) -> Arc<FirstRun> {
        Arc::new(FirstRun { clock, begin: Apart(AtomicI64::new(0)), latency: Apart(AtomicI64::new(0)) })
    }
    pub fn arm(&self) -> i64 {
        self.latency.0.store(0, Ordering::Relaxed);
        let begin = self.clock.now();
        self.begin.0.store(begin, Ordering::Release);
        begin
    }
    pub async fn latency_ns(&self) -> i64 {
        loop {
            match self.latency.0.load(Ordering::Acquire) {
                0 => yield_now().await,
                ns => return ns,
            }
        }
    }
}

impl Turn for FirstRun {
    fn turn(&self) {
        if self.begin.0.load(Ordering::Relaxed) == 0 {
            return;
        }
        let now = self.clock.now();
        let begin = self.begin.0.swap(0, Ordering::AcqRel);
        if begin != 0 {
            self.latency.0.store(now - begin, Ordering::Release);
        }
    }
}

pub struct Gaps {
    clock: Clock,
    begin: Apart,
    last: Apart,
    longest: AtomicI64,
    turns: AtomicU64,
}

impl Gaps {
    pub fn new(clock: Clock) -> Arc<Gaps> {
        let none = || Apart(AtomicI64::new(0));
        Arc::new(Gaps { clock, begin: none(), last: none(), longest: AtomicI64::new(0), turns: AtomicU64::new(0) })
    }
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }
    pub fn arm(&self) -> i64 {
        let begin = self.clock.now();
        self.begin.0.store(begin, Ordering::Relaxed);
        self.longest.store(0, Ordering::Release);
        begin
    }
    pub async fn longest_ns(&self) -> i64 {
        let before = self.turns();
        while self.turns() == before {
            yield_now().await;
        }
        self.longest.load(Ordering::Relaxed)
    }
}

impl Turn for Gaps {
    fn turn(&self) {
        let now = self.clock.now();
        let gap = now - self.last.0.load(Ordering::Relaxed).max(self.begin.0.load(Ordering::Relaxed));
        self.last.0.store(now, Ordering::Relaxed);
        if gap > self.longest.load(Ordering::Relaxed) {
            self.longest.store(gap, Ordering::Relaxed);
        }
        self.turns.store(self.turns.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}

/// Lets the others run between two calls, for 2 to 3 ms.
pub async fn pause(clock: Clock) {
    let dice = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    let until = clock.now() + 2 * MS + i64::from(dice) % MS;
    while clock.now() < until {
        yield_now().await;
    }
}

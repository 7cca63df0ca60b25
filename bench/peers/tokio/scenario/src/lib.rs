//! bench/scenario.h in Rust: arguments of the form key=value, raw values printed as JSON; and the runtimes.
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};

pub const US: i64 = 1_000;
pub const MS: i64 = 1_000_000;

/// A monotonic clock in nanoseconds, from 1 so that 0 can mean "none".
#[derive(Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Clock {
        Clock(Instant::now())
    }
    pub fn now(&self) -> i64 {
        self.0.elapsed().as_nanos() as i64 + 1
    }
}

pub fn in_us(ns: i64) -> f64 {
    ns as f64 / 1e3
}

pub fn in_ms(ns: i64) -> f64 {
    ns as f64 / 1e6
}

pub fn die(why: &str) -> ! {
    eprintln!("{}", why);
    std::process::exit(1)
}

pub struct Arguments(HashMap<String, String>);

impl Arguments {
    pub fn number(&self, key: &str, otherwise: i64) -> i64 {
        self.0.get(key).and_then(|v| v.parse().ok()).unwrap_or(otherwise)
    }
    pub fn text(&self, key: &str, otherwise: &str) -> String {
        self.0.get(key).cloned().unwrap_or_else(|| otherwise.to_string())
    }
}

#[derive(Default)]
pub struct Report(BTreeMap<&'static str, Vec<f64>>);

impl Report {
    pub fn add(&mut self, name: &'static str, value: f64) {
        self.0.entry(name).or_default().push(value);
    }
    fn print(&self) {
        let list = |values: &Vec<f64>| values.iter().map(|v| format!("{:.3}", v)).collect::<Vec<_>>().join(", ");
        let part = |(name, values)| format!("\"{}\": [{}]", name, list(values));
        let parts: Vec<String> = self.0.iter().map(part).collect();
        println!("{{{}}}", parts.join(", "));
    }
}

pub type Scenario = fn(&Arguments, &mut Report);

/// The body of main: PROGRAM SCENARIO [key=value ...].
pub fn run(scenarios: &[(&str, Scenario)]) {
    let words: Vec<String> = std::env::args().collect();
    let wanted = scenarios.iter().find(|(name, _)| words.len() > 1 && words[1] == *name);
    let (_, scenario) = wanted.unwrap_or_else(|| die(&format!("usage: {} SCENARIO [key=value ...]", words[0])));
    let mut values = HashMap::new();
    for word in &words[2..] {
        let (key, value) = word.split_once('=').unwrap_or_else(|| die("arguments are key=value"));
        values.insert(key.to_string(), value.to_string());
    }
    let mut out = Report::default();
    scenario(&Arguments(values), &mut out);
    out.print();
}

/// Tokio's scheduler for one thread, or its work-stealing one with so many workers.
pub fn runtime(procs: i64) -> Runtime {
    if procs == 1 {
        return Builder::new_current_thread().enable_time().build().unwrap();
    }
    Builder::new_multi_thread().worker_threads(procs as usize).enable_time().build().unwrap()
}

/// Runs `root` as a task: what block_on() itself polls runs on no worker, and is slow to wake.
pub fn run_as_task<F>(runtime: &Runtime, root: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let task = runtime.spawn(root);
    runtime.block_on(task).unwrap_or_else(|_| die("a task has panicked"))
}

//! tokio_calls SCENARIO [key=value ...]: the scenarios of bench/calls for which Tokio has a way of its own, on the
//! runtime with one thread. What each measures stands in bench/calls/workloads.h. Files go through tokio::fs, which
//! hands each operation to a pool of threads.
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, SeekFrom};
use std::time::Instant;

use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PAGE: usize = 4096;
const PLACES: usize = 256;
const WRITES_AT_ONCE: usize = 64;

struct Arguments(HashMap<String, String>);

impl Arguments {
    fn number(&self, key: &str, otherwise: usize) -> usize {
        self.0.get(key).map_or(otherwise, |word| word.parse().expect("a number"))
    }
    fn text(&self, key: &str) -> String {
        self.0.get(key).cloned().unwrap_or_default()
    }
}

#[derive(Default)]
struct Report(BTreeMap<&'static str, Vec<f64>>);

impl Report {
    fn add(&mut self, name: &'static str, value: f64) {
        self.0.entry(name).or_default().push(value);
    }
    fn print(&self) {
        let lists: Vec<String> = self
            .0
            .iter()
            .map(|(name, values)| {
                let words: Vec<String> = values.iter().map(|v| format!("{:.3}", v)).collect();
                format!("\"{}\": [{}]", name, words.join(", "))
            })
            .collect();
        println!("{{{}}}", lists.join(", "));
    }
}

fn per_op(begin: Instant, ops: usize) -> f64 {
    begin.elapsed().as_nanos() as f64 / ops as f64
}

async fn zero(a: &Arguments, out: &mut Report) -> std::io::Result<()> {
    let mut file = File::open("/dev/zero").await?;
    let ops = a.number("ops", 2000);
    let mut byte = [1u8];
    for _ in 0..a.number("blocks", 50) {
        let begin = Instant::now();
        for _ in 0..ops {
            file.read_exact(&mut byte).await?;
        }
        out.add("op_ns", per_op(begin, ops));
    }
    Ok(())
}

async fn socket_write(a: &Arguments, out: &mut Report) -> std::io::Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let writer = TcpStream::connect(listener.local_addr()?).await?;
    writer.set_nodelay(true)?;
    let (mut reader, _) = listener.accept()?;
    let message = vec![b'x'; a.number("size", 64)];
    let mut all = vec![0u8; message.len() * WRITES_AT_ONCE];
    let times = a.number("ops", 2048) / WRITES_AT_ONCE;
    writer.writable().await?;
    for _ in 0..a.number("blocks", 50) {
        let mut total = 0.0;
        for _ in 0..times {
            let begin = Instant::now();
            for _ in 0..WRITES_AT_ONCE {
                assert_eq!(writer.try_write(&message)?, message.len());
            }
            total += per_op(begin, WRITES_AT_ONCE);
            reader.read_exact(&mut all)?;
        }
        out.add("op_ns", total / times as f64);
    }
    Ok(())
}

async fn filled(path: &str) -> std::io::Result<()> {
    tokio::fs::write(path, vec![b'x'; PAGE * PLACES]).await
}

async fn file_write(a: &Arguments, out: &mut Report) -> std::io::Result<()> {
    let path = a.text("file");
    filled(&path).await?;
    let mut file = OpenOptions::new().write(true).open(&path).await?;
    let content = vec![b'y'; PAGE];
    let ops = a.number("ops", 1024);
    for _ in 0..a.number("blocks", 50) {
        let begin = Instant::now();
        for i in 0..ops {
            if i % PLACES == 0 {
                file.seek(SeekFrom::Start(0)).await?;
            }
            file.write_all(&content).await?;
            file.flush().await?; // until then it may only be in Tokio's buffer
        }
        out.add("op_ns", per_op(begin, ops));
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let mut words = std::env::args().skip(1);
    let scenario = words.next().unwrap_or_default();
    let pairs = words.map(|word| {
        let (key, value) = word.split_once('=').expect("arguments are key=value");
        (key.to_string(), value.to_string())
    });
    let a = Arguments(pairs.collect());
    let mut out = Report::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        match scenario.as_str() {
            "zero" => zero(&a, &mut out).await,
            "socket_write" => socket_write(&a, &mut out).await,
            "file_write" => file_write(&a, &mut out).await,
            _ => panic!("no scenario {}", scenario),
        }
    })?;
    out.print();
    Ok(())
}

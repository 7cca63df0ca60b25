//! tokio_calls SCENARIO [key=value ...]: the scenarios of bench/calls for which Tokio has a way of its own, on the
//! scheduler for one thread. What each measures stands in bench/calls/workloads.h. Files go through tokio::fs, which
//! hands each operation to a pool of threads.
use std::io::{Read, Result, SeekFrom};
use std::time::Instant;

use scenario::{die, run_as_task, Arguments, Report};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;

const PAGE: usize = 4096;
const PLACES: usize = 256;
const WRITES_AT_ONCE: usize = 64;

struct Effort {
    blocks: usize,
    ops: usize,
}

impl Effort {
    fn of(a: &Arguments) -> Effort {
        Effort { blocks: a.number("blocks", 50) as usize, ops: a.number("ops", 2048) as usize }
    }
}

fn per_op(begin: Instant, ops: usize) -> f64 {
    begin.elapsed().as_nanos() as f64 / ops as f64
}

async fn read_zeros(effort: Effort) -> Result<Vec<f64>> {
    let mut file = File::open("/dev/zero").await?;
    let mut byte = [1u8];
    let mut blocks = Vec::new();
    for _ in 0..effort.blocks {
        let begin = Instant::now();
        for _ in 0..effort.ops {
            file.read_exact(&mut byte).await?;
        }
        blocks.push(per_op(begin, effort.ops));
    }
    Ok(blocks)
}

async fn write_to_socket(effort: Effort, size: usize) -> Result<Vec<f64>> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let writer = TcpStream::connect(listener.local_addr()?).await?;
    writer.set_nodelay(true)?;
    let (mut reader, _) = listener.accept()?;
    let message = vec![b'x'; size];
    let mut all = vec![0u8; size * WRITES_AT_ONCE];
    let times = effort.ops / WRITES_AT_ONCE;
    writer.writable().await?;
    let mut blocks = Vec::new();
    for _ in 0..effort.blocks {
        let mut total = 0.0;
        for _ in 0..times {
            let begin = Instant::now();
            for _ in 0..WRITES_AT_ONCE {
                assert_eq!(writer.try_write(&message)?, size);
            }
            total += per_op(begin, WRITES_AT_ONCE);
            reader.read_exact(&mut all)?;
        }
        blocks.push(total / times as f64);
    }
    Ok(blocks)
}

async fn write_to_file(effort: Effort, path: String) -> Result<Vec<f64>> {
    tokio::fs::write(&path, vec![b'x'; PAGE * PLACES]).await?;
    let mut file = OpenOptions::new().write(true).open(&path).await?;
    let content = vec![b'y'; PAGE];
    let mut blocks = Vec::new();
    for _ in 0..effort.blocks {
        let begin = Instant::now();
        for i in 0..effort.ops {
            if i % PLACES == 0 {
                file.seek(SeekFrom::Start(0)).await?;
            }
            file.write_all(&content).await?;
            file.flush().await?; // until then it may only be in Tokio's buffer
        }
        blocks.push(per_op(begin, effort.ops));
    }
    Ok(blocks)
}

fn measure<F>(out: &mut Report, blocks: F)
where
    F: std::future::Future<Output = Result<Vec<f64>>> + Send + 'static,
{
    let runtime = Builder::new_current_thread().enable_io().build().unwrap();
    for ns in run_as_task(&runtime, blocks).unwrap_or_else(|e| die(&e.to_string())) {
        out.add("op_ns", ns);
    }
}

fn zero(a: &Arguments, out: &mut Report) {
    measure(out, read_zeros(Effort::of(a)));
}

fn socket_write(a: &Arguments, out: &mut Report) {
    measure(out, write_to_socket(Effort::of(a), a.number("size", 64) as usize));
}

fn file_write(a: &Arguments, out: &mut Report) {
    measure(out, write_to_file(Effort::of(a), a.text("file", "")));
}

fn main() {
    scenario::run(&[("zero", zero), ("socket_write", socket_write), ("file_write", file_write)]);
}

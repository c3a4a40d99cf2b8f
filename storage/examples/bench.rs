//! Measures the embedded store: durable writes at several numbers of writers, with and without a watch, then reading,
//! start and memory. Prints a table.
//!
//!     cargo run --release -p kybern-storage --example bench [directory]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::StreamExt;
use storage::embedded::{Embedded, Options};
use storage::{Event, Expect, Outcome, Revision, Store};

const VALUE: usize = 2048;
const LASTS: Duration = Duration::from_secs(4);

fn main() -> anyhow::Result<()> {
    let directory = std::env::args().nth(1).map_or_else(|| std::env::temp_dir().join("kybern-storage-bench"), PathBuf::from);
    std::fs::create_dir_all(&directory)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(&directory))?;
    std::fs::remove_dir_all(&directory).context("cleaning up")
}

async fn run(directory: &Path) -> anyhow::Result<()> {
    println!("{:<34} {:>9} {:>11} {:>9} {:>9} {:>9}", "", "per s", "cpu us each", "p50 us", "p99 us", "rss KiB");
    println!("{:<34} {:>9} {:>11} {:>9} {:>9} {:>9}", "idle process", "", "", "", "", resident()?);
    for (writers, watched) in [(1, false), (8, false), (64, false), (64, true), (256, false)] {
        let path = directory.join(format!("{writers}-{watched}"));
        // What an earlier run left.
        let _ = std::fs::remove_dir_all(&path);
        let store = Arc::new(Embedded::open(&path, Options::default())?);
        let name = format!("create, {writers} writers{}", if watched { ", watched" } else { "" });
        writes(&store, &name, writers, watched).await?;
        if writers == 64 && !watched {
            updates(&store).await?;
            reads(&store).await?;
        }
        store.close().await?;
        if writers == 64 && !watched {
            reopen(&path).await?;
        }
        std::fs::remove_dir_all(&path)?;
    }
    Ok(())
}

/// Creates keys from many tasks at once.
async fn writes(store: &Arc<Embedded>, name: &str, writers: usize, watched: bool) -> anyhow::Result<()> {
    let watcher = if watched { Some(tokio::spawn(count(store.watch(Bytes::from_static(b"/"), Revision(1)).await?))) } else { None };
    let (begun, cpu) = (Instant::now(), cpu()?);
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut taken = Vec::new();
                while begun.elapsed() < LASTS {
                    let key = format!("/registry/pods/bench/pod-{writer}-{}", taken.len());
                    let asked = Instant::now();
                    let outcome = store.put(key.into(), vec![b'x'; VALUE].into(), Expect::Absent, None).await?;
                    taken.push(asked.elapsed());
                    if matches!(outcome, Outcome::Conflict(_)) {
                        bail!("a conflict over a key of one's own");
                    }
                }
                Ok(taken)
            })
        })
        .collect();
    let mut taken = Vec::new();
    for task in tasks {
        taken.extend(task.await??);
    }
    report(name, begun.elapsed(), cpu, &mut taken)?;
    if let Some(watcher) = watcher {
        store.close().await?;
        let seen = watcher.await?;
        println!("{:<34} {seen:>9} of {}", "  events seen by the watch", taken.len());
    }
    Ok(())
}

async fn count(mut watch: storage::Watch) -> usize {
    let mut seen = 0;
    while let Some(Ok(event)) = watch.next().await {
        seen += usize::from(!matches!(event, Event::Progress(_)));
    }
    seen
}

/// One writer changes one key, over and over, and compacts behind itself.
async fn updates(store: &Arc<Embedded>) -> anyhow::Result<()> {
    let (begun, cpu) = (Instant::now(), cpu()?);
    let key = Bytes::from_static(b"/registry/leases/bench/leader");
    let mut taken = Vec::new();
    let mut expect = Expect::Absent;
    while begun.elapsed() < LASTS {
        let asked = Instant::now();
        match store.put(key.clone(), vec![b'x'; VALUE].into(), expect, None).await? {
            Outcome::Done(revision) => expect = Expect::At(revision),
            Outcome::Conflict(_) => bail!("a conflict over a key of one's own"),
        }
        taken.push(asked.elapsed());
    }
    report("update one key, 1 writer", begun.elapsed(), cpu, &mut taken)
}

async fn reads(store: &Arc<Embedded>) -> anyhow::Result<()> {
    let (begun, before) = (Instant::now(), cpu()?);
    let mut taken = Vec::new();
    while begun.elapsed() < LASTS / 4 {
        let asked = Instant::now();
        store.get(format!("/registry/pods/bench/pod-{}-{}", taken.len() % 64, taken.len() % 1000).as_bytes()).await?;
        taken.push(asked.elapsed());
    }
    report("get", begun.elapsed(), before, &mut taken)?;
    let (begun, before) = (Instant::now(), cpu()?);
    let mut taken = Vec::new();
    while begun.elapsed() < LASTS / 4 {
        let asked = Instant::now();
        store.range(b"/registry/pods/", b"/registry/pods0", 500, None).await?;
        taken.push(asked.elapsed());
    }
    report("range of 500", begun.elapsed(), before, &mut taken)
}

async fn reopen(path: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    let store = Embedded::open(path, Options::default())?;
    let (took, size) = (begun.elapsed(), store.size().await?);
    println!(
        "{:<34} {:>9} ms, revision {}, {} MiB; rss {} KiB",
        "open",
        took.as_millis(),
        store.revision().await?.0,
        size >> 20,
        resident()?
    );
    Ok(store.close().await?)
}

fn report(name: &str, took: Duration, cpu_before: Duration, taken: &mut [Duration]) -> anyhow::Result<()> {
    let each = (cpu()? - cpu_before).as_secs_f64() * 1e6 / taken.len() as f64;
    taken.sort_unstable();
    let at = |part: usize| taken[(taken.len() - 1) * part / 100].as_micros();
    println!("{name:<34} {:>9.0} {each:>11.1} {:>9} {:>9} {:>9}", taken.len() as f64 / took.as_secs_f64(), at(50), at(99), resident()?);
    Ok(())
}

/// What this process has used of the processors.
fn cpu() -> anyhow::Result<Duration> {
    // Fields 14 and 15, counted after the name in brackets: ticks of a hundredth of a second.
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, rest) = stat.rsplit_once(") ").context("/proc/self/stat")?;
    let ticks: Vec<u64> = rest.split(' ').skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
}

fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

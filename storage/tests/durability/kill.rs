//! A writer that is killed at random moments, many times over: what it was answered is there, and nothing is half there.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use storage::embedded::{Embedded, Options};
use storage::{Expect, Outcome, Revision, Store};

use crate::{child, everything};

const KILLS: u64 = 30;
const WRITERS: usize = 8;
/// Each writer's keys are its own, so that it knows what they should be.
const KEYS: usize = 5;

fn options() -> Options {
    // Small, so that files are rewritten under fire.
    Options { garbage_limit: 200_000 }
}

/// A value that shows where it was cut or mixed up.
fn value(writer: usize, n: u64) -> Bytes {
    let word = format!("{writer}:{n};");
    word.repeat(1 + (n as usize * 37 % 700)).into()
}

/// What a writer intends, or was answered, with its `n`th write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    writer: usize,
    n: u64,
}

impl Step {
    fn key(self) -> String {
        format!("/{}/{}", self.writer, self.n as usize % KEYS)
    }

    fn removes(self) -> bool {
        self.n % 11 == 10
    }
}

/// The child: says `try` before each write and `did` after its answer, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer_process() {
    let Some(directory) = child::directory() else { return };
    let store = Arc::new(Embedded::open(&directory, options()).unwrap());
    let first: u64 = std::io::stdin().lines().next().unwrap().unwrap().parse().unwrap();
    let writers: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(write_forever(store.clone(), writer, first))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn write_forever(store: Arc<Embedded>, writer: usize, first: u64) {
    for n in first.. {
        let step = Step { writer, n };
        let key = Bytes::from(step.key());
        let current = store.get(&key).await.unwrap().map(|kv| kv.modified);
        say(&format!("try {writer} {n}\n"));
        let outcome = match (current, step.removes()) {
            (Some(at), true) => store.delete(key, at).await.unwrap(),
            (None, true) => continue,
            (Some(at), false) => store.put(key, value(writer, n), Expect::At(at), None).await.unwrap(),
            (None, false) => store.put(key, value(writer, n), Expect::Absent, None).await.unwrap(),
        };
        let Outcome::Done(revision) = outcome else { panic!("{outcome:?}") };
        say(&format!("did {writer} {n} {}\n", revision.0));
        if n % 40 == 0 {
            // Another writer may have gone further.
            let _ = store.compact(Revision(revision.0 - 1)).await;
        }
    }
}

/// One line in one write, so that a kill does not cut what was said before.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).unwrap();
}

/// What the parent knows of a key.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The last write answered, and its revision.
    done: Option<(Step, Revision)>,
    /// A write after it that was not answered.
    tried: Option<Step>,
}

#[tokio::test]
async fn acknowledged_writes_survive_kills() {
    let directory = tempfile::tempdir().unwrap();
    let mut known: HashMap<String, Known> = HashMap::new();
    let mut next = 0;
    let mut newest = Revision(1);
    let mut answered = 0;
    for round in 0..KILLS {
        let mut process = child::command("kill::writer_process", directory.path(), None).spawn().unwrap();
        writeln!(process.stdin.take().unwrap(), "{next}").unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        let (spoke, speaks) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut said = Vec::new();
            for line in lines.split(b'\n').map_while(Result::ok) {
                said.push(String::from_utf8(line).unwrap());
                let _ = spoke.send(());
            }
            said
        });
        // At a moment of its own in each round, counted in lines so that it does not depend on this machine's speed.
        for _ in 0..40 + (round * 7919) % 1500 {
            speaks.recv_timeout(Duration::from_secs(60)).expect("the writer is stuck");
        }
        process.kill().unwrap();
        process.wait().unwrap();
        for line in reader.join().unwrap() {
            answered += u32::from(note(&mut known, &mut next, &mut newest, &line));
        }
        newest = check(&Embedded::open(directory.path(), options()).unwrap(), &mut known, newest).await;
    }
    assert!(answered > 1000, "only {answered} writes were answered");
}

/// Takes in a line of the child's. Whether it was an answer.
fn note(known: &mut HashMap<String, Known>, next: &mut u64, newest: &mut Revision, line: &str) -> bool {
    // The test harness speaks on the same pipe.
    let words: Vec<&str> = line.split(' ').collect();
    let numbers = |words: &[&str]| words.iter().map(|word| word.parse::<u64>().ok()).collect::<Option<Vec<_>>>();
    match words[..] {
        ["try", ref rest @ ..] if rest.len() == 2 => {
            let [writer, n] = numbers(rest).unwrap()[..] else { unreachable!() };
            let step = Step { writer: writer as usize, n };
            *next = (*next).max(n + 1);
            known.entry(step.key()).or_default().tried = Some(step);
            false
        }
        ["did", ref rest @ ..] if rest.len() == 3 => {
            let [writer, n, revision] = numbers(rest).unwrap()[..] else { unreachable!() };
            let step = Step { writer: writer as usize, n };
            let entry = known.entry(step.key()).or_default();
            *entry = Known { done: Some((step, Revision(revision))), tried: None };
            *newest = (*newest).max(Revision(revision));
            true
        }
        _ => false,
    }
}

/// Compares the store with what is known, learns what became of unanswered writes, and closes it.
async fn check(store: &Embedded, known: &mut HashMap<String, Known>, newest: Revision) -> Revision {
    let found: HashMap<String, _> =
        everything(store, None).await.into_iter().map(|kv| (String::from_utf8(kv.key.to_vec()).unwrap(), kv)).collect();
    let current = store.revision().await.unwrap();
    assert!(current >= newest, "the store fell back from {newest:?} to {current:?}");
    for (key, entry) in known.iter_mut() {
        let there = found.get(key);
        let as_done = match entry.done {
            None => there.is_none(),
            Some((step, _)) if step.removes() => there.is_none(),
            Some((step, revision)) => there.is_some_and(|kv| kv.modified == revision && kv.value == value(step.writer, step.n)),
        };
        let as_tried = entry.tried.is_some_and(|step| match there {
            None => step.removes(),
            Some(kv) => {
                !step.removes() && kv.value == value(step.writer, step.n) && kv.modified > entry.done.map_or(Revision(1), |(_, at)| at)
            }
        });
        assert!(as_done || as_tried, "{key} should be as {entry:?}, is {:?}", there.map(|kv| (kv.modified, kv.value.len())));
        if !as_done {
            let at = there.map_or(current, |kv| kv.modified);
            entry.done = entry.tried.map(|step| (step, at));
        }
        entry.tried = None;
    }
    assert!(found.keys().all(|key| known.contains_key(key)));
    store.close().await.unwrap();
    current
}

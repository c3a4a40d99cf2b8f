//! A disk that fills up, and has room again later.

use std::io::{BufRead, BufReader, Write};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use storage::{Error, Expect, Outcome, Revision, Store};

use crate::{child, create, everything, open};

/// The largest file the child may write, in blocks of 512 bytes.
const LIMIT_BLOCKS: u32 = 2000;

/// The child: writes until nothing fits, sees that reading goes on, and writes again when the parent made room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starved_process() {
    let Some(directory) = child::directory() else { return };
    let store = Arc::new(open(&directory).unwrap());
    let mut watch = store.watch(Bytes::from_static(b"/"), Revision(1)).await.unwrap();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut written = 0;
                loop {
                    let key = Bytes::from(format!("/{writer}/{written}"));
                    match store.put(key, vec![7; 20_000].into(), Expect::Absent, None).await {
                        Ok(Outcome::Done(_)) => written += 1,
                        Ok(outcome) => panic!("{outcome:?}"),
                        Err(Error::NoSpace(_)) => return written,
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    let mut written = 0;
    for writer in writers {
        written += writer.await.unwrap();
    }
    assert!(written > 20);
    let there = everything(&store, None).await;
    assert_eq!(there.len(), written);
    assert_eq!(store.revision().await.unwrap(), Revision(1 + written as u64));
    assert!(matches!(store.grant(std::time::Duration::from_secs(1)).await, Ok(_) | Err(Error::NoSpace(_))));
    println!("full");
    std::io::stdin().lines().next().unwrap().unwrap();
    let after = create(&store, "/after", vec![8; 20_000]).await;
    assert_eq!(after, Revision(2 + written as u64), "a write that failed took a revision");
    for revision in 2..=after.0 {
        assert_eq!(watch.next().await.unwrap().unwrap().revision(), Revision(revision));
    }
    store.close().await.unwrap();
    let store = open(&directory).unwrap();
    assert_eq!(everything(&store, None).await.len(), written + 1);
    println!("fine");
}

#[tokio::test]
async fn a_full_disk_stops_writes_only_while_it_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = child::command("full::starved_process", directory.path(), Some(LIMIT_BLOCKS)).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.ends_with("full")), "the disk never filled");
    let lifted = Command::new("prlimit").args(["--pid", &process.id().to_string(), "--fsize=unlimited:unlimited"]).status().unwrap();
    assert!(lifted.success());
    writeln!(process.stdin.take().unwrap(), "there is room").unwrap();
    assert!(lines.any(|line| line.ends_with("fine")), "the store did not recover");
    assert!(process.wait().unwrap().success());
}

//! What a later opening finds.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use storage::embedded::{Embedded, Options};
use storage::{Error, Event, Expect, FIRST_REVISION, Outcome, Revision, Store};

use crate::{create, everything, open, put, until};

#[tokio::test]
async fn everything_is_there_with_its_history() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let one = create(&store, "/a", "1").await;
    let two = put(&store, "/a", "2", Expect::At(one)).await;
    create(&store, "/b", vec![7; 100_000]).await;
    store.delete(Bytes::from_static(b"/a"), two).await.unwrap();
    store.compact(two).await.unwrap();
    let (now, then) = (everything(&store, None).await, everything(&store, Some(two)).await);
    store.close().await.unwrap();
    let store = open(directory.path()).unwrap();
    assert_eq!(store.revision().await.unwrap(), Revision(FIRST_REVISION.0 + 4));
    assert_eq!(everything(&store, None).await, now);
    assert_eq!(everything(&store, Some(two)).await, then);
    assert!(matches!(store.range(b"", b"", 0, Some(one)).await, Err(Error::Compacted { .. })));
    let mut watch = store.watch(Bytes::new(), two).await.unwrap();
    assert!(matches!(watch.next().await.unwrap().unwrap(), Event::Put { item } if item.key == "/b"));
    assert!(matches!(watch.next().await.unwrap().unwrap(), Event::Delete { key, .. } if key == "/a"));
}

#[tokio::test]
async fn the_directory_belongs_to_one() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let refused = open(directory.path()).err().unwrap();
    assert!(matches!(refused, Error::Locked(_)), "{refused}");
    assert!(refused.to_string().contains(directory.path().to_str().unwrap()));
    store.close().await.unwrap();
    open(directory.path()).unwrap().close().await.unwrap();
    // A store that is only dropped lets go as well, when it has finished.
    drop(open(directory.path()).unwrap());
    until("the lock is free", async || open(directory.path()).is_ok()).await;
}

#[tokio::test]
async fn leases_end_while_nobody_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let short = store.grant(Duration::from_millis(300)).await.unwrap();
    let long = store.grant(Duration::from_secs(3600)).await.unwrap();
    for (key, lease) in [("/short", short), ("/long", long)] {
        let written = store.put(Bytes::from_static(key.as_bytes()), Bytes::new(), Expect::Absent, Some(lease)).await.unwrap();
        assert!(matches!(written, Outcome::Done(_)));
    }
    store.close().await.unwrap();
    let store = open(directory.path()).unwrap();
    until("the short lease ends", async || store.get(b"/short").await.unwrap().is_none()).await;
    assert!(store.get(b"/long").await.unwrap().is_some());
    let refused = store.put(Bytes::from_static(b"/late"), Bytes::new(), Expect::Absent, Some(short)).await;
    assert!(matches!(refused, Err(Error::LeaseNotFound(_))), "{refused:?}");
    let next = store.grant(Duration::from_secs(1)).await.unwrap();
    assert!(next > long, "a lease's number came again");
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_gives_room_back_while_writers_go_on() {
    const VALUE: usize = 2000;
    let directory = tempfile::tempdir().unwrap();
    let options = Options { garbage_limit: 100_000 };
    let store = std::sync::Arc::new(Embedded::open(directory.path(), options.clone()).unwrap());
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let key = format!("/{writer}");
                let mut at = create(&store, &key, vec![0; VALUE]).await;
                for n in 1..400u32 {
                    at = put(&store, &key, vec![n as u8; VALUE], Expect::At(at)).await;
                    if n % 50 == 0 {
                        // Another writer may have compacted further.
                        let _ = store.compact(Revision(at.0 - 10)).await;
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let current = store.revision().await.unwrap();
    store.compact(current).await.unwrap();
    until("the files shrink", async || store.size().await.unwrap() < 400_000).await;
    let mut keys = everything(&store, None).await;
    assert_eq!(keys.len(), 4);
    assert!(keys.iter().all(|kv| kv.value == vec![399u32 as u8; VALUE]));
    let after = create(&store, "/after", "v").await;
    keys = everything(&store, None).await;
    store.close().await.unwrap();
    let store = Embedded::open(directory.path(), options).unwrap();
    assert_eq!(everything(&store, None).await, keys);
    assert_eq!(store.revision().await.unwrap(), after);
    assert!(matches!(store.range(b"", b"", 0, Some(FIRST_REVISION)).await, Err(Error::Compacted { oldest, .. }) if oldest == current));
}

#[tokio::test]
async fn files_that_a_crash_left_beside_their_replacement_are_ignored() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { garbage_limit: 0 };
    let store = Embedded::open(directory.path(), options.clone()).unwrap();
    let mut at = create(&store, "/a", "0").await;
    for n in 1..20 {
        at = put(&store, "/a", n.to_string(), Expect::At(at)).await;
    }
    let log = directory.path().join("00000001.log");
    let kept = std::fs::read(&log).unwrap();
    store.compact(at).await.unwrap();
    until("the log is replaced", async || !log.exists()).await;
    let state = everything(&store, None).await;
    store.close().await.unwrap();
    std::fs::write(&log, kept).unwrap();
    std::fs::write(directory.path().join("00000002.tmp"), "half a file").unwrap();
    let store = Embedded::open(directory.path(), options).unwrap();
    assert_eq!(everything(&store, None).await, state);
    assert!(!log.exists() && !directory.path().join("00000002.tmp").exists());
}

//! Files that were cut, changed, lost, or were never ours: an error that says so, never a panic, never silent loss.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use storage::embedded::{Embedded, Options};
use storage::{Error, Expect, KeyValue, Revision, Store};

use crate::{create, everything, open, put, until};

const LOG: &str = "00000001.log";

/// A directory with a few writes, and the state after each.
async fn written(path: &Path) -> Vec<Vec<KeyValue>> {
    let store = open(path).unwrap();
    let mut states = vec![everything(&store, None).await];
    for n in 0..4u8 {
        create(&store, &format!("/{n}"), vec![n + 1; 700]).await;
        states.push(everything(&store, None).await);
    }
    store.close().await.unwrap();
    states
}

/// The directory with one file replaced.
fn copy_with(from: &Path, name: &str, bytes: &[u8]) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    fs::write(copy.path().join(name), bytes).unwrap();
    copy
}

#[tokio::test]
async fn a_cut_loses_only_what_was_cut() {
    let directory = tempfile::tempdir().unwrap();
    let states = written(directory.path()).await;
    let whole = fs::read(directory.path().join(LOG)).unwrap();
    let mut seen = 0;
    for length in (0..whole.len()).rev() {
        if length % 7 != 0 && length > 64 {
            continue;
        }
        let copy = copy_with(directory.path(), LOG, &whole[..length]);
        match open(copy.path()) {
            Ok(store) => {
                let found = everything(&store, None).await;
                assert!(states.contains(&found), "cut at {length}: {found:?}");
                assert_eq!(store.revision().await.unwrap(), Revision(1 + found.len() as u64));
                // It takes writes again, and keeps them.
                create(&store, "/new", "v").await;
                store.close().await.unwrap();
                let store = open(copy.path()).unwrap();
                assert_eq!(everything(&store, None).await.len(), found.len() + 1);
                store.close().await.unwrap();
                seen += 1;
            }
            Err(error) => assert!(length < 32 && matches!(error, Error::Corrupt(_)), "cut at {length}: {error}"),
        }
    }
    assert!(seen > 100);
}

#[tokio::test]
async fn sectors_that_never_arrived_lose_only_the_last_write() {
    let directory = tempfile::tempdir().unwrap();
    let states = written(directory.path()).await;
    let whole = fs::read(directory.path().join(LOG)).unwrap();
    // The frames are equally long, so the last one begins here.
    let start = whole.len() - (whole.len() - 32) / 4;
    for sector in (start / 512 + 1)..whole.len().div_ceil(512) {
        let mut bytes = whole.clone();
        let end = bytes.len().min((sector + 1) * 512);
        bytes[sector * 512..end].fill(0);
        let copy = copy_with(directory.path(), LOG, &bytes);
        let store = open(copy.path()).unwrap();
        assert_eq!(everything(&store, None).await, states[3], "sector {sector}");
    }
}

#[tokio::test]
async fn a_changed_byte_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path()).await;
    let whole = fs::read(directory.path().join(LOG)).unwrap();
    for at in (0..whole.len()).filter(|at| at % 5 == 0 || *at < 100) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        let copy = copy_with(directory.path(), LOG, &bytes);
        let error = open(copy.path()).err().unwrap_or_else(|| panic!("a change at {at} went unnoticed"));
        assert!(matches!(error, Error::Corrupt(_) | Error::Format { .. }), "changed at {at}: {error}");
    }
}

#[tokio::test]
async fn a_changed_byte_under_an_open_store_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    create(&store, "/a", vec![1; 700]).await;
    let path = directory.path().join(LOG);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(store.get(b"/a").await, Err(Error::Corrupt(_))));
    assert!(matches!(store.range(b"", b"", 0, None).await, Err(Error::Corrupt(_))));
}

#[tokio::test]
async fn a_damaged_or_cut_base_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { garbage_limit: 0 };
    let store = Embedded::open(directory.path(), options).unwrap();
    let mut at = create(&store, "/a", vec![1; 700]).await;
    for _ in 0..5 {
        at = put(&store, "/a", vec![1; 700], Expect::At(at)).await;
    }
    store.compact(at).await.unwrap();
    let base = |directory: &Path| -> Option<PathBuf> {
        let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        paths.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "base"))
    };
    until("there is a base", async || base(directory.path()).is_some() && !directory.path().join(LOG).exists()).await;
    store.close().await.unwrap();
    let path = base(directory.path()).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        let copy = copy_with(directory.path(), name, &bytes);
        assert!(matches!(open(copy.path()).err(), Some(Error::Corrupt(_) | Error::Format { .. })), "changed at {at}");
        let copy = copy_with(directory.path(), name, &whole[..at]);
        assert!(matches!(open(copy.path()).err(), Some(Error::Corrupt(_))), "cut at {at}");
    }
    // Without its base, what remains makes no sense; without the log after it, neither.
    fs::remove_file(&path).unwrap();
    assert!(matches!(open(directory.path()).err(), Some(Error::Corrupt(_))));
}

#[tokio::test]
async fn a_file_of_something_else_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(LOG), "a file of some other program, which happens to have our name").unwrap();
    assert!(matches!(open(directory.path()).err(), Some(Error::Corrupt(_))));
    // Where the directory cannot be one, that is said as well.
    let file = directory.path().join("plain");
    fs::write(&file, "").unwrap();
    assert!(matches!(open(&file).err(), Some(Error::Unavailable(_))));
}

#[tokio::test]
async fn another_format_is_named() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path()).await;
    let path = directory.path().join(LOG);
    let mut bytes = fs::read(&path).unwrap();
    bytes[12] = 9;
    fs::write(&path, bytes).unwrap();
    let error = open(directory.path()).err().unwrap();
    assert!(matches!(error, Error::Format { found: 9, known: 1 }), "{error}");
}

#[tokio::test]
async fn a_key_of_zeros_survives_a_cut_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let zeros = Bytes::from(vec![0; 5000]);
    create(&store, "/zeros", zeros.clone()).await;
    create(&store, "/last", "v").await;
    store.close().await.unwrap();
    let bytes = fs::read(directory.path().join(LOG)).unwrap();
    let copy = copy_with(directory.path(), LOG, &bytes[..bytes.len() - 1]);
    let store = open(copy.path()).unwrap();
    assert_eq!(store.get(b"/zeros").await.unwrap().unwrap().value, zeros);
    assert_eq!(store.get(b"/last").await.unwrap(), None);
}

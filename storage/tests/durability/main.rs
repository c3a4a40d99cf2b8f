//! What the embedded store promises of its files: across restarts, kills, damage and a full disk.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod child;
mod damage;
mod full;
mod kill;
mod reopen;

use std::path::Path;

use bytes::Bytes;
use storage::embedded::{Embedded, Options};
use storage::{Error, Expect, KeyValue, Outcome, Revision, Store};

fn open(path: &Path) -> Result<Embedded, Error> {
    Embedded::open(path, Options::default())
}

async fn create(store: &Embedded, key: &str, value: impl Into<Bytes>) -> Revision {
    put(store, key, value, Expect::Absent).await
}

async fn put(store: &Embedded, key: &str, value: impl Into<Bytes>, expect: Expect) -> Revision {
    match store.put(Bytes::copy_from_slice(key.as_bytes()), value.into(), expect, None).await.unwrap() {
        Outcome::Done(revision) => revision,
        Outcome::Conflict(found) => panic!("conflict with {found:?}"),
    }
}

async fn everything(store: &Embedded, revision: Option<Revision>) -> Vec<KeyValue> {
    store.range(b"", b"", 0, revision).await.unwrap().items
}

/// Waits until `condition` holds.
async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let begun = std::time::Instant::now();
    while !condition().await {
        assert!(begun.elapsed().as_secs() < 30, "never: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

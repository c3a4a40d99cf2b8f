//! The store of one machine: a log of records on disk (`record`, `files`) and an index of it in memory (`index`).
//!
//! `commit` is the one writer, which shares a durable sync among all who wait; `housekeeping` gives back the room of
//! what was compacted. Readers look a version up in the index and read it from its file, on a thread that may block.
//! The choice of a log over an engine, the layout and the figures stand in the crate's README.

mod commit;
mod files;
mod housekeeping;
mod index;
mod record;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use parking_lot::{RwLock, RwLockReadGuard};
use tokio::sync::oneshot;

use self::commit::{Committer, Request, Write};
use self::files::Directory;
use self::housekeeping::Housekeeper;
use self::index::{Change, Index, Located};
use crate::feed::{Feed, History, closed};
use crate::{Error, Event, Expect, KeyValue, LeaseId, Outcome, Range, Result, Revision, Store, VALUE_LIMIT, Watch};

/// Events read from disk at a time for a watch that begins in the past.
const REPLAY_BATCH: usize = 128;

/// How an embedded store is to behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// Files are rewritten when this many bytes in them are no longer wanted, and at least half of all are not.
    pub garbage_limit: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { garbage_limit: 16 << 20 }
    }
}

/// The store in a directory of its own.
pub struct Embedded {
    shared: Arc<Shared>,
    directory: Arc<Directory>,
    requests: Sender<Request>,
}

/// What the committer and the readers share.
struct Shared {
    index: RwLock<Index>,
    feed: Arc<Feed>,
    closed: AtomicBool,
}

impl Embedded {
    /// Opens the store in `path`, which is created if need be. Blocks while it reads what is there.
    pub fn open(path: &Path, options: Options) -> Result<Self> {
        let directory = Arc::new(Directory::open(path)?);
        let (index, log) = directory.replay()?;
        let feed = Feed::new(index.revision);
        let shared = Arc::new(Shared { index: RwLock::new(index), feed, closed: AtomicBool::new(false) });
        let (requests, queue) = channel();
        let (housekeeping, chores) = channel();
        let housekeeper = Housekeeper::new(shared.clone(), directory.clone(), requests.clone(), options.garbage_limit);
        let housekeeper = spawn("store-housekeeper", move || housekeeper.run(&chores))?;
        let committer = Committer::new(shared.clone(), directory.clone(), log, housekeeping);
        spawn("store-committer", move || committer.run(queue, housekeeper))?;
        Ok(Self { shared, directory, requests })
    }

    /// Asks the committer, and waits for its answer.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())
    }

    fn index(&self) -> Result<RwLockReadGuard<'_, Index>> {
        if self.shared.is_closed() { Err(closed()) } else { Ok(self.shared.index.read()) }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let (reply, _) = oneshot::channel();
        // Where it has gone already, there is nothing left to do.
        let _ = self.requests.send(Request::Close { reply });
    }
}

impl Shared {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Refuses everything from now on.
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.feed.close();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(work).map_err(|error| Error::Unavailable(format!("starting a thread: {error}")))
}

/// Runs what may wait for the disk on a thread that may wait.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Unavailable(format!("reading the store: {error}")))?
}

#[async_trait]
impl Store for Embedded {
    async fn get(&self, key: &[u8]) -> Result<Option<KeyValue>> {
        let found = {
            let index = self.index()?;
            index.current(key).map(|version| index.locate(version)).transpose()?
        };
        match found {
            Some(located) => blocking(move || located.read()).await.map(Some),
            None => Ok(None),
        }
    }

    async fn range(&self, start: &[u8], end: &[u8], limit: usize, revision: Option<Revision>) -> Result<Range> {
        let (page, more, revision) = {
            let index = self.index()?;
            let revision = index.readable(revision.unwrap_or(index.revision))?;
            let (page, more) = index.range(start, end, limit, revision)?;
            (page, more, revision)
        };
        let items = blocking(move || page.iter().map(Located::read).collect()).await?;
        Ok(Range { items, more, revision })
    }

    async fn put(&self, key: Bytes, value: Bytes, expect: Expect, lease: Option<LeaseId>) -> Result<Outcome> {
        if value.len() > VALUE_LIMIT {
            return Err(Error::TooLarge { size: value.len(), limit: VALUE_LIMIT });
        }
        self.ask(|reply| Request::Write { key, write: Write::Put { value, expect, lease }, reply }).await?
    }

    async fn delete(&self, key: Bytes, expect: Revision) -> Result<Outcome> {
        self.ask(|reply| Request::Write { key, write: Write::Delete { expect }, reply }).await?
    }

    async fn watch(&self, prefix: Bytes, after: Revision) -> Result<Watch> {
        let after = self.index()?.readable(after)?;
        Ok(self.shared.feed.watch(prefix, after, self.shared.clone()))
    }

    async fn progress(&self) -> Result<()> {
        let revision = self.index()?.revision;
        self.shared.feed.ask_progress(revision);
        Ok(())
    }

    async fn revision(&self) -> Result<Revision> {
        self.index().map(|index| index.revision)
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        self.ask(|reply| Request::Compact { revision, reply }).await?
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        self.ask(|reply| Request::Grant { ttl, reply }).await?
    }

    async fn size(&self) -> Result<u64> {
        self.index().map(drop)?;
        let directory = self.directory.clone();
        blocking(move || directory.size()).await
    }

    async fn close(&self) -> Result<()> {
        self.ask(|reply| Request::Close { reply }).await.or(Ok(()))
    }
}

impl History for Shared {
    fn replay(self: Arc<Self>, prefix: Bytes, after: Revision, through: Revision) -> BoxStream<'static, Result<Event>> {
        let found = blocking(move || self.index.read().changes(&prefix, after, through));
        let batches =
            stream::once(found).map_ok(|changes| stream::iter(in_batches(changes)).then(|batch| blocking(move || read_all(&batch))));
        batches.try_flatten().map_ok(|events| stream::iter(events).map(Ok)).try_flatten().boxed()
    }
}

fn in_batches(mut changes: Vec<Change>) -> impl Iterator<Item = Vec<Change>> {
    std::iter::from_fn(move || {
        let rest = changes.split_off(changes.len().min(REPLAY_BATCH));
        let batch = std::mem::replace(&mut changes, rest);
        (!batch.is_empty()).then_some(batch)
    })
}

fn read_all(changes: &[Change]) -> Result<Vec<Event>> {
    changes.iter().map(Change::read).collect()
}

//! The store below the API server: an ordered map of byte keys to byte values with one global revision,
//! in the model of etcd. [`Store`] is the seam; `etcd` and `embedded` implement it, and one suite of tests
//! (`storage/tests/suite`) holds both to the same behaviour. `memory` is the model that they are compared with.
//!
//! Nothing here knows Kubernetes. Types, guaranteed updates and resource versions live in the API server.

pub mod embedded;
pub mod etcd;
mod feed;
pub mod memory;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

/// The longest value that a store takes. etcd limits a request to 1.5 MiB; 4 KiB of that are left for the key.
pub const VALUE_LIMIT: usize = 1536 * 1024 - 4096;

/// The revision of an empty store, as in etcd. It is not 0, so that 0 can mean "no revision" above.
pub const FIRST_REVISION: Revision = Revision(1);

/// How often an idle watch says how far it is.
pub const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// The end of the range that holds exactly the keys beginning with `prefix`. Empty, which is "no end", where
/// no key can be above them.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    match prefix.iter().rposition(|byte| *byte != 0xff) {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end.into()
        }
        None => Bytes::new(),
    }
}

/// A point in the store's history. Every successful write advances it by one; an empty store is at [`FIRST_REVISION`].
///
/// One exception: in etcd all keys of a lease that ends vanish at one revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A time-to-live in the store. Keys attached to it vanish, as ordinary delete events, when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// A key, its value, and the revisions of its creation and last change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    pub key: Bytes,
    pub value: Bytes,
    pub created: Revision,
    pub modified: Revision,
}

/// What must hold of the key for a conditional write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The key does not exist.
    Absent,
    /// The key exists and was last changed at this revision.
    At(Revision),
}

/// What became of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The write is durable, at this revision.
    Done(Revision),
    /// The expectation did not hold; the key's present state, read in the same transaction.
    Conflict(Option<KeyValue>),
}

/// One page of a range, in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub items: Vec<KeyValue>,
    /// Whether keys of the range remain beyond the last item.
    pub more: bool,
    /// The revision at which the range was read.
    pub revision: Revision,
}

/// A change to a key, or a promise about progress. Who needs the state before it keeps that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The key was written.
    Put { item: KeyValue },
    /// The key was removed at `revision`.
    Delete { key: Bytes, revision: Revision },
    /// Every event at or below this revision has been delivered on this watch.
    Progress(Revision),
}

impl Event {
    /// The key that changed; none for progress.
    pub fn key(&self) -> Option<&Bytes> {
        match self {
            Self::Put { item } => Some(&item.key),
            Self::Delete { key, .. } => Some(key),
            Self::Progress(_) => None,
        }
    }

    /// The revision of the change, or of the promise.
    pub fn revision(&self) -> Revision {
        match self {
            Self::Put { item } => item.modified,
            Self::Delete { revision, .. } | Self::Progress(revision) => *revision,
        }
    }
}

/// Why a store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The revision asked for was compacted away. The oldest one still readable is named.
    #[error("revision {asked} was compacted; the oldest is {oldest}", asked = .asked.0, oldest = .oldest.0)]
    Compacted { asked: Revision, oldest: Revision },
    /// The revision asked for has not happened yet.
    #[error("revision {asked} is in the future; the store is at {current}", asked = .asked.0, current = .current.0)]
    Future { asked: Revision, current: Revision },
    /// The value is larger than the store takes.
    #[error("value of {size} bytes exceeds the store's limit of {limit}")]
    TooLarge { size: usize, limit: usize },
    /// No room is left (disk full, quota). Reads go on; nothing was written.
    #[error("the store has no room: {0}")]
    NoSpace(String),
    /// The store cannot be reached or did not answer in time. Whether a write happened is unknown.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The lease does not exist, or has ended.
    #[error("lease {0:?} not found")]
    LeaseNotFound(LeaseId),
    /// Another process holds the data directory.
    #[error("{0} is in use by another process")]
    Locked(String),
    /// The data does not read as this store wrote it.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
    /// The data was written in a format this program does not know.
    #[error("the data has format version {found}, this program reads {known}")]
    Format { found: u32, known: u32 },
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Events in revision order. The first error ends it.
pub type Watch = BoxStream<'static, Result<Event>>;

/// A map of bytes with history. All methods may be called from many tasks at once.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The value of a key, now. Linearizable.
    async fn get(&self, key: &[u8]) -> Result<Option<KeyValue>>;

    /// Up to `limit` (0: all) keys in `start..end`, as they stood at `revision` (None: now, linearizable).
    /// An empty `end` is no end. A revision that was compacted or has not happened is an error.
    async fn range(&self, start: &[u8], end: &[u8], limit: usize, revision: Option<Revision>) -> Result<Range>;

    /// Writes the key if the expectation holds, attached to `lease` if one is given (and no longer to an earlier one).
    /// Returns once the write is durable.
    async fn put(&self, key: Bytes, value: Bytes, expect: Expect, lease: Option<LeaseId>) -> Result<Outcome>;

    /// Removes the key if it was last changed at `expect`.
    async fn delete(&self, key: Bytes, expect: Revision) -> Result<Outcome>;

    /// Events of keys that begin with `prefix`, after (not at) `after`, in order and without a gap; then the
    /// new ones as they come. Sends [`Event::Progress`] at least every few seconds when idle, and when `progress` is
    /// called. Where `after` was compacted or has not happened, or the watch falls behind a compaction, it fails.
    async fn watch(&self, prefix: Bytes, after: Revision) -> Result<Watch>;

    /// Asks every open watch to send [`Event::Progress`] soon.
    async fn progress(&self) -> Result<()>;

    /// The revision of the newest write. Linearizable.
    async fn revision(&self) -> Result<Revision>;

    /// Forgets history below `revision`: afterwards nothing older can be read or watched from. Fails where that
    /// was done already for a newer one, or `revision` has not happened.
    async fn compact(&self, revision: Revision) -> Result<()>;

    /// A new lease that ends after `ttl`, or up to a second later. A lease costs more than a key: share it.
    async fn grant(&self, ttl: Duration) -> Result<LeaseId>;

    /// Bytes that the store takes on disk, for metrics.
    async fn size(&self) -> Result<u64>;

    /// Finishes writes in flight and releases what the store holds. Later calls fail as unavailable.
    async fn close(&self) -> Result<()>;
}

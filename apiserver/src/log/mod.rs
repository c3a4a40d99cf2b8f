//! One log per resource: an ordered, immutable snapshot of entries, swapped atomically, and a ring of recent events.
//! An entry is encoded once; lists join slices of bytes and watchers are cursors over the ring.
//!
//! - [`Entry`]: an object at one version, encoded.
//! - [`Log`]: the snapshot and the ring of one resource, and the index of those who watch a single value.
//! - [`Feed`]: what follows the store and appends to all logs, in the order of revisions.
//! - [`Watch`]: a cursor.
//!
//! What a reader may rely on, each tested by name in `tests.rs`: events are ordered, unique and complete; a watch
//! resumes where another ended; a bookmark is never ahead of the events delivered; an object that leaves a filter is
//! a deletion; and who reads after a write sees it.

mod channel;
mod entry;
mod feed;
mod filter;
mod layout;
mod prepared;
mod resource_log;
#[cfg(test)]
mod tests;
mod watch;

pub use channel::Bounds;
pub use entry::{Entry, Fields};
pub use feed::Feed;
pub use filter::Filter;
pub use resource_log::{Log, Snapshot, path};
pub use watch::{Start, Watch};

pub(crate) use feed::store_status;
pub(crate) use prepared::{Prepared, metadata_json};

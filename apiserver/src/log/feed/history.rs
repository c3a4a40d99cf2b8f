//! What was: the store's ranges, states of a log at older versions, and how both are forgotten.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use imbl::OrdMap;
use machinery::{ResourceVersion, Status};
use storage::Revision;

use super::{Feed, decode, store_status};
use crate::log::{Entry, Log, Snapshot};

/// How many keys a range of the store reads at once.
const PAGE: usize = 1000;

impl Feed {
    /// Lets the store forget the states before `version`. Nobody is shown one of them from here on, not even where it can
    /// still be had, because nothing of a resource has changed since or a list in pages has kept it: how long a version is
    /// good for does not depend on what it is asked of.
    ///
    /// # Errors
    /// What the store says. The next call makes up for it.
    pub async fn compact(&self, version: ResourceVersion) -> Result<(), storage::Error> {
        self.store.compact(Revision(version.0)).await?;
        self.oldest.fetch_max(version.0, Ordering::AcqRel);
        Ok(())
    }

    /// The objects of a log's resource as they stood at a version that the log has reached.
    pub(crate) async fn snapshot_at(&self, log: &Log, version: ResourceVersion) -> Result<Arc<Snapshot>, Status> {
        let oldest = ResourceVersion(self.oldest.load(Ordering::Acquire));
        if version < oldest {
            return Err(Status::expired(format!("version {version} is forgotten; the oldest is {oldest}")));
        }
        let snapshot = log.snapshot();
        if snapshot.version <= version {
            return Ok(snapshot);
        }
        if let Some(kept) = log.kept(version) {
            return Ok(kept);
        }
        let entries = self.range(&self.prefix(log.resource()).into(), log, Revision(version.0)).await?;
        Ok(Arc::new(Snapshot { version, entries }))
    }

    pub(super) async fn range(&self, prefix: &Bytes, log: &Log, at: Revision) -> Result<OrdMap<Arc<str>, Arc<Entry>>, Status> {
        let mut entries = OrdMap::new();
        let end = after_prefix(prefix);
        let mut start = prefix.clone();
        loop {
            let page = self.store.range(&start, &end, PAGE, Some(at)).await.map_err(store_status)?;
            for item in &page.items {
                if let Some((path, entry)) = decode(log.resource(), prefix, item) {
                    // Only what changes is likely to be looked at again soon.
                    entry.forget_typed();
                    entries.insert(path, entry);
                }
            }
            match page.items.last() {
                Some(last) if page.more => start = successor(&last.key),
                _ => return Ok(entries),
            }
        }
    }
}

/// The first key after all that begin with `prefix`, which ends in `/`.
fn after_prefix(prefix: &Bytes) -> Bytes {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end.into()
}

/// The first key after `key`.
fn successor(key: &Bytes) -> Bytes {
    let mut next = key.to_vec();
    next.push(0);
    next.into()
}

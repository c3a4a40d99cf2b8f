//! What the store knows in memory: for every key, where its versions lie on disk. Values are never held here.
//!
//! It changes only by records that are durable already, in the order in which they were written, whether they come
//! from the committer or from replay at start. So what a reader finds here survives.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::record::{self, FileId, Record};
use crate::{Error, Event, FIRST_REVISION, KeyValue, LeaseId, Result, Revision};

/// A key, shared by all who name it.
pub(super) type Key = Arc<[u8]>;

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: FileId,
    pub(super) length: u32,
    pub(super) offset: u64,
}

/// A state of a key: written or, where `created` is zero, removed at `revision`. There are many, so it is small.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    pub(super) revision: Revision,
    pub(super) created: Revision,
    pub(super) place: Place,
}

/// In place of a creation: there is no key.
const GONE: Revision = Revision(0);

impl Version {
    fn exists(&self) -> bool {
        self.created != GONE
    }
}

/// A record that can be read without the index.
#[derive(Clone)]
pub(super) struct Located {
    file: Arc<File>,
    place: Place,
}

impl Located {
    /// Reads the put record there. Blocks on the disk.
    pub(super) fn read(&self) -> Result<KeyValue> {
        record::key_value(self.read_raw()?.into())
    }

    /// The record's bytes, unchecked.
    pub(super) fn read_raw(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.place.length as usize];
        self.file.read_exact_at(&mut bytes, self.place.offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Error::Corrupt("a record lies beyond the end of its file".into()),
            _ => Error::Unavailable(format!("reading the store: {error}")),
        })?;
        Ok(bytes)
    }
}

/// A version, wherever it lies.
pub(super) struct Stored {
    pub(super) key: Key,
    pub(super) revision: Revision,
    pub(super) located: Located,
}

/// An event whose values are still on disk.
pub(super) struct Change {
    pub(super) key: Key,
    pub(super) revision: Revision,
    /// `None` for a deletion.
    pub(super) item: Option<Located>,
}

impl Change {
    /// Reads the values. Blocks on the disk.
    pub(super) fn read(&self) -> Result<Event> {
        Ok(match &self.item {
            Some(item) => Event::Put { item: item.read()? },
            None => Event::Delete { key: Bytes::copy_from_slice(&self.key), revision: self.revision },
        })
    }
}

/// The versions of one key since the last compaction, oldest first.
#[derive(Default)]
struct Entry {
    lease: Option<LeaseId>,
    versions: Vec<Version>,
}

/// A lease that has not ended.
pub(super) struct Lease {
    /// Milliseconds since 1970.
    pub(super) ends: u64,
    pub(super) keys: BTreeSet<Key>,
}

pub(super) struct Index {
    pub(super) revision: Revision,
    pub(super) compacted: Revision,
    pub(super) last_lease: i64,
    pub(super) leases: BTreeMap<LeaseId, Lease>,
    /// When each lease ends, in milliseconds since 1970.
    pub(super) deadlines: BTreeSet<(u64, LeaseId)>,
    /// The open files.
    pub(super) files: HashMap<FileId, Arc<File>>,
    /// Bytes of records that are still wanted.
    pub(super) live_bytes: u64,
    keys: BTreeMap<Key, Entry>,
    /// Which keys have a version that ended at which revision, for compaction.
    superseded: VecDeque<(Revision, Key)>,
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            revision: FIRST_REVISION,
            compacted: FIRST_REVISION,
            last_lease: 0,
            leases: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            files: HashMap::new(),
            live_bytes: 0,
            keys: BTreeMap::new(),
            superseded: VecDeque::new(),
        }
    }

    /// Takes in a durable record.
    pub(super) fn apply(&mut self, record: &Record<'_>, place: Place) {
        match *record {
            Record::Put { revision, created, lease, key, .. } => {
                self.push(key, Version { revision, created, place }, lease);
            }
            Record::Delete { revision, key } => self.push(key, Version { revision, created: GONE, place }, None),
            Record::Grant { lease, ends } => {
                self.last_lease = self.last_lease.max(lease.0);
                self.deadlines.insert((ends, lease));
                self.leases.insert(lease, Lease { ends, keys: BTreeSet::new() });
            }
            Record::End { lease } => {
                if let Some(ended) = self.leases.remove(&lease) {
                    self.deadlines.remove(&(ended.ends, lease));
                }
            }
            Record::Compact { revision } => self.compacted = self.compacted.max(revision),
            Record::Base { revision, compacted, last_lease } => {
                self.revision = revision;
                self.compacted = compacted;
                self.last_lease = last_lease;
            }
        }
    }

    /// To be called after replay: a base holds versions in the order of keys, and old files hold what was compacted.
    pub(super) fn settle(&mut self) {
        self.superseded.make_contiguous().sort_by_key(|(revision, _)| *revision);
        while self.trim(usize::MAX) {}
    }

    fn push(&mut self, key: &[u8], version: Version, lease: Option<LeaseId>) {
        let key = match self.keys.get_key_value(key) {
            Some((key, _)) => key.clone(),
            None => Arc::from(key),
        };
        self.revision = self.revision.max(version.revision);
        self.live_bytes += u64::from(version.place.length);
        let entry = self.keys.entry(key.clone()).or_insert_with(|| Entry { lease: None, versions: Vec::with_capacity(1) });
        if entry.lease != lease {
            if let Some(held) = entry.lease.and_then(|id| self.leases.get_mut(&id)) {
                held.keys.remove(&key);
            }
            if let Some(held) = lease.and_then(|id| self.leases.get_mut(&id)) {
                held.keys.insert(key.clone());
            }
            entry.lease = lease;
        }
        if !entry.versions.is_empty() || !version.exists() {
            self.superseded.push_back((version.revision, key));
        }
        entry.versions.push(version);
    }

    /// The newest version of a key that exists.
    pub(super) fn current(&self, key: &[u8]) -> Option<Version> {
        self.keys.get(key).and_then(|entry| entry.versions.last()).filter(|version| version.exists()).copied()
    }

    pub(super) fn locate(&self, version: Version) -> Result<Located> {
        let place = version.place;
        let file = self.files.get(&place.file).ok_or_else(|| Error::Corrupt(format!("{:?} is missing", place.file)))?;
        Ok(Located { file: file.clone(), place })
    }

    /// Checks that the state at `asked` is known, and names it.
    pub(super) fn readable(&self, asked: Revision) -> Result<Revision> {
        let asked = asked.max(FIRST_REVISION);
        if asked < self.compacted {
            return Err(Error::Compacted { asked, oldest: self.compacted });
        }
        if asked > self.revision {
            return Err(Error::Future { asked, current: self.revision });
        }
        Ok(asked)
    }

    /// Up to `limit` records in `start..end` as they stood at `revision`, and whether there are more.
    pub(super) fn range(&self, start: &[u8], end: &[u8], limit: usize, revision: Revision) -> Result<(Vec<Located>, bool)> {
        let mut found = self.between(start, end).filter_map(|(_, entry)| {
            let seen = entry.versions.partition_point(|version| version.revision <= revision);
            entry.versions[..seen].last().filter(|version| version.exists())
        });
        let page =
            found.by_ref().take(if limit == 0 { usize::MAX } else { limit }).map(|version| self.locate(*version)).collect::<Result<_>>()?;
        Ok((page, found.next().is_some()))
    }

    fn between(&self, start: &[u8], end: &[u8]) -> impl Iterator<Item = (&Key, &Entry)> {
        let empty = !end.is_empty() && start >= end;
        let upper = if end.is_empty() { Bound::Unbounded } else { Bound::Excluded(end) };
        let range = (!empty).then(|| self.keys.range::<[u8], _>((Bound::Included(start), upper)));
        range.into_iter().flatten()
    }

    /// What happened below `prefix` after `after` and up to `through`, in order.
    pub(super) fn changes(&self, prefix: &[u8], after: Revision, through: Revision) -> Result<Vec<Change>> {
        self.readable(after)?;
        let mut changes = Vec::new();
        for (key, entry) in self.between(prefix, &crate::prefix_end(prefix)) {
            let later = entry.versions.partition_point(|version| version.revision <= after);
            for version in entry.versions[later..].iter().take_while(|version| version.revision <= through) {
                let item = version.exists().then(|| self.locate(*version)).transpose()?;
                changes.push(Change { key: key.clone(), revision: version.revision, item });
            }
        }
        changes.sort_unstable_by_key(|change| change.revision);
        Ok(changes)
    }

    /// Drops up to `budget` versions that ended at or below the compacted revision. Whether some remain.
    pub(super) fn trim(&mut self, budget: usize) -> bool {
        for _ in 0..budget {
            let Some((_, key)) = self.superseded.pop_front_if(|(revision, _)| *revision <= self.compacted) else {
                // What a burst needed is given back.
                self.superseded.shrink_to(self.superseded.len() * 2);
                return false;
            };
            let Some(entry) = self.keys.get_mut(&key) else { continue };
            let seen = entry.versions.partition_point(|version| version.revision <= self.compacted);
            let gone = match seen.checked_sub(1).map(|last| entry.versions[last]) {
                Some(last) if !last.exists() => seen,
                _ => seen.saturating_sub(1),
            };
            for version in entry.versions.drain(..gone) {
                self.live_bytes -= u64::from(version.place.length);
            }
            if entry.versions.len() * 4 < entry.versions.capacity() {
                entry.versions.shrink_to_fit();
            }
            if entry.versions.is_empty() {
                self.keys.remove(&key);
            }
        }
        true
    }

    /// All versions of up to `limit` keys from `start` on that lie in files up to `number`, and the last of the keys.
    pub(super) fn stored(&self, start: &[u8], limit: usize, number: u32) -> Result<(Vec<Stored>, Option<Key>)> {
        let mut stored = Vec::new();
        let mut last = None;
        for (key, entry) in self.keys.range::<[u8], _>((Bound::Included(start), Bound::Unbounded)).take(limit) {
            for version in entry.versions.iter().filter(|version| version.place.file.number() <= number) {
                stored.push(Stored { key: key.clone(), revision: version.revision, located: self.locate(*version)? });
            }
            last = Some(key.clone());
        }
        Ok((stored, last))
    }

    /// Notes that the record of a version was copied to `place`.
    pub(super) fn relocate(&mut self, key: &[u8], revision: Revision, place: Place) {
        if let Some(entry) = self.keys.get_mut(key)
            && let Ok(at) = entry.versions.binary_search_by_key(&revision, |version| version.revision)
        {
            entry.versions[at].place = place;
        }
    }
}

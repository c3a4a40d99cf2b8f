//! A store in memory: the model of what every [`Store`] does, and what other crates test against.
//!
//! It is written for being obviously right, not for speed: one lock, every version and every event since the
//! last compaction in plain collections. It shares no code with the durable stores, so that comparing them with it
//! means something.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use crate::{
    Error, Event, Expect, FIRST_REVISION, KeyValue, LeaseId, Outcome, PROGRESS_EVERY, Range, Result, Revision, Store, VALUE_LIMIT, Watch,
};

/// A store that lives as long as the value does.
pub struct Memory {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
}

struct State {
    revision: Revision,
    compacted: Revision,
    /// Each key's states since the last compaction, oldest first; `None` is a deletion.
    keys: BTreeMap<Bytes, Vec<(Revision, Option<KeyValue>)>>,
    /// What happened after `compacted`; every revision has exactly one event.
    history: Vec<(Revision, Event)>,
    /// The keys of each lease that has not ended.
    leases: HashMap<LeaseId, BTreeSet<Bytes>>,
    last_lease: i64,
    watchers: HashMap<u64, Watcher>,
    last_watcher: u64,
    closed: bool,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty store at revision 1.
    pub fn new() -> Self {
        let state = State {
            revision: FIRST_REVISION,
            compacted: FIRST_REVISION,
            keys: BTreeMap::new(),
            history: Vec::new(),
            leases: HashMap::new(),
            last_lease: 0,
            watchers: HashMap::new(),
            last_watcher: 0,
            closed: false,
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state) }) }
    }
}

impl Shared {
    /// Runs `f` on the state, unless the store is closed.
    fn with<T>(&self, f: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.state.lock();
        if state.closed { Err(closed()) } else { f(&mut state) }
    }

    /// Removes the keys of a lease whose time has come.
    fn end_lease(&self, id: LeaseId) {
        // A store that was closed in the meantime has nothing left to expire.
        let _ = self.with(|state| {
            if let Some(keys) = state.leases.remove(&id) {
                for key in keys {
                    state.append(key, None, None);
                }
            }
            Ok(())
        });
    }
}

impl State {
    fn current(&self, key: &[u8]) -> Option<&KeyValue> {
        self.keys.get(key).and_then(|versions| versions.last()).and_then(|(_, state)| state.as_ref())
    }

    /// Writes or removes a key at the next revision.
    fn append(&mut self, key: Bytes, value: Option<Bytes>, lease: Option<LeaseId>) -> Revision {
        self.revision.0 += 1;
        let revision = self.revision;
        for held in self.leases.values_mut() {
            held.remove(&key);
        }
        if let Some(held) = lease.and_then(|id| self.leases.get_mut(&id)) {
            held.insert(key.clone());
        }
        let created = self.current(&key).map_or(revision, |kv| kv.created);
        let item = value.map(|value| KeyValue { key: key.clone(), value, created, modified: revision });
        self.keys.entry(key.clone()).or_default().push((revision, item.clone()));
        let event = match item {
            Some(item) => Event::Put { item },
            None => Event::Delete { key, revision },
        };
        self.watchers.values().for_each(|watcher| watcher.send(event.clone()));
        self.history.push((revision, event));
        revision
    }

    /// Checks that the state at `asked` is known, and names it.
    fn readable(&self, asked: Revision) -> Result<Revision> {
        let asked = asked.max(FIRST_REVISION);
        if asked < self.compacted {
            return Err(Error::Compacted { asked, oldest: self.compacted });
        }
        if asked > self.revision {
            return Err(Error::Future { asked, current: self.revision });
        }
        Ok(asked)
    }

    fn compact(&mut self, to: Revision) {
        self.compacted = to;
        self.history.retain(|(revision, _)| *revision > to);
        self.keys.retain(|_, versions| {
            let kept = versions.partition_point(|(revision, _)| *revision <= to).saturating_sub(1);
            versions.drain(..kept);
            !matches!(versions.as_slice(), [(revision, None)] if *revision <= to)
        });
    }
}

fn closed() -> Error {
    Error::Unavailable("the store is closed".into())
}

#[async_trait]
impl Store for Memory {
    async fn get(&self, key: &[u8]) -> Result<Option<KeyValue>> {
        self.shared.with(|state| Ok(state.current(key).cloned()))
    }

    async fn range(&self, start: &[u8], end: &[u8], limit: usize, revision: Option<Revision>) -> Result<Range> {
        self.shared.with(|state| {
            let revision = state.readable(revision.unwrap_or(state.revision))?;
            if !end.is_empty() && start >= end {
                return Ok(Range { items: Vec::new(), more: false, revision });
            }
            let upper = if end.is_empty() { Bound::Unbounded } else { Bound::Excluded(end) };
            let mut items = state.keys.range::<[u8], _>((Bound::Included(start), upper)).filter_map(|(_, versions)| {
                let seen = versions.partition_point(|(modified, _)| *modified <= revision);
                versions[..seen].last().and_then(|(_, item)| item.clone())
            });
            let page = items.by_ref().take(if limit == 0 { usize::MAX } else { limit }).collect();
            Ok(Range { items: page, more: items.next().is_some(), revision })
        })
    }

    async fn put(&self, key: Bytes, value: Bytes, expect: Expect, lease: Option<LeaseId>) -> Result<Outcome> {
        if value.len() > VALUE_LIMIT {
            return Err(Error::TooLarge { size: value.len(), limit: VALUE_LIMIT });
        }
        self.shared.with(|state| {
            let current = state.current(&key);
            let holds = match expect {
                Expect::Absent => current.is_none(),
                Expect::At(revision) => current.is_some_and(|kv| kv.modified == revision),
            };
            if !holds {
                return Ok(Outcome::Conflict(current.cloned()));
            }
            if let Some(id) = lease.filter(|id| !state.leases.contains_key(id)) {
                return Err(Error::LeaseNotFound(id));
            }
            Ok(Outcome::Done(state.append(key, Some(value), lease)))
        })
    }

    async fn delete(&self, key: Bytes, expect: Revision) -> Result<Outcome> {
        self.shared.with(|state| match state.current(&key) {
            Some(kv) if kv.modified == expect => Ok(Outcome::Done(state.append(key, None, None))),
            other => Ok(Outcome::Conflict(other.cloned())),
        })
    }

    async fn watch(&self, prefix: Bytes, after: Revision) -> Result<Watch> {
        let (send, queue) = unbounded_channel();
        let id = self.shared.with(|state| {
            let after = state.readable(after)?;
            let watcher = Watcher { prefix, queue: send };
            for (_, event) in state.history.iter().filter(|(revision, _)| *revision > after) {
                watcher.send(event.clone());
            }
            state.last_watcher += 1;
            state.watchers.insert(state.last_watcher, watcher);
            Ok(state.last_watcher)
        })?;
        let reader = Reader { shared: Arc::downgrade(&self.shared), id, queue, ended: false };
        Ok(stream::unfold(reader, |mut reader| async move { reader.next().await.map(|answer| (answer, reader)) }).boxed())
    }

    async fn progress(&self) -> Result<()> {
        self.shared.with(|state| {
            state.watchers.values().for_each(|watcher| watcher.send(Event::Progress(state.revision)));
            Ok(())
        })
    }

    async fn revision(&self) -> Result<Revision> {
        self.shared.with(|state| Ok(state.revision))
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        self.shared.with(|state| {
            let revision = state.readable(revision)?;
            state.compact(revision);
            Ok(())
        })
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        let ends = Instant::now() + ttl;
        let id = self.shared.with(|state| {
            state.last_lease += 1;
            let id = LeaseId(state.last_lease);
            state.leases.insert(id, BTreeSet::new());
            Ok(id)
        })?;
        let shared = Arc::downgrade(&self.shared);
        tokio::spawn(async move {
            tokio::time::sleep_until(ends).await;
            if let Some(shared) = shared.upgrade() {
                shared.end_lease(id);
            }
        });
        Ok(id)
    }

    async fn size(&self) -> Result<u64> {
        self.shared.with(|state| {
            let values = state.keys.values().flatten().filter_map(|(_, item)| item.as_ref());
            Ok(values.map(|kv| (kv.key.len() + kv.value.len()) as u64).sum())
        })
    }

    async fn close(&self) -> Result<()> {
        let mut state = self.shared.state.lock();
        state.closed = true;
        state.watchers.clear();
        Ok(())
    }
}

/// One open watch, as the store sees it.
struct Watcher {
    prefix: Bytes,
    queue: UnboundedSender<Result<Event>>,
}

/// One open watch, as its reader sees it.
struct Reader {
    shared: Weak<Shared>,
    id: u64,
    queue: UnboundedReceiver<Result<Event>>,
    ended: bool,
}

impl Reader {
    /// Waits for the next thing to say. `None` ends the watch.
    async fn next(&mut self) -> Option<Result<Event>> {
        if self.ended {
            return None;
        }
        let answer = loop {
            match tokio::time::timeout(PROGRESS_EVERY, self.queue.recv()).await {
                Ok(answer) => break answer.unwrap_or_else(|| Err(closed())),
                Err(_) => self.ask_progress(),
            }
        };
        self.ended = answer.is_err();
        Some(answer)
    }

    fn ask_progress(&self) {
        if let Some(shared) = self.shared.upgrade() {
            let state = shared.state.lock();
            if let Some(watcher) = state.watchers.get(&self.id) {
                watcher.send(Event::Progress(state.revision));
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.state.lock().watchers.remove(&self.id);
        }
    }
}

impl Watcher {
    fn send(&self, event: Event) {
        if event.key().is_none_or(|key| key.starts_with(&self.prefix)) {
            // The reader being dropped at this moment needs no events.
            let _ = self.queue.send(Ok(event));
        }
    }
}

//! [`Log`]: one resource's objects as they stand, and the events that led there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use api::{Resource, ResourceRef};
use arc_swap::ArcSwap;
use hashbrown::HashMap;
use imbl::OrdMap;
use machinery::ResourceVersion;
use parking_lot::{Mutex, RwLock};

use super::channel::{After, Channel, Event};
use super::{Bounds, Entry};

/// The objects of a resource at one moment. Cheap to hold: it shares all that did not change.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// The version of the last event that is in here.
    pub version: ResourceVersion,
    /// Entries by path: `namespace/name`, or the name in cluster scope. The order is that of the store's keys.
    pub entries: OrdMap<Arc<str>, Arc<Entry>>,
}

impl Snapshot {
    pub fn get(&self, path: &str) -> Option<&Arc<Entry>> {
        self.entries.get(path)
    }

    /// The entries of one namespace, or all where it is empty, from the path `from` on (all if empty).
    pub fn range<'a>(&'a self, namespace: &str, from: &str) -> Box<dyn Iterator<Item = (&'a Arc<str>, &'a Arc<Entry>)> + 'a> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let (first, end) = match namespace {
            "" => (String::new(), Unbounded),
            // '0' follows '/' in ASCII.
            _ => (format!("{namespace}/"), Excluded(format!("{namespace}0"))),
        };
        let start = if from > first.as_str() { from.to_owned() } else { first };
        Box::new(self.entries.range::<_, str>((Included(start.as_str()), as_str(&end))))
    }
}

fn as_str(bound: &std::ops::Bound<String>) -> std::ops::Bound<&str> {
    bound.as_ref().map(String::as_str)
}

/// The path of an object within its resource.
pub fn path(namespace: &str, name: &str) -> Arc<str> {
    if namespace.is_empty() { name.into() } else { format!("{namespace}/{name}").into() }
}

/// A value that all objects of a watch share, so that only its events need to wake it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct IndexKey {
    pub(crate) field: Box<str>,
    pub(crate) value: Box<str>,
}

/// [`IndexKey`], borrowed.
#[derive(Hash)]
struct IndexRef<'a> {
    field: &'a str,
    value: &'a str,
}

impl hashbrown::Equivalent<IndexKey> for IndexRef<'_> {
    fn equivalent(&self, key: &IndexKey) -> bool {
        *self.field == *key.field && *self.value == *key.value
    }
}

/// A change on its way into a log: the object's new entry, or None where it was deleted.
pub(crate) struct Change {
    pub(crate) path: Arc<str>,
    pub(crate) version: ResourceVersion,
    pub(crate) entry: Option<Arc<Entry>>,
}

/// The log of one stored resource.
pub struct Log {
    resource: ResourceRef,
    bounds: Bounds,
    snapshot: ArcSwap<Snapshot>,
    /// All events.
    all: Arc<Channel>,
    /// Events by the values that somebody watches.
    index: RwLock<HashMap<IndexKey, Arc<Channel>>>,
    /// Changes that came before the state is known to which they are to be applied; None once it is.
    early: Mutex<Option<Vec<Change>>>,
    /// Another log has taken this one's place, or its resource is gone.
    closed: AtomicBool,
    /// Snapshots under which lists are being paged through, with the time of the last page, that which waits longest first.
    kept: Mutex<VecDeque<(ResourceVersion, Instant, Arc<Snapshot>)>>,
    /// The newest events, whose decoded objects are still at hand.
    typed: Mutex<VecDeque<Arc<Event>>>,
}

/// How many of the newest events keep their decoded objects, and for how long.
const TYPED_EVENTS: usize = 512;
const TYPED_FOR: Duration = Duration::from_secs(5);
/// How many snapshots are kept for paging, and for how long after the last page was read: each holds all that has changed
/// since. A client that takes longer has its next page read from the store.
const KEPT_SNAPSHOTS: usize = 32;
const KEPT_FOR: Duration = Duration::from_secs(10);

impl Log {
    pub(crate) fn new(resource: ResourceRef, bounds: Bounds) -> Self {
        Self {
            resource,
            bounds,
            snapshot: ArcSwap::default(),
            all: Arc::new(Channel::new(ResourceVersion(0))),
            index: RwLock::default(),
            early: Mutex::default(),
            closed: AtomicBool::new(false),
            kept: Mutex::default(),
            typed: Mutex::default(),
        }
    }

    /// The resource in its stored version.
    pub fn resource(&self) -> &dyn Resource {
        &*self.resource
    }

    /// The objects as they stand in this log now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The version of the snapshot: of the last event that is in it.
    pub fn version(&self) -> ResourceVersion {
        self.snapshot.load().version
    }

    /// One object as it stands in this log now.
    pub fn get(&self, path: &str) -> Option<Arc<Entry>> {
        self.snapshot.load().entries.get(path).cloned()
    }

    /// Keeps changes until [`Log::go_live`].
    pub(crate) fn await_state(&self) {
        self.early.lock().get_or_insert_default();
    }

    /// The state to which the changes that came early are to be applied. Nobody reads the log yet.
    pub(crate) fn begin_at(&self, entries: OrdMap<Arc<str>, Arc<Entry>>, version: ResourceVersion) {
        if self.early.lock().is_some() {
            self.snapshot.store(Arc::new(Snapshot { version, entries }));
            self.all.reset(version);
        }
    }

    /// Applies what came early, unless the state knew it, and everything that comes from here on at once. The feed has
    /// passed the version of the state.
    pub(crate) fn go_live(&self, now: Instant) {
        let mut early = self.early.lock();
        let at = self.version();
        let changes = early.take().unwrap_or_default().into_iter().filter(|change| change.version > at).collect();
        self.apply(changes, now);
    }

    /// Ends every watch once it has given out what there is.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.all.wake();
        self.index.read().values().for_each(|channel| channel.wake());
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Begins anew from what a range of the store showed at `version`.
    pub(crate) fn reset(&self, entries: OrdMap<Arc<str>, Arc<Entry>>, version: ResourceVersion) {
        *self.early.lock() = None;
        self.snapshot.store(Arc::new(Snapshot { version, entries }));
        self.all.reset(version);
        self.typed.lock().clear();
        for channel in self.index.read().values() {
            channel.reset(version);
        }
    }

    /// Appends changes, in order, and wakes whom they concern.
    pub(crate) fn append(&self, changes: Vec<Change>, now: Instant) {
        let mut early = self.early.lock();
        match &mut *early {
            Some(early) => early.extend(changes),
            None => self.apply(changes, now),
        }
    }

    fn apply(&self, changes: Vec<Change>, now: Instant) {
        let mut snapshot = Snapshot::clone(&self.snapshot.load());
        let events: Vec<_> = changes.into_iter().filter_map(|change| apply(&mut snapshot, change, now)).collect();
        // The events stand in the ring before the snapshot shows them, and both before the feed's position moves on:
        // whoever reads a position finds everything up to it.
        let index = self.index.read();
        let mut woken: Vec<Arc<Channel>> = Vec::new();
        for event in &events {
            self.all.push(event.clone());
            if !index.is_empty() {
                each_concerned(&index, event, |channel| {
                    channel.push(event.clone());
                    if !woken.iter().any(|one| Arc::ptr_eq(one, channel)) {
                        woken.push(channel.clone());
                    }
                });
            }
        }
        drop(index);
        self.typed.lock().extend(events);
        self.snapshot.store(Arc::new(snapshot));
        self.trim(now);
        self.all.wake();
        woken.iter().for_each(|channel| channel.wake());
    }

    /// Drops events and kept snapshots beyond their bounds.
    pub(crate) fn trim(&self, now: Instant) {
        while let Some(event) = self.all.evict(&self.bounds, now) {
            let index = self.index.read();
            if !index.is_empty() {
                each_concerned(&index, &event, |channel| channel.evict_through(event.version));
            }
        }
        self.forget_typed(now);
        let mut kept = self.kept.lock();
        while kept.front().is_some_and(|(_, at, _)| now.duration_since(*at) > KEPT_FOR) {
            kept.pop_front();
        }
    }

    /// Lets go of the decoded objects of all but the newest events.
    fn forget_typed(&self, now: Instant) {
        let mut typed = self.typed.lock();
        while typed.len() > TYPED_EVENTS || typed.front().is_some_and(|event| now.duration_since(event.at) > TYPED_FOR) {
            let Some(event) = typed.pop_front() else { return };
            event.entry().forget_typed();
            if let Some(previous) = &event.previous {
                previous.forget_typed();
            }
        }
    }

    /// Keeps a snapshot, or keeps it on, for the pages of a list that follow. `version` is the list's.
    pub(crate) fn keep(&self, version: ResourceVersion, snapshot: Arc<Snapshot>) {
        let mut kept = self.kept.lock();
        if let Some(known) = kept.iter().position(|(at, ..)| *at == version) {
            kept.remove(known);
        } else if kept.len() == KEPT_SNAPSHOTS {
            kept.pop_front();
        }
        kept.push_back((version, Instant::now(), snapshot));
    }

    /// The snapshot that was kept for a list's version.
    pub(crate) fn kept(&self, version: ResourceVersion) -> Option<Arc<Snapshot>> {
        self.kept.lock().iter().find(|(at, ..)| *at == version).map(|(.., snapshot)| snapshot.clone())
    }

    /// The channel that a watch reads: that of its single value, if it has one, or that of all events.
    pub(crate) fn subscribe(self: &Arc<Self>, key: Option<IndexKey>) -> Subscription {
        let Some(key) = key else { return Subscription { log: self.clone(), key: None, channel: self.all.clone() } };
        // The feed holds the read lock while it pushes, so that a new channel misses nothing and repeats nothing.
        let mut index = self.index.write();
        let channel = index.entry(key.clone()).or_insert_with(|| Arc::new(self.all.narrowed(|event| concerns(event, &key)))).clone();
        Subscription { log: self.clone(), key: Some(key), channel }
    }

    /// How many single values are being watched, for metrics and tests.
    pub fn indexed(&self) -> usize {
        self.index.read().len()
    }
}

/// A watch's claim on a channel. The channel of a single value goes when the last claim does.
pub(crate) struct Subscription {
    log: Arc<Log>,
    key: Option<IndexKey>,
    pub(crate) channel: Arc<Channel>,
}

impl Subscription {
    pub(crate) fn is_closed(&self) -> bool {
        self.log.is_closed()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(key) = &self.key else { return };
        let mut index = self.log.index.write();
        // This claim and the index hold one each.
        if Arc::strong_count(&self.channel) <= 2 {
            index.remove(key);
        }
    }
}

/// Applies a change to the snapshot. None: it changed nothing (a deletion of what was not there).
fn apply(snapshot: &mut Snapshot, change: Change, now: Instant) -> Option<Arc<Event>> {
    snapshot.version = change.version;
    let (previous, after) = match change.entry {
        Some(entry) => (snapshot.entries.insert(change.path, entry.clone()), After::Present(entry)),
        None => {
            let last = snapshot.entries.remove(&change.path)?;
            let deleted = Arc::new(last.at_version(change.version));
            (Some(last), After::Deleted(deleted))
        }
    };
    Some(Arc::new(Event::new(change.version, previous, after, now)))
}

/// Calls `each` with the channels of the values that an event's object has or had.
fn each_concerned(index: &HashMap<IndexKey, Arc<Channel>>, event: &Event, mut each: impl FnMut(&Arc<Channel>)) {
    let entry = event.entry();
    let mut visit = |field: &str, value: &str| {
        if let Some(channel) = index.get(&IndexRef { field, value }) {
            each(channel);
        }
    };
    // The key is the same before and after.
    visit("metadata.name", &entry.key.name);
    visit("metadata.namespace", &entry.key.namespace);
    for (at, (field, value)) in entry.fields.iter().enumerate() {
        visit(field, value);
        let before = event.previous.as_ref().and_then(|previous| previous.fields.get(at));
        if let Some((field, before)) = before.filter(|(_, before)| before != value) {
            visit(field, before);
        }
    }
}

fn concerns(event: &Event, key: &IndexKey) -> bool {
    let has = |entry: &Entry| entry.field(&key.field) == Some(&key.value);
    has(event.entry()) || event.previous.as_deref().is_some_and(has)
}

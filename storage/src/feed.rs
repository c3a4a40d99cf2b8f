//! The live end of a store's history: a bounded ring of recent events, and the cursors that watches hold over it.
//!
//! An event is kept once, however many watch. A watcher is woken only by events below its own prefix; one that
//! falls behind the ring is served from [`History`] and joins again. Positions count whole revisions: all events of
//! one revision are delivered together or not at all.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::{Error, Event, PROGRESS_EVERY, Result, Revision, Watch};

/// What the ring holds at most while somebody has yet to read it.
const RING_BYTES: usize = 8 << 20;
/// What it keeps when everybody is up to date, for watches that begin a little in the past.
const RESTING_BYTES: usize = 256 << 10;
/// Events taken in one go, so that a long backlog is not copied at once.
const BATCH: usize = 256;

/// The events that the ring no longer holds.
pub(crate) trait History: Send + Sync + 'static {
    /// All events below `prefix` after `after`, up to and including `through`, in order.
    fn replay(self: Arc<Self>, prefix: Bytes, after: Revision, through: Revision) -> BoxStream<'static, Result<Event>>;
}

/// Where a store publishes what became durable.
pub(crate) struct Feed {
    state: Mutex<State>,
}

struct State {
    ring: VecDeque<Event>,
    bytes: usize,
    /// The ring is complete above this revision,
    floor: Revision,
    /// up to this one.
    position: Revision,
    /// Where progress is to be told.
    progress_at: Option<Revision>,
    slots: BTreeMap<u64, Slot>,
    last_slot: u64,
    closed: bool,
}

/// One watcher, as the feed sees it.
struct Slot {
    prefix: Bytes,
    /// Everything at or below was delivered, or is on its way from the history.
    after: Revision,
    /// The revision of the first event in the ring that concerns it.
    unread: Option<Revision>,
    progress_asked: bool,
    failed: Option<Error>,
    wake: Arc<Notify>,
}

impl Feed {
    pub(crate) fn new(position: Revision) -> Arc<Self> {
        let state = State {
            ring: VecDeque::new(),
            bytes: 0,
            floor: position,
            position,
            progress_at: None,
            slots: BTreeMap::new(),
            last_slot: 0,
            closed: false,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Whether anybody would see what is published now.
    pub(crate) fn watched(&self) -> bool {
        !self.state.lock().slots.is_empty()
    }

    /// Adds events, in order and complete, that bring the feed to `position`.
    pub(crate) fn publish(&self, events: Vec<Event>, position: Revision) {
        let mut state = self.state.lock();
        for event in events {
            state.push(event);
        }
        state.position = position;
        state.tell_progress();
        state.trim();
    }

    /// Goes to `position` without the events in between: whoever wants them reads the history.
    pub(crate) fn skip(&self, position: Revision) {
        let mut state = self.state.lock();
        state.ring.clear();
        state.bytes = 0;
        state.floor = position;
        let before = std::mem::replace(&mut state.position, position);
        // Who joined since the caller looked has missed them.
        for slot in state.slots.values_mut().filter(|slot| slot.after < position && slot.unread.is_none()) {
            slot.after = slot.after.max(before);
            slot.unread = Some(Revision(slot.after.0 + 1));
            slot.wake.notify_one();
        }
        state.tell_progress();
    }

    /// Begins anew at `position`, which may lie before the present one. Open watches must have been failed.
    pub(crate) fn reset(&self, position: Revision) {
        let mut state = self.state.lock();
        state.ring.clear();
        state.bytes = 0;
        state.floor = position;
        state.position = position;
    }

    /// Has every watcher say how far it is, as soon as the feed is at `position`.
    pub(crate) fn ask_progress(&self, position: Revision) {
        let mut state = self.state.lock();
        state.progress_at = Some(state.progress_at.map_or(position, |asked| asked.max(position)));
        state.tell_progress();
    }

    /// Ends every open watch with an error.
    pub(crate) fn fail(&self, error: impl Fn() -> Error) {
        for slot in self.state.lock().slots.values_mut() {
            slot.failed = Some(error());
            slot.wake.notify_one();
        }
    }

    /// Ends every watch, open or to come.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.fail(closed);
    }

    /// A watch of what happens below `prefix` after `after`.
    pub(crate) fn watch(self: &Arc<Self>, prefix: Bytes, after: Revision, history: Arc<dyn History>) -> Watch {
        let wake = Arc::new(Notify::new());
        let mut state = self.state.lock();
        let mut slot = Slot { prefix, after, unread: None, progress_asked: false, failed: state.closed.then(closed), wake: wake.clone() };
        slot.unread = if after < state.floor { Some(Revision(after.0 + 1)) } else { state.next_for(&slot.prefix, after) };
        state.last_slot += 1;
        let id = state.last_slot;
        state.slots.insert(id, slot);
        drop(state);
        let cursor = Cursor { feed: self.clone(), id, wake, history, next_progress: Instant::now() + PROGRESS_EVERY };
        let batches = stream::try_unfold(cursor, |mut cursor| async move { Ok(Some((cursor.next().await?, cursor))) });
        batches.try_flatten().boxed()
    }
}

impl State {
    fn push(&mut self, event: Event) {
        let revision = event.revision();
        for slot in self.slots.values_mut() {
            if slot.unread.is_none() && slot.after < revision && concerns(&event, &slot.prefix) {
                slot.after = Revision(revision.0 - 1);
                slot.unread = Some(revision);
                slot.wake.notify_one();
            }
        }
        self.bytes += weight(&event);
        self.ring.push_back(event);
    }

    /// Wakes the watchers if progress was asked for and the feed has come so far.
    fn tell_progress(&mut self) {
        if self.progress_at.take_if(|asked| *asked <= self.position).is_some() {
            for slot in self.slots.values_mut() {
                slot.progress_asked = true;
                slot.wake.notify_one();
            }
        }
    }

    fn trim(&mut self) {
        let resting = self.slots.values().all(|slot| slot.unread.is_none());
        let limit = if resting { RESTING_BYTES } else { RING_BYTES };
        while self.bytes > limit || self.ring.front().is_some_and(|event| event.revision() <= self.floor) {
            let Some(event) = self.ring.pop_front() else { break };
            self.bytes -= weight(&event);
            self.floor = event.revision();
        }
    }

    /// The first event in the ring after `after` that concerns `prefix`.
    fn next_for(&self, prefix: &[u8], after: Revision) -> Option<Revision> {
        let from = self.ring.partition_point(|event| event.revision() <= after);
        self.ring.range(from..).find(|event| concerns(event, prefix)).map(Event::revision)
    }

    /// What watcher `id` has to do next. `None`: wait.
    fn take(&mut self, id: u64, progress_due: bool) -> Option<Step> {
        let position = self.position;
        let slot = self.slots.get_mut(&id)?;
        if let Some(error) = slot.failed.take() {
            return Some(Step::Fail(error));
        }
        let Some(first) = slot.unread else {
            slot.after = slot.after.max(position);
            let asked = std::mem::take(&mut slot.progress_asked);
            return (asked || progress_due).then_some(Step::Say(vec![Event::Progress(slot.after)]));
        };
        if first <= self.floor {
            let step = Step::Replay { prefix: slot.prefix.clone(), after: slot.after, through: position };
            slot.after = position;
            slot.unread = None;
            return Some(step);
        }
        let from = self.ring.partition_point(|event| event.revision() < first);
        let mut events: Vec<Event> = Vec::new();
        slot.unread = None;
        slot.after = position;
        for event in self.ring.range(from..).filter(|event| concerns(event, &slot.prefix)) {
            if let Some(last) = events.last().map(Event::revision).filter(|last| events.len() >= BATCH && *last != event.revision()) {
                slot.after = last;
                slot.unread = Some(event.revision());
                break;
            }
            events.push(event.clone());
        }
        // The last one to read it lets the ring shrink.
        self.trim();
        Some(Step::Say(events))
    }
}

fn concerns(event: &Event, prefix: &[u8]) -> bool {
    event.key().is_some_and(|key| key.starts_with(prefix))
}

/// What an event costs in memory, roughly.
fn weight(event: &Event) -> usize {
    let held = match event {
        Event::Put { item } => item.key.len() + item.value.len(),
        Event::Delete { key, .. } => key.len(),
        Event::Progress(_) => 0,
    };
    size_of::<Event>() + held
}

pub(crate) fn closed() -> Error {
    Error::Unavailable("the store is closed".into())
}

enum Step {
    Say(Vec<Event>),
    Replay { prefix: Bytes, after: Revision, through: Revision },
    Fail(Error),
}

/// One watcher, as its reader holds it.
struct Cursor {
    feed: Arc<Feed>,
    id: u64,
    wake: Arc<Notify>,
    history: Arc<dyn History>,
    next_progress: Instant,
}

impl Cursor {
    /// Waits until there is something to say.
    async fn next(&mut self) -> Result<BoxStream<'static, Result<Event>>> {
        loop {
            let due = Instant::now() >= self.next_progress;
            let step = self.feed.state.lock().take(self.id, due);
            if step.is_some() {
                self.next_progress = Instant::now() + PROGRESS_EVERY;
            }
            match step {
                Some(Step::Say(events)) => return Ok(stream::iter(events).map(Ok).boxed()),
                Some(Step::Replay { prefix, after, through }) => return Ok(self.history.clone().replay(prefix, after, through)),
                Some(Step::Fail(error)) => return Err(error),
                // A wake-up between the look above and this wait is remembered.
                None => {
                    let _ = tokio::time::timeout_at(self.next_progress, self.wake.notified()).await;
                }
            }
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.feed.state.lock().slots.remove(&self.id);
    }
}

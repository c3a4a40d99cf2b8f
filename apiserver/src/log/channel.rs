//! [`Channel`]: a bounded ring of events in order, and those who wait for the next one. A log has one for all its
//! events and one for each single-value selector that somebody watches.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use machinery::ResourceVersion;
use parking_lot::RwLock;
use tokio::sync::Notify;

use super::Entry;

/// A change of one object.
pub(crate) struct Event {
    pub(crate) version: ResourceVersion,
    /// The state before; None if the object was made.
    pub(crate) previous: Option<Arc<Entry>>,
    pub(crate) after: After,
    pub(crate) at: Instant,
    /// The previous state under this event's version, made for the first watcher whose selector it left.
    left: OnceLock<Arc<Entry>>,
}

/// What a change left behind.
pub(crate) enum After {
    Present(Arc<Entry>),
    /// The last state, under the deletion's version.
    Deleted(Arc<Entry>),
}

impl Event {
    pub(crate) fn new(version: ResourceVersion, previous: Option<Arc<Entry>>, after: After, at: Instant) -> Self {
        Self { version, previous, after, at, left: OnceLock::new() }
    }

    pub(crate) fn entry(&self) -> &Arc<Entry> {
        match &self.after {
            After::Present(entry) | After::Deleted(entry) => entry,
        }
    }

    /// About how many bytes of memory the event keeps alive: states that are in no snapshot any more.
    fn weight(&self) -> usize {
        const OVERHEAD_BYTES: usize = 256;
        let deleted = match &self.after {
            After::Deleted(entry) => entry.weight(),
            After::Present(_) => 0,
        };
        OVERHEAD_BYTES + self.previous.as_ref().map_or(0, |previous| previous.weight()) + deleted
    }

    /// The state that a watcher is shown when the object leaves its selection.
    pub(crate) fn left(&self, previous: &Entry) -> Arc<Entry> {
        self.left.get_or_init(|| Arc::new(previous.at_version(self.version))).clone()
    }
}

/// Events were dropped that the reader has not seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lost;

pub(crate) struct Channel {
    ring: RwLock<Ring>,
    wake: Notify,
}

struct Ring {
    events: VecDeque<Arc<Event>>,
    /// Events at or below this version may be gone.
    floor: ResourceVersion,
    bytes: usize,
}

/// How much a log's ring keeps.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub events: usize,
    /// Of memory that the events alone keep alive.
    pub bytes: usize,
    /// The same, once the oldest event is older than `burst`: readers have caught up by then.
    pub settled_bytes: usize,
    pub burst: Duration,
    pub age: Duration,
}

impl Default for Bounds {
    /// The age is that for which upstream's watch cache means to keep events.
    fn default() -> Self {
        Self { events: 32_768, bytes: 16 << 20, settled_bytes: 4 << 20, burst: Duration::from_secs(10), age: Duration::from_secs(75) }
    }
}

impl Channel {
    pub(crate) fn new(floor: ResourceVersion) -> Self {
        Self { ring: RwLock::new(Ring { events: VecDeque::new(), floor, bytes: 0 }), wake: Notify::new() }
    }

    /// A channel that holds the events of `self` that `concerns` picks.
    pub(crate) fn narrowed(&self, concerns: impl Fn(&Event) -> bool) -> Self {
        let ring = self.ring.read();
        let events = ring.events.iter().filter(|event| concerns(event)).cloned().collect();
        Self { ring: RwLock::new(Ring { events, floor: ring.floor, bytes: 0 }), wake: Notify::new() }
    }

    pub(crate) fn push(&self, event: Arc<Event>) {
        let mut ring = self.ring.write();
        ring.bytes += event.weight();
        ring.events.push_back(event);
    }

    /// Wakes everybody who waits. Called once after a batch of pushes.
    pub(crate) fn wake(&self) {
        self.wake.notify_waiters();
    }

    /// Resolves at the next [`Channel::wake`]. Enable it before reading, so that no wake is missed between.
    pub(crate) fn woken(&self) -> tokio::sync::futures::Notified<'_> {
        self.wake.notified()
    }

    /// Up to `most` events after `position`, oldest first.
    pub(crate) fn after(&self, position: ResourceVersion, most: usize, into: &mut VecDeque<Arc<Event>>) -> Result<(), Lost> {
        let ring = self.ring.read();
        if position < ring.floor {
            return Err(Lost);
        }
        // Readers are at the end most of the time.
        let start = match ring.events.back() {
            Some(last) if last.version > position => ring.events.partition_point(|event| event.version <= position),
            _ => return Ok(()),
        };
        into.extend(ring.events.range(start..).take(most).cloned());
        Ok(())
    }

    /// Drops the oldest event if the ring is over its bounds.
    pub(crate) fn evict(&self, bounds: &Bounds, now: Instant) -> Option<Arc<Event>> {
        let over = |ring: &Ring| {
            ring.events.front().is_some_and(|oldest| {
                let age = now.duration_since(oldest.at);
                let bytes = if age > bounds.burst { bounds.settled_bytes } else { bounds.bytes };
                ring.events.len() > bounds.events || ring.bytes > bytes || age > bounds.age
            })
        };
        if !over(&self.ring.read()) {
            return None;
        }
        let mut ring = self.ring.write();
        let oldest = ring.events.pop_front()?;
        ring.bytes -= oldest.weight();
        ring.floor = oldest.version;
        Some(oldest)
    }

    /// Drops what the log's own ring has dropped: everything at or below `floor`.
    pub(crate) fn evict_through(&self, floor: ResourceVersion) {
        let mut ring = self.ring.write();
        while ring.events.front().is_some_and(|oldest| oldest.version <= floor) {
            ring.events.pop_front();
            ring.floor = floor;
        }
    }

    /// Forgets all events: nothing at or below `floor` can be read any more.
    pub(crate) fn reset(&self, floor: ResourceVersion) {
        let mut ring = self.ring.write();
        ring.events.clear();
        ring.bytes = 0;
        ring.floor = floor;
        drop(ring);
        self.wake();
    }
}

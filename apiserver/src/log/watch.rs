//! [`Watch`]: a cursor over a log, as a door reads it. It is not a task and nobody fills it: it holds a position, and
//! whoever drives it reads on from there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use machinery::{ResourceVersion, Status};
use tokio::time::Instant;

use super::channel::{After, Event, Lost};
use super::resource_log::Subscription;
use super::{Entry, Feed, Filter, Log};
use crate::verbs::WatchEvent;

/// How many events are taken from the ring at once.
const BATCH: usize = 64;
/// How often a client that asked for bookmarks gets one at least.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// Where a watch begins.
pub enum Start {
    /// After this version.
    After(ResourceVersion),
    /// With the objects as they stand, each as an ADDED event. `announce_end` sends a bookmark after the last one.
    Present { announce_end: bool },
    /// Not at all: this is all that it tells.
    Never(Status),
}

/// An open watch. Costs nothing while nothing happens.
pub struct Watch {
    feed: Arc<Feed>,
    subscription: Subscription,
    filter: Filter,
    /// Everything at or below has been delivered, or does not concern this watch.
    position: ResourceVersion,
    /// The objects that are still to be shown as the initial state.
    initial: std::vec::IntoIter<Arc<Entry>>,
    announce_end: bool,
    pending: VecDeque<Arc<Event>>,
    bookmark_at: Option<Instant>,
    /// The version that the last bookmark or event told.
    told: ResourceVersion,
    deadline: Instant,
    state: State,
    refusal: Option<Status>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
}

impl Watch {
    pub(crate) fn new(feed: Arc<Feed>, log: &Arc<Log>, filter: Filter, start: Start, bookmarks: bool, lasts: Duration) -> Self {
        let subscription = log.subscribe(filter.index_key());
        let now = Instant::now();
        let mut refusal = None;
        let (position, initial, announce_end) = match start {
            Start::After(version) => (version, Vec::new(), false),
            Start::Never(status) => {
                refusal = Some(status);
                (feed.position(), Vec::new(), false)
            }
            Start::Present { announce_end } => {
                // The position is read first: the snapshot then holds everything up to it, and perhaps more.
                let position = feed.position();
                let snapshot = log.snapshot();
                (position.max(snapshot.version), filter.pick(&snapshot), announce_end)
            }
        };
        Self {
            feed,
            subscription,
            filter,
            position,
            initial: initial.into_iter(),
            announce_end,
            pending: VecDeque::new(),
            bookmark_at: bookmarks.then(|| now + BOOKMARK_EVERY),
            told: ResourceVersion(0),
            deadline: now + lasts,
            state: State::Open,
            refusal,
        }
    }

    /// A cursor for code that follows a log with [`Watch::ready`]: the present objects first, then events, without an end.
    pub(crate) fn present(feed: Arc<Feed>, log: &Arc<Log>) -> Self {
        const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);
        Self::new(feed, log, Filter::default(), Start::Present { announce_end: false }, false, FOREVER)
    }

    /// Everything at or below this version has been given out, or does not concern this watch.
    pub(crate) fn position(&self) -> ResourceVersion {
        self.position
    }

    /// The next event, once there is one. None: the watch ended in good order (its timeout, a shutdown).
    /// An error is the last thing a watch gives; 410 says that events between are gone. Safe to cancel.
    pub async fn next(&mut self) -> Option<Result<WatchEvent, Status>> {
        loop {
            if self.state == State::Ended {
                return None;
            }
            let channel = self.subscription.channel.clone();
            let woken = channel.woken();
            tokio::pin!(woken);
            woken.as_mut().enable();
            // Looked at first: after the log was closed, nothing is told that is not ready.
            let closed = self.subscription.is_closed();
            if let Some(event) = self.ready() {
                return Some(event);
            }
            if closed {
                self.state = State::Ended;
                return None;
            }
            let wake_at = self.bookmark_at.map_or(self.deadline, |at| at.min(self.deadline));
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep_until(wake_at) => {
                    if let Some(bookmark) = self.due(Instant::now()) {
                        return Some(Ok(bookmark));
                    }
                }
                () = self.feed.watches().cancelled() => self.state = State::Ended,
            }
        }
    }

    /// An event that is at hand already, for doors that write many at once.
    pub fn ready(&mut self) -> Option<Result<WatchEvent, Status>> {
        if self.state == State::Ended {
            return None;
        }
        if let Some(status) = self.refusal.take() {
            self.state = State::Ended;
            return Some(Err(status));
        }
        if let Some(entry) = self.initial.next() {
            return Some(Ok(WatchEvent::Added(entry)));
        }
        if std::mem::take(&mut self.announce_end) {
            self.told = self.position;
            return Some(Ok(WatchEvent::Bookmark { version: self.position, initial_state_end: true }));
        }
        loop {
            while let Some(event) = self.pending.pop_front() {
                self.position = event.version;
                if let Some(shown) = show(&self.filter, &event) {
                    self.told = event.version;
                    return Some(Ok(shown));
                }
            }
            // Read first: the channel then holds everything up to it.
            let reached = self.feed.position();
            match self.subscription.channel.after(self.position, BATCH, &mut self.pending) {
                Ok(()) if self.pending.is_empty() => {
                    self.position = self.position.max(reached);
                    return None;
                }
                Ok(()) => {}
                Err(Lost) => {
                    self.state = State::Ended;
                    return Some(Err(too_old(self.position)));
                }
            }
        }
    }

    /// What is due at a timer: the end, or a bookmark. A bookmark is never ahead, since `ready` found nothing more up to `position`.
    fn due(&mut self, now: Instant) -> Option<WatchEvent> {
        let bookmark = WatchEvent::Bookmark { version: self.position, initial_state_end: false };
        let ends = now >= self.deadline;
        if ends {
            self.state = State::Ended;
        }
        let at = self.bookmark_at.filter(|at| ends || now >= *at)?;
        self.bookmark_at = Some(at.max(now) + BOOKMARK_EVERY);
        // A client may ask for events after a version that has not come yet.
        if self.told == self.position || self.position > self.feed.position() {
            return None;
        }
        self.told = self.position;
        Some(bookmark)
    }
}

/// What a watcher with this filter sees of an event.
fn show(filter: &Filter, event: &Event) -> Option<WatchEvent> {
    let before = event.previous.as_ref().filter(|previous| filter.matches(previous));
    match (&event.after, before) {
        (After::Deleted(entry), Some(_)) => Some(WatchEvent::Deleted(entry.clone())),
        (After::Deleted(_), None) => None,
        (After::Present(entry), before) => match (filter.matches(entry), before) {
            (true, None) => Some(WatchEvent::Added(entry.clone())),
            (true, Some(_)) => Some(WatchEvent::Modified(entry.clone())),
            (false, Some(previous)) => Some(WatchEvent::Deleted(event.left(previous))),
            (false, None) => None,
        },
    }
}

/// The position is older than the log's ring.
pub(crate) fn too_old(position: ResourceVersion) -> Status {
    Status::expired(format!("too old resource version: {position}; events since then are gone"))
}

//! The committer: one thread that owns the log, and makes all writes that wait at a moment durable with one sync.
//!
//! A group is decided in order against the index and what earlier writes of the group will have done, written as one
//! frame, synced, applied to the index, published, and answered, in this order. Nothing is visible before it is
//! durable. While one group syncs, the next one gathers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::Shared;
use super::files::{Directory, Log};
use super::index::Place;
use super::record::{FRAME_HEADER, Record};
use crate::{Error, Event, Expect, KeyValue, LeaseId, Outcome, Result, Revision};

/// A group takes no more writes than this,
const GROUP_WRITES: usize = 1024;
/// nor more bytes, so that the first of it need not wait long.
const GROUP_BYTES: usize = 4 << 20;
/// The largest buffer that is kept for the next group.
const SPARE_BYTES: usize = 1 << 20;

/// The longest wait, also where the clock is set while it lasts.
const IDLE: Duration = Duration::from_secs(60);
/// How long keys live on after a write failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What the committer is asked.
pub(super) enum Request {
    Write {
        key: Bytes,
        write: Write,
        reply: oneshot::Sender<Result<Outcome>>,
    },
    Compact {
        revision: Revision,
        reply: oneshot::Sender<Result<()>>,
    },
    Grant {
        ttl: Duration,
        reply: oneshot::Sender<Result<LeaseId>>,
    },
    /// To begin a new log.
    Roll {
        reply: oneshot::Sender<Result<Sealed>>,
    },
    Close {
        reply: oneshot::Sender<()>,
    },
}

/// Where the store was when a new log was begun.
pub(super) struct Sealed {
    /// The number of the log before.
    pub(super) number: u32,
    pub(super) revision: Revision,
    pub(super) compacted: Revision,
    pub(super) last_lease: i64,
    /// The leases that had not ended, and when they do.
    pub(super) leases: Vec<(LeaseId, u64)>,
}

pub(super) enum Write {
    Put { value: Bytes, expect: Expect, lease: Option<LeaseId> },
    Delete { expect: Revision },
}

/// The committer's own state.
pub(super) struct Committer {
    shared: Arc<Shared>,
    directory: Arc<Directory>,
    log: Log,
    /// Told when there is something to clean up; ends when this is dropped.
    housekeeping: Sender<()>,
    /// When keys may expire again: later, after a write that failed, since the next one probably fails too.
    expire_from: Instant,
    spare: Vec<u8>,
}

/// Writes that become durable together.
struct Group {
    revision: Revision,
    last_lease: i64,
    frame: Vec<u8>,
    /// Every key that the group writes, and what it will be then.
    pending: HashMap<Bytes, Option<KeyValue>>,
    done: Vec<Done>,
    answers: Vec<Answer>,
}

/// A write of the group.
struct Done {
    record: Owned,
    /// Where its record lies in the frame.
    offset: usize,
    length: usize,
}

/// A record with its key, for the index and the feed.
enum Owned {
    Put { item: KeyValue, lease: Option<LeaseId> },
    Delete { key: Bytes, revision: Revision },
    Other(Record<'static>),
}

/// Somebody waiting for the group.
enum Answer {
    Outcome(oneshot::Sender<Result<Outcome>>, Outcome),
    Lease(oneshot::Sender<Result<LeaseId>>, LeaseId),
    Compacted(oneshot::Sender<Result<()>>),
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, directory: Arc<Directory>, log: Log, housekeeping: Sender<()>) -> Self {
        Self { shared, directory, log, housekeeping, expire_from: Instant::now(), spare: Vec::new() }
    }

    /// Works until it is told to close. Answers who asked for that, when the housekeeper is done as well.
    pub(super) fn run(mut self, requests: Receiver<Request>, housekeeper: thread::JoinHandle<()>) {
        let mut closing = None;
        let mut rolls = Vec::new();
        let mut is_crowded = false;
        while closing.is_none() {
            let mut group = self.group();
            let mut next = match requests.recv_timeout(self.until_expiry()) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if is_crowded {
                // A sync takes as long for many writes as for one: who is about to write and waits for a processor goes first.
                thread::yield_now();
            }
            while let Some(request) = next.take() {
                match request {
                    Request::Close { reply } => {
                        closing = Some(reply);
                        break;
                    }
                    Request::Roll { reply } => {
                        rolls.push(reply);
                        break;
                    }
                    request => self.decide(&mut group, request),
                }
                if group.done.len() < GROUP_WRITES && group.frame.len() < GROUP_BYTES {
                    next = requests.try_recv().ok();
                }
            }
            self.expire(&mut group);
            is_crowded = group.answers.len() > 1;
            self.commit(group);
            for reply in rolls.drain(..) {
                // Whoever asked and went away does not need the answer, here and below.
                let _ = reply.send(self.roll());
            }
        }
        self.shared.close();
        // Whatever waits for an answer learns that none will come.
        drop(requests);
        drop(self.housekeeping);
        if housekeeper.join().is_err() {
            tracing::error!("the store's housekeeping failed");
        }
        self.directory.unlock();
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    fn group(&mut self) -> Group {
        let frame = self.fresh_frame();
        let index = self.shared.index.read();
        Group {
            revision: index.revision,
            last_lease: index.last_lease,
            frame,
            pending: HashMap::new(),
            done: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// The last group's buffer, emptied: memory that is given back after each group would be taken anew for the next.
    fn fresh_frame(&mut self) -> Vec<u8> {
        let mut frame = std::mem::take(&mut self.spare);
        frame.clear();
        if frame.capacity() > SPARE_BYTES {
            frame = Vec::new();
        }
        frame.resize(FRAME_HEADER, 0);
        frame
    }

    /// Adds what was asked to the group, or answers at once why not.
    fn decide(&self, group: &mut Group, request: Request) {
        match request {
            Request::Write { key, write, reply } => match self.decide_write(group, key, write) {
                Ok(outcome) => group.answers.push(Answer::Outcome(reply, outcome)),
                Err(error) => drop(reply.send(Err(error))),
            },
            Request::Compact { revision, reply } => match self.shared.index.read().readable(revision) {
                Ok(revision) => {
                    group.push(Owned::Other(Record::Compact { revision }));
                    group.answers.push(Answer::Compacted(reply));
                }
                Err(error) => drop(reply.send(Err(error))),
            },
            Request::Grant { ttl, reply } => {
                group.last_lease += 1;
                let lease = LeaseId(group.last_lease);
                let ends = now() + u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX / 2);
                group.push(Owned::Other(Record::Grant { lease, ends }));
                group.answers.push(Answer::Lease(reply, lease));
            }
            Request::Roll { .. } | Request::Close { .. } => {}
        }
    }

    fn decide_write(&self, group: &mut Group, key: Bytes, write: Write) -> Result<Outcome> {
        let index = self.shared.index.read();
        let pending = group.pending.get(&key);
        let version = if pending.is_some() { None } else { index.current(&key) };
        let current = match pending {
            Some(state) => state.as_ref().map(|kv| (kv.modified, kv.created)),
            None => version.map(|version| (version.revision, version.created)),
        };
        let holds = match write {
            Write::Put { expect: Expect::Absent, .. } => current.is_none(),
            Write::Put { expect: Expect::At(revision), .. } | Write::Delete { expect: revision } => {
                current.is_some_and(|(modified, _)| modified == revision)
            }
        };
        if !holds {
            let found = match (pending, version) {
                (Some(state), _) => state.clone(),
                (None, Some(version)) => {
                    let located = index.locate(version)?;
                    // Nobody need wait for the disk.
                    drop(index);
                    Some(located.read()?)
                }
                (None, None) => None,
            };
            return Ok(Outcome::Conflict(found));
        }
        let revision = Revision(group.revision.0 + 1);
        match write {
            Write::Put { value, lease, .. } => {
                if let Some(id) = lease.filter(|id| !index.leases.contains_key(id)) {
                    return Err(Error::LeaseNotFound(id));
                }
                let created = current.map_or(revision, |(_, created)| created);
                let item = KeyValue { key: key.clone(), value, created, modified: revision };
                group.pending.insert(key, Some(item.clone()));
                group.push(Owned::Put { item, lease });
            }
            Write::Delete { .. } => {
                group.pending.insert(key.clone(), None);
                group.push(Owned::Delete { key, revision });
            }
        }
        group.revision = revision;
        Ok(Outcome::Done(revision))
    }

    /// Adds the deletions of keys whose lease has ended.
    fn expire(&self, group: &mut Group) {
        if Instant::now() < self.expire_from {
            return;
        }
        let now = now();
        let ended: Vec<(LeaseId, Vec<Bytes>)> = {
            let index = self.shared.index.read();
            let due = index.deadlines.iter().take_while(|(ends, _)| *ends <= now).filter_map(|(_, id)| Some((*id, index.leases.get(id)?)));
            due.map(|(id, lease)| (id, lease.keys.iter().take(GROUP_WRITES).map(|key| Bytes::copy_from_slice(key)).collect()))
                .take(GROUP_WRITES)
                .collect()
        };
        for (lease, keys) in ended {
            // A key that this very group writes may leave the lease, or join it: look again with the next group.
            let all = keys.len() < GROUP_WRITES && group.pending.is_empty();
            for key in keys {
                if group.done.len() >= GROUP_WRITES {
                    return;
                }
                let Some(version) = self.shared.index.read().current(&key).filter(|_| !group.pending.contains_key(&key)) else { continue };
                // A key that cannot be located cannot be read either, so it is left to show that.
                let _ = self.decide_write(group, key, Write::Delete { expect: version.revision });
            }
            if all {
                group.push(Owned::Other(Record::End { lease }));
            }
        }
    }

    /// How long there is nothing to do unless somebody asks.
    fn until_expiry(&self) -> Duration {
        let next = self.shared.index.read().deadlines.first().copied();
        let until = next.map_or(IDLE, |(ends, _)| Duration::from_millis(ends.saturating_sub(now())).min(IDLE));
        until.max(self.expire_from.saturating_duration_since(Instant::now()))
    }

    /// Makes the group durable, then visible, then answers it.
    fn commit(&mut self, mut group: Group) {
        if !group.done.is_empty() {
            match self.log.append(&self.directory, &mut group.frame) {
                Ok(offset) => self.publish(&group, offset),
                Err(error) => {
                    if Instant::now() >= self.expire_from {
                        tracing::error!(%error, "writes to the store fail");
                        self.expire_from = Instant::now() + AFTER_FAILURE;
                    }
                    return group.refuse(&error);
                }
            }
        }
        self.spare = std::mem::take(&mut group.frame);
        for answer in group.answers {
            match answer {
                Answer::Outcome(reply, outcome) => drop(reply.send(Ok(outcome))),
                Answer::Lease(reply, lease) => drop(reply.send(Ok(lease))),
                Answer::Compacted(reply) => drop(reply.send(Ok(()))),
            }
        }
    }

    fn publish(&self, group: &Group, offset: u64) {
        let before = {
            let mut index = self.shared.index.write();
            let before = index.revision;
            for done in &group.done {
                let place = Place { file: self.log.id, length: done.length as u32, offset: offset + (done.offset - FRAME_HEADER) as u64 };
                index.apply(&done.record.as_record(), place);
            }
            before
        };
        if group.done.iter().any(|done| matches!(done.record, Owned::Other(Record::Compact { .. }))) {
            // It outlives this thread.
            let _ = self.housekeeping.send(());
        }
        if group.revision == before {
            return;
        }
        if self.shared.feed.watched() {
            let events = group.done.iter().filter_map(|done| done.record.event()).collect();
            self.shared.feed.publish(events, group.revision);
        } else {
            self.shared.feed.skip(group.revision);
        }
    }

    /// Closes the log and begins the next.
    fn roll(&mut self) -> Result<Sealed> {
        let next = self.directory.create_log(self.log.id.number() + 1, self.log.sequence())?;
        let sealed = std::mem::replace(&mut self.log, next);
        let mut index = self.shared.index.write();
        index.files.insert(self.log.id, self.log.file.clone());
        Ok(Sealed {
            number: sealed.id.number(),
            revision: index.revision,
            compacted: index.compacted,
            last_lease: index.last_lease,
            leases: index.leases.iter().map(|(id, lease)| (*id, lease.ends)).collect(),
        })
    }
}

impl Group {
    fn push(&mut self, record: Owned) {
        let offset = self.frame.len();
        let length = record.as_record().encode(&mut self.frame);
        self.done.push(Done { record, offset, length });
    }

    /// Tells everybody who waits that nothing was written.
    fn refuse(self, error: &Error) {
        let again = || match error {
            Error::NoSpace(why) => Error::NoSpace(why.clone()),
            other => Error::Unavailable(other.to_string()),
        };
        for answer in self.answers {
            match answer {
                Answer::Outcome(reply, _) => drop(reply.send(Err(again()))),
                Answer::Lease(reply, _) => drop(reply.send(Err(again()))),
                Answer::Compacted(reply) => drop(reply.send(Err(again()))),
            }
        }
    }
}

impl Owned {
    fn as_record(&self) -> Record<'_> {
        match self {
            Self::Put { item, lease } => {
                Record::Put { revision: item.modified, created: item.created, lease: *lease, key: &item.key, value: &item.value }
            }
            Self::Delete { key, revision } => Record::Delete { revision: *revision, key },
            Self::Other(record) => *record,
        }
    }

    /// What watches are told.
    fn event(&self) -> Option<Event> {
        match self {
            Self::Put { item, .. } => Some(Event::Put { item: item.clone() }),
            Self::Delete { key, revision } => Some(Event::Delete { key: key.clone(), revision: *revision }),
            Self::Other(_) => None,
        }
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

//! [`WorkQueue`]: keys that need work, each at most once, and none while a run for it is under way. A key that
//! comes in during its run is run again after it. Of several deadlines for a key the earliest wins.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a key waits after its n-th failure in a row: `first` doubled n - 1 times, at most `longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl Default for Backoff {
    /// As Kubernetes' controllers have it: 5 ms up to 1000 s.
    fn default() -> Self {
        Self { first: Duration::from_millis(5), longest: Duration::from_secs(1000) }
    }
}

impl Backoff {
    /// The delay after `failures` failures in a row.
    pub fn delay(&self, failures: u32) -> Duration {
        let factor = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }
}

/// A queue of keys. Clones share it.
pub struct WorkQueue<K> {
    shared: Arc<Shared<K>>,
}

impl<K> Clone for WorkQueue<K> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

struct Shared<K> {
    inner: Mutex<Inner<K>>,
    /// Told once for each key that became ready or got an earlier deadline, and by shutdown.
    woken: Notify,
    backoff: Backoff,
}

struct Inner<K> {
    keys: HashMap<K, State>,
    ready: VecDeque<K>,
    /// Deadlines, with a number that keeps equal ones apart and in order of arrival.
    waiting: BTreeSet<(Instant, u64, ByNumber<K>)>,
    next_number: u64,
    closed: bool,
}

/// A key inside an ordered set that never compares it: the number before it is unique.
struct ByNumber<K>(K);

impl<K> PartialEq for ByNumber<K> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl<K> Eq for ByNumber<K> {}
impl<K> PartialOrd for ByNumber<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for ByNumber<K> {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

#[derive(Clone, Copy, Default)]
struct State {
    running: bool,
    /// In `ready`, or to be put there when the run ends.
    ready: bool,
    /// Its place in `waiting`.
    due: Option<(Instant, u64)>,
    failures: u32,
}

impl State {
    fn is_idle(&self) -> bool {
        !self.running && !self.ready && self.due.is_none() && self.failures == 0
    }
}

/// A key whose run is under way. Dropping it ends the run.
pub struct Run<K: Hash + Eq + Clone> {
    key: K,
    queue: WorkQueue<K>,
}

impl<K: Hash + Eq + Clone> WorkQueue<K> {
    pub fn new(backoff: Backoff) -> Self {
        let inner = Inner { keys: HashMap::new(), ready: VecDeque::new(), waiting: BTreeSet::new(), next_number: 0, closed: false };
        Self { shared: Arc::new(Shared { inner: Mutex::new(inner), woken: Notify::new(), backoff }) }
    }

    /// The key needs work now.
    pub fn add(&self, key: K) {
        let mut inner = self.shared.inner.lock();
        if inner.make_ready(key) {
            drop(inner);
            self.shared.woken.notify_one();
        }
    }

    /// The key needs work after `delay`, if it does not come up earlier.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let mut inner = self.shared.inner.lock();
        if inner.wait(key, Instant::now() + delay) {
            drop(inner);
            self.shared.woken.notify_one();
        }
    }

    /// Work on the key failed: it needs work again after its backoff.
    pub fn retry(&self, key: K) {
        let mut inner = self.shared.inner.lock();
        let state = inner.keys.entry(key.clone()).or_default();
        state.failures = state.failures.saturating_add(1);
        let delay = self.shared.backoff.delay(state.failures);
        if inner.wait(key, Instant::now() + delay) {
            drop(inner);
            self.shared.woken.notify_one();
        }
    }

    /// Work on the key succeeded: its next failure counts as the first.
    pub fn forget(&self, key: &K) {
        let mut inner = self.shared.inner.lock();
        if let Some(state) = inner.keys.get_mut(key) {
            state.failures = 0;
        }
        inner.drop_idle(key);
    }

    /// How often in a row work on the key has failed.
    pub fn failures(&self, key: &K) -> u32 {
        self.shared.inner.lock().keys.get(key).map_or(0, |state| state.failures)
    }

    /// The next key to work on; None after shutdown.
    pub async fn next(&self) -> Option<Run<K>> {
        loop {
            let woken = self.shared.woken.notified();
            tokio::pin!(woken);
            // Registered before the look at the queue, so that what comes in after it is not missed.
            woken.as_mut().enable();
            let due = {
                let mut inner = self.shared.inner.lock();
                if inner.closed {
                    return None;
                }
                inner.promote(Instant::now());
                if let Some(key) = inner.take() {
                    if !inner.ready.is_empty() {
                        self.shared.woken.notify_one();
                    }
                    return Some(Run { key, queue: self.clone() });
                }
                inner.waiting.first().map(|(due, ..)| *due)
            };
            match due {
                Some(due) => {
                    let _ = tokio::time::timeout_at(due, woken).await;
                }
                None => woken.await,
            }
        }
    }

    /// Keys that are ready or wait for a deadline.
    pub fn len(&self) -> usize {
        let inner = self.shared.inner.lock();
        inner.ready.len() + inner.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the queue: [`next`](Self::next) returns None from now on. Runs under way are not touched.
    pub fn shutdown(&self) {
        self.shared.inner.lock().closed = true;
        self.shared.woken.notify_waiters();
        self.shared.woken.notify_one();
    }
}

impl<K: Hash + Eq + Clone> Inner<K> {
    /// Returns whether a worker has something new to do.
    fn make_ready(&mut self, key: K) -> bool {
        let state = self.keys.entry(key.clone()).or_default();
        if state.ready {
            return false;
        }
        state.ready = true;
        let due = state.due.take();
        let running = state.running;
        if let Some((due, number)) = due {
            self.waiting.remove(&(due, number, ByNumber(key.clone())));
        }
        if !running {
            self.ready.push_back(key);
        }
        !running
    }

    /// Returns whether the earliest deadline has changed.
    fn wait(&mut self, key: K, due: Instant) -> bool {
        let number = self.next_number;
        let state = self.keys.entry(key.clone()).or_default();
        if state.ready || state.due.is_some_and(|(earlier, _)| earlier <= due) {
            return false;
        }
        let later = state.due.replace((due, number));
        self.next_number += 1;
        if let Some((later, number)) = later {
            self.waiting.remove(&(later, number, ByNumber(key.clone())));
        }
        self.waiting.insert((due, number, ByNumber(key)));
        self.waiting.first().is_some_and(|(_, first, _)| *first == number)
    }

    /// Makes ready what is due.
    fn promote(&mut self, now: Instant) {
        while self.waiting.first().is_some_and(|(due, ..)| *due <= now) {
            let Some((_, _, ByNumber(key))) = self.waiting.pop_first() else { break };
            if let Some(state) = self.keys.get_mut(&key) {
                state.due = None;
            }
            self.make_ready(key);
        }
    }

    fn take(&mut self) -> Option<K> {
        let key = self.ready.pop_front()?;
        if let Some(state) = self.keys.get_mut(&key) {
            state.ready = false;
            state.running = true;
        }
        Some(key)
    }

    /// Returns whether the key is ready again.
    fn done(&mut self, key: &K) -> bool {
        let again = match self.keys.get_mut(key) {
            Some(state) => {
                state.running = false;
                state.ready
            }
            None => false,
        };
        if again {
            self.ready.push_back(key.clone());
        }
        self.drop_idle(key);
        again
    }

    fn drop_idle(&mut self, key: &K) {
        if self.keys.get(key).is_some_and(State::is_idle) {
            self.keys.remove(key);
        }
    }
}

impl<K: Hash + Eq + Clone> Run<K> {
    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Hash + Eq + Clone> Drop for Run<K> {
    fn drop(&mut self) {
        if self.queue.shared.inner.lock().done(&self.key) {
            self.queue.shared.woken.notify_one();
        }
    }
}

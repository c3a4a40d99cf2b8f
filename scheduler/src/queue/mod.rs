//! [`Queue`]: the pods that wait for a node. A pod is *active* (to be tried now, in the order of the queue sort), in
//! *backoff* (to be tried after a while), *unschedulable* (to be tried when something happens that may help it), *gated*
//! (to be tried when it is changed), or being *decided*: tried, and not yet known to be bound.
//!
//! It has no clock: whoever calls says what time it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};
use machinery::NamespacedName;

use crate::framework::{PluginSet, QueueSort};
use crate::pod::Pod;

/// The wait after a first attempt that failed. It doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

pub struct Queue<S: QueueSort> {
    sort: S,
    pods: HashMap<NamespacedName, Entry<S::Key>>,
    active: BTreeMap<(S::Key, u64), NamespacedName>,
    backoff: BTreeMap<(Instant, u64), NamespacedName>,
    unschedulable: HashMap<Class, HashSet<NamespacedName>>,
    gated: usize,
    /// Numbers arrivals, and keeps equal deadlines apart.
    arrivals: u64,
    /// Pods are tried again after so long, even if nothing has happened.
    patience: Duration,
}

struct Entry<K> {
    pod: Arc<Pod>,
    /// When it first came in, among all.
    age: u64,
    attempts: u32,
    last_attempt: Option<Instant>,
    place: Place<K>,
}

enum Place<K> {
    Active((K, u64)),
    Backoff((Instant, u64)),
    Unschedulable(Class),
    Gated,
    Deciding,
}

/// Unschedulable pods that the same events can help.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Class {
    /// The addresses of shape and labels, which the pods of the class hold.
    shape: usize,
    labels: usize,
    rejected_by: PluginSet,
}

impl Class {
    fn of(pod: &Pod, rejected_by: PluginSet) -> Self {
        Self { shape: Arc::as_ptr(&pod.shape).addr(), labels: Arc::as_ptr(&pod.labels).addr(), rejected_by }
    }
}

/// How many pods wait, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub active: usize,
    pub backoff: usize,
    pub unschedulable: usize,
    pub gated: usize,
}

impl<S: QueueSort> Queue<S> {
    pub fn new(sort: S, patience: Duration) -> Self {
        Self {
            sort,
            pods: HashMap::new(),
            active: BTreeMap::new(),
            backoff: BTreeMap::new(),
            unschedulable: HashMap::new(),
            gated: 0,
            arrivals: 0,
            patience,
        }
    }

    /// The pod's state, where it waits or is being decided.
    pub fn get(&self, key: &NamespacedName) -> Option<&Arc<Pod>> {
        self.pods.get(key).map(|entry| &entry.pod)
    }

    /// A pod without a node is there, or has changed. Returns whether it is gated now and was not before.
    pub fn put(&mut self, pod: &Arc<Pod>, gated: bool, now: Instant) -> bool {
        let Some(entry) = self.pods.get_mut(&pod.key) else {
            self.arrivals += 1;
            let entry = Entry { pod: pod.clone(), age: self.arrivals, attempts: 0, last_attempt: None, place: Place::Gated };
            self.pods.insert(pod.key.clone(), entry);
            self.gated += 1;
            if !gated {
                self.requeue(&pod.key, now);
            }
            return gated;
        };
        let before = std::mem::replace(&mut entry.pod, pod.clone());
        if before.counts_as(pod) {
            return false;
        }
        match entry.place {
            // What has been decided stands; a binding that fails comes back here with the new state.
            Place::Deciding => false,
            Place::Gated if gated => false,
            _ if gated => {
                self.leave(&pod.key);
                self.gated += 1;
                self.set(&pod.key, Place::Gated);
                true
            }
            _ => {
                self.requeue(&pod.key, now);
                false
            }
        }
    }

    /// The pod waits no longer: it is bound, gone, or somebody else's.
    pub fn remove(&mut self, key: &NamespacedName) {
        self.leave(key);
        self.pods.remove(key);
    }

    /// The next pod to try.
    pub fn pop(&mut self, now: Instant) -> Option<Arc<Pod>> {
        let (_, key) = self.active.pop_first()?;
        let entry = self.pods.get_mut(&key)?;
        entry.place = Place::Deciding;
        entry.attempts = entry.attempts.saturating_add(1);
        entry.last_attempt = Some(now);
        Some(entry.pod.clone())
    }

    /// The pod fits no node.
    pub fn unschedulable(&mut self, key: &NamespacedName, rejected_by: PluginSet) {
        let Some(entry) = self.pods.get(key) else { return };
        let class = Class::of(&entry.pod, rejected_by);
        self.leave(key);
        self.unschedulable.entry(class).or_default().insert(key.clone());
        self.set(key, Place::Unschedulable(class));
    }

    /// The pod could not be bound: it is tried again after its backoff.
    pub fn failed(&mut self, key: &NamespacedName, now: Instant) {
        if self.pods.contains_key(key) {
            self.requeue(key, now);
        }
    }

    /// Something has happened: requeues those unschedulable pods that it may help.
    pub fn react(&mut self, now: Instant, mut helps: impl FnMut(PluginSet, &Pod) -> bool) {
        let mut helped = Vec::new();
        for (class, keys) in &self.unschedulable {
            let example = keys.iter().next().and_then(|key| self.pods.get(key));
            if example.is_some_and(|entry| helps(class.rejected_by, &entry.pod)) {
                helped.extend(keys.iter().cloned());
            }
        }
        helped.sort_by_cached_key(|key| self.pods.get(key).map(|entry| entry.age));
        for key in helped {
            self.requeue(&key, now);
        }
    }

    /// Moves on what is due.
    pub fn flush(&mut self, now: Instant) {
        while self.backoff.first_key_value().is_some_and(|((due, _), _)| *due <= now) {
            let Some((_, key)) = self.backoff.pop_first() else { break };
            self.activate(&key);
        }
    }

    /// Tries the pods again that have been unschedulable for too long: an event may have been misjudged.
    pub fn flush_unschedulable(&mut self, now: Instant) {
        let patience = self.patience;
        let keys = self.unschedulable.values().flatten();
        let late = keys.filter(|key| self.pods.get(*key).and_then(|e| e.last_attempt).is_some_and(|last| now >= last + patience));
        for key in late.cloned().collect::<Vec<_>>() {
            self.requeue(&key, now);
        }
    }

    /// When the next pod leaves its backoff.
    pub fn next_due(&self) -> Option<Instant> {
        self.backoff.first_key_value().map(|((due, _), _)| *due)
    }

    pub fn has_active(&self) -> bool {
        !self.active.is_empty()
    }

    pub fn counts(&self) -> Counts {
        Counts {
            active: self.active.len(),
            backoff: self.backoff.len(),
            unschedulable: self.unschedulable.values().map(HashSet::len).sum(),
            gated: self.gated,
        }
    }

    /// Puts a pod where it will be tried as soon as its backoff allows.
    fn requeue(&mut self, key: &NamespacedName, now: Instant) {
        self.leave(key);
        let Some(entry) = self.pods.get_mut(key) else { return };
        let due = entry.last_attempt.map(|last| last + backoff(entry.attempts));
        match due.filter(|due| *due > now) {
            Some(due) => {
                self.arrivals += 1;
                entry.place = Place::Backoff((due, self.arrivals));
                self.backoff.insert((due, self.arrivals), key.clone());
            }
            None => self.activate(key),
        }
    }

    /// Of a pod that is nowhere.
    fn activate(&mut self, key: &NamespacedName) {
        let Some(entry) = self.pods.get_mut(key) else { return };
        self.arrivals += 1;
        let at = (self.sort.key(&entry.pod, self.arrivals), self.arrivals);
        entry.place = Place::Active(at.clone());
        self.active.insert(at, key.clone());
    }

    fn set(&mut self, key: &NamespacedName, place: Place<S::Key>) {
        if let Some(entry) = self.pods.get_mut(key) {
            entry.place = place;
        }
    }

    /// Takes a pod from where it stands.
    fn leave(&mut self, key: &NamespacedName) {
        let Some(entry) = self.pods.get_mut(key) else { return };
        match std::mem::replace(&mut entry.place, Place::Deciding) {
            Place::Active(at) => _ = self.active.remove(&at),
            Place::Backoff(at) => _ = self.backoff.remove(&at),
            Place::Unschedulable(class) => {
                if let Some(keys) = self.unschedulable.get_mut(&class) {
                    keys.remove(key);
                    if keys.is_empty() {
                        self.unschedulable.remove(&class);
                    }
                }
            }
            Place::Gated => self.gated -= 1,
            Place::Deciding => {}
        }
    }
}

fn backoff(attempts: u32) -> Duration {
    let factor = 1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_BACKOFF.saturating_mul(factor).min(LONGEST_BACKOFF)
}

#[cfg(test)]
mod tests;

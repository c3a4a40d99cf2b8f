//! The simulated runtime plays containers in memory: nothing is pulled and nothing runs, but everything takes its
//! time and ends as the pod asks for ([`behaviour`]). What a container is doing is computed from when it was
//! started, so that thousands of idle pods cost no timers.

pub mod addresses;
pub mod behaviour;
mod exec;
mod output;
mod reach;
mod shell;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Clock;
use crate::access::Access;
use crate::machine::restore;
use crate::pod::{Container, Pod, Uid};
use crate::runtime::{Action, Exit, Observation, Observed, Probes, Runtime, Sandbox, State};
use addresses::{Addresses, Range};
use behaviour::Behaviour;

/// The exit code of a process that a signal ended is 128 and the signal's number.
const TERMINATED: i32 = 143;
const KILLED: i32 = 137;

pub struct Simulated {
    addresses: Addresses,
    shared: Arc<Shared>,
}

/// What the pod machine plays, and users look into.
pub struct Shared {
    pods: Mutex<HashMap<Uid, Playing>>,
    /// Something was begun or ended by an action.
    changed: Notify,
    clock: Clock,
}

/// A pod that is being played.
struct Playing {
    node: Arc<str>,
    has_sandbox: bool,
    address: Option<String>,
    containers: Vec<Option<Attempt>>,
}

struct Attempt {
    number: u32,
    begun_at: Timestamp,
    behaviour: Behaviour,
    stop: Option<Stop>,
    /// The identity and end of an attempt from before this process began.
    former: Option<Former>,
    /// When the attempt before ran.
    past: Option<(Timestamp, Timestamp)>,
}

struct Former {
    id: String,
    exit: Option<Exit>,
}

struct Stop {
    at: Timestamp,
    code: i32,
}

impl Simulated {
    pub fn new(addresses: Addresses, clock: Clock) -> Self {
        Self { addresses, shared: Arc::new(Shared { pods: Mutex::default(), changed: Notify::new(), clock }) }
    }

    /// Changes what is played of a pod.
    fn play<T>(&self, pod: &Pod, change: impl FnOnce(&mut Playing) -> T) -> T {
        let mut pods = self.shared.pods.lock();
        let playing = pods.entry(pod.uid.clone()).or_insert_with(|| Playing {
            node: pod.node.clone(),
            has_sandbox: false,
            address: None,
            containers: Vec::new(),
        });
        let result = change(playing);
        self.shared.changed.notify_waiters();
        result
    }
}

impl Runtime for Simulated {
    fn set_pod_cidr(&mut self, node: &str, cidr: &str) {
        if let Some(range) = Range::parse(cidr) {
            self.addresses.set_range(node, range);
        }
    }

    fn act(&mut self, pod: &Pod, action: Action, now: Timestamp) {
        match action {
            Action::CreateSandbox => {
                let address = (!pod.host_network).then(|| self.addresses.take(&pod.node)).flatten();
                self.play(pod, |playing| {
                    playing.has_sandbox = true;
                    playing.address = address;
                });
            }
            Action::Start { container, attempt } => {
                let behaviour = Behaviour::of(pod, &pod.containers[container]);
                self.play(pod, |playing| {
                    let past = playing.past(container, now);
                    playing.put(container, Attempt { number: attempt, begun_at: now, behaviour, stop: None, former: None, past });
                });
            }
            Action::Stop { container, grace } => {
                self.play(pod, |playing| {
                    if let Some(Some(attempt)) = playing.containers.get_mut(container) {
                        attempt.stop(grace, now);
                    }
                });
            }
            Action::RemoveSandbox => {
                let address = self.play(pod, |playing| {
                    playing.has_sandbox = false;
                    playing.address.take()
                });
                if let Some(address) = address {
                    self.addresses.give_back(&pod.node, &address);
                }
            }
        }
    }

    fn observe(&self, uid: &Uid, now: Timestamp) -> Observation {
        let pods = self.shared.pods.lock();
        let Some(playing) = pods.get(uid) else { return Observation::default() };
        let mut next_change = None;
        let containers = playing.containers.iter().enumerate().map(|(index, attempt)| {
            let attempt = attempt.as_ref()?;
            let (state, change) = attempt.state(now);
            next_change = next_change.into_iter().chain(change).min();
            let id = match &attempt.former {
                Some(former) => former.id.clone(),
                None => format!("simulated://{}", crate::digest(&(uid, index, attempt.number, attempt.begun_at))),
            };
            Some(Observed { id, attempt: attempt.number, state })
        });
        let containers = containers.collect();
        let sandbox = playing.has_sandbox.then(|| Sandbox { addresses: playing.address.iter().cloned().collect() });
        Observation { sandbox, containers, next_change }
    }

    fn restore(&mut self, pod: &Pod, _now: Timestamp) {
        let Some(status) = pod.history.as_deref() else { return };
        let address = status.pod_ip.clone().filter(|_| !pod.host_network);
        let mut is_up = false;
        for (index, container) in pod.containers.iter().enumerate() {
            let Some(was) = restore::find(status, &container.name) else { continue };
            let (Some(id), Some(state)) = (&was.container_id, &was.state) else { continue };
            let (begun_at, exit) =
                match (&state.running, &state.terminated, was.last_state.as_ref().and_then(|last| last.terminated.as_ref())) {
                    (Some(running), ..) => (running.started_at.as_ref().map(|at| at.0), None),
                    (None, Some(ended), _) | (None, None, Some(ended)) => (ended.started_at.as_ref().map(|at| at.0), restore::exit(ended)),
                    (None, None, None) => (None, None),
                };
            let Some(begun_at) = begun_at else { continue };
            is_up |= exit.is_none();
            let behaviour = Behaviour::of(pod, container).without_start_delay();
            let former = Some(Former { id: id.clone(), exit });
            let number = u32::try_from(was.restart_count).unwrap_or_default();
            let last = was.last_state.as_ref().and_then(|last| last.terminated.as_ref()).and_then(restore::exit);
            let past = last.filter(|_| state.running.is_some()).map(|exit| (exit.since, exit.at));
            self.play(pod, |playing| playing.put(index, Attempt { number, begun_at, behaviour, stop: None, former, past }));
        }
        if is_up || (!pod.is_terminal() && address.is_some()) {
            if let Some(address) = &address {
                self.addresses.claim(&pod.node, address);
            }
            self.play(pod, |playing| {
                playing.has_sandbox = true;
                playing.address = address;
            });
        }
    }

    fn forget(&mut self, uid: &Uid) {
        let Some(playing) = self.shared.pods.lock().remove(uid) else { return };
        self.shared.changed.notify_waiters();
        if let Some(address) = playing.address {
            self.addresses.give_back(&playing.node, &address);
        }
    }

    fn access(&self) -> Arc<dyn Access> {
        Arc::new(self.shared.clone())
    }
}

impl Playing {
    /// When the last attempt ran, if it has ended.
    fn past(&self, container: usize, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let attempt = self.containers.get(container)?.as_ref()?;
        match attempt.state(now).0 {
            State::Exited(exit) => Some((exit.since, exit.at)),
            _ => attempt.past,
        }
    }

    fn put(&mut self, container: usize, attempt: Attempt) {
        if self.containers.len() <= container {
            self.containers.reserve_exact(container + 1 - self.containers.len());
            self.containers.resize_with(container + 1, || None);
        }
        self.containers[container] = Some(attempt);
    }
}

impl Attempt {
    /// The state now, and when it will change by itself.
    fn state(&self, now: Timestamp) -> (State, Option<Timestamp>) {
        if let Some(exit) = self.former.as_ref().and_then(|former| former.exit.clone()) {
            return (State::Exited(exit), None);
        }
        let behaviour = &self.behaviour;
        if let Some(failure) = &behaviour.pull_failure {
            return (State::NoImage { reason: failure.reason, message: failure.message.clone(), at: self.begun_at }, None);
        }
        let since = later(self.begun_at, behaviour.start_delay);
        let ends_at = behaviour.run_time.map(|run_time| later(since, run_time));
        let stop = self.stop.as_ref().filter(|stop| ends_at.is_none_or(|ends_at| stop.at < ends_at));
        let (ends_at, code) = match stop {
            Some(stop) => (Some(stop.at), stop.code),
            None => (ends_at, behaviour.exit_code),
        };
        if let Some(at) = ends_at.filter(|ends_at| *ends_at <= now) {
            let reason = if code == 0 { "Completed" } else { "Error" };
            return (State::Exited(Exit { since: since.min(at), at, code, reason: reason.to_owned() }), None);
        }
        if now < since {
            return (State::Creating, Some(since));
        }
        let (probes, change) = behaviour.probes(since, now);
        (State::Running { since, probes }, change.into_iter().chain(ends_at).min())
    }

    fn stop(&mut self, grace: SignedDuration, now: Timestamp) {
        let delay = self.behaviour.stop_delay;
        let (after, code) = if delay <= grace { (delay, TERMINATED) } else { (grace, KILLED) };
        let at = later(now, after);
        if self.stop.as_ref().is_none_or(|stop| at < stop.at) {
            self.stop = Some(Stop { at, code });
        }
    }
}

impl Behaviour {
    /// What the probes say, and when they will say something else.
    fn probes(&self, since: Timestamp, now: Timestamp) -> (Probes, Option<Timestamp>) {
        let started_at = later(since, self.started_after);
        let ready_at = self.ready_after.map(|after| later(started_at, after));
        let dead_at = self.dead_after.map(|after| later(started_at, after));
        let has_come = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        let started = has_come(Some(started_at));
        let probes = Probes { started, ready: started && has_come(ready_at), live: !has_come(dead_at) };
        let changes = [Some(started_at), ready_at, dead_at].into_iter().flatten().filter(|at| *at > now);
        (probes, changes.min())
    }
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// A probe as the simulation sees it needs no container, but its delays count.
fn probe_delay(probe: Option<crate::pod::Probe>) -> SignedDuration {
    SignedDuration::from_secs(probe.map_or(0, |probe| probe.seconds_until_success()))
}

/// The delays that the container's own probes ask for: until it counts as started, and then until it is ready.
fn probe_delays(container: &Container) -> (SignedDuration, SignedDuration) {
    (probe_delay(container.startup), probe_delay(container.readiness))
}

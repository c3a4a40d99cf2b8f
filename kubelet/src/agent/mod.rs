//! The agent: one loop that drives all pods of all nodes of a process. It takes a pod from its queue, lets the
//! state machine look at it, has the runtime carry out what comes of that, and leaves statuses and deletions to
//! the [`writer`]. It never waits for the API server.

mod events;
mod metrics;
pub mod writer;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use api::core::pod::status_json;
use client::{Store, WorkQueue};
use k8s_openapi::api::core::v1::PodStatus;
use machinery::{NamespacedName, ResourceVersion, Status};
use tokio_util::sync::CancellationToken;

use crate::Clock;
use crate::machine::admission::{NodeFacts, Taken};
use crate::machine::{self, Progress, restore, status};
use crate::pod::{Pod, Uid};
use crate::runtime::{Observation, Runtime};
use writer::{Outcome, Writer};

pub use events::Events;
pub use metrics::Figures;

/// A pod may take so many steps at once, each of which changes what the next one sees.
const MOST_STEPS: usize = 100;

/// A pod in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodRef {
    pub uid: Uid,
    pub key: NamespacedName,
}

impl PodRef {
    pub fn of(key: &NamespacedName, pod: &Pod) -> Self {
        Self { uid: pod.uid.clone(), key: key.clone() }
    }
}

/// Where the agent finds things.
pub struct World {
    /// Pods of this process's nodes; None stands for pods of other nodes.
    pub pods: Store<Option<Arc<Pod>>>,
    pub nodes: Store<Arc<NodeFacts>>,
    /// The nodes of this process, with their addresses.
    pub hosts: HashMap<Arc<str>, String>,
}

pub struct Agent<R> {
    world: World,
    queue: WorkQueue<PodRef>,
    runtime: R,
    workers: HashMap<Uid, Worker>,
    taken: HashMap<Arc<str>, Taken>,
    writer: Writer,
    events: Events,
    figures: Figures,
    clock: Clock,
}

/// What the agent keeps of a pod that it runs.
struct Worker {
    node: Arc<str>,
    progress: Progress,
    /// The hash of the status that the server has.
    acknowledged: Option<u64>,
    /// The version that the last write made.
    version: ResourceVersion,
    /// A status or a deletion is on its way.
    is_writing: bool,
    /// The attempts of each container that users were told of.
    announced: Vec<u32>,
}

impl<R: Runtime> Agent<R> {
    pub fn new(world: World, queue: WorkQueue<PodRef>, runtime: R, writer: Writer, tell: (Events, Figures), clock: Clock) -> Self {
        let (events, figures) = tell;
        Self { world, queue, runtime, workers: HashMap::new(), taken: HashMap::new(), writer, events, figures, clock }
    }

    /// Drives pods until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.drive()).await;
    }

    async fn drive(&mut self) {
        self.world.pods.synced().await;
        self.world.nodes.synced().await;
        let queue = self.queue.clone();
        loop {
            tokio::select! {
                run = queue.next() => {
                    let Some(run) = run else { return };
                    self.process(run.key());
                }
                outcome = self.writer.next_outcome() => self.settle(outcome),
            }
            self.writer.flush();
            self.figures.running(self.workers.len());
        }
    }

    fn process(&mut self, pod_ref: &PodRef) {
        let pod = self.world.pods.get(&pod_ref.key).flatten().filter(|pod| pod.uid == pod_ref.uid);
        let Some(pod) = pod else { return self.forget(&pod_ref.uid) };
        let Some(host) = self.world.hosts.get(&pod.node).cloned() else { return };
        if !self.workers.contains_key(&pod.uid) {
            if pod.is_terminal() {
                return self.bury(pod_ref, &pod);
            }
            let Some(worker) = self.begin(&pod) else {
                // The node's object is not there yet, or no more.
                return self.queue.add_after(pod_ref.clone(), std::time::Duration::from_secs(1));
            };
            self.workers.insert(pod.uid.clone(), worker);
        }
        self.advance(pod_ref, &pod, &host);
    }

    /// A pod that ended before: nothing is left of it but its object.
    fn bury(&mut self, pod_ref: &PodRef, pod: &Pod) {
        if pod.deletion.is_some() {
            self.writer.delete(pod_ref.clone());
        }
    }

    /// Takes a new pod in, or one that ran here before this process did.
    fn begin(&mut self, pod: &Pod) -> Option<Worker> {
        let now = (self.clock)();
        let facts = self.world.nodes.get(&NamespacedName::cluster(pod.node.clone()))?;
        if let Some(cidr) = &facts.pod_cidr {
            self.runtime.set_pod_cidr(&pod.node, cidr);
        }
        let taken = self.taken.entry(pod.node.clone()).or_default();
        let mut progress = restore::progress(pod).unwrap_or_default();
        if progress.admitted {
            taken.take(pod);
            self.runtime.restore(pod, now);
        } else if pod.deletion.is_none() {
            match taken.admit(&pod.node, &facts, pod) {
                Ok(()) => progress.admitted = true,
                Err(rejection) => {
                    self.events.rejected(pod, &rejection);
                    self.figures.rejected(&rejection.reason);
                    progress.rejection = Some(rejection);
                }
            }
        }
        progress.started_at.get_or_insert(now);
        let announced = progress.containers.iter().map(|container| container.restarts + 1).collect();
        let node = pod.node.clone();
        Some(Worker { node, progress, acknowledged: None, version: ResourceVersion::default(), is_writing: false, announced })
    }

    /// Steps the pod's machine until it has nothing to do, and hands on what the server is to know.
    fn advance(&mut self, pod_ref: &PodRef, pod: &Arc<Pod>, host: &str) {
        let now = (self.clock)();
        let Some(worker) = self.workers.get_mut(&pod.uid) else { return };
        let mut gone = false;
        let mut seen = Observation::default();
        for _ in 0..MOST_STEPS {
            seen = self.runtime.observe(&pod.uid, now);
            let step = machine::step(pod, &seen, &mut worker.progress, now);
            gone = step.gone;
            for action in &step.actions {
                self.events.acting(pod, action);
                self.runtime.act(pod, *action, now);
            }
            if step.actions.is_empty() {
                if let Some(wake) = step.wake {
                    let delay = wake.duration_since(now).max(jiff::SignedDuration::from_millis(1));
                    self.queue.add_after(pod_ref.clone(), delay.unsigned_abs());
                }
                break;
            }
        }
        self.events.observed(pod, &seen, &mut worker.announced);
        if worker.progress.over || worker.progress.rejection.is_some() {
            self.taken.entry(worker.node.clone()).or_default().release(&pod.uid);
        }
        let status = status::status(pod, &seen, &mut worker.progress, host, now);
        let hash = hash_of(&status);
        if worker.is_writing {
            return;
        }
        if worker.acknowledged != Some(hash) {
            worker.is_writing = true;
            let version = worker.version.max(pod.version);
            self.writer.put(pod_ref.clone(), pod, status, hash, version);
        } else if gone {
            worker.is_writing = true;
            self.writer.delete(pod_ref.clone());
        } else if worker.progress.over && pod.deletion.is_none() && pod.is_terminal() {
            // All is told: from here on the object stands for the pod.
            self.forget(&pod.uid);
        }
    }

    /// Notes what became of a write.
    fn settle(&mut self, outcome: Outcome) {
        let Outcome { pod, wrote, result } = outcome;
        self.figures.wrote(wrote.is_some(), result.is_ok());
        match &result {
            Ok(_) => self.queue.forget(&pod),
            Err(status) if status.is_not_found() => return self.forget(&pod.uid),
            Err(status) => report_failure(&pod, status),
        }
        if let Entry::Occupied(mut worker) = self.workers.entry(pod.uid.clone()) {
            let worker = worker.get_mut();
            worker.is_writing = false;
            if let (Ok(version), Some(hash)) = (&result, wrote) {
                worker.acknowledged = Some(hash);
                worker.version = *version;
            }
        }
        match result {
            Ok(_) => self.queue.add(pod),
            Err(_) => self.queue.retry(pod),
        }
    }

    fn forget(&mut self, uid: &Uid) {
        if let Some(worker) = self.workers.remove(uid)
            && let Some(taken) = self.taken.get_mut(&worker.node)
        {
            taken.release(uid);
        }
        self.runtime.forget(uid);
    }
}

fn report_failure(pod: &PodRef, status: &Status) {
    if status.is_conflict() || status.is_transient() {
        tracing::debug!(pod = %pod.key, %status, "a write about a pod has to be tried again");
    } else {
        tracing::warn!(pod = %pod.key, %status, "the server refuses a write about a pod");
    }
}

fn hash_of(status: &PodStatus) -> u64 {
    crate::hash(&status_json(status))
}

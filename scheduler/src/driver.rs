//! The loop around [`Scheduler`]: feeds it events, lets it decide in slices, and has its decisions carried out. Bindings
//! go to the server in batches, many at once; deciding never waits for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use client::transport::{Binding, Result};
use machinery::ResourceVersion;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::framework::Bind;
use crate::metrics::{Attempt, Metrics};
use crate::pod::Pod;
use crate::preempt::Evictor;
use crate::report::Reporter;
use crate::scheduler::{Decision, Event, Preemption, Scheduler};
use crate::volume::Choice;
use crate::volume_binder::{PATIENCE, Progress, VolumeBinder, Written, progress};

/// Pods decided on at a stretch, before other tasks of the process get their turn.
const SLICE: usize = 128;
/// Events taken in at a stretch.
const MOST_EVENTS: usize = 1024;
/// Bindings in one call to the server.
const BATCH: usize = 128;
/// Calls that are under way at once.
const CALLS_AT_ONCE: usize = 8;
const TIDY_EVERY: Duration = Duration::from_secs(30);

pub struct Driver {
    scheduler: Scheduler,
    events: mpsc::UnboundedReceiver<Event>,
    binder: Arc<dyn Bind>,
    reporter: Reporter,
    metrics: Metrics,
    decided: VecDeque<Decided>,
    volume_binder: VolumeBinder,
    /// What is being written for pods whose claims wait for them.
    preparing: JoinSet<(Decided, Result<Vec<Written>>)>,
    /// Pods that wait for the volumes of their claims.
    waiting: Vec<(Decided, Vec<Written>)>,
    calls: JoinSet<Vec<(Decided, Result<ResourceVersion>)>>,
    evictor: Evictor,
    evictions: JoinSet<(Arc<Pod>, Result<()>)>,
}

/// A pod that is to be bound.
pub struct Decided {
    pod: Arc<Pod>,
    node: Arc<str>,
    since: Instant,
}

impl Driver {
    pub fn new(
        scheduler: Scheduler,
        events: mpsc::UnboundedReceiver<Event>,
        binder: Arc<dyn Bind>,
        volume_binder: VolumeBinder,
        reporter: Reporter,
        evictor: Evictor,
        metrics: Metrics,
    ) -> Self {
        Self {
            scheduler,
            events,
            binder,
            reporter,
            metrics,
            decided: VecDeque::new(),
            volume_binder,
            preparing: JoinSet::new(),
            waiting: Vec::new(),
            calls: JoinSet::new(),
            evictor,
            evictions: JoinSet::new(),
        }
    }

    /// Schedules until `shutdown`, then waits for the bindings that are under way.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut tidy = tokio::time::interval(TIDY_EVERY);
        let mut events = Vec::with_capacity(MOST_EVENTS);
        loop {
            let due = self.scheduler.next_due().map(Instant::from_std);
            let idle = !self.scheduler.has_work();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(bound) = self.calls.join_next() => self.finish(bound),
                Some(Ok((decided, written))) = self.preparing.join_next() => self.prepared(decided, written),
                Some(Ok((victim, result))) = self.evictions.join_next() => self.evicted(&victim, result),
                received = self.events.recv_many(&mut events, MOST_EVENTS) => {
                    if received == 0 {
                        break;
                    }
                    self.take_in(&mut events);
                }
                _ = tidy.tick() => {
                    self.scheduler.tidy(now());
                    self.look_at_waiting();
                }
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if idle && due.is_some() => {}
                () = tokio::task::yield_now(), if !idle => {}
            }
            self.decide();
        }
        while let Some(bound) = self.calls.join_next().await {
            self.finish(bound);
        }
    }

    fn take_in(&mut self, events: &mut Vec<Event>) {
        let now = now();
        for event in events.drain(..) {
            if let Some(Decision::Gated { pod, message }) = self.scheduler.apply(event, now) {
                self.reporter.gated(&pod, &message);
            }
        }
        self.look_at_waiting();
    }

    /// Has written what was chosen for a pod's claims.
    fn prepared(&mut self, decided: Decided, written: Result<Vec<Written>>) {
        match written {
            Ok(written) => {
                self.waiting.push((decided, written));
                self.look_at_waiting();
            }
            Err(status) => self.not_bound(&decided, &status.to_string()),
        }
    }

    /// Goes on with pods whose claims have their volumes, and gives up on those that will not get them.
    fn look_at_waiting(&mut self) {
        for (decided, written) in std::mem::take(&mut self.waiting) {
            match progress(&decided.pod, &decided.node, &written, self.scheduler.cluster()) {
                Progress::Bound => self.decided.push_back(decided),
                Progress::Waiting if decided.since.elapsed() < PATIENCE => self.waiting.push((decided, written)),
                Progress::Waiting => self.not_bound(&decided, "its volumes were not bound in time"),
                Progress::Failed => self.not_bound(&decided, "its volumes cannot be had on the node"),
            }
        }
    }

    fn not_bound(&mut self, Decided { pod, node, since, .. }: &Decided, why: &str) {
        tracing::info!(pod = %pod.key, %node, why, "a pod could not be bound");
        self.scheduler.not_bound(pod, now());
        self.reporter.not_bound(pod, why);
        self.metrics.attempt(Attempt::Error, since.elapsed());
    }

    fn decide(&mut self) {
        let since = Instant::now();
        for decision in self.scheduler.decide(SLICE, since.into_std()) {
            match decision {
                Decision::Bind { pod, node, volumes } if volumes.is_empty() => self.decided.push_back(Decided { pod, node, since }),
                Decision::Bind { pod, node, volumes } => self.prepare(Decided { pod, node, since }, volumes),
                Decision::Unschedulable { pod, message, preemption } => {
                    tracing::debug!(pod = %pod.key, %message, "a pod fits no node");
                    let nominated = preemption.as_ref().map(|preemption| preemption.node.clone());
                    self.reporter.unschedulable(&pod, &message, nominated);
                    if let Some(preemption) = preemption {
                        self.preempt(&pod, preemption);
                    }
                    self.metrics.attempt(Attempt::Unschedulable, since.elapsed());
                }
                Decision::Gated { pod, message } => self.reporter.gated(&pod, &message),
            }
        }
        self.metrics.waiting(self.scheduler.waiting());
        let cluster = self.scheduler.cluster();
        let (pods, assumed) = cluster.pods();
        self.metrics.cache(cluster.len(), pods, assumed);
        self.call();
    }

    fn prepare(&mut self, decided: Decided, choices: Vec<Choice>) {
        self.reporter.expected(&decided.pod, &decided.node);
        let binder = self.volume_binder.clone();
        self.preparing.spawn(async move {
            let written = binder.write(choices, &decided.node).await;
            (decided, written)
        });
    }

    fn preempt(&mut self, pod: &Arc<Pod>, preemption: Preemption) {
        self.metrics.preemption(preemption.victims.len());
        for victim in preemption.victims {
            tracing::info!(pod = %pod.key, victim = %victim.key, node = %preemption.node, "a pod has to make room");
            self.reporter.preempted(&victim, pod, &preemption.node);
            let evictor = self.evictor.clone();
            self.evictions.spawn(async move {
                let result = evictor.evict(&victim).await;
                (victim, result)
            });
        }
        for other in &preemption.displaced {
            self.reporter.displaced(other);
        }
    }

    fn evicted(&mut self, victim: &Arc<Pod>, result: Result<()>) {
        match result {
            Ok(()) => {}
            Err(status) if status.is_not_found() => {}
            Err(status) => {
                tracing::info!(victim = %victim.key, %status, "a pod that has to make room could not be deleted");
                self.scheduler.spared(victim);
            }
        }
    }

    /// Sends bindings, as many as may be under way.
    fn call(&mut self) {
        while self.calls.len() < CALLS_AT_ONCE && !self.decided.is_empty() {
            let batch: Vec<Decided> = self.decided.drain(..self.decided.len().min(BATCH)).collect();
            let binder = self.binder.clone();
            self.calls.spawn(async move {
                let results = binder.bind(batch.iter().map(Decided::binding).collect()).await;
                let missing = std::iter::repeat_with(|| Err(machinery::Status::internal("the server did not answer for this binding")));
                batch.into_iter().zip(results.into_iter().chain(missing)).collect()
            });
        }
    }

    fn finish(&mut self, bound: std::result::Result<Vec<(Decided, Result<ResourceVersion>)>, tokio::task::JoinError>) {
        let bound = match bound {
            Ok(bound) => bound,
            // The pods stay assumed until the server tells of them, or until a restart.
            Err(error) => return tracing::error!(%error, "binding pods broke off"),
        };
        for (Decided { pod, node, since }, result) in bound {
            match result {
                Ok(_) => {
                    self.scheduler.bound(&pod, now());
                    self.reporter.scheduled(&pod, &node);
                    self.metrics.attempt(Attempt::Scheduled, since.elapsed());
                }
                Err(status) if status.is_not_found() => {
                    tracing::info!(pod = %pod.key, %node, %status, "a pod was gone before it could be bound");
                    self.scheduler.not_bound(&pod, now());
                    self.metrics.attempt(Attempt::Error, since.elapsed());
                }
                Err(status) => self.not_bound(&Decided { pod, node, since }, &status.to_string()),
            }
        }
        self.call();
    }
}

impl Decided {
    fn binding(&self) -> Binding {
        Binding {
            namespace: self.pod.key.namespace.to_string(),
            name: self.pod.key.name.to_string(),
            uid: self.pod.uid.to_string(),
            node: self.node.to_string(),
        }
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

//! The scheduler's figures, under the names that kube-scheduler gives them.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::queue::Counts;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabel {
    queue: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    profile: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabel {
    r#type: &'static str,
}

/// How an attempt to schedule a pod went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    Scheduled,
    Unschedulable,
    Error,
}

#[derive(Clone)]
pub struct Metrics {
    profile: String,
    pending: Family<QueueLabel, Gauge>,
    attempts: Family<AttemptLabels, Counter>,
    durations: Family<AttemptLabels, Histogram>,
    cache: Family<TypeLabel, Gauge>,
    preemptions: Counter,
    victims: Histogram,
}

impl Metrics {
    pub fn new(profile: &str, metrics: &runtime::Metrics) -> Self {
        let buckets = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        Self {
            profile: profile.to_owned(),
            pending: metrics.register("scheduler_pending_pods", "Pods that wait for a node, by where they wait", Family::default()),
            attempts: metrics.register("scheduler_schedule_attempts", "Attempts to schedule a pod, by how they went", Family::default()),
            durations: metrics.register(
                "scheduler_scheduling_attempt_duration_seconds",
                "How long an attempt took, with the binding",
                Family::new_with_constructor(buckets),
            ),
            preemptions: metrics.register("scheduler_preemption_attempts", "Times that room was made for a pod", Counter::default()),
            victims: metrics.register(
                "scheduler_preemption_victims",
                "Pods that had to go to make room for one",
                Histogram::new(exponential_buckets(1.0, 2.0, 7)),
            ),
            cache: metrics.register("scheduler_cache_size", "Nodes and pods in the scheduler's view of the cluster", Family::default()),
        }
    }

    pub fn waiting(&self, counts: Counts) {
        let queues =
            [("active", counts.active), ("backoff", counts.backoff), ("unschedulable", counts.unschedulable), ("gated", counts.gated)];
        for (queue, count) in queues {
            self.pending.get_or_create(&QueueLabel { queue }).set(count as i64);
        }
    }

    pub fn cache(&self, nodes: usize, pods: usize, assumed: usize) {
        for (r#type, count) in [("nodes", nodes), ("pods", pods), ("assumed_pods", assumed)] {
            self.cache.get_or_create(&TypeLabel { r#type }).set(count as i64);
        }
    }

    pub fn preemption(&self, victims: usize) {
        self.preemptions.inc();
        self.victims.observe(victims as f64);
    }

    pub fn attempt(&self, attempt: Attempt, took: Duration) {
        let result = match attempt {
            Attempt::Scheduled => "scheduled",
            Attempt::Unschedulable => "unschedulable",
            Attempt::Error => "error",
        };
        let labels = AttemptLabels { profile: self.profile.clone(), result };
        self.attempts.get_or_create(&labels).inc();
        self.durations.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

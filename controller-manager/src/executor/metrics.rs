//! The work queues' figures, under upstream's names.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Queue {
    name: &'static str,
}

/// The figures of all controllers. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    work: Family<Queue, Histogram, fn() -> Histogram>,
    retries: Family<Queue, Counter>,
}

impl Metrics {
    pub fn new(registry: &runtime::Metrics) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(1e-5, 10.0, 8));
        Self {
            work: registry.register(
                "workqueue_work_duration_seconds",
                "How long the work on a key took, from the decision until the world showed what was written",
                Family::new_with_constructor(histogram),
            ),
            retries: registry.register("workqueue_retries", "Keys put back because the work on them failed", Family::default()),
        }
    }

    pub(super) fn worked(&self, controller: &'static str, took: Duration) {
        self.work.get_or_create(&Queue { name: controller }).observe(took.as_secs_f64());
    }

    pub(super) fn retried(&self, controller: &'static str) {
        self.retries.get_or_create(&Queue { name: controller }).inc();
    }
}

//! The agent's figures, under the names of upstream's kubelet where it has such.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use runtime::Metrics;

pub struct Figures {
    running: Gauge,
    rejections: Family<Reason, Counter>,
    writes: Family<Write, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    operation: &'static str,
    result: &'static str,
}

impl Figures {
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            running: metrics.register("kubelet_running_pods", "Pods that have not ended", Gauge::default()),
            rejections: metrics.register("kubelet_admission_rejections", "Pods that a node did not take, by reason", Family::default()),
            writes: metrics.register("kubelet_pod_writes", "Statuses and deletions that the API server was sent", Family::default()),
        }
    }

    pub(super) fn running(&self, pods: usize) {
        self.running.set(i64::try_from(pods).unwrap_or(i64::MAX));
    }

    pub(super) fn rejected(&self, reason: &str) {
        self.rejections.get_or_create(&Reason { reason: reason.to_owned() }).inc();
    }

    pub(super) fn wrote(&self, is_status: bool, succeeded: bool) {
        let operation = if is_status { "status" } else { "delete" };
        let result = if succeeded { "success" } else { "error" };
        self.writes.get_or_create(&Write { operation, result }).inc();
    }
}

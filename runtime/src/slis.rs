//! Service level indicators of health: how each check went when a probe asked it, under upstream's names. They stand apart
//! from the other figures, so that they can be collected more often.

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::health::Probe;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Check {
    name: &'static str,
    r#type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Result {
    name: &'static str,
    r#type: &'static str,
    status: &'static str,
}

/// The figures. Clones share them.
#[derive(Clone)]
pub struct Slis {
    /// 1 where the check passed when it was last asked, otherwise 0.
    last: Family<Check, Gauge>,
    results: Family<Result, Counter>,
    registry: Arc<Mutex<Registry>>,
}

impl Default for Slis {
    fn default() -> Self {
        let (last, results) = (Family::<Check, Gauge>::default(), Family::<Result, Counter>::default());
        let mut registry = Registry::default();
        registry.register("kubernetes_healthcheck", "Whether a health check passed when it was last asked", last.clone());
        registry.register("kubernetes_healthchecks", "Health checks asked, by result", results.clone());
        Self { last, results, registry: Arc::new(Mutex::new(registry)) }
    }
}

impl Slis {
    pub fn observe(&self, name: &'static str, probe: Probe, passed: bool) {
        let (r#type, status) = (probe.name(), if passed { "success" } else { "error" });
        self.last.get_or_create(&Check { name, r#type }).set(i64::from(passed));
        self.results.get_or_create(&Result { name, r#type, status }).inc();
    }

    /// All figures as text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry.lock());
        text
    }
}

//! Metrics, in Prometheus' text form, under upstream's names where one exists. What is registered here by every
//! process about itself are `process_*` figures, read when somebody asks.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Metric, Registry};

/// The media type of [`Metrics::encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Clock ticks per second in /proc, on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;

/// The figures of a process. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        Self { registry: Arc::new(Mutex::new(registry)) }
    }
}

impl Metrics {
    /// Adds a metric and returns it, to be counted with: metrics share their values among clones. The names of
    /// counters are given without their `_total`, which the text form adds.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.registry.lock().register(name, help, metric.clone());
        metric
    }

    /// All figures as text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry.lock());
        text
    }
}

/// Observes how long something took, from its making until it is dropped or [`stop`](Self::stop)ped.
pub struct Timer<F: FnMut(Duration)> {
    started: Instant,
    observe: F,
}

impl<F: FnMut(Duration)> Timer<F> {
    pub fn start(observe: F) -> Self {
        Self { started: Instant::now(), observe }
    }

    pub fn stop(self) {}
}

impl<F: FnMut(Duration)> Drop for Timer<F> {
    fn drop(&mut self) {
        (self.observe)(self.started.elapsed());
    }
}

/// When the process asked for the first time, which the services do when they start.
static STARTED: LazyLock<f64> = LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());

#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: f64| {
            let gauge = ConstGauge::new(value);
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)
        };
        gauge("process_start_time_seconds", "When the process started, in seconds since 1970", *STARTED)?;
        if let Some(usage) = Usage::read() {
            gauge("process_resident_memory_bytes", "Memory that the process holds", usage.resident_bytes)?;
            gauge("process_virtual_memory_bytes", "Address space that the process has mapped", usage.virtual_bytes)?;
            gauge("process_open_fds", "File descriptors that are open", usage.open_files)?;
            let counter = ConstCounter::new(usage.cpu_seconds);
            let metric = encoder.encode_descriptor("process_cpu_seconds", "CPU time spent", None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        Ok(())
    }
}

/// What the process uses, as Linux counts it.
struct Usage {
    resident_bytes: f64,
    virtual_bytes: f64,
    open_files: f64,
    cpu_seconds: f64,
}

impl Usage {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is the program's name in parentheses, and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let resident_kib: f64 =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(Self {
            resident_bytes: resident_kib * 1024.0,
            virtual_bytes: field(23)?,
            open_files: std::fs::read_dir("/proc/self/fd").ok()?.count() as f64,
            cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
        })
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn figures_are_shown_under_their_names() {
        let metrics = Metrics::default();
        let counter: Counter = metrics.register("workqueue_adds", "Keys added", Counter::default());
        counter.inc_by(3);
        let text = metrics.encode();
        assert!(text.contains("workqueue_adds_total 3"), "{text}");
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
        assert!(text.contains("process_cpu_seconds_total "), "{text}");
    }
}

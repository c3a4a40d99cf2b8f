//! The figures, as a table and as JSON.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// One work's figures.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub work: String,
    pub operations: usize,
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// The server's CPU time for one operation.
    pub cpu_us: f64,
    pub note: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Report {
    url: String,
    rows: Vec<Row>,
    resident_mib: f64,
}

impl Report {
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), ..Self::default() }
    }

    /// How many times the CPU and the memory of `other` this server took, and how many times the throughput it reached.
    pub fn beside(&self, other: &Self) -> String {
        let ratio = |one: f64, other: f64| if other > 0.0 { format!("{:.3}", one / other) } else { "-".to_owned() };
        let mut out = format!("{} beside {}\n{:<34} {:>9} {:>12}\n", self.url, other.url, "work", "ops/s", "CPU us/op");
        for (one, other) in self.rows.iter().zip(&other.rows) {
            out += &format!("{:<34} {:>9} {:>12}\n", one.work, ratio(one.per_second, other.per_second), ratio(one.cpu_us, other.cpu_us));
        }
        out + &format!("resident memory: {}\n", ratio(self.resident_mib, other.resident_mib))
    }

    /// Adds a work that did `latencies.len()` operations.
    pub fn add(&mut self, work: &str, mut latencies: Vec<Duration>, took: Duration, cpu: Duration, note: String) {
        latencies.sort_unstable();
        let at = |share: f64| {
            let index = ((latencies.len() as f64 - 1.0) * share).round().max(0.0) as usize;
            latencies.get(index).map_or(0.0, |d| d.as_secs_f64() * 1_000.0)
        };
        let operations = latencies.len();
        self.rows.push(Row {
            work: work.to_owned(),
            operations,
            per_second: operations as f64 / took.as_secs_f64().max(1e-9),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            cpu_us: cpu.as_secs_f64() * 1e6 / (operations.max(1) as f64),
            note,
        });
    }

    pub fn memory(&mut self, mib: f64) {
        self.resident_mib = mib;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.url)?;
        writeln!(f, "{:<34} {:>9} {:>11} {:>9} {:>9} {:>12}  note", "work", "ops", "ops/s", "p50 ms", "p99 ms", "CPU us/op")?;
        for r in &self.rows {
            writeln!(
                f,
                "{:<34} {:>9} {:>11.0} {:>9.2} {:>9.2} {:>12.1}  {}",
                r.work, r.operations, r.per_second, r.p50_ms, r.p99_ms, r.cpu_us, r.note
            )?;
        }
        writeln!(f, "resident memory of the server: {:.1} MiB", self.resident_mib)
    }
}

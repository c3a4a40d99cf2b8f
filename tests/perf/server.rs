//! The server's processes as the kernel accounts for them.

use std::time::Duration;

/// Clock ticks a second in /proc, on every Linux there is.
const TICKS_PER_SECOND: u64 = 100;

#[derive(Clone, Debug)]
pub struct Server {
    pids: Vec<u32>,
}

impl Server {
    pub fn new(pids: Vec<u32>) -> Self {
        Self { pids }
    }

    /// CPU time of all processes so far, user and system. Zero if no pid was given.
    pub fn cpu(&self) -> Duration {
        let ticks: u64 = self.pids.iter().filter_map(|pid| ticks(*pid)).sum();
        Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
    }

    /// Resident memory of all processes.
    pub fn resident_mib(&self) -> f64 {
        let kib: u64 = self.pids.iter().filter_map(|pid| resident_kib(*pid)).sum();
        kib as f64 / 1024.0
    }
}

fn ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold spaces; user and system time are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find(|l| l.starts_with("VmRSS:"))?.split_whitespace().nth(1)?.parse().ok()
}

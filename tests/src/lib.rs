//! Whole-system suites, and what they share: control planes of real processes, the real kubectl, and waiting for
//! conditions. Everything here is for tests, and fails loudly.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod cluster;
pub mod etcd;
pub mod helm;
pub mod http;
pub mod kubectl;
pub mod load;
pub mod process;
pub mod suite;

use std::time::{Duration, Instant};

/// How long a condition may take on a slow, busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until `condition` gives something; panics with the last reason when patience ends.
#[track_caller]
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match condition() {
            Ok(value) => return value,
            Err(why) if started.elapsed() > PATIENCE => panic!("waited {PATIENCE:?} for {what}: {why}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

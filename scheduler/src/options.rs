//! The scheduler's arguments, under the names that `kube-scheduler` gives them.

use std::time::Duration;

use clap::Args;

/// What the scheduler is told.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Scheduling")]
#[group(id = "scheduler-flags")]
pub struct Options {
    /// Pods that fit no node are tried again after so long, though nothing has happened that may help them
    #[arg(long, value_name = "DURATION", value_parser = runtime::args::duration, default_value = "5m")]
    pub pod_max_in_unschedulable_pods_duration: Duration,

    /// The name by which pods ask for this scheduler
    #[arg(long, value_name = "NAME", default_value = "default-scheduler")]
    pub scheduler_name: String,

    /// Where the choice between equally good nodes starts, so that a run can be repeated; random where it is not given
    #[arg(skip)]
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pod_max_in_unschedulable_pods_duration: Duration::from_secs(300),
            scheduler_name: "default-scheduler".to_owned(),
            seed: None,
        }
    }
}

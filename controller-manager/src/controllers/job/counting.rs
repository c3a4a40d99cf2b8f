//! Counting pods that have ended, each once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{JobStatus, UncountedTerminatedPods};

use super::failure_policy::{self, Action};
use super::{FINALIZER, Work, conditions, indexes};
use crate::plan::{BURST, Write};
use crate::world::{Phase, PodRow};

/// The counts as of now.
#[derive(Default)]
pub(super) struct Tally {
    /// Counted for good.
    succeeded: i32,
    failed: i32,
    /// Uids of pods that have ended and whose finalizer is to go before they are counted for good.
    waiting_succeeded: Vec<String>,
    waiting_failed: Vec<String>,
    pub completed: BTreeSet<i32>,
    pub failed_indexes: BTreeSet<i32>,
    /// What a rule of the failure policy says, if it fails the Job.
    pub fails_job: Option<String>,
    release: Vec<Arc<PodRow>>,
}

impl Tally {
    pub(super) fn of(work: &Work<'_>, status: &JobStatus) -> Self {
        let mut tally = Self {
            succeeded: status.succeeded.unwrap_or(0),
            failed: status.failed.unwrap_or(0),
            completed: work.index_set(status.completed_indexes.as_deref()),
            failed_indexes: work.index_set(status.failed_indexes.as_deref()),
            ..Self::default()
        };
        tally.settle(work, status);
        tally.take_in(work, status);
        tally.judge_indexes(work);
        if work.is_indexed() {
            tally.succeeded = tally.completed.len() as i32;
        }
        tally
    }

    /// Pods that the status names and whose finalizer is gone count for good.
    fn settle(&mut self, work: &Work<'_>, status: &JobStatus) {
        let held: HashMap<&str, &Arc<PodRow>> =
            work.pods.iter().filter(|pod| pod.has_finalizer(FINALIZER)).map(|pod| (&*pod.uid, pod)).collect();
        let Some(known) = &status.uncounted_terminated_pods else { return };
        for uid in known.succeeded.iter().flatten() {
            match held.get(uid.as_str()) {
                Some(pod) => self.wait(pod, true),
                None => self.succeeded += 1,
            }
        }
        for uid in known.failed.iter().flatten() {
            match held.get(uid.as_str()) {
                Some(pod) => self.wait(pod, false),
                None => self.failed += 1,
            }
        }
    }

    fn wait(&mut self, pod: &Arc<PodRow>, succeeded: bool) {
        let list = if succeeded { &mut self.waiting_succeeded } else { &mut self.waiting_failed };
        list.push(pod.uid.to_string());
        self.release.push(pod.clone());
    }

    /// Takes in pods that have ended since.
    fn take_in(&mut self, work: &Work<'_>, status: &JobStatus) {
        let known: BTreeSet<String> = self.waiting_succeeded.iter().chain(&self.waiting_failed).cloned().collect();
        let failing = conditions::holds(status, "FailureTarget");
        let succeeding = conditions::holds(status, "SuccessCriteriaMet");
        for pod in work.pods.iter().filter(|pod| pod.has_finalizer(FINALIZER) && !known.contains(&*pod.uid)) {
            if self.release.len() >= BURST {
                return;
            }
            let cut_short = pod.is_terminating() && !pod.phase.is_finished();
            if pod.phase == Phase::Succeeded {
                match pod.completion_index.filter(|_| work.is_indexed()) {
                    Some(index) => {
                        if (0..work.completions()).contains(&index) {
                            self.completed.insert(index);
                        }
                        self.release.push(pod.clone());
                    }
                    None => self.wait(pod, true),
                }
            } else if cut_short && succeeding {
                // Not needed any more: its end says nothing.
                self.release.push(pod.clone());
            } else if work.has_failed(pod) || (cut_short && failing) {
                match failure_policy::judge(work.spec.pod_failure_policy.as_ref(), pod) {
                    Some((Action::Ignore, _)) => self.release.push(pod.clone()),
                    action => {
                        if let Some((Action::FailJob, rule)) = action {
                            let message = format!("Pod {} matches the rule at index {rule}, which fails the job", pod.key);
                            self.fails_job.get_or_insert(message);
                        }
                        self.wait(pod, false);
                    }
                }
            }
        }
    }

    /// Indexes fail that have failed once too often.
    fn judge_indexes(&mut self, work: &Work<'_>) {
        let Some(limit) = work.spec.backoff_limit_per_index else { return };
        for pod in work.pods.iter().filter(|pod| work.has_failed(pod)) {
            let Some(index) = pod.completion_index.filter(|index| !self.completed.contains(index)) else { continue };
            let action = failure_policy::judge(work.spec.pod_failure_policy.as_ref(), pod).map(|(action, _)| action);
            let failures = pod.index_failures.unwrap_or(0) + i32::from(action != Some(Action::Ignore));
            if failures > limit || action == Some(Action::FailIndex) {
                self.failed_indexes.insert(index);
            }
        }
    }

    /// All pods that have succeeded, those that wait for their finalizer too.
    pub(super) fn total_succeeded(&self) -> i32 {
        self.succeeded + self.waiting_succeeded.len() as i32
    }

    pub(super) fn total_failed(&self) -> i32 {
        self.failed + self.waiting_failed.len() as i32
    }

    pub(super) fn fill(&self, work: &Work<'_>, status: &mut JobStatus) {
        let positive = |count: i32| Some(count).filter(|count| *count > 0);
        let some = |list: &[String]| Some(list.to_vec()).filter(|list| !list.is_empty());
        status.succeeded = positive(self.succeeded);
        status.failed = positive(self.failed);
        status.uncounted_terminated_pods =
            Some(UncountedTerminatedPods { succeeded: some(&self.waiting_succeeded), failed: some(&self.waiting_failed) });
        if work.is_indexed() {
            status.completed_indexes = Some(indexes::print(&self.completed)).filter(|text| !text.is_empty());
            let per_index = work.spec.backoff_limit_per_index.is_some();
            status.failed_indexes = per_index.then(|| indexes::print(&self.failed_indexes));
        }
    }

    /// Takes the finalizer from what the status names now.
    pub(super) fn releases(&self) -> Vec<Write> {
        self.release.iter().map(|pod| super::remove_finalizer(pod)).collect()
    }
}

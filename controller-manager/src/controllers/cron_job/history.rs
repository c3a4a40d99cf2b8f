//! Finished Jobs of a CronJob: the newest few are kept, for whoever wants to know what became of them.

use std::sync::Arc;

use api::kind::Propagation;
use k8s_openapi::api::batch::v1::{CronJob, Job};

use super::{Work, condition, is_finished};
use crate::plan::{Note, Verb, Write};
use crate::world::Whole;

const SUCCESSFUL_KEPT: i32 = 3;
const FAILED_KEPT: i32 = 1;

pub(super) fn trim(work: &mut Work<'_>) {
    let spec = &work.cron.spec;
    let kept = [
        ("Complete", spec.successful_jobs_history_limit.unwrap_or(SUCCESSFUL_KEPT)),
        ("Failed", spec.failed_jobs_history_limit.unwrap_or(FAILED_KEPT)),
    ];
    for (how, kept) in kept {
        let finished = work.jobs.iter().filter(|job| is_finished(job) && condition(job, how) && !job.header().is_terminating());
        let mut finished: Vec<&Arc<Whole<Job>>> = finished.copied().collect();
        let started = |job: &Job| job.status.as_ref().and_then(|status| status.start_time.clone());
        finished.sort_by(|a, b| started(a).cmp(&started(b)).then_with(|| a.header().name().cmp(b.header().name())));
        let surplus = finished.len().saturating_sub(usize::try_from(kept).unwrap_or(0));
        for job in &finished[..surplus] {
            work.plan.write(delete(work.cron, job));
        }
    }
}

/// Deletes a Job with its pods.
pub(super) fn delete(cron: &Whole<CronJob>, job: &Whole<Job>) -> Write {
    let name = job.header().name();
    let done = Note::normal(cron, "SuccessfulDelete", format!("Deleted job {name}"));
    let failed = Note::warning(cron, "FailedDelete", format!("Deleted job {name}"));
    let mut write = Write::delete(job).done(done).failed(failed);
    if let Verb::Delete { propagation, .. } = &mut write.verb {
        *propagation = Some(Propagation::Background);
    }
    write
}

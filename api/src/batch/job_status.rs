//! Validation of a Job's status: the counters that only rise, and what being finished demands of the rest.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use machinery::field::{Error, Errors, Path};

use super::indexes;
use crate::counts::non_negative;
use crate::{validate, zero};

/// Whether the Job has a condition that is true.
pub(super) fn is(status: &JobStatus, condition: &str) -> bool {
    status.conditions.iter().flatten().any(|c| c.type_ == condition && c.status == "True")
}

/// What the Status column shows.
pub(super) fn summary(job: &Job) -> &'static str {
    let status = job.status.as_ref();
    let is = |condition| status.is_some_and(|s| is(s, condition));
    if is("Complete") {
        "Complete"
    } else if is("Failed") {
        "Failed"
    } else if job.metadata.deletion_timestamp.is_some() {
        "Terminating"
    } else if is("Suspended") {
        "Suspended"
    } else if is("FailureTarget") {
        "FailureTarget"
    } else if is("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

pub(super) fn normalize(status: &mut JobStatus) {
    zero::omit(&mut status.active);
    zero::omit(&mut status.succeeded);
    zero::omit(&mut status.failed);
    zero::omit(&mut status.completed_indexes);
    zero::omit(&mut status.conditions);
    if let Some(uncounted) = &mut status.uncounted_terminated_pods {
        zero::omit(&mut uncounted.succeeded);
        zero::omit(&mut uncounted.failed);
    }
}

pub(super) fn check_update(new_job: &Job, old_job: &Job) -> Errors {
    let (no_spec, none) = (JobSpec::default(), JobStatus::default());
    let spec = new_job.spec.as_ref().unwrap_or(&no_spec);
    let (new, old) = (new_job.status.as_ref().unwrap_or(&none), old_job.status.as_ref().unwrap_or(&none));
    let path = Path::new("status");
    let mut errors = check_counters(&path, new);
    errors.extend(check_end(&path, new));
    errors.extend(check_indexes(&path, spec, new, old));
    errors.extend(check_ready(&path, new));
    errors.extend(check_change(&path, spec, new, old));
    errors
}

fn check_counters(path: &Path, status: &JobStatus) -> Errors {
    let mut errors = non_negative(&path.child("active"), status.active);
    errors.extend(non_negative(&path.child("succeeded"), status.succeeded));
    errors.extend(non_negative(&path.child("failed"), status.failed));
    errors.extend(non_negative(&path.child("ready"), status.ready));
    errors.extend(non_negative(&path.child("terminating"), status.terminating));
    let Some(uncounted) = &status.uncounted_terminated_pods else { return errors };
    let path = path.child("uncountedTerminatedPods");
    let mut seen = BTreeSet::new();
    for (name, uids) in [("succeeded", &uncounted.succeeded), ("failed", &uncounted.failed)] {
        for (i, uid) in uids.iter().flatten().enumerate() {
            let path = path.child(name).index(i);
            if uid.is_empty() {
                errors.push(Error::invalid(&path, uid, "must not be empty"));
            } else if !seen.insert(uid) {
                errors.push(Error::duplicate(&path, uid));
            }
        }
    }
    errors
}

/// What the conditions that end a Job ask of each other and of the other fields.
fn check_end(path: &Path, status: &JobStatus) -> Errors {
    let mut errors = Errors::new();
    let (complete, failed) = (is(status, "Complete"), is(status, "Failed"));
    let conditions = path.child("conditions");
    if complete && failed {
        errors.push(Error::bare_invalid(&conditions, "cannot be Complete and Failed"));
    }
    if complete && is(status, "FailureTarget") {
        errors.push(Error::bare_invalid(&conditions, "cannot be Complete and FailureTarget"));
    }
    let completion = path.child("completionTime");
    match (&status.completion_time, complete) {
        (Some(time), false) => errors.push(Error::invalid(&completion, time, "cannot be set while the Job is not Complete")),
        (None, true) => errors.push(Error::required(&completion, "when the Job is Complete")),
        _ => {}
    }
    if let (Some(start), Some(end)) = (&status.start_time, &status.completion_time)
        && end.0 < start.0
    {
        errors.push(Error::invalid(&completion, end, "cannot be before startTime"));
    }
    if failed && !is(status, "FailureTarget") {
        errors.push(Error::bare_invalid(&conditions, "cannot be Failed before it is FailureTarget"));
    }
    if complete && !is(status, "SuccessCriteriaMet") {
        errors.push(Error::bare_invalid(&conditions, "cannot be Complete before it is SuccessCriteriaMet"));
    }
    if complete || failed {
        if let Some(active) = status.active.filter(|active| *active > 0) {
            errors.push(Error::invalid(&path.child("active"), active, "a finished Job has no active pods"));
        }
        if status.start_time.is_none() {
            errors.push(Error::required(&path.child("startTime"), "when the Job is finished"));
        }
        let uncounted = status.uncounted_terminated_pods.as_ref();
        if uncounted.is_some_and(|u| u.succeeded.iter().chain(&u.failed).any(|uids| !uids.is_empty())) {
            errors.push(Error::invalid(&path.child("uncountedTerminatedPods"), &uncounted, "a finished Job has counted all pods"));
        }
    }
    errors
}

/// Indexes are checked as they change: a Job that was resized may still list some that are gone.
fn check_indexes(path: &Path, spec: &JobSpec, new: &JobStatus, old: &JobStatus) -> Errors {
    let mut errors = Errors::new();
    let (completed_path, failed_path) = (path.child("completedIndexes"), path.child("failedIndexes"));
    let completed_changed = new.completed_indexes != old.completed_indexes;
    let failed_changed = new.failed_indexes != old.failed_indexes;
    let completions = spec.completions.unwrap_or(0);
    let parse = |text: Option<&str>| indexes::parse(text.unwrap_or_default(), completions);
    let (completed, failed) = (parse(new.completed_indexes.as_deref()), parse(new.failed_indexes.as_deref()));
    if let (true, Some(_), Err(why)) = (completed_changed, spec.completions, &completed) {
        errors.push(Error::invalid(&completed_path, &new.completed_indexes, why));
    }
    let limited = spec.backoff_limit_per_index.is_some();
    if let (true, true, Some(_), Err(why)) = (failed_changed, limited, spec.completions, &failed) {
        errors.push(Error::invalid(&failed_path, &new.failed_indexes, why));
    }
    if completed_changed && new.completed_indexes.is_some() && spec.completion_mode.as_deref() != Some("Indexed") {
        errors.push(Error::invalid(&completed_path, &new.completed_indexes, "requires indexed completion mode"));
    }
    if failed_changed && new.failed_indexes.is_some() && !limited {
        errors.push(Error::invalid(&failed_path, &new.failed_indexes, "requires backoffLimitPerIndex"));
    }
    if let (true, Ok(completed), Ok(failed)) = (completed_changed || failed_changed, completed, failed)
        && indexes::overlap(&completed, &failed)
    {
        errors.push(Error::invalid(&failed_path, &new.failed_indexes, "an index cannot have failed and completed"));
    }
    errors
}

fn check_ready(path: &Path, status: &JobStatus) -> Errors {
    let mut errors = Errors::new();
    let (complete, failed) = (is(status, "Complete"), is(status, "Failed"));
    if let Some(terminating) = status.terminating.filter(|t| *t > 0 && (complete || failed)) {
        errors.push(Error::invalid(&path.child("terminating"), terminating, "a finished Job has no terminating pods"));
    }
    if let Some(ready) = status.ready.filter(|ready| *ready > status.active.unwrap_or(0)) {
        errors.push(Error::invalid(&path.child("ready"), ready, "cannot be more than the active pods"));
    }
    let conditions = path.child("conditions");
    for bad in ["Failed", "FailureTarget"] {
        if is(status, "SuccessCriteriaMet") && is(status, bad) {
            errors.push(Error::bare_invalid(&conditions, format!("cannot be SuccessCriteriaMet and {bad}")));
        }
    }
    errors
}

fn check_change(path: &Path, spec: &JobSpec, new: &JobStatus, old: &JobStatus) -> Errors {
    let mut errors = Errors::new();
    let conditions = path.child("conditions");
    for ended in ["Failed", "Complete", "FailureTarget"] {
        if is(old, ended) && !is(new, ended) {
            errors.push(Error::bare_invalid(&conditions, format!("{ended} cannot be taken back")));
        }
    }
    let failed = new.failed.unwrap_or(0);
    if failed < old.failed.unwrap_or(0) {
        errors.push(Error::invalid(&path.child("failed"), failed, "cannot decrease"));
    }
    // A Job that runs all its indexes at once can be made smaller, and then has fewer that succeeded.
    let resizable = spec.completion_mode.as_deref() == Some("Indexed") && spec.completions == spec.parallelism;
    let succeeded = new.succeeded.unwrap_or(0);
    if succeeded < old.succeeded.unwrap_or(0) && !resizable {
        errors.push(Error::invalid(&path.child("succeeded"), succeeded, "cannot decrease"));
    }
    if new.completion_time.is_some() && old.completion_time.is_some() {
        errors.extend(validate::immutable(&path.child("completionTime"), &new.completion_time, &old.completion_time));
    }
    if old.start_time.is_some() && new.start_time != old.start_time && spec.suspend != Some(true) {
        errors.push(Error::required(&path.child("startTime"), "cannot change while the Job is not suspended"));
    }
    if is(old, "SuccessCriteriaMet") && !is(new, "SuccessCriteriaMet") {
        errors.push(Error::bare_invalid(&conditions, "SuccessCriteriaMet cannot be taken back"));
    }
    if is(old, "Complete") && !is(old, "SuccessCriteriaMet") && is(new, "SuccessCriteriaMet") {
        errors.push(Error::bare_invalid(&conditions, "a Job that is Complete cannot become SuccessCriteriaMet"));
    }
    errors
}

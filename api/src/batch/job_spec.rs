//! Defaults and validation of a Job's spec, which CronJobs hold too, as the template of their Jobs.

use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};
use machinery::field::{Error, Errors, Path};

use super::{job_policies, job_status};
use crate::apps::{selector, template};
use crate::counts::non_negative;
use crate::{validate, zero};

/// The status lists indexes, which bounds how many there may be.
const MOST_PARALLEL_INDEXED: i32 = 100_000;
const MOST_FAILED_INDEXES: i32 = 100_000;
const MANY_COMPLETIONS: i32 = 100_000;
const MOST_PARALLEL_OF_MANY: i32 = 10_000;
const MOST_FAILED_OF_MANY: i32 = 10_000;
const MOST_MANAGED_BY_BYTES: usize = 63;

/// The defaults of a Job's own spec; those of a CronJob's template are the pod template's only.
pub(super) fn default(spec: &mut JobSpec) {
    if spec.completions.is_none() && spec.parallelism.is_none() {
        spec.completions = Some(1);
    }
    spec.parallelism.get_or_insert(1);
    // With a limit for each index, the Job itself has none.
    let backoff_limit = if spec.backoff_limit_per_index.is_some() { i32::MAX } else { 6 };
    spec.backoff_limit.get_or_insert(backoff_limit);
    spec.completion_mode.get_or_insert_with(|| "NonIndexed".to_owned());
    spec.suspend.get_or_insert(false);
    spec.manual_selector.get_or_insert(false);
    for rule in spec.pod_failure_policy.iter_mut().flat_map(|policy| &mut policy.rules) {
        for pattern in rule.on_pod_conditions.iter_mut().flatten() {
            zero::fill(&mut pattern.status, "True");
        }
    }
    let replacement = if spec.pod_failure_policy.is_some() { "Failed" } else { "TerminatingOrFailed" };
    spec.pod_replacement_policy.get_or_insert_with(|| replacement.to_owned());
    template::default(&mut spec.template);
}

/// What the writer of the spec at `path` is warned of.
pub(super) fn warnings(path: &Path, spec: &JobSpec) -> Vec<String> {
    let mut warnings = Vec::new();
    let many = spec.completions.is_some_and(|c| c > MANY_COMPLETIONS);
    if many && spec.completion_mode.as_deref() == Some("Indexed") && spec.parallelism.is_some_and(|p| p > MOST_PARALLEL_OF_MANY) {
        warnings.push(format!(
            "{}: above {MOST_PARALLEL_OF_MANY} with more than {MANY_COMPLETIONS} completions, the status may outgrow what can be stored",
            path.child("parallelism")
        ));
    }
    warnings.extend(template::warnings(path, &spec.template));
    warnings
}

/// A Job's spec, selector included.
pub(super) fn check(path: &Path, spec: &JobSpec) -> Errors {
    let mut errors = check_template(path, spec);
    let selector_path = path.child("selector");
    let well_formed = match &spec.selector {
        None => {
            errors.push(Error::required(&selector_path, ""));
            true
        }
        Some(selector) => {
            let wrong = validate::label_selector(&selector_path, selector);
            let well_formed = wrong.is_empty();
            errors.extend(wrong);
            well_formed
        }
    };
    let selected = spec.selector.as_ref().is_some_and(|s| selector::matches(s, template::labels(&spec.template)));
    if well_formed && !selected {
        errors.push(template::mismatch(&path.child("template"), &spec.template));
    }
    errors
}

/// The spec of a Job to come: all but the selector.
pub(super) fn check_template(path: &Path, spec: &JobSpec) -> Errors {
    let mut errors = check_limits(path, spec);
    errors.extend(check_completion_mode(path, spec));
    if let Some(policy) = &spec.pod_failure_policy {
        errors.extend(job_policies::check_failure(&path.child("podFailurePolicy"), spec, policy));
    }
    if let Some(policy) = &spec.success_policy {
        errors.extend(job_policies::check_success(&path.child("successPolicy"), spec, policy));
    }
    if let Some(policy) = &spec.pod_replacement_policy {
        let supported: &[&str] = if spec.pod_failure_policy.is_some() { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
        errors.extend(validate::supported_value(&path.child("podReplacementPolicy"), policy, supported));
    }
    let template_path = path.child("template");
    errors.extend(template::check(&template_path, &spec.template));
    errors.extend(check_restart_policy(&template_path.child("spec").child("restartPolicy"), spec));
    errors
}

fn check_limits(path: &Path, spec: &JobSpec) -> Errors {
    let mut errors = non_negative(&path.child("parallelism"), spec.parallelism);
    errors.extend(non_negative(&path.child("completions"), spec.completions));
    errors.extend(non_negative(&path.child("activeDeadlineSeconds"), spec.active_deadline_seconds));
    errors.extend(non_negative(&path.child("backoffLimit"), spec.backoff_limit));
    errors.extend(non_negative(&path.child("ttlSecondsAfterFinished"), spec.ttl_seconds_after_finished));
    errors.extend(non_negative(&path.child("backoffLimitPerIndex"), spec.backoff_limit_per_index));
    errors.extend(non_negative(&path.child("maxFailedIndexes"), spec.max_failed_indexes));
    if spec.max_failed_indexes.is_some() && spec.backoff_limit_per_index.is_none() {
        errors.push(Error::required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is given"));
    }
    if let Some(manager) = &spec.managed_by {
        let path = path.child("managedBy");
        errors.extend(validate::domain_path(&path, manager));
        if manager.len() > MOST_MANAGED_BY_BYTES {
            errors.push(Error::too_long(&path, MOST_MANAGED_BY_BYTES));
        }
    }
    errors
}

fn check_completion_mode(path: &Path, spec: &JobSpec) -> Errors {
    let mut errors = Errors::new();
    let mode = spec.completion_mode.as_deref();
    if let Some(mode) = mode {
        errors.extend(validate::supported_value(&path.child("completionMode"), mode, &["NonIndexed", "Indexed"]));
    }
    match mode {
        Some("Indexed") => errors.extend(check_indexed(path, spec)),
        None | Some("NonIndexed") => {
            let fields = [("backoffLimitPerIndex", spec.backoff_limit_per_index), ("maxFailedIndexes", spec.max_failed_indexes)];
            for (name, value) in fields {
                errors.extend(value.map(|value| Error::invalid(&path.child(name), value, "requires indexed completion mode")));
            }
        }
        Some(_) => {}
    }
    errors
}

fn check_indexed(path: &Path, spec: &JobSpec) -> Errors {
    let mut errors = Errors::new();
    let mut bound = |name: &str, value: Option<i32>, most: i32, when: &str| {
        if let Some(value) = value.filter(|value| *value > most) {
            errors.push(Error::invalid(&path.child(name), value, format!("must be less than or equal to {most}{when}")));
        }
    };
    let failed = spec.max_failed_indexes;
    bound("parallelism", spec.parallelism, MOST_PARALLEL_INDEXED, " when the completion mode is Indexed");
    bound("maxFailedIndexes", failed, spec.completions.unwrap_or(i32::MAX), " (the completions)");
    bound("maxFailedIndexes", failed, MOST_FAILED_INDEXES, "");
    let many = spec.completions.is_some_and(|c| c > MANY_COMPLETIONS) && spec.backoff_limit_per_index.is_some();
    if many {
        let when = format!(" when completions are above {MANY_COMPLETIONS} and each index has a backoff limit");
        bound("parallelism", spec.parallelism, MOST_PARALLEL_OF_MANY, &when);
        bound("maxFailedIndexes", failed, MOST_FAILED_OF_MANY, &when);
        if failed.is_none() {
            errors.push(Error::required(&path.child("maxFailedIndexes"), format!("when completions are above {MANY_COMPLETIONS}")));
        }
    }
    if spec.completions.is_none() {
        errors.insert(0, Error::required(&path.child("completions"), "when the completion mode is Indexed"));
    }
    errors
}

fn check_restart_policy(path: &Path, spec: &JobSpec) -> Errors {
    let policy = spec.template.spec.as_ref().and_then(|s| s.restart_policy.as_deref()).unwrap_or_default();
    match policy {
        // What a template gets that says nothing does not suit a Job, so the user has to choose.
        "" | "Always" => vec![Error::required(path, "one of OnFailure, Never")],
        "OnFailure" if spec.pod_failure_policy.is_some() => {
            vec![Error::invalid(path, policy, "only Never is supported with a podFailurePolicy")]
        }
        "OnFailure" | "Never" => Errors::new(),
        other => vec![Error::not_supported(path, other, &["OnFailure", "Never"])],
    }
}

/// The spec as an update of what is there.
pub(super) fn check_update(new: &JobSpec, old_job: &Job) -> Errors {
    let none = JobSpec::default();
    let old = old_job.spec.as_ref().unwrap_or(&none);
    let path = Path::new("spec");
    let mut errors = check(&path, new);
    errors.extend(check_completions_update(&path.child("completions"), new, old));
    errors.extend(validate::immutable(&path.child("selector"), &new.selector, &old.selector));
    errors.extend(check_template_update(&path.child("template"), &new.template, &old.template, is_idle(old_job)));
    errors.extend(validate::immutable(&path.child("completionMode"), &new.completion_mode, &old.completion_mode));
    errors.extend(validate::immutable(&path.child("podFailurePolicy"), &new.pod_failure_policy, &old.pod_failure_policy));
    errors.extend(validate::immutable(&path.child("backoffLimitPerIndex"), &new.backoff_limit_per_index, &old.backoff_limit_per_index));
    errors.extend(validate::immutable(&path.child("managedBy"), &new.managed_by, &old.managed_by));
    errors.extend(validate::immutable(&path.child("successPolicy"), &new.success_policy, &old.success_policy));
    errors
}

/// An Indexed Job may be resized, as long as all its indexes run at once.
fn check_completions_update(path: &Path, new: &JobSpec, old: &JobSpec) -> Errors {
    if new.completion_mode.as_deref() != Some("Indexed") {
        return validate::immutable(path, &new.completions, &old.completions);
    }
    match new.completions {
        Some(completions) if new.completions != old.completions && new.completions != new.parallelism => {
            vec![Error::invalid(path, completions, "can only be modified in tandem with spec.parallelism")]
        }
        _ => Errors::new(),
    }
}

/// Suspended, without pods: where its pods will run, and what they are given, may still be decided.
fn is_idle(job: &Job) -> bool {
    let suspended = job.spec.as_ref().is_some_and(|s| s.suspend == Some(true));
    let idle = |status: &JobStatus| (status.start_time.is_none() || job_status::is(status, "Suspended")) && status.active.unwrap_or(0) == 0;
    suspended && job.status.as_ref().is_none_or(idle)
}

fn check_template_update(path: &Path, new: &PodTemplateSpec, old: &PodTemplateSpec, idle: bool) -> Errors {
    if !idle {
        return validate::immutable(path, new, old);
    }
    // Labels and annotations may change too.
    let mut allowed = old.clone();
    if let (Some(allowed), Some(new)) = (&mut allowed.spec, &new.spec) {
        allowed.node_selector.clone_from(&new.node_selector);
        allowed.tolerations.clone_from(&new.tolerations);
        allowed.scheduling_gates.clone_from(&new.scheduling_gates);
        keep_resources(&mut allowed.containers, &new.containers);
        keep_resources(allowed.init_containers.as_deref_mut().unwrap_or_default(), new.init_containers.as_deref().unwrap_or_default());
        let node_affinity = new.affinity.as_ref().and_then(|a| a.node_affinity.clone());
        if allowed.affinity.is_some() || new.affinity.is_some() {
            let affinity = zero::keep(&mut allowed.affinity);
            affinity.node_affinity = node_affinity;
            if new.affinity.is_none() {
                zero::omit(&mut allowed.affinity);
            }
        }
    }
    validate::immutable(&path.child("spec"), &new.spec, &allowed.spec)
}

/// Lets containers of the same names ask for other resources.
fn keep_resources(allowed: &mut [Container], new: &[Container]) {
    if allowed.len() != new.len() {
        return;
    }
    for (allowed, new) in allowed.iter_mut().zip(new).filter(|(allowed, new)| allowed.name == new.name) {
        allowed.resources.clone_from(&new.resources);
    }
}

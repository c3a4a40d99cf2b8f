//! Validation of a Job's policies: which pod failures count, and when enough indexes have succeeded.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::{
    JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
    SuccessPolicy, SuccessPolicyRule,
};
use machinery::field::{Error, Errors, Path};
use machinery::names;

use super::indexes;
use crate::counts::non_negative;
use crate::validate;

const MOST_RULES: usize = 20;
const MOST_EXIT_CODES: usize = 255;
const MOST_CONDITIONS: usize = 20;
const MOST_INDEX_BYTES: usize = 64 << 10;

fn at_most(path: &Path, actual: usize, most: usize) -> Option<Error> {
    (actual > most).then(|| Error::too_many(path, actual, most))
}

pub(super) fn check_failure(path: &Path, spec: &JobSpec, policy: &PodFailurePolicy) -> Errors {
    let path = path.child("rules");
    let mut errors: Errors = at_most(&path, policy.rules.len(), MOST_RULES).into_iter().collect();
    for (i, rule) in policy.rules.iter().enumerate() {
        errors.extend(check_failure_rule(&path.index(i), spec, rule));
    }
    errors
}

fn check_failure_rule(path: &Path, spec: &JobSpec, rule: &PodFailurePolicyRule) -> Errors {
    let action = path.child("action");
    let mut errors = validate::one_of(&action, Some(&rule.action), &["Count", "FailIndex", "FailJob", "Ignore"]);
    if rule.action == "FailIndex" && spec.backoff_limit_per_index.is_none() {
        errors.push(Error::invalid(&action, &rule.action, "requires backoffLimitPerIndex"));
    }
    let conditions = rule.on_pod_conditions.as_deref().unwrap_or_default();
    if let Some(codes) = &rule.on_exit_codes {
        errors.extend(check_exit_codes(&path.child("onExitCodes"), spec, codes));
    }
    errors.extend(check_conditions(&path.child("onPodConditions"), conditions));
    if rule.on_exit_codes.is_some() != conditions.is_empty() {
        errors.push(Error::bare_invalid(path, "exactly one of onExitCodes and onPodConditions is required"));
    }
    errors
}

fn check_conditions(path: &Path, patterns: &[PodFailurePolicyOnPodConditionsPattern]) -> Errors {
    let mut errors: Errors = at_most(path, patterns.len(), MOST_CONDITIONS).into_iter().collect();
    for (i, pattern) in patterns.iter().enumerate() {
        let path = path.index(i);
        errors.extend(validate::complaints(&path.child("type"), &pattern.type_, names::qualified_name(&pattern.type_)));
        errors.extend(validate::one_of(&path.child("status"), pattern.status.as_deref(), &["False", "True", "Unknown"]));
    }
    errors
}

fn check_exit_codes(path: &Path, spec: &JobSpec, codes: &PodFailurePolicyOnExitCodesRequirement) -> Errors {
    let mut errors = validate::one_of(&path.child("operator"), Some(&codes.operator), &["In", "NotIn"]);
    if let Some(name) = &codes.container_name {
        let pod = spec.template.spec.as_ref();
        let mut containers = pod.into_iter().flat_map(|p| p.containers.iter().chain(p.init_containers.iter().flatten()));
        if !containers.any(|c| c.name == *name) {
            errors.push(Error::invalid(&path.child("containerName"), name, "must be one of the template's containers"));
        }
    }
    let path = path.child("values");
    if codes.values.is_empty() {
        errors.push(Error::invalid(&path, &codes.values, "at least one value is required"));
    }
    errors.extend(at_most(&path, codes.values.len(), MOST_EXIT_CODES));
    let mut seen = BTreeSet::new();
    for (i, code) in codes.values.iter().enumerate() {
        if codes.operator == "In" && *code == 0 {
            errors.push(Error::invalid(&path.index(i), *code, "must not be 0 for the In operator"));
        }
        if !seen.insert(code) {
            errors.push(Error::duplicate(&path.index(i), *code));
        }
    }
    if !codes.values.is_sorted() {
        errors.push(Error::invalid(&path, &codes.values, "must be ordered"));
    }
    errors
}

pub(super) fn check_success(path: &Path, spec: &JobSpec, policy: &SuccessPolicy) -> Errors {
    if spec.completion_mode.as_deref() != Some("Indexed") {
        return vec![Error::invalid(path, policy, "requires indexed completion mode")];
    }
    let path = path.child("rules");
    let mut errors = Errors::new();
    if policy.rules.is_empty() {
        errors.push(Error::required(&path, "at least one"));
    }
    errors.extend(at_most(&path, policy.rules.len(), MOST_RULES));
    for (i, rule) in policy.rules.iter().enumerate() {
        errors.extend(check_success_rule(&path.index(i), spec.completions.unwrap_or(0), rule));
    }
    errors
}

fn check_success_rule(path: &Path, completions: i32, rule: &SuccessPolicyRule) -> Errors {
    let mut errors = Errors::new();
    if rule.succeeded_count.is_none() && rule.succeeded_indexes.is_none() {
        errors.push(Error::required(path, "one of succeededCount and succeededIndexes"));
    }
    let mut named = None;
    if let Some(text) = &rule.succeeded_indexes {
        let path = path.child("succeededIndexes");
        if text.len() > MOST_INDEX_BYTES {
            errors.push(Error::too_long(&path, MOST_INDEX_BYTES));
        }
        match indexes::count(text, completions) {
            Ok(count) => named = Some(count),
            Err(why) => {
                errors.push(Error::invalid(&path, text, why));
                named = Some(0);
            }
        }
    }
    if let Some(count) = rule.succeeded_count {
        let path = path.child("succeededCount");
        errors.extend(non_negative(&path, rule.succeeded_count));
        if count > completions {
            errors.push(Error::invalid(&path, count, format!("must be less than or equal to {completions} (the completions)")));
        }
        if let Some(named) = named.filter(|named| count > *named) {
            errors.push(Error::invalid(&path, count, format!("must be less than or equal to {named} (the indexes of succeededIndexes)")));
        }
    }
    errors
}

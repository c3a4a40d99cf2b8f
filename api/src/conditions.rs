//! Conditions of the common form, `meta/v1.Condition`, as newer kinds have them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use machinery::field::{Error, Errors, Path};
use machinery::names;
use serde_json::{Map, Value, json};

use crate::validate::{complaints, supported_value};

const LONGEST_REASON_BYTES: usize = 1 << 10;
const LONGEST_MESSAGE_BYTES: usize = 32 << 10;
/// Stands for a time that is not there, as it does in Kubernetes' own types: k8s-openapi's has no other way to say so. It is
/// written as null.
pub(crate) const NO_TIME: &str = "0001-01-01T00:00:00Z";
const YEAR_OF_NO_TIME: i64 = -62_135_596_800;

/// Marks the times that conditions below `status` lack. For [`crate::Kind::MARK`].
pub(crate) fn mark_missing_times(object: &mut Map<String, Value>) {
    if let Some(conditions) = object.get_mut("status").and_then(|status| status.get_mut("conditions")) {
        mark_list(conditions);
    }
}

/// The same for one list of conditions.
pub(crate) fn mark_list(conditions: &mut Value) {
    for condition in conditions.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        let time = condition.entry("lastTransitionTime").or_insert(Value::Null);
        if time.is_null() {
            *time = json!(NO_TIME);
        }
    }
}

/// What is wrong with a list of conditions, each of a type of its own.
pub(crate) fn validate(path: &Path, conditions: &[Condition]) -> Errors {
    let mut errors = Errors::new();
    for (i, condition) in conditions.iter().enumerate() {
        let at = path.index(i);
        if conditions[..i].iter().any(|before| before.type_ == condition.type_) {
            errors.push(Error::duplicate(&at.child("type"), &condition.type_));
        }
        errors.extend(validate_condition(&at, condition));
    }
    errors
}

fn validate_condition(path: &Path, condition: &Condition) -> Errors {
    let mut errors = complaints(&path.child("type"), &condition.type_, names::qualified_name(&condition.type_));
    errors.extend(supported_value(&path.child("status"), &condition.status, &["False", "True", "Unknown"]));
    if let Some(generation) = condition.observed_generation.filter(|generation| *generation < 0) {
        errors.push(Error::invalid(&path.child("observedGeneration"), generation, "must be greater than or equal to 0"));
    }
    if condition.last_transition_time.0.as_second() == YEAR_OF_NO_TIME {
        errors.push(Error::required(&path.child("lastTransitionTime"), ""));
    }
    let reason = path.child("reason");
    if condition.reason.is_empty() {
        errors.push(Error::required(&reason, ""));
    } else {
        if !is_reason(&condition.reason) {
            let why = "must begin with a letter, go on with letters, digits, '_', ',' and ':', and not end with one of the last two";
            errors.push(Error::invalid(&reason, &condition.reason, why));
        }
        if condition.reason.len() > LONGEST_REASON_BYTES {
            errors.push(Error::too_long(&reason, LONGEST_REASON_BYTES));
        }
    }
    if condition.message.len() > LONGEST_MESSAGE_BYTES {
        errors.push(Error::too_long(&path.child("message"), LONGEST_MESSAGE_BYTES));
    }
    errors
}

fn is_reason(reason: &str) -> bool {
    let all = reason.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b',' | b':'));
    all && reason.starts_with(|c: char| c.is_ascii_alphabetic()) && !reason.ends_with([',', ':'])
}

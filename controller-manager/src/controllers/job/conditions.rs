//! A Job's conditions.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{JobCondition, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub(super) fn holds(status: &JobStatus, name: &str) -> bool {
    status.conditions.iter().flatten().any(|c| c.type_ == name && c.status == "True")
}

/// When the Job came to its end.
pub(in crate::controllers) fn finish_time(status: &JobStatus) -> Option<Timestamp> {
    let last = |c: &&JobCondition| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True";
    status.conditions.iter().flatten().find(last)?.last_transition_time.as_ref().map(|time| time.0)
}

/// Sets a condition to true; one that is true already stays as it is.
pub(super) fn set(status: &mut JobStatus, now: Timestamp, name: &str, reason: &str, message: &str) {
    if !holds(status, name) {
        put(status, now, name, "True", reason, message);
    }
}

pub(super) fn unset(status: &mut JobStatus, now: Timestamp, name: &str, reason: &str, message: &str) {
    put(status, now, name, "False", reason, message);
}

fn put(status: &mut JobStatus, now: Timestamp, name: &str, value: &str, reason: &str, message: &str) {
    let condition = JobCondition {
        type_: name.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    };
    let conditions = status.conditions.get_or_insert_default();
    match conditions.iter_mut().find(|c| c.type_ == name) {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

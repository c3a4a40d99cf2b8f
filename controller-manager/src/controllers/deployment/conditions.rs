//! A Deployment's conditions: Available, Progressing and ReplicaFailure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Rollout, status};

pub(super) const PROGRESSING: &str = "Progressing";
pub(super) const NEW_AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

pub(super) fn get<'a>(deployment: &'a Deployment, name: &str) -> Option<&'a DeploymentCondition> {
    deployment.status.as_ref()?.conditions.iter().flatten().find(|c| c.type_ == name)
}

pub(super) fn remove(deployment: &mut Deployment, name: &str) {
    if let Some(conditions) = deployment.status.as_mut().and_then(|s| s.conditions.as_mut()) {
        conditions.retain(|c| c.type_ != name);
    }
}

/// Sets a condition. One that says so already stays as and where it is; another is replaced at the end of the list.
pub(super) fn set(deployment: &mut Deployment, now: Timestamp, name: &str, value: &str, reason: &str, message: String) {
    let known = get(deployment, name);
    if known.is_some_and(|c| c.status == value && c.reason.as_deref() == Some(reason)) {
        return;
    }
    let since = known.filter(|c| c.status == value).and_then(|c| c.last_transition_time.clone());
    let condition = DeploymentCondition {
        type_: name.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(Time(now)),
        last_transition_time: Some(since.unwrap_or(Time(now))),
    };
    remove(deployment, name);
    deployment.status.get_or_insert_default().conditions.get_or_insert_default().push(condition);
}

fn has_deadline(rollout: &Rollout<'_>) -> Option<i32> {
    rollout.spec.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX)
}

/// Shows that a Deployment was paused or resumed: the time in between does not count against its deadline.
pub(super) fn follow_pause(rollout: &Rollout<'_>, deployment: &mut Deployment) {
    if has_deadline(rollout).is_none() {
        return;
    }
    let reason = get(deployment, PROGRESSING).and_then(|c| c.reason.clone());
    if reason.as_deref() == Some(TIMED_OUT) {
        return;
    }
    let shown = reason.as_deref() == Some(PAUSED);
    match rollout.spec.paused == Some(true) {
        true if !shown => set(deployment, rollout.now, PROGRESSING, "Unknown", PAUSED, "The rollout is paused".to_owned()),
        false if shown => {
            set(deployment, rollout.now, PROGRESSING, "Unknown", "DeploymentResumed", "The rollout goes on".to_owned());
        }
        _ => {}
    }
}

pub(super) fn created_new(rollout: &Rollout<'_>, deployment: &mut Deployment, name: &str) {
    if has_deadline(rollout).is_some() {
        let message = format!("Created new replica set \"{name}\"");
        set(deployment, rollout.now, PROGRESSING, "True", "NewReplicaSetCreated", message);
    }
}

/// The new ReplicaSet was there already, as after a rollback.
pub(super) fn found_new(rollout: &Rollout<'_>, deployment: &mut Deployment, name: &str) {
    if has_deadline(rollout).is_some() && get(deployment, PROGRESSING).is_none() {
        let message = format!("Found new replica set \"{name}\"");
        set(deployment, rollout.now, PROGRESSING, "True", "FoundNewReplicaSet", message);
    }
}

pub(super) fn available(rollout: &Rollout<'_>, deployment: &mut Deployment, available: i32) {
    let (value, reason, message) = if available >= rollout.replicas - rollout.unavailable {
        ("True", "MinimumReplicasAvailable", "Enough replicas are available")
    } else {
        ("False", "MinimumReplicasUnavailable", "Too few replicas are available")
    };
    set(deployment, rollout.now, "Available", value, reason, message.to_owned());
}

/// Judges progress by what changed since the status that is stored.
pub(super) fn progress(rollout: &Rollout<'_>, deployment: &mut Deployment) {
    let Some(deadline) = has_deadline(rollout) else { return remove(deployment, PROGRESSING) };
    let known = get(deployment, PROGRESSING).cloned();
    let counts = deployment.status.clone().unwrap_or_default();
    let rolled_out = known.as_ref().is_some_and(|c| c.reason.as_deref() == Some(NEW_AVAILABLE));
    // Once a rollout has come to its end, pods that fail later are no lack of progress.
    if rolled_out && counts.replicas == counts.updated_replicas {
        return;
    }
    let what = match &rollout.new {
        Some(new) => format!("ReplicaSet \"{}\"", new.set.header().name()),
        None => format!("Deployment \"{}\"", rollout.deployment.header().name()),
    };
    if status::is_complete(rollout.spec, deployment) {
        set(deployment, rollout.now, PROGRESSING, "True", NEW_AVAILABLE, format!("{what} has rolled out"));
    } else if status::has_progressed(rollout, &counts) {
        // Every step of progress renews the time that the deadline counts from.
        let since = known.filter(|c| c.status == "True").and_then(|c| c.last_transition_time);
        remove(deployment, PROGRESSING);
        set(deployment, rollout.now, PROGRESSING, "True", "ReplicaSetUpdated", format!("{what} is progressing"));
        let conditions = deployment.status.as_mut().and_then(|s| s.conditions.as_mut());
        if let (Some(since), Some(last)) = (since, conditions.and_then(|c| c.last_mut())) {
            last.last_transition_time = Some(since);
        }
    } else if deadline_of(known.as_ref(), deadline).is_some_and(|at| at <= rollout.now.as_second()) {
        set(deployment, rollout.now, PROGRESSING, "False", TIMED_OUT, format!("{what} has not progressed in time"));
    }
}

/// Shows the failure of a ReplicaSet to make its pods, the new one's first.
pub(super) fn replica_failure(rollout: &Rollout<'_>, deployment: &mut Deployment) {
    const TYPE: &str = "ReplicaFailure";
    let failure = rollout.new.iter().chain(&rollout.old).find_map(|member| {
        let conditions = member.set.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|c| c.type_ == TYPE && c.status == "True")
    });
    match failure {
        None => remove(deployment, TYPE),
        Some(failure) => {
            let message = failure.message.clone().unwrap_or_default();
            let reason = failure.reason.clone().unwrap_or_default();
            set(deployment, rollout.now, TYPE, "True", &reason, message);
        }
    }
}

/// When the present lack of progress becomes a failure; None where the clock is not running.
fn deadline_of(condition: Option<&DeploymentCondition>, deadline: i32) -> Option<i64> {
    let condition = condition.filter(|c| !matches!(c.reason.as_deref(), Some(NEW_AVAILABLE | TIMED_OUT | PAUSED)))?;
    Some(condition.last_update_time.as_ref()?.0.as_second() + i64::from(deadline))
}

/// How long until the progress deadline has to be looked at.
pub(super) fn next_deadline(rollout: &Rollout<'_>, deployment: &Deployment) -> Option<Duration> {
    if status::is_complete(rollout.spec, deployment) {
        return None;
    }
    let at = deadline_of(get(deployment, PROGRESSING), has_deadline(rollout)?)?;
    Some(Duration::from_secs(u64::try_from(at - rollout.now.as_second()).unwrap_or(0) + 1))
}

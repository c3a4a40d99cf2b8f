//! A Deployment's counts, and what they say about its rollout.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSetStatus};

use super::{Rollout, conditions};

/// Counts the pods of all ReplicaSets and sets the conditions that follow from them.
pub(super) fn fill(rollout: &Rollout<'_>, deployment: &mut Deployment) {
    let sum = |of: &dyn Fn(&ReplicaSetStatus) -> i32| -> i32 { rollout.members().filter_map(|m| m.set.status.as_ref()).map(of).sum() };
    let positive = |count: i32| Some(count).filter(|count| *count > 0);
    let available = sum(&|s| s.available_replicas.unwrap_or(0));
    let replicas = sum(&|s| s.replicas);
    // The ReplicaSets are to have this many; those that they have not made yet are unavailable too.
    let unavailable =
        (rollout.members().map(|m| m.set.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)).sum::<i32>() - available).max(0);
    let generation = deployment.metadata.generation;
    let status = deployment.status.get_or_insert_default();
    status.observed_generation = generation;
    status.replicas = positive(replicas);
    status.updated_replicas = positive(rollout.new.as_ref().map_or(0, |m| m.replicas()));
    status.ready_replicas = positive(sum(&|s| s.ready_replicas.unwrap_or(0)));
    status.available_replicas = positive(available);
    status.unavailable_replicas = positive(unavailable);
    status.terminating_replicas = Some(sum(&|s| s.terminating_replicas.unwrap_or(0)));
    conditions::available(rollout, deployment, available);
    conditions::progress(rollout, deployment);
    conditions::replica_failure(rollout, deployment);
}

/// Whether all pods are of the present template and available, and the status speaks of the present generation.
pub(super) fn is_complete(spec: &DeploymentSpec, deployment: &Deployment) -> bool {
    let wanted = spec.replicas.unwrap_or(1);
    let Some(status) = &deployment.status else { return false };
    let all = |count: Option<i32>| count.unwrap_or(0) == wanted;
    all(status.updated_replicas)
        && all(status.replicas)
        && all(status.available_replicas)
        && status.observed_generation >= deployment.metadata.generation
}

/// Whether the new counts are better than those stored.
pub(super) fn has_progressed(rollout: &Rollout<'_>, new: &DeploymentStatus) -> bool {
    let none = DeploymentStatus::default();
    let old = rollout.deployment.status.as_ref().unwrap_or(&none);
    let count = |count: Option<i32>| count.unwrap_or(0);
    let outdated = |status: &DeploymentStatus| count(status.replicas) - count(status.updated_replicas);
    count(new.updated_replicas) > count(old.updated_replicas)
        || outdated(new) < outdated(old)
        || count(new.ready_replicas) > count(old.ready_replicas)
        || count(new.available_replicas) > count(old.available_replicas)
}

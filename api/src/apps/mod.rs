//! Kinds of the group `apps`.

pub mod controller_revision;
pub mod daemon_set;
pub mod deployment;
pub mod replica_set;
pub(crate) mod selector;
pub mod stateful_set;
pub(crate) mod template;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Marks a change of the desired state.
pub(crate) fn bump_generation(new: &mut ObjectMeta, old: &ObjectMeta) {
    new.generation = Some(old.generation.unwrap_or(0) + 1);
}

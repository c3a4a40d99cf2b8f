//! Kinds of the group `rbac.authorization.k8s.io`.

pub mod cluster_role;
pub mod cluster_role_binding;
pub mod role;
pub mod role_binding;
mod rules;
mod subjects;

/// The group, which subjects and references name as well.
const GROUP: &str = "rbac.authorization.k8s.io";

//! Kinds of the group `apiextensions.k8s.io`.

pub mod custom_resource_definition;

/// The group's name.
const GROUP: &str = "apiextensions.k8s.io";

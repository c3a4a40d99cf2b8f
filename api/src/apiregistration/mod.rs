//! Kinds of the group `apiregistration.k8s.io`.

pub mod api_service;

/// The group's name.
const GROUP: &str = "apiregistration.k8s.io";

//! Kinds of the group `resource.k8s.io`: devices, and claims to them.

mod allocation;
mod claims;
mod device;
pub mod device_class;
pub mod resource_claim;
pub mod resource_claim_template;
pub mod resource_slice;
mod selector;
mod vocabulary;

use crate::kind::Names;

/// The names of one of the group's kinds.
const fn names(kind: &'static str, plural: &'static str, singular: &'static str) -> Names {
    Names { group: "resource.k8s.io", version: "v1", kind, plural, singular, short: &[], categories: &[] }
}

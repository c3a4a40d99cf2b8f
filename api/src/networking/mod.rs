//! Kinds of the group `networking.k8s.io`.

pub mod ingress;
pub mod ingress_class;
pub mod ip_address;
pub mod network_policy;
pub mod service_cidr;

use machinery::field::{Error, Errors, Path};
use machinery::names;

use crate::validate;

/// The group's name.
const GROUP: &str = "networking.k8s.io";

/// A reference to an object of any kind, whose names only have to fit into paths.
fn check_reference(path: &Path, group: Option<&str>, kind: &str, name: &str) -> Errors {
    let mut errors = Errors::new();
    if let Some(group) = group {
        errors.extend(validate::complaints(&path.child("apiGroup"), group, names::dns1123_subdomain(group, false)));
    }
    for (field, value) in [("kind", kind), ("name", name)] {
        errors.extend(check_segment(&path.child(field), value));
    }
    errors
}

/// A text that must be there and fit into a path.
fn check_segment(path: &Path, text: &str) -> Errors {
    if text.is_empty() {
        return vec![Error::required(path, "")];
    }
    validate::complaints(path, text, names::path_segment(text, false))
}

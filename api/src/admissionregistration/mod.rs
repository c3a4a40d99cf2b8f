//! Kinds of the group `admissionregistration.k8s.io`: webhooks and policies that writes have to pass.

pub mod environment;
mod expressions;
mod matching;
pub mod mutating_admission_policy;
pub mod mutating_admission_policy_binding;
pub mod mutating_webhook_configuration;
pub mod type_checking;
pub mod validating_admission_policy;
pub mod validating_admission_policy_binding;
pub mod validating_webhook_configuration;
pub(crate) mod webhooks;

use machinery::field::{Error, Errors, Path};

use crate::kind::Names;
use crate::validate;

const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
const REINVOCATION_POLICIES: [&str; 2] = ["IfNeeded", "Never"];

/// The names of one of the group's kinds.
const fn names(kind: &'static str, plural: &'static str, singular: &'static str) -> Names {
    Names { group: "admissionregistration.k8s.io", version: "v1", kind, plural, singular, short: &[], categories: &["api-extensions"] }
}

/// A choice that has a default: `Required` where absent, `NotSupported` where it is anything else, even empty.
fn choice(path: &Path, value: Option<&str>, supported: &[&str]) -> Errors {
    value.map_or_else(|| vec![Error::required(path, "")], |value| validate::supported_value(path, value, supported))
}

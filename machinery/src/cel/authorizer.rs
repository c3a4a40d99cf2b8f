//! What the variable `authorizer` offers: checks that are put together step by step, and decided by the server.

use super::types;

/// Who may do what; implemented by the API server for the user of a request.
pub trait Authorizer {
    /// Whether the user, or the service account that the check names in its place, may do it.
    fn decide(&self, check: &Check, verb: &str) -> Verdict;
}

/// What a check is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Check {
    /// Namespace and name.
    pub service_account: Option<(String, String)>,
    /// A path that is no resource's; the fields below are empty then.
    pub path: Option<String>,
    pub group: String,
    /// None while only the group is known, of which nothing can be asked.
    pub resource: Option<String>,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub field_selector: String,
    pub label_selector: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    pub allowed: bool,
    pub reason: String,
    pub error: Option<String>,
}

impl Check {
    pub(super) fn type_name(&self) -> &'static str {
        match (&self.path, &self.resource) {
            (Some(_), _) => types::PATH_CHECK,
            (_, Some(_)) => types::RESOURCE_CHECK,
            _ => types::GROUP_CHECK,
        }
    }
}

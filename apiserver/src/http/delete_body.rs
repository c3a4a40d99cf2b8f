//! `metav1.DeleteOptions`, as the body of a delete.

use machinery::{Status, status};
use serde::{Deserialize, Serialize};

use crate::verbs::{DeleteOptions, delete_options};

/// The options as a body has them.
#[derive(Clone, Deserialize, Serialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DeleteBody {
    kind: Option<String>,
    #[serde(skip_deserializing)]
    api_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_period_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preconditions: Option<Preconditions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orphan_dependents: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    propagation_policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<Vec<String>>,
}

#[derive(Clone, Deserialize, Serialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_version: Option<String>,
}

impl DeleteBody {
    /// As the audit log has it: in the version that upstream reads it into.
    pub(super) fn shown(&self) -> Vec<u8> {
        let named = Self { kind: Some("DeleteOptions".to_owned()), api_version: "meta.k8s.io/__internal", ..self.clone() };
        serde_json::to_vec(&named).unwrap_or_default()
    }

    pub(super) fn options(self) -> status::Result<DeleteOptions> {
        if let Some(kind) = self.kind.as_deref().filter(|k| !matches!(*k, "" | "DeleteOptions")) {
            return Err(Status::bad_request(format!("the body is a {kind}, not DeleteOptions")));
        }
        let mut errors = Vec::new();
        let dry_run = self.dry_run.unwrap_or_default();
        let dry_run: Vec<&str> = dry_run.iter().map(String::as_str).collect();
        let preconditions = self.preconditions.unwrap_or_default();
        let options = DeleteOptions {
            propagation: delete_options::propagation(self.propagation_policy.as_deref().filter(|p| !p.is_empty()), &mut errors),
            orphan_dependents: self.orphan_dependents,
            grace_period_seconds: self.grace_period_seconds,
            uid: preconditions.uid,
            resource_version: preconditions.resource_version,
            dry_run: delete_options::validate_dry_run(&dry_run, &mut errors),
        };
        delete_options::check_delete(options, errors)
    }
}

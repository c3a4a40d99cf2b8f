//! Why an apply was refused, and the Status that says so.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::entry::{Entry, Operation};
use super::extract::Mismatch;
use crate::status::Status;

/// A field that somebody else owns and that an apply would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns it, for the message: `"kubectl" using apps/v1`.
    pub owner: String,
    /// The field, such as `.spec.replicas`.
    pub path: String,
}

/// Why an apply was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("an applied configuration cannot have metadata.managedFields")]
    ManagedFieldsApplied,
    /// The configuration is not of its type: unknown fields, wrong types, an element twice.
    #[error("the applied configuration does not fit its type: {0}")]
    Mismatch(#[from] Mismatch),
    #[error("the managed fields of the object cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("{}", summary(.0))]
    Conflicts(Vec<Conflict>),
}

fn summary(conflicts: &[Conflict]) -> String {
    match conflicts {
        [one] => format!("apply failed with 1 conflict: {} is owned by {}", one.path, one.owner),
        many => {
            let list: Vec<_> = many.iter().map(|conflict| format!("{} is owned by {}", conflict.path, conflict.owner)).collect();
            format!("apply failed with {} conflicts: {}", many.len(), list.join(", "))
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::ManagedFieldsApplied => Self::bad_request(message),
            // Upstream never classified these.
            Error::Mismatch(_) | Error::Unreadable(_) => Self::unclassified(message),
            Error::Conflicts(conflicts) => {
                let status = Self { status: "Failure".into(), code: 409, reason: "Conflict".into(), message, ..Self::default() };
                conflicts.into_iter().fold(status, |status, conflict| {
                    status.with_cause("FieldManagerConflict", format!("conflict with {}", conflict.owner), &conflict.path)
                })
            }
        }
    }
}

/// How a message names the owner of a field.
pub(super) fn owner(entry: &Entry) -> String {
    let mut owner = format!("{:?}", entry.manager);
    if !entry.subresource.is_empty() {
        owner.push_str(&format!(" with subresource {:?}", entry.subresource));
    }
    if entry.operation == Operation::Update {
        owner.push_str(&format!(" using {}", entry.api_version));
        if let Some(Time(time)) = &entry.time {
            owner.push_str(&format!(" at {time}"));
        }
    }
    owner
}

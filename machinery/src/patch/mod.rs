//! The three ways in which a client may say what to change in an object: JSON patch (RFC 6902), JSON merge patch
//! (RFC 7386) and strategic merge patch, which knows from the schema which lists merge and by which key.
//!
//! A patch that succeeds never nests an object deeper than what it was made of did, or than
//! [`json::MAX_DEPTH`], so its result can always be read again.

pub mod json;
pub mod merge;
pub mod strategic;

#[cfg(test)]
mod laws;

use crate::status::{Details, Status};

/// Why a patch was refused. Turns into the [`Status`] that Kubernetes answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The document is not a patch of its type: 400.
    #[error("error decoding patch: {0}")]
    Malformed(String),
    /// More operations than one JSON patch may hold: 413.
    #[error("a JSON patch may hold {most} operations at most, this one has {count}", most = json::MAX_OPERATIONS)]
    TooManyOperations { count: usize },
    /// A well-formed patch that does not fit the object: 422 with empty details.
    #[error("{0}")]
    DoesNotApply(String),
    /// A `test` of a JSON patch that does not hold: 422 as well.
    #[error("{0}")]
    TestFailed(String),
    /// A strategic merge patch whose directives or list elements make no sense for the field: a bare 500, as
    /// upstream never classified these errors.
    #[error("{0}")]
    Nonsense(String),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Malformed(_) => Self::bad_request(message),
            Error::TooManyOperations { .. } => {
                Self { status: "Failure".into(), code: 413, reason: "RequestEntityTooLarge".into(), message, ..Self::default() }
            }
            Error::DoesNotApply(_) | Error::TestFailed(_) => Self {
                status: "Failure".into(),
                code: 422,
                reason: "Invalid".into(),
                message,
                details: Some(Box::new(Details::default())),
                ..Self::default()
            },
            Error::Nonsense(_) => Self::unclassified(message),
        }
    }
}

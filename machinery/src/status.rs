//! [`Status`], the error of every API call: `metav1.Status` with the HTTP code, reason, details and causes that
//! Kubernetes gives. Constructors are named as upstream's `api/errors` names them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::field;
use crate::meta::{GroupKind, GroupResource};

/// A failed (or, for deletes, a finished) call, as clients see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    pub kind: StatusKind,
    pub api_version: StatusVersion,
    pub metadata: ListMeta,
    /// `Success` or `Failure`.
    pub status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Details>>,
    /// The HTTP status code.
    #[serde(skip_serializing_if = "is_zero")]
    pub code: u16,
    /// What the client should know besides; told in headers, never in the body.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

fn is_zero(code: &u16) -> bool {
    *code == 0
}

/// The constant `Status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StatusKind {
    #[default]
    Status,
}

/// The constant `v1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StatusVersion {
    #[default]
    #[serde(rename = "v1")]
    V1,
}

/// The (empty) list metadata that a Status carries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMeta {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    #[serde(rename = "continue", skip_serializing_if = "String::is_empty")]
    pub continue_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_item_count: Option<i64>,
}

/// What a Status is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// A kind or a resource, depending on the error, as upstream has it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    #[serde(skip_serializing_if = "is_zero_seconds")]
    pub retry_after_seconds: i32,
}

fn is_zero_seconds(seconds: &i32) -> bool {
    *seconds == 0
}

/// One of the reasons for a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cause {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

pub type Result<T, E = Status> = std::result::Result<T, E>;

impl Status {
    fn failure(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self { status: "Failure".into(), code, reason: reason.into(), message: message.into(), ..Self::default() }
    }

    fn about(mut self, details: Details) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    fn about_resource(self, resource: &GroupResource, name: &str) -> Self {
        self.about(Details {
            group: resource.group.to_string(),
            kind: resource.resource.to_string(),
            name: name.into(),
            ..Details::default()
        })
    }

    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::failure(404, "NotFound", format!("{resource} {name:?} not found")).about_resource(resource, name)
    }

    /// A path that no resource answers to.
    pub fn path_not_found() -> Self {
        Self::failure(404, "NotFound", "the server could not find the requested resource").about(Details::default())
    }

    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Self::failure(409, "AlreadyExists", format!("{resource} {name:?} already exists")).about_resource(resource, name)
    }

    pub fn conflict(resource: &GroupResource, name: &str, why: impl fmt::Display) -> Self {
        Self::failure(409, "Conflict", format!("Operation cannot be fulfilled on {resource} {name:?}: {why}"))
            .about_resource(resource, name)
    }

    /// An object that failed validation; one cause per error.
    pub fn invalid(kind: &GroupKind, name: &str, errors: &[field::Error]) -> Self {
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let shown = match texts.as_slice() {
            [] => String::new(),
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let causes =
            errors.iter().map(|e| Cause { reason: e.kind.reason().into(), message: e.body(), field: e.field.to_string() }).collect();
        Self::failure(422, "Invalid", format!("{kind} {name:?} is invalid: {shown}")).about(Details {
            group: kind.group.to_string(),
            kind: kind.kind.to_string(),
            name: name.into(),
            causes,
            ..Details::default()
        })
    }

    pub fn bad_request(why: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", why)
    }

    pub fn unauthorized() -> Self {
        Self::failure(401, "Unauthorized", "Unauthorized")
    }

    pub fn forbidden(resource: &GroupResource, name: &str, why: impl fmt::Display) -> Self {
        let named = if name.is_empty() { resource.to_string() } else { format!("{resource} {name:?}") };
        Self::failure(403, "Forbidden", format!("{named} is forbidden: {why}")).about_resource(resource, name)
    }

    pub fn method_not_supported(resource: &GroupResource, action: &str) -> Self {
        Self::failure(405, "MethodNotAllowed", format!("{action} is not supported on resources of kind {:?}", resource.to_string()))
            .about_resource(resource, "")
    }

    pub fn not_acceptable(accepted: &[&str]) -> Self {
        Self::failure(406, "NotAcceptable", format!("only the following media types are accepted: {}", accepted.join(", ")))
    }

    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        Self::failure(
            415,
            "UnsupportedMediaType",
            format!("the body of the request was in an unknown format - accepted media types include: {}", accepted.join(", ")),
        )
    }

    pub fn too_large(limit_bytes: usize) -> Self {
        Self::failure(413, "RequestEntityTooLarge", format!("the request body is larger than the limit of {limit_bytes} bytes"))
    }

    pub fn too_many_requests(why: impl Into<String>, retry_after_seconds: i32) -> Self {
        Self::failure(429, "TooManyRequests", why).about(Details { retry_after_seconds, ..Details::default() })
    }

    /// The resource version asked for is gone; a client lists again.
    pub fn expired(why: impl Into<String>) -> Self {
        Self::failure(410, "Expired", why)
    }

    pub fn gone(why: impl Into<String>) -> Self {
        Self::failure(410, "Gone", why)
    }

    pub fn timeout(why: impl Into<String>, retry_after_seconds: i32) -> Self {
        Self::failure(504, "Timeout", why).about(Details { retry_after_seconds, ..Details::default() })
    }

    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::failure(503, "ServiceUnavailable", why)
    }

    pub fn internal(why: impl Into<String>) -> Self {
        let why = why.into();
        let cause = Cause { message: why.clone(), ..Cause::default() };
        Self::failure(500, "InternalError", format!("Internal error occurred: {why}"))
            .about(Details { causes: vec![cause], ..Details::default() })
    }

    /// An error that upstream answers with a bare 500: no reason, no details.
    pub fn unclassified(why: impl Into<String>) -> Self {
        Self { status: "Failure".into(), code: 500, message: why.into(), ..Self::default() }
    }

    /// A call that did what it was asked to and has no object to show.
    pub fn success(details: Option<Details>) -> Self {
        Self { status: "Success".into(), code: 0, details: details.map(Box::new), ..Self::default() }
    }

    /// The same Status, saying that there are details and naming none, as upstream does where it knows no resource.
    pub fn without_details(mut self) -> Self {
        self.details = Some(Box::default());
        self
    }

    /// The same Status, told with warnings that were found before the failure was.
    pub fn with_warnings(mut self, warnings: &[String]) -> Self {
        self.warnings.splice(0..0, warnings.iter().cloned());
        self
    }

    /// The same Status with one more cause.
    pub fn with_cause(mut self, reason: &str, message: impl Into<String>, field: &str) -> Self {
        let cause = Cause { reason: reason.into(), message: message.into(), field: field.into() };
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    pub fn is_not_found(&self) -> bool {
        self.reason == "NotFound"
    }

    pub fn is_conflict(&self) -> bool {
        self.reason == "Conflict"
    }

    pub fn is_already_exists(&self) -> bool {
        self.reason == "AlreadyExists"
    }

    pub fn is_expired(&self) -> bool {
        self.code == 410
    }

    /// Whether the same call may succeed later unchanged: overload, timeouts, an unreachable server.
    pub fn is_transient(&self) -> bool {
        matches!(self.code, 429 | 503 | 504) || (self.code == 500 && self.reason == "InternalError")
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() { write!(f, "{} {}", self.code, self.reason) } else { f.write_str(&self.message) }
    }
}

impl std::error::Error for Status {}

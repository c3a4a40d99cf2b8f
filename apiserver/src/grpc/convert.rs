//! Between the contract's messages and the verbs' types.

use api::kind::{Propagation, Scope};
use machinery::field::{Error, Path};
use machinery::{GroupKind, Status, status};
use proto::v1;
use tonic::Code;

use crate::catalogue;
use crate::log::Entry;
use crate::server::ApiServer;
use crate::verbs::{DeleteOptions, FieldValidation, ListOptions, Shown, Target, WatchEvent, WatchOptions, WriteOptions, Written};

/// A Status as gRPC sends it: a code that fits, the message, and the whole of it in a trailer.
pub fn failed(status: &Status) -> tonic::Status {
    let code = match status.code {
        400 | 413 | 415 | 422 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        405 | 406 => Code::Unimplemented,
        409 if status.is_already_exists() => Code::AlreadyExists,
        409 => Code::Aborted,
        410 => Code::OutOfRange,
        429 => Code::ResourceExhausted,
        503 => Code::Unavailable,
        504 => Code::DeadlineExceeded,
        _ => Code::Internal,
    };
    let mut answer = tonic::Status::new(code, status.to_string());
    let json = serde_json::to_vec(status).unwrap_or_default();
    answer.metadata_mut().insert_bin(proto::STATUS_TRAILER, tonic::metadata::MetadataValue::from_bytes(&json));
    answer
}

/// The verbs' target of a request.
pub async fn target(api: &ApiServer, resource: Option<&v1::Resource>, namespace: &str, name: &str) -> status::Result<Target> {
    let named = resource.ok_or_else(|| Status::bad_request("the request names no resource"))?;
    let found = api.find(&named.group, &named.version, &named.resource).await?.ok_or_else(Status::path_not_found)?;
    let subresource = Some(named.subresource.clone()).filter(|s| !s.is_empty());
    if subresource.as_deref().is_some_and(|s| catalogue::subresource_verbs(&*found, s).is_empty()) {
        return Err(Status::path_not_found());
    }
    let misplaced = match found.scope() {
        Scope::Cluster => !namespace.is_empty(),
        Scope::Namespaced => namespace.is_empty() && !name.is_empty(),
    };
    if misplaced {
        return Err(Status::path_not_found());
    }
    Ok(Target { resource: found, subresource, namespace: namespace.to_owned(), name: name.to_owned() })
}

fn given(text: String) -> Option<String> {
    Some(text).filter(|t| !t.is_empty())
}

pub fn list_options(request: v1::ListRequest) -> ListOptions {
    ListOptions {
        label_selector: request.label_selector,
        field_selector: request.field_selector,
        resource_version: given(request.resource_version),
        resource_version_match: given(request.resource_version_match),
        limit: request.limit,
        continue_token: request.r#continue,
    }
}

pub fn watch_options(request: v1::WatchRequest) -> WatchOptions {
    WatchOptions {
        label_selector: request.label_selector,
        field_selector: request.field_selector,
        resource_version: given(request.resource_version),
        resource_version_match: request.initial_state.then(|| "NotOlderThan".to_owned()),
        send_initial_events: request.initial_state.then_some(true),
        allow_bookmarks: request.bookmarks || request.initial_state,
        timeout_seconds: u64::try_from(request.timeout_seconds).ok().filter(|s| *s > 0),
    }
}

pub fn write_options(options: Option<v1::WriteOptions>) -> status::Result<WriteOptions> {
    let options = options.unwrap_or_default();
    let field_validation = match options.field_validation.as_str() {
        "" | "Warn" => FieldValidation::Warn,
        "Ignore" => FieldValidation::Ignore,
        "Strict" => FieldValidation::Strict,
        other => {
            let error = Error::not_supported(&Path::new("fieldValidation"), other, &["", "Ignore", "Strict", "Warn"]);
            return Err(Status::invalid(&GroupKind::new("meta.k8s.io", "WriteOptions"), "", &[error]));
        }
    };
    Ok(WriteOptions { dry_run: options.dry_run, field_manager: given(options.field_manager), field_validation })
}

pub fn delete_options(options: Option<v1::DeleteOptions>) -> status::Result<DeleteOptions> {
    let options = options.unwrap_or_default();
    let propagation = match options.propagation_policy.as_str() {
        "" => None,
        "Orphan" => Some(Propagation::Orphan),
        "Background" => Some(Propagation::Background),
        "Foreground" => Some(Propagation::Foreground),
        other => {
            let error = Error::not_supported(&Path::new("propagationPolicy"), other, &["Background", "Foreground", "Orphan"]);
            return Err(Status::invalid(&GroupKind::new("meta.k8s.io", "DeleteOptions"), "", &[error]));
        }
    };
    let preconditions = options.preconditions.unwrap_or_default();
    Ok(DeleteOptions {
        propagation,
        orphan_dependents: None,
        grace_period_seconds: options.grace_period_seconds,
        uid: given(preconditions.uid),
        resource_version: given(preconditions.resource_version),
        dry_run: options.dry_run,
    })
}

/// A stored object.
pub fn entry(resource: &dyn api::Resource, entry: &Entry) -> v1::Object {
    let data = match resource.present(&entry.json) {
        std::borrow::Cow::Borrowed(_) => entry.json.clone(),
        std::borrow::Cow::Owned(converted) => converted.into(),
    };
    v1::Object { encoding: v1::Encoding::Json.into(), data, revision: entry.version.0, warnings: Vec::new() }
}

pub fn shown(resource: &dyn api::Resource, shown: &Shown) -> v1::Object {
    match shown {
        Shown::Entry(stored) => entry(resource, stored),
        Shown::Json(json) => unstored(json.clone()),
    }
}

/// An object that has no version: a review, a Scale.
pub fn unstored(json: bytes::Bytes) -> v1::Object {
    v1::Object { encoding: v1::Encoding::Json.into(), data: json, revision: 0, warnings: Vec::new() }
}

pub fn written(resource: &dyn api::Resource, written: Written) -> v1::Object {
    v1::Object { warnings: written.warnings, ..shown(resource, &written.object) }
}

pub fn event(resource: &dyn api::Resource, event: &WatchEvent) -> v1::WatchEvent {
    use v1::watch_event::Type;
    let (kind, object) = match event {
        WatchEvent::Added(object) => (Type::Added, object),
        WatchEvent::Modified(object) => (Type::Modified, object),
        WatchEvent::Deleted(object) => (Type::Deleted, object),
        WatchEvent::Bookmark { version, initial_state_end } => {
            let initial_state_end = *initial_state_end;
            return v1::WatchEvent { r#type: Type::Bookmark.into(), revision: version.0, object: None, initial_state_end };
        }
    };
    v1::WatchEvent { r#type: kind.into(), revision: object.version.0, object: Some(entry(resource, object)), initial_state_end: false }
}

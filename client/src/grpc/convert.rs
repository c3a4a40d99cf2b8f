//! Between the contract's messages and the transport's types.

use api::kind::Propagation;
use bytes::Bytes;
use machinery::{GroupVersionResource, ResourceVersion, Status};
use proto::v1;
use tonic::Code;

use super::malformed;
use crate::transport::{Body, DeleteOptions, List, ListRequest, Payload, Result, WatchEvent, WatchRequest, WriteOptions};

pub(super) fn resource(resource: &GroupVersionResource, subresource: Option<&str>) -> v1::Resource {
    v1::Resource {
        group: resource.group.to_string(),
        version: resource.version.to_string(),
        resource: resource.resource.to_string(),
        subresource: subresource.unwrap_or_default().to_owned(),
    }
}

pub(super) fn payload(object: v1::Object) -> Payload {
    Payload { version: ResourceVersion(object.revision), json: Some(object.data), typed: None }
}

pub(super) fn body(body: Body) -> Bytes {
    match body {
        Body::Json(json) => json,
        Body::Typed(object) => {
            let mut json = Vec::new();
            object.write_json(&mut json);
            Bytes::from(json)
        }
    }
}

pub(super) fn object(of: Body) -> v1::Object {
    v1::Object { encoding: v1::Encoding::Json.into(), data: body(of), ..v1::Object::default() }
}

pub(super) fn list_request(request: ListRequest) -> v1::ListRequest {
    v1::ListRequest {
        resource: Some(resource(&request.resource, None)),
        namespace: request.namespace,
        label_selector: request.label_selector,
        field_selector: request.field_selector,
        resource_version: request.resource_version.unwrap_or_default(),
        resource_version_match: String::new(),
        limit: i64::try_from(request.limit).unwrap_or(i64::MAX),
        r#continue: request.continue_token,
    }
}

pub(super) fn list(list: v1::ListResponse) -> List {
    List { version: ResourceVersion(list.revision), items: list.items.into_iter().map(payload).collect(), continue_token: list.r#continue }
}

pub(super) fn watch_request(request: WatchRequest) -> v1::WatchRequest {
    v1::WatchRequest {
        resource: Some(resource(&request.resource, None)),
        namespace: request.namespace,
        label_selector: request.label_selector,
        field_selector: request.field_selector,
        initial_state: request.after.is_none(),
        resource_version: request.after.map(|version| version.to_string()).unwrap_or_default(),
        timeout_seconds: 0,
        bookmarks: true,
    }
}

pub(super) fn event(event: v1::WatchEvent) -> Result<WatchEvent> {
    let version = ResourceVersion(event.revision);
    // The event's revision counts: a deletion's is newer than that of the object's last state.
    let payload = event.object.map(|object| Payload { version, ..payload(object) });
    match (v1::watch_event::Type::try_from(event.r#type), payload) {
        (Ok(v1::watch_event::Type::Bookmark), _) => Ok(WatchEvent::Bookmark { version, initial_state_end: event.initial_state_end }),
        (Ok(v1::watch_event::Type::Added), Some(payload)) => Ok(WatchEvent::Added(payload)),
        (Ok(v1::watch_event::Type::Modified), Some(payload)) => Ok(WatchEvent::Modified(payload)),
        (Ok(v1::watch_event::Type::Deleted), Some(payload)) => Ok(WatchEvent::Deleted(payload)),
        _ => Err(malformed("has an event of an unknown type, or one without its object")),
    }
}

/// The components' own objects are typed: there are no unknown fields to look for.
pub(super) fn write_options(options: WriteOptions) -> v1::WriteOptions {
    v1::WriteOptions { dry_run: options.dry_run, field_manager: options.field_manager, field_validation: "Ignore".to_owned() }
}

pub(super) fn delete_options(options: DeleteOptions) -> v1::DeleteOptions {
    let propagation_policy = match options.propagation {
        None => "",
        Some(Propagation::Orphan) => "Orphan",
        Some(Propagation::Background) => "Background",
        Some(Propagation::Foreground) => "Foreground",
    };
    let preconditions =
        v1::Preconditions { uid: options.uid.unwrap_or_default(), resource_version: options.resource_version.unwrap_or_default() };
    v1::DeleteOptions {
        propagation_policy: propagation_policy.to_owned(),
        grace_period_seconds: options.grace_period_seconds,
        preconditions: Some(preconditions),
        dry_run: false,
    }
}

pub(super) fn results(results: Vec<v1::Result>, wanted: usize) -> Result<Vec<Result<ResourceVersion>>> {
    if results.len() != wanted {
        return Err(malformed("has another number of results than the request had objects"));
    }
    Ok(results.into_iter().map(result).collect())
}

fn result(result: v1::Result) -> Result<ResourceVersion> {
    if result.status.is_empty() {
        return Ok(ResourceVersion(result.revision));
    }
    Err(serde_json::from_slice(&result.status).unwrap_or_else(|_| malformed("holds a status that does not decode")))
}

/// The Status of a failed call: the server's own, where it sent one, else what the gRPC code says.
pub(super) fn status(error: tonic::Status) -> Status {
    let trailer = error.metadata().get_bin(proto::STATUS_TRAILER).and_then(|value| value.to_bytes().ok());
    if let Some(status) = trailer.and_then(|json| serde_json::from_slice(&json).ok()) {
        return status;
    }
    let why = error.message();
    // A call that broke together with its connection has a cause; the code then says nothing.
    if std::error::Error::source(&error).is_some() {
        return Status::unavailable(format!("the connection to the API server failed: {why}"));
    }
    match error.code() {
        Code::Unauthenticated => Status::unauthorized(),
        Code::InvalidArgument => Status::bad_request(why),
        Code::ResourceExhausted => Status::too_many_requests(why, 1),
        Code::DeadlineExceeded => Status::timeout(why, 1),
        Code::Unavailable | Code::Cancelled | Code::Unknown => Status::unavailable(why),
        code => Status::internal(format!("{code:?}: {why}")),
    }
}

//! Scale: the replica count of a scalable object, seen and changed as an `autoscaling/v1` Scale.

use api::Resource;
use api::resource::ErasedScale;
use bytes::Bytes;
use k8s_openapi::api::autoscaling::v1::{Scale, ScaleSpec, ScaleStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::decode::{self, Encoding};
use machinery::field::{Error, Path};
use machinery::schema::Schema;
use machinery::{GroupKind, Status};
use serde_json::{Value, json};

use super::patch::Document;
use super::revision::{Decision, Revision, Settled};
use super::update::{check_uid, check_version};
use super::write::{Ownership, Write};
use super::{Body, Caller, Patch, Shown, Target, WriteOptions, Written, apply};
use crate::log::{Entry, path};
use crate::server::ApiServer;

/// The Scale of a stored object.
pub(super) fn show(resource: &dyn Resource, view: &dyn ErasedScale, entry: &Entry) -> Result<Bytes, Status> {
    let object = entry.object(resource).map_err(Status::internal)?;
    let mut scale = of(view, &*object);
    scale.metadata.resource_version = Some(entry.version.to_string());
    encode(&scale)
}

fn encode(scale: &Scale) -> Result<Bytes, Status> {
    serde_json::to_vec(scale).map(Bytes::from).map_err(|error| Status::internal(error.to_string()))
}

fn of(view: &dyn ErasedScale, object: &dyn api::Object) -> Scale {
    let meta = object.meta();
    let selector = view.selector(object);
    Scale {
        metadata: ObjectMeta {
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            creation_timestamp: meta.creation_timestamp.clone(),
            ..ObjectMeta::default()
        },
        // A count of 0 is left out, as Go's `omitempty` does.
        spec: Some(ScaleSpec { replicas: Some(view.replicas(object)).filter(|n| *n != 0) }),
        status: Some(ScaleStatus { replicas: view.observed(object), selector: (!selector.is_empty()).then_some(selector) }),
    }
}

/// Where the new Scale comes from.
enum Source<'a> {
    Body(Value),
    Patch(&'a Document),
    /// A Scale to apply, and whether to take fields from others.
    Apply(Value, bool),
}

pub(super) async fn update(
    server: &ApiServer,
    caller: &Caller,
    target: &Target,
    view: &dyn ErasedScale,
    body: Body,
    options: &WriteOptions,
) -> Result<Written, Status> {
    let value = match body {
        Body::Typed(object) => object.to_value(),
        Body::Json(bytes) => read(&bytes, Encoding::Json, options)?,
        Body::Yaml(bytes) => read(&bytes, Encoding::Yaml, options)?,
    };
    // A Scale is looked at before what it is of.
    check_name(target, value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default())?;
    revise(server, caller, target, view, Source::Body(value), options).await
}

pub(super) async fn patch(
    server: &ApiServer,
    caller: &Caller,
    target: &Target,
    view: &dyn ErasedScale,
    patch: &Patch,
    options: &WriteOptions,
) -> Result<Written, Status> {
    if let Patch::Apply { config, force } = patch {
        let config = read(config, Encoding::Yaml, options)?;
        return revise(server, caller, target, view, Source::Apply(config, *force), options).await;
    }
    let document = Document::read(patch)?;
    revise(server, caller, target, view, Source::Patch(&document), options).await
}

fn schema() -> &'static Schema {
    static SCHEMA: std::sync::LazyLock<Schema> = std::sync::LazyLock::new(Schema::of::<Scale>);
    &SCHEMA
}

fn read(bytes: &[u8], encoding: Encoding, options: &WriteOptions) -> Result<Value, Status> {
    let decoded = decode::decode(bytes, encoding, schema(), options.field_validation.into())
        .map_err(|error| Status::bad_request(format!("Scale in the body: {error}")))?;
    Ok(decoded.value)
}

async fn revise(
    server: &ApiServer,
    caller: &Caller,
    target: &Target,
    view: &dyn ErasedScale,
    source: Source<'_>,
    options: &WriteOptions,
) -> Result<Written, Status> {
    let write = Write::new(server, caller, target, options)?;
    let mut revision = Revision::begin(&write, path(&target.namespace, &target.name));
    loop {
        let decision = revision.existing().and_then(|(entry, old)| {
            let scale = wanted(&source, &of(view, &*old))?;
            check(target, &scale)?;
            check_uid(target, &scale.metadata, old.meta())?;
            // Unlike the object itself, its scale can be written over without naming a version.
            if scale.metadata.resource_version.as_deref().is_some_and(|version| !version.is_empty()) {
                check_version(target, &scale.metadata, &entry)?;
            }
            let strategy = target.resource.update();
            if let Source::Apply(config, force) = &source {
                let config = of_object(target, view, config);
                let merged = apply::merged(&write, strategy, (&entry, &*old), &config, *force)?;
                let Some((new, managed)) = merged else { return Ok(Decision::Keep) };
                return Ok(Decision::Replace(write.ready_change(strategy, new, (&entry, &*old), Ownership::Settled(managed))?));
            }
            let mut new = old.clone_boxed();
            view.set_replicas(&mut *new, scale.spec.and_then(|spec| spec.replicas).unwrap_or(0));
            Ok(Decision::Replace(write.ready_change(strategy, new, (&entry, &*old), Ownership::Record)?))
        });
        let shown = match revision.settle(decision).await? {
            None => continue,
            Some(Settled::Kept(entry) | Settled::Removed(entry)) => Shown::Entry(entry),
            Some(Settled::Replaced(shown)) => shown,
        };
        let json = match &shown {
            Shown::Entry(entry) => show(&*target.resource, view, entry)?,
            Shown::Json(json) => json.clone(),
        };
        return Ok(Written { object: Shown::Json(json), created: false, warnings: Vec::new() });
    }
}

fn wanted(source: &Source<'_>, present: &Scale) -> Result<Scale, Status> {
    let value = match source {
        Source::Body(value) | Source::Apply(value, _) => value.clone(),
        Source::Patch(document) => {
            let present = serde_json::to_value(present).map_err(|error| Status::internal(error.to_string()))?;
            document.apply(schema(), present)?
        }
    };
    serde_json::from_value(value).map_err(|error| Status::bad_request(error.to_string()))
}

/// The object's part of an applied Scale: its replica count, where the object keeps it.
fn of_object(target: &Target, view: &dyn ErasedScale, scale: &Value) -> Value {
    let replicas = scale.pointer("/spec/replicas").cloned().unwrap_or(Value::Null);
    let path = view.path();
    let nested = path.as_str().rsplit('.').fold(replicas, |inner, name| json!({ name: inner }));
    let kind = target.resource.kind();
    let mut config = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": target.name}});
    if let (Value::Object(config), Value::Object(nested)) = (&mut config, nested) {
        config.extend(nested);
    }
    config
}

fn check_name(target: &Target, name: &str) -> Result<(), Status> {
    if name == target.name {
        return Ok(());
    }
    Err(Status::bad_request(format!("the Scale's name {name:?} is not that of the request, {:?}", target.name)))
}

fn check(target: &Target, scale: &Scale) -> Result<(), Status> {
    let name = scale.metadata.name.as_deref().unwrap_or_default();
    check_name(target, name)?;
    match scale.spec.as_ref().and_then(|spec| spec.replicas) {
        Some(replicas) if replicas < 0 => {
            let error = Error::invalid(&Path::new("spec").child("replicas"), replicas, "must be greater than or equal to 0");
            Err(Status::invalid(&GroupKind::new("autoscaling", "Scale"), name, &[error]))
        }
        _ => Ok(()),
    }
}

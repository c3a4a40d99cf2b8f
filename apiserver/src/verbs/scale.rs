//! Scale: the replica count of a scalable object, seen and changed as an `autoscaling/v1` Scale.

use api::Resource;
use api::resource::ErasedScale;
use bytes::Bytes;
use k8s_openapi::api::autoscaling::v1::{Scale, ScaleSpec, ScaleStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::decode::{self, Encoding};
use machinery::field::{Error, Path};
use machinery::schema::Schema;
use machinery::{GroupKind, GroupResource, Status, json};
use serde_json::{Value, json};

use super::patch::Document;
use super::revision::{Decision, Revision, Settled};
use super::update::{check_uid, check_version};
use super::write::{Ownership, Write};
use super::{Body, Caller, FieldValidation, Patch, Shown, Target, WriteOptions, Written, apply};
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
    Body(Box<Scale>),
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
    let (scale, warnings) = match body {
        Body::Typed(object) => (typed(&object.to_value())?, Vec::new()),
        Body::Json(bytes) => read(&bytes, Encoding::Json, options)?,
        Body::Yaml(bytes) => read(&bytes, Encoding::Yaml, options)?,
    };
    // A Scale is looked at before what it is of.
    check_address(target, &scale.metadata).map_err(|status| status.with_warnings(&warnings))?;
    revise(server, caller, target, view, (Source::Body(Box::new(scale)), warnings), options).await
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
        let (config, warnings) = read_applied(target, config, options)?;
        return revise(server, caller, target, view, (Source::Apply(config, *force), warnings), options).await;
    }
    let document = Document::read(patch)?;
    revise(server, caller, target, view, (Source::Patch(&document), Vec::new()), options).await
}

fn schema() -> &'static Schema {
    static SCHEMA: std::sync::LazyLock<Schema> = std::sync::LazyLock::new(Schema::of::<Scale>);
    &SCHEMA
}

fn read(bytes: &[u8], encoding: Encoding, options: &WriteOptions) -> Result<(Scale, Vec<String>), Status> {
    let decoded = decode::decode(bytes, encoding, schema(), options.field_validation.into())
        .map_err(|error| Status::bad_request(format!("Scale in the body: {error}")))?;
    Ok((typed(&decoded.value)?, decoded.warnings.iter().map(ToString::to_string).collect()))
}

fn typed(value: &Value) -> Result<Scale, Status> {
    json::to_typed(value).map_err(|error| Status::bad_request(error.to_string()))
}

/// A Scale to apply, with warnings. It names what it is; a name it may leave out.
fn read_applied(target: &Target, config: &[u8], options: &WriteOptions) -> Result<(Value, Vec<String>), Status> {
    let parsed = decode::parse(config, Encoding::Yaml).map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))?;
    let mut value = parsed.value;
    if !is_scale(&value) {
        return Err(Status::bad_request("the applied configuration is no autoscaling/v1 Scale"));
    }
    if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
        metadata.entry("name").or_insert_with(|| target.name.clone().into());
    } else if let Value::Object(fields) = &mut value {
        fields.insert("metadata".to_owned(), json!({"name": target.name}));
    }
    let mut unknown = Vec::new();
    // Unlike in a body, what does not fit is the server's failure here, whatever field validation says.
    decode::conform(&mut value, schema(), &mut unknown).map_err(|error| Status::unclassified(error.to_string()))?;
    if !unknown.is_empty() {
        let fields: Vec<String> = unknown.iter().map(ToString::to_string).collect();
        return Err(Status::unclassified(format!("the applied Scale: {}", fields.join(", "))));
    }
    let validation: decode::FieldValidation = options.field_validation.into();
    let found = validation.judge(parsed.duplicates);
    let found = found.map_err(|error| Status::bad_request(format!("error strict decoding YAML: {error}")))?;
    Ok((value, found.iter().map(ToString::to_string).collect()))
}

/// Whether a value says that it is a Scale.
fn is_scale(value: &Value) -> bool {
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
    (text("apiVersion"), text("kind")) == ("autoscaling/v1", "Scale")
}

async fn revise(
    server: &ApiServer,
    caller: &Caller,
    target: &Target,
    view: &dyn ErasedScale,
    (source, given): (Source<'_>, Vec<String>),
    options: &WriteOptions,
) -> Result<Written, Status> {
    let write = Write::new(server, caller, target, options)?;
    let mut revision = Revision::begin(&write, path(&target.namespace, &target.name));
    loop {
        let mut warnings = given.clone();
        let decision = revision.existing().and_then(|(entry, old)| {
            let scale = match &source {
                Source::Body(scale) => (**scale).clone(),
                Source::Apply(config, _) => typed(config)?,
                Source::Patch(document) => {
                    let (scale, found) = patched(document, &of(view, &*old), options.field_validation)?;
                    warnings = found;
                    scale
                }
            };
            decide(&write, view, &source, scale, (&entry, &*old)).map_err(|status| status.with_warnings(&warnings))
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
        return Ok(Written { object: Shown::Json(json), created: false, warnings });
    }
}

/// What a new Scale does to the object that it is of.
fn decide(
    write: &Write<'_>,
    view: &dyn ErasedScale,
    source: &Source<'_>,
    scale: Scale,
    (entry, old): (&Entry, &dyn api::Object),
) -> Result<Decision, Status> {
    let target = write.target;
    let strategy = target.resource.update();
    let merged = match source {
        // Who else owns the count is told before what is wrong with it.
        Source::Apply(config, force) => {
            let live = live(write, view, old)?;
            Some(apply::merged(write, strategy, (entry, old), &live, &of_object(target, view, config), *force)?)
        }
        Source::Body(_) | Source::Patch(_) => None,
    };
    check(target, &scale)?;
    let mut named = target.resource.group_resource();
    if !matches!(source, Source::Body(_)) {
        // Of patches, it is the subresource that conflicts.
        named = GroupResource::new(named.group, format!("{}/scale", named.resource));
    }
    check_uid(&named, &target.name, &scale.metadata, old.meta())?;
    // Unlike the object itself, its scale can be written over without naming a version.
    if scale.metadata.resource_version.as_deref().is_some_and(|version| !version.is_empty()) {
        check_version(target, &scale.metadata, entry)?;
    }
    let mut ready = match merged {
        Some((new, managed)) => write.ready_change(strategy, new, (entry, old), Ownership::Settled(managed))?,
        None => {
            let mut new = old.clone_boxed();
            view.set_replicas(&mut *new, scale.spec.and_then(|spec| spec.replicas).unwrap_or(0));
            write.ready_change(strategy, new, (entry, old), Ownership::Record)?
        }
    };
    // The object's entries take over who owns the count of its scale, but not since when.
    let api_version = target.resource.kind().api_version();
    machinery::apply::keep_own_time(&entry.managed(), &mut ready.managed, write.writer(&api_version));
    Ok(Decision::Replace(ready))
}

/// What a patch makes of a Scale, and warnings.
fn patched(document: &Document, present: &Scale, validation: FieldValidation) -> Result<(Scale, Vec<String>), Status> {
    let present = serde_json::to_value(present).map_err(|error| Status::internal(error.to_string()))?;
    let (value, warnings) = document.patched_view(schema(), present, is_scale, validation)?;
    Ok((typed(&value)?, warnings))
}

/// The object that a Scale is applied to. A Scale leaves a count of 0 out, so that whoever names it adds it.
fn live(write: &Write<'_>, view: &dyn ErasedScale, old: &dyn api::Object) -> Result<Value, Status> {
    let mut live = apply::live(write, old)?;
    if view.replicas(old) == 0 {
        let path = view.path();
        let (parents, last) = path.as_str().rsplit_once('.').unwrap_or_default();
        let parent = parents.split('.').filter(|name| !name.is_empty()).try_fold(&mut live, |value, name| value.get_mut(name));
        if let Some(Value::Object(fields)) = parent {
            fields.remove(last);
        }
    }
    Ok(live)
}

/// The object's part of an applied Scale: its replica count, if it has one, where the object keeps it.
fn of_object(target: &Target, view: &dyn ErasedScale, scale: &Value) -> Value {
    let kind = target.resource.kind();
    let mut config = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": target.name}});
    if let Some(replicas) = scale.pointer("/spec/replicas").filter(|replicas| !replicas.is_null()) {
        let nested = view.path().as_str().rsplit('.').fold(replicas.clone(), |inner, name| json!({ name: inner }));
        if let (Value::Object(config), Value::Object(nested)) = (&mut config, nested) {
            config.extend(nested);
        }
    }
    config
}

fn check_address(target: &Target, meta: &ObjectMeta) -> Result<(), Status> {
    let (name, namespace) = (meta.name.as_deref().unwrap_or_default(), meta.namespace.as_deref().unwrap_or_default());
    if name != target.name {
        return Err(Status::bad_request(format!("the Scale's name {name:?} is not that of the request, {:?}", target.name)));
    }
    if !namespace.is_empty() && namespace != target.namespace {
        return Err(Status::bad_request(format!("the Scale's namespace {namespace:?} is not that of the request, {:?}", target.namespace)));
    }
    Ok(())
}

fn check(target: &Target, scale: &Scale) -> Result<(), Status> {
    check_address(target, &scale.metadata)?;
    match scale.spec.as_ref().and_then(|spec| spec.replicas) {
        Some(replicas) if replicas < 0 => {
            let error = Error::invalid(&Path::new("spec").child("replicas"), replicas, "must be greater than or equal to 0");
            Err(Status::invalid(&GroupKind::new("autoscaling", "Scale"), &target.name, &[error]))
        }
        _ => Ok(()),
    }
}

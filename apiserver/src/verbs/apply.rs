//! Server-side apply: merges what an applier wants into what there is, or makes the object.

use api::Object;
use api::resource::ErasedUpdate;
use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::apply::{self, Applied, Set};
use machinery::decode::{self, Encoding, FieldValidation, Finding};
use machinery::field::{Error, Path};
use machinery::{GroupKind, Status};
use serde_json::Value;

use super::revision::Revision;
use super::update::{check_version, decide, shown};
use super::write::{Ownership, Write};
use super::{Target, Written, body, create, fields};
use crate::log::{Entry, path};

pub(super) async fn apply(write: &Write<'_>, strategy: &dyn ErasedUpdate, config: &Bytes, force: bool) -> Result<Written, Status> {
    let target = write.target;
    if write.options.field_manager.as_deref().is_none_or(str::is_empty) {
        let error = Error::required(&Path::new("fieldManager"), "is required for apply patches");
        return Err(Status::invalid(&GroupKind::new("meta.k8s.io", "PatchOptions"), "", &[error]));
    }
    let (config, findings) = read(write, config)?;
    let validation: FieldValidation = write.options.field_validation.into();
    // What is found is told after what is wrong with the merge itself.
    let (mut found, refusal) = match validation.judge(findings) {
        Ok(findings) => (findings.iter().map(ToString::to_string).collect(), Ok(())),
        Err(error) => (Vec::new(), Err(Status::bad_request(format!("error strict decoding YAML: {error}")))),
    };
    let mut revision = Revision::begin(write, path(&target.namespace, &target.name));
    let mut warnings = Vec::new();
    loop {
        if revision.present().is_none() && target.subresource.is_none() {
            if revision.refresh().await? {
                continue;
            }
            let (object, managed) = merged_new(write, strategy, &config, force)?;
            refusal.clone()?;
            let again = create::Again::Object(object.clone_boxed());
            return create::create_ready(write, (object, again), found, Ownership::Settled(managed)).await;
        }
        let decision = revision.existing().and_then(|(entry, old)| {
            let meta = meta_of(&config);
            // An applier that names a version means it; one that names none never had to.
            if meta.resource_version.is_some() {
                check_version(target, &meta, &entry)?;
            }
            let (new, managed) = merged(write, strategy, (&entry, &*old), &live(write, &*old)?, &config, force)?;
            refusal.clone()?;
            let ready = write.ready_change(strategy, new, (&entry, &*old), Ownership::Settled(managed))?;
            Ok(decide(write, ready, &*old, &mut warnings))
        });
        let settled = revision.settle(decision).await.map_err(|status| status.with_warnings(&found))?;
        if let Some(settled) = settled {
            warnings.append(&mut found);
            return Ok(Written { object: shown(settled), created: false, warnings });
        }
    }
}

/// The configuration, which names the object that it is for, and what it has twice.
fn read(write: &Write<'_>, config: &Bytes) -> Result<(Value, Vec<Finding>), Status> {
    let parsed = decode::parse(config, Encoding::Yaml).map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))?;
    check_type(write.target, &parsed.value)?;
    Ok((parsed.value, parsed.duplicates))
}

fn check_type(target: &Target, config: &Value) -> Result<(), Status> {
    let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    for field in ["/apiVersion", "/kind"] {
        if text(field).is_empty() {
            return Err(Status::bad_request(format!("the applied configuration has no {}", &field[1..])));
        }
    }
    body::check_kind(&*target.resource, config)
}

/// The object that was merged is still that of the request. Conflicts are told before.
fn check_named(target: &Target, meta: &ObjectMeta) -> Result<(), Status> {
    let (name, namespace) = (meta.name.as_deref().unwrap_or_default(), meta.namespace.as_deref().unwrap_or_default());
    if name != target.name {
        return Err(Status::bad_request(format!("the configuration's name {name:?} is not that of the request, {:?}", target.name)));
    }
    if !namespace.is_empty() && namespace != target.namespace {
        return Err(Status::bad_request(format!(
            "the configuration's namespace {namespace:?} is not that of the request, {:?}",
            target.namespace
        )));
    }
    Ok(())
}

/// What the configuration says of the object's version.
fn meta_of(config: &Value) -> ObjectMeta {
    let version = config.pointer("/metadata/resourceVersion").and_then(Value::as_str).filter(|version| !version.is_empty());
    ObjectMeta { resource_version: version.map(str::to_owned), ..ObjectMeta::default() }
}

/// An object, and who owns what of it.
type Owned = (Box<dyn Object>, Vec<apply::Entry>);

fn merged_new(write: &Write<'_>, strategy: &dyn ErasedUpdate, config: &Value, force: bool) -> Result<Owned, Status> {
    if config.pointer("/metadata/name").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(Status::bad_request(format!("the configuration has no name, and there is no {:?}", write.target.name)));
    }
    if let Some(uid) = config.pointer("/metadata/uid").and_then(Value::as_str).filter(|uid| !uid.is_empty()) {
        let error = Error::invalid(&Path::new("metadata").child("uid"), uid, "there is no object of this name to have a uid");
        return Err(Status::invalid(&write.resource().stored_kind().group_kind(), &write.target.name, &[error]));
    }
    let applied = run(write, strategy, None, config, Vec::new(), force)?;
    let value = applied.object.unwrap_or_else(|| config.clone());
    let mut object = typed(write, config, value)?;
    object.meta_mut().resource_version = None;
    Ok((object, applied.managed))
}

/// The object in the version of the write, as it is stored: what is empty there is null, which nobody has to have written.
pub(super) fn live(write: &Write<'_>, old: &dyn Object) -> Result<Value, Status> {
    serde_json::from_slice(&write.resource().present(&old.json())).map_err(|error| Status::internal(error.to_string()))
}

/// The object that results from what is merged into `live`; the present one if nothing changes, which is judged like any
/// other.
pub(super) fn merged(
    write: &Write<'_>,
    strategy: &dyn ErasedUpdate,
    (entry, old): (&Entry, &dyn Object),
    live: &Value,
    config: &Value,
    force: bool,
) -> Result<Owned, Status> {
    let before = entry.managed();
    let Applied { object, mut managed } = run(write, strategy, Some(live), config, before.clone(), force)?;
    let new = match object {
        Some(value) => typed(write, config, value)?,
        None => {
            apply::keep_times(&before, &mut managed);
            old.clone_boxed()
        }
    };
    Ok((new, managed))
}

fn run(
    write: &Write<'_>,
    strategy: &dyn ErasedUpdate,
    live: Option<&Value>,
    config: &Value,
    managed: Vec<apply::Entry>,
    force: bool,
) -> Result<Applied, Status> {
    let resource = write.resource();
    let (reset, versions) = (Set::of_fields(strategy.reset_fields()), fields::Served::new(write.server, resource));
    let target = apply::Target { schema: resource.schema(), reset: &reset, versions: &versions };
    let api_version = resource.kind().api_version();
    Ok(apply::apply(&target, live, config, managed, write.writer(&api_version), force)?)
}

/// The object that `config` was merged into, typed. The configuration has been checked, so that what does not decode is the
/// server's own doing.
fn typed(write: &Write<'_>, config: &Value, mut value: Value) -> Result<Box<dyn Object>, Status> {
    let resource = write.resource();
    if !resource.is_custom() {
        decode::wrap_integers(&mut value, config, resource.schema());
    }
    resource.conform_applied(&mut value).map_err(|error| Status::unclassified(error.to_string()))?;
    let mut object = resource.decode(value).map_err(Status::unclassified)?;
    if write.target.namespace.is_empty() {
        // What is in no namespace may name one, which is left out.
        object.meta_mut().namespace = None;
    }
    check_named(write.target, object.meta())?;
    Ok(object)
}

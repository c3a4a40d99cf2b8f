//! Patch: changes an object by a patch document, or applies a configuration to it.

use api::{Object, Resource};
use machinery::decode::{self, Encoding};
use machinery::field::{Error, Path};
use machinery::patch::{json, merge, strategic};
use machinery::schema::Schema;
use machinery::status::Details;
use machinery::{GroupKind, Status};
use serde_json::Value;

use super::revision::Revision;
use super::update::{View, check_version, decide, shown, view};
use super::write::{Ownership, Write};
use super::{Caller, FieldValidation, Patch, Target, WriteOptions, Written, apply, body, scale};
use crate::log::{Entry, path};
use crate::server::ApiServer;

impl ApiServer {
    /// Patches the object at `target`, again where another write came between.
    pub async fn patch(&self, caller: &Caller, target: &Target, patch: Patch, options: &WriteOptions) -> Result<Written, Status> {
        caller.trail.patches(|| patch.shown());
        let strategy = match view(target)? {
            View::Object(strategy) => strategy,
            View::Scale(view) => return scale::patch(self, caller, target, view, &patch, options).await,
        };
        let write = Write { patches: true, ..Write::new(self, caller, target, options)? };
        if let Patch::Apply { config, force } = &patch {
            return apply::apply(&write, strategy, config, *force).await;
        }
        let mut revision = Revision::begin(&write, path(&target.namespace, &target.name));
        let document = match Document::read(&patch) {
            Ok(document) => document,
            // What is wrong with a patch is told only where there is an object to patch.
            Err(status) => {
                revision.refresh().await?;
                return Err(revision.existing().err().unwrap_or(status));
            }
        };
        let mut warnings = Vec::new();
        loop {
            let decision = revision.existing().and_then(|(entry, old)| {
                let (mut new, found) = document.patched(&*target.resource, (&entry, &*old), options.field_validation)?;
                let ready = body::check_address(target, &mut *new)
                    .and_then(|()| check_version(target, new.meta(), &entry))
                    .and_then(|()| write.ready_change(strategy, new, (&entry, &*old), Ownership::Record))
                    .map_err(|status| status.with_warnings(&found))?;
                let decision = decide(&write, ready, &*old, &mut warnings);
                warnings.splice(0..0, found);
                Ok(decision)
            });
            if let Some(settled) = revision.settle(decision).await? {
                return Ok(Written { object: shown(settled), created: false, warnings });
            }
        }
    }
}

/// A patch document, read.
pub(super) struct Document {
    kind: DocumentKind,
    value: Value,
    /// Keys that the document has more than once, and fields that no operation has.
    findings: Vec<decode::Finding>,
    reach: Reach,
}

/// What of an object a patch may look at, or change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// The metadata: labels, annotations, finalizers and owners are what most patches are about. The rest need not be read.
    Metadata,
    Object,
    /// The managed fields, too.
    ManagedFields,
}

enum DocumentKind {
    Json,
    Merge,
    Strategic,
}

impl Document {
    /// Reads the document; one that is not JSON is a 400.
    pub(super) fn read(patch: &Patch) -> Result<Self, Status> {
        let (kind, bytes) = match patch {
            Patch::Json(bytes) => (DocumentKind::Json, bytes),
            Patch::Merge(bytes) => (DocumentKind::Merge, bytes),
            Patch::Strategic(bytes) => (DocumentKind::Strategic, bytes),
            Patch::Apply { .. } => return Err(Status::unsupported_media_type(&[])),
        };
        let parsed = decode::parse(bytes, Encoding::Json).map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
        let mut findings = parsed.duplicates;
        if matches!(kind, DocumentKind::Json)
            && let Ok(operations) = json::Patch::parse(&parsed.value)
        {
            findings.extend(operations.unknown_fields().iter().cloned().map(decode::Finding::Unknown));
        }
        let value = match kind {
            DocumentKind::Strategic => with_whole_numbers(parsed.value),
            _ => parsed.value,
        };
        let reach = if memchr::memmem::find(bytes, b"managedFields").is_some() {
            Reach::ManagedFields
        } else if is_of_metadata(&value) {
            Reach::Metadata
        } else {
            Reach::Object
        };
        Ok(Self { kind, value, findings, reach })
    }

    /// What the patch makes of an object of this resource, and warnings.
    fn patched(
        &self,
        resource: &dyn Resource,
        (entry, old): (&Entry, &dyn Object),
        validation: FieldValidation,
    ) -> Result<(Box<dyn Object>, Vec<String>), Status> {
        // In other versions, metadata may say what is elsewhere in the stored one; custom objects are no more than their JSON.
        let is_plain = !resource.is_custom() && resource.kind() == resource.stored_kind();
        let reach = if is_plain || self.reach != Reach::Metadata { self.reach } else { Reach::Object };
        let present = match reach {
            Reach::Metadata => head_of(resource, entry),
            Reach::Object => serde_json::from_slice(&resource.present(&entry.without_managed())),
            Reach::ManagedFields => serde_json::from_slice(&resource.present(&entry.json)),
        };
        let mut value = self.apply(resource.schema(), present.map_err(|error| Status::internal(error.to_string()))?)?;
        if !resource.is_custom() {
            self.check_version(&value, validation)?;
        }
        let findings = check_patched(resource, &mut value, self.findings.clone(), validation)?;
        let object = match reach {
            Reach::Metadata => resource.decode_metadata(value).map(|metadata| {
                let mut object = old.clone_boxed();
                *object.meta_mut() = metadata;
                object
            }),
            Reach::Object | Reach::ManagedFields => resource.decode(value),
        };
        let object = object.map_err(|error| unfit(&Value::Null, error))?;
        Ok((object, findings))
    }

    /// As [`Document::patched`], of what a subresource shows of an object: `is_its_kind` says whether a value names what it is.
    pub(super) fn patched_view(
        &self,
        schema: &Schema,
        present: Value,
        is_its_kind: fn(&Value) -> bool,
        validation: FieldValidation,
    ) -> Result<(Value, Vec<String>), Status> {
        let mut value = self.apply(schema, present)?;
        self.check_version(&value, validation)?;
        if !is_its_kind(&value) {
            return Err(unfit(&value, "the kind and apiVersion of an object do not change"));
        }
        let mut findings = self.findings.clone();
        decode::conform(&mut value, schema, &mut findings).map_err(|error| unfit(&Value::Null, error))?;
        Ok((value, judge(findings, validation)?))
    }

    fn apply(&self, schema: &Schema, object: Value) -> Result<Value, Status> {
        Ok(match self.kind {
            DocumentKind::Json => json::Patch::parse(&self.value)?.apply(object)?,
            DocumentKind::Merge => merge::apply(object, &self.value)?,
            DocumentKind::Strategic => {
                // Unlike the others, this one cannot make something else of the object: what it says of that is let pass.
                let identity = ["apiVersion", "kind"].map(|field| (field, object.get(field).cloned()));
                let mut patched = strategic::apply(schema, object, &self.value)?;
                decode::wrap_integers(&mut patched, &self.value, schema);
                if ["apiVersion", "kind"].iter().any(|field| !matches!(patched.get(field), None | Some(Value::String(_)))) {
                    return Err(unfit(&self.value, "apiVersion and kind are strings"));
                }
                for (field, value) in identity {
                    if let (Some(fields), Some(value)) = (patched.as_object_mut(), value) {
                        fields.insert(field.to_owned(), value);
                    }
                }
                patched
            }
        })
    }

    /// Refuses a patch that leaves the object without a version: by none, nothing of it is known, not even its name.
    fn check_version(&self, patched: &Value, validation: FieldValidation) -> Result<(), Status> {
        let has_version = patched.get("apiVersion").is_some_and(|version| version.as_str() != Some(""));
        if has_version || matches!(self.kind, DocumentKind::Strategic) {
            return Ok(());
        }
        let fields = patched.as_object().into_iter().flat_map(|fields| fields.keys());
        let unknown = fields.filter(|name| !matches!(name.as_str(), "apiVersion" | "kind")).cloned();
        let warnings = judge(unknown.map(decode::Finding::Unknown).collect(), validation)?;
        Err(Status::bad_request("the patch leaves the object without a version, and so without a name").with_warnings(&warnings))
    }
}

/// Numbers such as `1.0` as `1`: what a strategic merge patch sets is not read as JSON any more.
fn with_whole_numbers(value: Value) -> Value {
    const MOST: f64 = (1_u64 << 53) as f64;
    match value {
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, with_whole_numbers(value))).collect(),
        Value::Array(items) => items.into_iter().map(with_whole_numbers).collect(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < MOST => Value::from(float as i64),
            _ => Value::Number(number),
        },
        other => other,
    }
}

/// Whether a patch is about the metadata only: as a document that has no other field, or by the paths of its operations.
fn is_of_metadata(document: &Value) -> bool {
    let is_within = |path: &Value| path.as_str().is_some_and(|path| path == "/metadata" || path.starts_with("/metadata/"));
    match document {
        Value::Object(fields) => fields.keys().all(|name| name == "metadata"),
        Value::Array(operations) => operations.iter().all(|operation| {
            let paths = ["path", "from"].map(|place| operation.get(place));
            paths[0].is_some() && paths.into_iter().flatten().all(is_within)
        }),
        _ => false,
    }
}

/// An object's type and metadata.
fn head_of(resource: &dyn Resource, entry: &Entry) -> serde_json::Result<Value> {
    let mut metadata: Value = serde_json::from_slice(&entry.metadata())?;
    metadata["resourceVersion"] = entry.version.to_string().into();
    let kind = resource.kind();
    Ok(serde_json::json!({ "apiVersion": kind.api_version(), "kind": kind.kind, "metadata": metadata }))
}

/// Makes what a patch made fit the kind; warnings. What does not fit is a 422 about the patch.
fn check_patched(
    resource: &dyn Resource,
    value: &mut Value,
    mut findings: Vec<decode::Finding>,
    validation: FieldValidation,
) -> Result<Vec<String>, Status> {
    let checked = if resource.is_custom() { body::check_named(resource, value) } else { body::check_kind(resource, value) };
    if checked.is_err() {
        return Err(unfit(value, "the kind and apiVersion of an object do not change"));
    }
    resource.conform(value, &mut findings).map_err(|error| unfit(&Value::Null, error))?;
    judge(findings, validation)
}

fn judge(findings: Vec<decode::Finding>, validation: FieldValidation) -> Result<Vec<String>, Status> {
    let validation: decode::FieldValidation = validation.into();
    let findings = validation.judge(findings).map_err(|error| unfit(&Value::Null, error))?;
    Ok(findings.iter().map(ToString::to_string).collect())
}

/// The patch made something that is no object of the kind.
fn unfit(value: &Value, why: impl std::fmt::Display) -> Status {
    let error = Error::invalid(&Path::new("patch"), value.to_string(), why.to_string());
    let mut status = Status::invalid(&GroupKind::new("", ""), "", &[error]);
    // No kind is named: what the patch made has none that can be relied upon.
    if let Some(details) = &mut status.details {
        **details = Details { causes: std::mem::take(&mut details.causes), ..Details::default() };
    }
    status
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use storage::Revision;

    use super::*;
    use crate::log::Prepared;

    fn entry(resource: &dyn Resource, object: Value) -> Arc<Entry> {
        let mut object = resource.decode(object).unwrap();
        resource.default(&mut *object);
        let prepared = Prepared::new(resource, object, &[]).unwrap();
        prepared.entry(Revision(7))
    }

    fn entries(registry: &api::Registry) -> [(api::ResourceRef, Arc<Entry>); 2] {
        let metadata =
            json!({"name": "a", "uid": "u", "labels": {"x": "1"}, "annotations": {}, "finalizers": ["example.com/f", "example.com/g"]});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "c", "image": "i", "args": []}]},
            "status": {"conditions": [{"type": "T", "status": "True"}]}});
        // Here, metadata come last.
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": "}"}, "binaryData": {"b": "AQI="}});
        [("pods", pod), ("configmaps", map)].map(|(plural, object)| {
            let resource = registry.find("", "v1", plural).unwrap();
            let entry = entry(&*resource, object);
            (resource, entry)
        })
    }

    fn patches() -> Vec<Patch> {
        let objects = [
            json!({}),
            json!({"metadata": {"labels": {"x": null, "y": "2"}, "annotations": {"a": "b"}}}),
            json!({"metadata": {"labels": null, "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n", "uid": "o"}]}}),
            json!({"metadata": {"finalizers": ["example.com/h"], "generateName": ""}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/f"]}}),
            json!({"metadata": {"labels": {"$patch": "replace", "z": "3"}}}),
            json!({"metadata": {"$patch": "delete"}}),
            json!({"metadata": null}),
            json!({"metadata": {"nonsense": 1, "labels": {"y": "2"}}}),
            json!({"metadata": {"labels": {"y": 2}}}),
            json!({"metadata": {"creationTimestamp": "yesterday"}}),
            json!({"metadata": []}),
        ];
        let operations = [
            json!([]),
            json!([{"op": "add", "path": "/metadata/labels/y", "value": "2"}, {"op": "remove", "path": "/metadata/labels/x"}]),
            json!([{"op": "move", "from": "/metadata/labels/x", "path": "/metadata/labels/y"}]),
            json!([{"op": "test", "path": "/metadata/labels/x", "value": "2"}]),
            json!([{"op": "replace", "path": "/metadata", "value": {"name": "a"}}]),
            json!([{"op": "add", "path": "/metadata/labels", "value": 5}]),
        ];
        let bytes = |document: &Value| document.to_string().into();
        let of_objects = objects.iter().flat_map(|object| [Patch::Merge(bytes(object)), Patch::Strategic(bytes(object))]);
        of_objects.chain(operations.iter().map(|list| Patch::Json(bytes(list)))).collect()
    }

    #[test]
    fn a_patch_of_metadata_makes_what_it_makes_of_the_whole() {
        let registry = api::Registry::built_in();
        for ((resource, entry), patch) in entries(&registry).iter().flat_map(|one| patches().into_iter().map(move |patch| (one, patch))) {
            let old = entry.object(&**resource).unwrap();
            let mut document = Document::read(&patch).unwrap();
            assert_eq!(document.reach, Reach::Metadata, "{patch:?}");
            let mut made = || {
                let (object, findings) = document.patched(&**resource, (entry, &*old), FieldValidation::Warn)?;
                document.reach = Reach::Object;
                Ok::<_, Status>((object, findings))
            };
            match (made(), made()) {
                (Ok((mut apart, findings)), Ok((whole, expected))) => {
                    assert_eq!((apart.to_value(), &findings), (whole.to_value(), &expected), "{patch:?}");
                    assert!(apart.differs_in_metadata_only(&*old));
                    let copied = Prepared::after(Some(entry), true, &**resource, apart, &[]).unwrap();
                    assert_eq!(copied.value, Prepared::new(&**resource, whole, &[]).unwrap().value, "{patch:?}");
                }
                (Err(status), Err(expected)) => assert_eq!((status.code, status.message), (expected.code, expected.message), "{patch:?}"),
                (apart, whole) => panic!("{patch:?}: {:?}, and of the whole {:?}", apart.map(|_| ()), whole.map(|_| ())),
            }
        }
    }

    #[test]
    fn what_reaches_beyond_the_metadata_reads_the_whole() {
        let reach = |patch: &Patch| Document::read(patch).unwrap().reach;
        let merge = |document: Value| reach(&Patch::Merge(document.to_string().into()));
        let json = |document: Value| reach(&Patch::Json(document.to_string().into()));
        assert_eq!(merge(json!({"metadata": {}, "spec": {}})), Reach::Object);
        assert_eq!(merge(json!({"metadata": {"managedFields": []}})), Reach::ManagedFields);
        assert_eq!([merge(json!(null)), merge(json!({"$patch": "replace"}))], [Reach::Object; 2]);
        let elsewhere = [
            json!([{"op": "add", "path": "/metadatas/x", "value": 1}]),
            json!([{"op": "copy", "from": "/spec", "path": "/metadata/annotations/x"}]),
            json!([{"op": "add", "path": "", "value": {}}]),
        ];
        assert!(elsewhere.into_iter().all(|operations| json(operations) == Reach::Object));
    }
}

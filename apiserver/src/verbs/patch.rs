//! Patch: changes an object by a patch document, or applies a configuration to it.

use std::borrow::Cow;

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
use crate::log::path;
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
                let stored = if document.names_managed_fields { Cow::Borrowed(&entry.json[..]) } else { entry.without_managed() };
                let present = serde_json::from_slice(&target.resource.present(&stored));
                let present = present.map_err(|error| Status::internal(error.to_string()))?;
                let patched = document.apply(target.resource.schema(), present)?;
                document.check_version(&*target.resource, &patched, options.field_validation)?;
                let (mut new, found) = decode_patched(&*target.resource, patched, document.findings.clone(), options.field_validation)?;
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
    /// Whether the patch may look at managed fields, or change them.
    names_managed_fields: bool,
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
        let mut findings: Vec<_> = parsed.duplicates.into_iter().map(decode::Finding::Duplicate).collect();
        if matches!(kind, DocumentKind::Json)
            && let Ok(operations) = json::Patch::parse(&parsed.value)
        {
            findings.extend(operations.unknown_fields().iter().cloned().map(decode::Finding::Unknown));
        }
        let value = match kind {
            DocumentKind::Strategic => with_whole_numbers(parsed.value),
            _ => parsed.value,
        };
        let names_managed_fields = memchr::memmem::find(bytes, b"managedFields").is_some();
        Ok(Self { kind, value, findings, names_managed_fields })
    }

    pub(super) fn apply(&self, schema: &Schema, object: Value) -> Result<Value, Status> {
        Ok(match self.kind {
            DocumentKind::Json => json::Patch::parse(&self.value)?.apply(object)?,
            DocumentKind::Merge => merge::apply(object, &self.value)?,
            DocumentKind::Strategic => {
                // Unlike the others, this one cannot make something else of the object: what it says of that is let pass.
                let identity = ["apiVersion", "kind"].map(|field| (field, object.get(field).cloned()));
                let mut patched = strategic::apply(schema, object, &self.value)?;
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
}

impl Document {
    /// Refuses a patch that leaves the object without a version: by none, nothing of it is known, not even its name.
    fn check_version(&self, resource: &dyn Resource, patched: &Value, validation: FieldValidation) -> Result<(), Status> {
        let has_version = patched.get("apiVersion").is_some_and(|version| version.as_str() != Some(""));
        if has_version || resource.is_custom() || matches!(self.kind, DocumentKind::Strategic) {
            return Ok(());
        }
        let fields = patched.as_object().into_iter().flat_map(|fields| fields.keys());
        let unknown = fields.filter(|name| !matches!(name.as_str(), "apiVersion" | "kind")).cloned();
        let validation: decode::FieldValidation = validation.into();
        let findings = validation.judge(unknown.map(decode::Finding::Unknown).collect()).map_err(|error| unfit(&Value::Null, error))?;
        let warnings: Vec<String> = findings.iter().map(ToString::to_string).collect();
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

/// The object that a patch made, and warnings. What does not decode is a 422 about the patch.
fn decode_patched(
    resource: &dyn Resource,
    mut value: Value,
    mut findings: Vec<decode::Finding>,
    validation: FieldValidation,
) -> Result<(Box<dyn Object>, Vec<String>), Status> {
    let checked = if resource.is_custom() { body::check_named(resource, &value) } else { body::check_kind(resource, &value) };
    if checked.is_err() {
        return Err(unfit(&value, "the kind and apiVersion of an object do not change"));
    }
    resource.conform(&mut value, &mut findings).map_err(|error| unfit(&Value::Null, error))?;
    let validation: decode::FieldValidation = validation.into();
    let findings = validation.judge(findings).map_err(|error| unfit(&Value::Null, error))?;
    let object = resource.decode(value).map_err(|error| unfit(&Value::Null, error))?;
    Ok((object, findings.iter().map(ToString::to_string).collect()))
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

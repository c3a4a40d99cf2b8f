//! Patch: changes an object by a patch document, or applies a configuration to it.

use api::{Object, Resource};
use bytes::Bytes;
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
        let strategy = match view(target)? {
            View::Object(strategy) => strategy,
            View::Scale(view) => return scale::patch(self, caller, target, view, &patch, options).await,
        };
        let write = Write::new(self, caller, target, options)?;
        if let Patch::Apply { config, force } = &patch {
            return apply::apply(&write, strategy, config, *force).await;
        }
        let document = Document::read(&patch)?;
        let mut revision = Revision::begin(&write, path(&target.namespace, &target.name));
        let mut warnings = Vec::new();
        loop {
            let decision = revision.existing().and_then(|(entry, old)| {
                let patched = document.apply(target.resource.schema(), target.resource.encode(&*old))?;
                let (mut new, found) = decode_patched(target.resource, patched, options.field_validation)?;
                body::check_address(target, &mut *new)?;
                check_version(target, new.meta(), &entry)?;
                let ready = write.ready_change(strategy, new, &*old, Ownership::Record)?;
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
pub(super) enum Document {
    Json(Value),
    Merge(Value),
    Strategic(Value),
}

impl Document {
    /// Reads the document; one that is not JSON is a 400.
    pub(super) fn read(patch: &Patch) -> Result<Self, Status> {
        let parse = |bytes: &Bytes| {
            decode::parse(bytes, Encoding::Json)
                .map(|parsed| parsed.value)
                .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))
        };
        match patch {
            Patch::Json(bytes) => {
                let document = parse(bytes)?;
                // Found out before the object is: a malformed patch of a missing object is malformed.
                json::Patch::parse(&document)?;
                Ok(Self::Json(document))
            }
            Patch::Merge(bytes) => Ok(Self::Merge(parse(bytes)?)),
            Patch::Strategic(bytes) => Ok(Self::Strategic(parse(bytes)?)),
            Patch::Apply { .. } => Err(Status::unsupported_media_type(&[])),
        }
    }

    pub(super) fn apply(&self, schema: &Schema, object: Value) -> Result<Value, Status> {
        Ok(match self {
            Self::Json(document) => json::Patch::parse(document)?.apply(object)?,
            Self::Merge(document) => merge::apply(object, document)?,
            Self::Strategic(document) => strategic::apply(schema, object, document)?,
        })
    }
}

/// The object that a patch made, and warnings. What does not decode is a 422 about the patch.
fn decode_patched(
    resource: &dyn Resource,
    mut value: Value,
    validation: FieldValidation,
) -> Result<(Box<dyn Object>, Vec<String>), Status> {
    if body::check_kind(resource, &value).is_err() {
        return Err(unfit(&value, "the kind and apiVersion of an object do not change"));
    }
    let mut findings = Vec::new();
    decode::conform(&mut value, resource.schema(), &mut findings).map_err(|error| unfit(&Value::Null, error))?;
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

//! Bodies: from bytes to a typed object, with unknown and duplicate fields refused, reported or dropped.

use api::{Object, Resource};
use machinery::Status;
use machinery::decode::{self, Encoding};
use machinery::json;
use machinery::schema::Schema;
use serde_json::Value;

use super::{Body, Caller, FieldValidation, Target};

/// A body, decoded.
pub(super) struct Decoded {
    pub(super) object: Box<dyn Object>,
    pub(super) warnings: Vec<String>,
}

impl From<FieldValidation> for decode::FieldValidation {
    fn from(validation: FieldValidation) -> Self {
        match validation {
            FieldValidation::Ignore => Self::Ignore,
            FieldValidation::Warn => Self::Warn,
            FieldValidation::Strict => Self::Strict,
        }
    }
}

/// The object in a body that must be of the resource's own kind.
pub(super) fn object(resource: &dyn Resource, body: Body, validation: FieldValidation) -> Result<Decoded, Status> {
    let (bytes, encoding) = match body {
        // Components hold objects in the version they asked for; the pipeline works on the stored one.
        Body::Typed(object) if resource.kind() != resource.stored_kind() => {
            let object = resource.decode(object.to_value()).map_err(Status::bad_request)?;
            return Ok(Decoded { object, warnings: Vec::new() });
        }
        Body::Typed(object) => return Ok(Decoded { object, warnings: Vec::new() }),
        Body::Json(bytes) => (bytes, Encoding::Json),
        Body::Yaml(bytes) => (bytes, Encoding::Yaml),
    };
    if encoding == Encoding::Json
        && let Some(object) = resource.decode_plain(&bytes)
    {
        return Ok(Decoded { object, warnings: Vec::new() });
    }
    let unfit = |error: decode::Error| Status::bad_request(format!("{} in the body: {error}", resource.names().kind));
    let parse = if resource.is_custom() { decode::parse } else { decode::parse_typed };
    let parsed = parse(&bytes, encoding).map_err(unfit)?;
    let (mut value, mut findings) = (parsed.value, parsed.duplicates);
    resource.conform(&mut value, &mut findings).map_err(|error| unfit(error.into()))?;
    if encoding == Encoding::Json && !resource.is_custom() {
        findings = decode::by_place(&bytes, findings);
    }
    let validation: decode::FieldValidation = validation.into();
    let findings = validation.judge(findings).map_err(unfit)?;
    if resource.is_custom() {
        check_named(resource, &value)?
    } else {
        check_kind(resource, &value)?
    }
    let object = resource.decode(value).map_err(Status::bad_request)?;
    Ok(Decoded { object, warnings: findings.iter().map(ToString::to_string).collect() })
}

/// Records what the caller sends, as it was read: with defaults, in the version that is served.
pub(super) fn leave_trail(caller: &Caller, target: &Target, object: &dyn Object) {
    caller.trail.requests(Some(object.meta()), || {
        let mut shown = object.clone_boxed();
        target.resource.default(&mut *shown);
        target.resource.present(&shown.json()).into_owned()
    });
}

/// A body of a type that is not stored, with warnings: a Binding, an Eviction. All the versions are read as the first.
pub(crate) fn typed<T: api::kind::Typed>(
    body: Body,
    validation: FieldValidation,
    schema: &Schema,
    api_versions: &[&str],
    kind: &str,
) -> Result<(T, Vec<String>), Status> {
    let (bytes, encoding) = match body {
        Body::Typed(object) => {
            let found = api::object::downcast_ref::<T>(&*object).cloned();
            return found.map(|found| (found, Vec::new())).ok_or_else(|| Status::bad_request(format!("the body is no {kind}")));
        }
        Body::Json(bytes) => (bytes, Encoding::Json),
        Body::Yaml(bytes) => (bytes, Encoding::Yaml),
    };
    let decoded = decode::decode(&bytes, encoding, schema, validation.into())
        .map_err(|error| Status::bad_request(format!("{kind} in the body: {error}")))?;
    let mut value = decoded.value;
    if let Some(given) = value.get("kind").and_then(Value::as_str).filter(|given| *given != kind) {
        return Err(Status::bad_request(format!("the body is a {given}, not a {kind}")));
    }
    let other = |given: &&str| !given.is_empty() && !api_versions.contains(given);
    if let Some(given) = value.get("apiVersion").and_then(Value::as_str).filter(other) {
        return Err(Status::bad_request(format!("there is no {kind} in {given}")));
    }
    if let (Value::Object(fields), Some(own)) = (&mut value, api_versions.first()) {
        fields.insert("apiVersion".to_owned(), (*own).into());
    }
    let read = json::to_typed(&value).map_err(|error| Status::bad_request(error.to_string()))?;
    Ok((read, decoded.warnings.iter().map(ToString::to_string).collect()))
}

/// A body that names a kind names the resource's own; one that names none is taken to be.
pub(super) fn check_kind(resource: &dyn Resource, value: &Value) -> Result<(), Status> {
    let (api_version, kind) = type_of(value);
    let want = resource.kind();
    let good = (kind.is_empty() || kind == want.kind) && (api_version.is_empty() || api_version == want.api_version());
    if good { Ok(()) } else { Err(api::resource::kind_mismatch(resource, api_version, kind)) }
}

/// A custom object names its kind; that it is another of the same version is for validation to find.
pub(super) fn check_named(resource: &dyn Resource, value: &Value) -> Result<(), Status> {
    let (api_version, kind) = type_of(value);
    let good = !kind.is_empty() && api_version == resource.kind().api_version();
    if good { Ok(()) } else { Err(api::resource::kind_mismatch(resource, api_version, kind)) }
}

fn type_of(value: &Value) -> (&str, &str) {
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
    (text("apiVersion"), text("kind"))
}

/// Makes the body's name and namespace agree with the request's.
pub(super) fn check_address(target: &Target, object: &mut dyn Object) -> Result<(), Status> {
    let meta = object.meta_mut();
    let namespace = meta.namespace.take().unwrap_or_default();
    if !target.namespace.is_empty() {
        if !namespace.is_empty() && namespace != target.namespace {
            return Err(Status::bad_request(format!(
                "the object's namespace {namespace:?} is not that of the request, {:?}",
                target.namespace
            )));
        }
        meta.namespace = Some(target.namespace.clone());
    }
    if target.name.is_empty() {
        return Ok(());
    }
    match meta.name.as_deref().unwrap_or_default() {
        name if name == target.name => Ok(()),
        name => Err(Status::bad_request(format!("the object's name {name:?} is not that of the request, {:?}", target.name))),
    }
}

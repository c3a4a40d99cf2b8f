//! Objects within objects (`x-kubernetes-embedded-resource`), and the object itself: their type and metadata are as those of
//! every object.

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value};

use super::node::Node;
use crate::decode::{self, TypeError};
use crate::field::{Error, Errors, Path};
use crate::finding::{self, Finding, MOST_FINDINGS};
use crate::names;
use crate::objectmeta::{self, Rules};
use crate::schema::Schema;

static METADATA: LazyLock<Schema> = LazyLock::new(Schema::of::<ObjectMeta>);

/// Brings the metadata of all objects into the form in which it is kept.
pub(super) fn conform(node: &Node, value: &mut Value, findings: &mut Vec<Finding>) -> Result<(), TypeError> {
    if !value.is_object() {
        return Err(TypeError { path: String::new(), expected: "an object", found: value.to_string() });
    }
    conform_part(node, value, findings)
}

/// [`conform`], of a value that need not be an object.
pub(super) fn conform_part(node: &Node, value: &mut Value, findings: &mut Vec<Finding>) -> Result<(), TypeError> {
    walk(node, value, &finding::Path::Root, findings)
}

fn walk(node: &Node, value: &mut Value, path: &finding::Path<'_>, findings: &mut Vec<Finding>) -> Result<(), TypeError> {
    match value {
        Value::Object(fields) => {
            if node.embedded {
                conform_one(fields, path, findings)?;
            }
            for (name, value) in fields.iter_mut() {
                if let Some(child) = node.child(name) {
                    walk(child, value, &finding::Path::Key(path, name), findings)?;
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = &node.items {
                for (index, item) in items.iter_mut().enumerate() {
                    walk(below, item, &finding::Path::Index(path, index), findings)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn conform_one(fields: &mut Map<String, Value>, path: &finding::Path<'_>, findings: &mut Vec<Finding>) -> Result<(), TypeError> {
    for name in ["apiVersion", "kind"] {
        if let Some(other) = fields.get(name).filter(|value| !value.is_string()) {
            let found = if other.is_object() || other.is_array() { "something else".to_owned() } else { other.to_string() };
            return Err(TypeError { path: finding::Path::Key(path, name).shown(), expected: "a string", found });
        }
    }
    let Some(metadata) = fields.get_mut("metadata") else { return Ok(()) };
    let at = finding::Path::Key(path, "metadata");
    let mut found = Vec::new();
    let conformed = decode::conform(metadata, &METADATA, &mut found);
    let within = |field: &str| format!("{}.{field}", at.shown());
    let room = MOST_FINDINGS.saturating_sub(findings.len());
    findings.extend(found.into_iter().take(room).map(|finding| match finding {
        Finding::Unknown(field) => Finding::Unknown(within(&field)),
        Finding::Duplicate(field) => Finding::Duplicate(within(&field)),
        // Of lines in a body, not of what is in an object.
        repeated @ Finding::Repeated { .. } => repeated,
    }));
    conformed.map_err(|error| TypeError { path: if error.path.is_empty() { at.shown() } else { within(&error.path) }, ..error })
}

/// What is wrong with the types and metadata of objects within the object. Its own are validated as everybody's.
pub(super) fn validate_below(node: &Node, path: &Path, value: &Value) -> Errors {
    let mut errors = Errors::new();
    check_below(node, path, value, &mut errors);
    errors
}

/// The same of a part, which may be an embedded object itself.
pub(super) fn validate(node: &Node, path: &Path, value: &Value) -> Errors {
    let mut errors = Errors::new();
    check(node, path, value, &mut errors);
    errors
}

fn check(node: &Node, path: &Path, value: &Value, errors: &mut Errors) {
    if let (true, Value::Object(fields)) = (node.embedded, value) {
        errors.extend(check_one(path, fields));
    }
    check_below(node, path, value, errors);
}

fn check_below(node: &Node, path: &Path, value: &Value, errors: &mut Errors) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(_, value)| value.is_array() || value.is_object()) {
                if let Some(child) = node.properties.get(name.as_str()) {
                    check(child, &path.child(name), value, errors);
                } else if let Some(child) = node.child(name) {
                    check(child, &path.key(name), value, errors);
                }
            }
        }
        Value::Array(items) => {
            let Some(below) = &node.items else { return };
            for (index, item) in items.iter().enumerate().filter(|(_, item)| item.is_array() || item.is_object()) {
                check(below, &path.index(index), item, errors);
            }
        }
        _ => {}
    }
}

fn check_one(path: &Path, fields: &Map<String, Value>) -> Errors {
    let mut errors = Errors::new();
    type Grammar = fn(&str) -> Vec<String>;
    let named: [(&str, Grammar); 2] = [("apiVersion", group_version), ("kind", |kind| names::dns1035_label(&kind.to_lowercase(), false))];
    for (name, grammar) in named {
        let at = path.child(name);
        match fields.get(name) {
            None => errors.push(Error::required(&at, "")),
            Some(Value::String(text)) if text.is_empty() => errors.push(Error::invalid(&at, text, "must not be empty")),
            Some(Value::String(text)) => errors.extend(objectmeta::complaints(&at, text, grammar(text))),
            Some(other) => errors.push(Error::invalid(&at, other, "must be a string")),
        }
    }
    let Some(metadata) = fields.get("metadata") else { return errors };
    let at = path.child("metadata");
    match serde_json::from_value::<ObjectMeta>(metadata.clone()) {
        Err(error) => errors.push(Error::invalid(&at, metadata, error.to_string())),
        Ok(mut meta) => {
            // A template needs no name.
            if meta.name.as_deref().unwrap_or_default().is_empty() {
                meta.name = Some("fakename".to_owned());
            }
            let namespaced = meta.namespace.as_deref().is_some_and(|namespace| !namespace.is_empty());
            errors.extend(objectmeta::validate_at(&meta, Rules { namespaced, finalizer_domains: false, name: &names::path_segment }, &at));
        }
    }
    errors
}

fn group_version(text: &str) -> Vec<String> {
    if text.matches('/').count() > 1 {
        vec!["must be a version, with an optional group and one '/' before it".to_owned()]
    } else {
        Vec::new()
    }
}

//! Strict decoding: a JSON value is walked beside its [`Schema`], once. Values of a wrong type are an error;
//! unknown and duplicate fields are findings, which strict field validation refuses, `Warn` reports and
//! `Ignore` drops. What is left has only fields that the schema knows, in the form in which the API keeps them:
//! no nulls, quantities and times normalised.

mod order;
mod plain;
mod scalar;
#[cfg(test)]
mod tests;

pub use order::by_place;
pub use plain::is_plain;
use serde_json::{Map, Value};

use crate::Status;
pub use crate::finding::Finding;
use crate::finding::{MOST_FINDINGS, Path};
use crate::json::{self, MOST_DEPTH};
use crate::schema::{Cursor, Node, Scalar, Schema};
use crate::yaml;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    #[default]
    Json,
    Yaml,
}

/// The `fieldValidation` of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// A body that cannot be decoded; all of these are answered with 400.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Json(#[from] json::Error),
    #[error(transparent)]
    Yaml(#[from] yaml::Error),
    #[error(transparent)]
    Type(#[from] TypeError),
    /// Only under strict field validation.
    #[error("strict decoding error: {}", shown(.0))]
    Strict(Vec<Finding>),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::bad_request(error.to_string())
    }
}

/// A value that does not fit its field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}must be {expected}, not {found}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct TypeError {
    pub path: String,
    pub expected: &'static str,
    pub found: String,
}

/// What YAML has twice is one error, a line for each.
fn shown(findings: &[Finding]) -> String {
    let (repeated, others): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| matches!(finding, Finding::Repeated { .. }));
    let lines: String = repeated.iter().map(|finding| format!("\n  {finding}")).collect();
    let first = (!lines.is_empty()).then(|| format!("yaml: unmarshal errors:{lines}"));
    let texts: Vec<String> = first.into_iter().chain(others.iter().map(ToString::to_string)).collect();
    texts.join(", ")
}

impl FieldValidation {
    /// The words that the query parameter may hold; the empty one is the default.
    pub const SUPPORTED: [&'static str; 4] = ["", "Ignore", "Warn", "Strict"];

    /// Reads the query parameter; None where it is none of [`Self::SUPPORTED`].
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" => Some(Self::default()),
            "Ignore" => Some(Self::Ignore),
            "Warn" => Some(Self::Warn),
            "Strict" => Some(Self::Strict),
            _ => None,
        }
    }

    /// What becomes of findings: an error, or the warnings to send along.
    pub fn judge(self, findings: Vec<Finding>) -> Result<Vec<Finding>, Error> {
        match self {
            Self::Strict if !findings.is_empty() => Err(Error::Strict(findings)),
            Self::Ignore => Ok(Vec::new()),
            Self::Strict | Self::Warn => Ok(findings),
        }
    }
}

/// A value that fits its schema, and what is worth a warning.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    pub value: Value,
    pub warnings: Vec<Finding>,
}

/// Reads a body of a known type. A body of `null` is an empty object.
pub fn decode(body: &[u8], encoding: Encoding, schema: &Schema, validation: FieldValidation) -> Result<Decoded, Error> {
    let parsed = parse_typed(body, encoding)?;
    let mut value = parsed.value;
    let mut findings = parsed.duplicates;
    conform(&mut value, schema, &mut findings)?;
    if encoding == Encoding::Json {
        findings = by_place(body, findings);
    }
    Ok(Decoded { value, warnings: validation.judge(findings)? })
}

/// Reads a body of a type that it names itself (or that does not matter).
pub fn parse(body: &[u8], encoding: Encoding) -> Result<json::Parsed, Error> {
    Ok(match encoding {
        Encoding::Json => json::parse(body)?,
        Encoding::Yaml => yaml::parse(body)?,
    })
}

/// Reads a body of a known type. What JSON has twice is merged; of YAML, the last holds.
pub fn parse_typed(body: &[u8], encoding: Encoding) -> Result<json::Parsed, Error> {
    Ok(match encoding {
        Encoding::Json => json::parse_with(body, json::Again::Merges)?,
        Encoding::Yaml => yaml::parse(body)?,
    })
}

/// Makes a value fit its schema: drops what the schema does not know (each a finding), and nulls; brings
/// scalars into the form in which they are kept. Nothing is said of a value that an error leaves half done.
pub fn conform(value: &mut Value, schema: &Schema, findings: &mut Vec<Finding>) -> Result<(), TypeError> {
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    Walk { findings }.value(value, schema.cursor(), &Path::Root, 0)
}

/// Leaves integers in fields of 32 bits their lower bits only. Kubernetes reads what it merged as a tree this way, other than
/// bodies, in which they are refused. Few values have such integers, so that `sent`, what was merged, is looked at first.
pub fn wrap_integers(value: &mut Value, sent: &Value, schema: &Schema) {
    if has_wide_integers(sent) {
        wrap_at(value, schema.cursor());
    }
}

fn has_wide_integers(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.values().any(has_wide_integers),
        Value::Array(items) => items.iter().any(has_wide_integers),
        value => value.as_i64().is_some_and(|number| i32::try_from(number).is_err()),
    }
}

fn wrap_at(value: &mut Value, at: Cursor<'_>) {
    match (value, at.node()) {
        (Value::Object(fields), _) => {
            for (name, value) in fields {
                if let Some(below) = at.child(name) {
                    wrap_at(value, below);
                }
            }
        }
        (Value::Array(items), _) => {
            if let Some(below) = at.items() {
                items.iter_mut().for_each(|item| wrap_at(item, below));
            }
        }
        (value, Node::Scalar(Scalar::Int32)) => {
            if let Some(number) = value.as_i64() {
                *value = Value::from(number as i32);
            }
        }
        _ => {}
    }
}

struct Walk<'f> {
    findings: &'f mut Vec<Finding>,
}

impl Walk<'_> {
    fn value(&mut self, value: &mut Value, cursor: Cursor<'_>, path: &Path<'_>, depth: usize) -> Result<(), TypeError> {
        // Bodies are bounded when they are read; this bounds what patches have made of them.
        if depth > MOST_DEPTH {
            return Err(TypeError { path: path.shown(), expected: "less deeply nested", found: format!("{depth} levels deep") });
        }
        match cursor.node() {
            Node::Struct { .. } => self.structure(value, cursor, path, depth),
            Node::Map { values, .. } => match value {
                Value::Object(map) => {
                    let below = cursor.at(*values);
                    map.iter_mut().try_for_each(|(key, value)| self.element(value, below, &Path::Key(path, key), depth + 1))
                }
                other => Err(wrong(path, "an object", other)),
            },
            Node::List { items, .. } => match value {
                Value::Array(list) => {
                    let below = cursor.at(*items);
                    let mut elements = list.iter_mut().enumerate();
                    elements.try_for_each(|(index, value)| self.element(value, below, &Path::Index(path, index), depth + 1))
                }
                other => Err(wrong(path, "a list", other)),
            },
            Node::Scalar(scalar) => scalar::conform(value, *scalar).map_err(|expected| wrong(path, expected, value)),
            Node::Any => Ok(()),
        }
    }

    fn structure(&mut self, value: &mut Value, cursor: Cursor<'_>, path: &Path<'_>, depth: usize) -> Result<(), TypeError> {
        let Value::Object(map) = value else { return Err(wrong(path, "an object", value)) };
        // Rarely anything has to go, so fields are not removed while walking.
        let mut dropped: Vec<String> = Vec::new();
        for (key, value) in map.iter_mut() {
            match cursor.field(key) {
                // A field that is null is one that is not there.
                Some(_) if value.is_null() => dropped.push(key.clone()),
                Some((_, below)) => self.value(value, below, &Path::Key(path, key), depth + 1)?,
                None if cursor.child(key).is_some() => {}
                None => {
                    self.unknown(&Path::Key(path, key));
                    dropped.push(key.clone());
                }
            }
        }
        for key in dropped {
            map.remove(&key);
        }
        Ok(())
    }

    /// A value of a list or a map. Unlike a field it cannot be left out: null is its type's zero value.
    fn element(&mut self, value: &mut Value, cursor: Cursor<'_>, path: &Path<'_>, depth: usize) -> Result<(), TypeError> {
        if value.is_null() {
            *value = zero(cursor.node());
            return Ok(());
        }
        self.value(value, cursor, path, depth)
    }

    fn unknown(&mut self, path: &Path<'_>) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(Finding::Unknown(path.shown()));
        }
    }
}

fn zero(node: &Node) -> Value {
    match node {
        Node::Struct { .. } | Node::Map { .. } => Value::Object(Map::new()),
        Node::List { .. } => Value::Array(Vec::new()),
        Node::Any => Value::Null,
        Node::Scalar(scalar) => match scalar {
            Scalar::Boolean => false.into(),
            Scalar::Int32 | Scalar::Int64 | Scalar::Double | Scalar::IntOrString => 0.into(),
            Scalar::Quantity => "0".into(),
            Scalar::String | Scalar::Bytes => "".into(),
            Scalar::Time | Scalar::MicroTime => Value::Null,
        },
    }
}

fn wrong(path: &Path<'_>, expected: &'static str, found: &Value) -> TypeError {
    const MOST_SHOWN: usize = 64;
    let found = match found {
        Value::Null => "null".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) if text.len() > MOST_SHOWN => "a long string".to_owned(),
        Value::String(text) => format!("the string {text:?}"),
        Value::Number(number) => format!("the number {number}"),
        Value::Bool(value) => value.to_string(),
    };
    TypeError { path: path.shown(), expected, found }
}

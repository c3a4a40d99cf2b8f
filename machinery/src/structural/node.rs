//! [`Node`]: a structural schema of one value, with what is below it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::Regex;
use serde_json::Value;

/// The schema of one value.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// None where any type will do, and where `int_or_string` says it.
    pub kind: Option<Type>,
    pub int_or_string: bool,
    pub nullable: bool,
    /// Fields that the schema does not know are kept.
    pub preserve_unknown: bool,
    /// The value is an object with a type and metadata of its own.
    pub embedded: bool,
    /// Never null.
    pub default: Option<Value>,
    pub properties: BTreeMap<Box<str>, Node>,
    /// What is under keys that are no properties.
    pub additional: Option<Additional>,
    pub items: Option<Box<Node>>,
    pub list: ListType,
    pub(super) checks: Checks,
    /// How much the default adds to an object, in bytes, roughly.
    pub(super) default_size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Object,
    Array,
    Integer,
    Number,
    String,
    Boolean,
}

/// `additionalProperties`.
#[derive(Clone, Debug)]
pub enum Additional {
    /// Whether there may be any.
    Allowed(bool),
    Schema(Box<Node>),
}

/// `x-kubernetes-list-type`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    #[default]
    Atomic,
    Set,
    /// Elements are told apart by these fields.
    Map(Box<[Box<str>]>),
}

/// What a value has to meet besides its type.
#[derive(Clone, Debug, Default)]
pub(super) struct Checks {
    pub(super) enumerated: Vec<Value>,
    /// Only formats that are known.
    pub(super) format: Option<Box<str>>,
    pub(super) pattern: Option<Pattern>,
    pub(super) minimum: Option<Bound>,
    pub(super) maximum: Option<Bound>,
    pub(super) multiple_of: Option<f64>,
    pub(super) length: Range,
    pub(super) items: Range,
    pub(super) properties: Range,
    pub(super) required: Vec<Box<str>>,
    pub(super) all_of: Vec<Node>,
    pub(super) any_of: Vec<Node>,
    pub(super) one_of: Vec<Node>,
    pub(super) not: Option<Box<Node>>,
}

/// A count's bounds, both inclusive.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Range {
    pub(super) least: Option<i64>,
    pub(super) most: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) value: f64,
    pub(super) exclusive: bool,
}

/// A regular expression, compiled when it is first needed: definitions have many, and few are used in a minute.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) text: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.into(), compiled: OnceLock::new() }
    }

    /// Whether the pattern is found in the text. Nothing matches a pattern that is not valid.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| crate::cel::compile_pattern(&self.text).ok());
        compiled.as_ref().is_some_and(|pattern| pattern.is_match(text))
    }
}

impl Node {
    /// The schema of what an object has under `key`.
    pub fn child(&self, key: &str) -> Option<&Self> {
        self.properties.get(key).or(match &self.additional {
            Some(Additional::Schema(schema)) => Some(schema),
            _ => None,
        })
    }
}

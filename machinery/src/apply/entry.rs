//! The entries of `metadata.managedFields`: who owns which fields since when. The sets stay encoded until somebody
//! has to look into them.

use std::cmp::Ordering;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, Time};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::codec;
use super::set::Set;

/// How a manager came to own its fields. Appliers come first in lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Operation {
    /// Server-side apply: what the manager names, it wants to keep.
    Apply,
    /// Everything else: create, update and the other patches.
    Update,
}

/// The constant `FieldsV1`, the one encoding of field sets there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldsType {
    #[default]
    FieldsV1,
}

/// One manager's fields. Serializes as a `metav1.ManagedFieldsEntry`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The version of the object's type that the fields are named in.
    #[serde(default)]
    pub api_version: String,
    pub fields_type: FieldsType,
    /// The set of fields, encoded.
    #[serde(rename = "fieldsV1")]
    pub fields: Box<RawValue>,
    #[serde(default)]
    pub manager: String,
    pub operation: Operation,
    /// The subresource that was written through, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    /// When the fields last changed, to the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.is_same_but_for_time(other) && self.time == other.time
    }
}

impl Eq for Entry {}

/// Who writes, through what, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The request's `fieldManager`, or what its user agent names; empty counts as `unknown`.
    pub manager: &'a str,
    /// The version of the object's type that the request speaks.
    pub api_version: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    pub now: Timestamp,
}

impl Writer<'_> {
    fn name(&self) -> &str {
        if self.manager.is_empty() { "unknown" } else { self.manager }
    }

    pub(super) fn time(&self) -> Time {
        // Rounding to a second fails only at the end of time.
        Time(self.now.round(TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Trunc)).unwrap_or(self.now))
    }
}

impl Entry {
    pub(super) fn new(writer: Writer<'_>, operation: Operation, fields: Box<RawValue>) -> Self {
        Self {
            api_version: writer.api_version.into(),
            fields_type: FieldsType::FieldsV1,
            fields,
            manager: writer.name().into(),
            operation,
            subresource: writer.subresource.into(),
            time: Some(writer.time()),
        }
    }

    /// Whether what `writer` does by `operation` belongs to this entry. An applier keeps its entry across versions.
    pub(super) fn is_of(&self, writer: Writer<'_>, operation: Operation) -> bool {
        self.operation == operation
            && self.manager == writer.name()
            && self.subresource == writer.subresource
            && (operation == Operation::Apply || self.api_version == writer.api_version)
    }

    /// Decodes the set of fields.
    pub fn set(&self) -> Result<Set<'_>, serde_json::Error> {
        codec::decode(self.fields.get())
    }

    fn is_same_but_for_time(&self, other: &Self) -> bool {
        self.operation == other.operation
            && self.manager == other.manager
            && self.api_version == other.api_version
            && self.subresource == other.subresource
            && self.fields.get() == other.fields.get()
    }

    /// The order of entries in an object: appliers first, then the oldest first.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        self.operation
            .cmp(&other.operation)
            .then_with(|| self.seconds().cmp(&other.seconds()))
            .then_with(|| self.manager.cmp(&other.manager))
            .then_with(|| self.api_version.cmp(&other.api_version))
            .then_with(|| self.subresource.cmp(&other.subresource))
    }

    pub(super) fn seconds(&self) -> i64 {
        self.time.as_ref().map_or(0, |Time(time)| time.as_second())
    }
}

/// A set as an entry holds it; `None` where there is nothing to hold.
pub(super) fn encoded(fields: &Set<'_>) -> Option<Box<RawValue>> {
    // What the codec writes is JSON, so that this does not fail.
    (!fields.is_empty()).then(|| RawValue::from_string(codec::encode(fields)).unwrap_or_default())
}

/// The entries that a write starts from: those that the client sent, where it sent any that can be read, else those
/// of the live object. A client clears them by sending an empty list, or a list of one empty entry. Writes through
/// a subresource cannot change them: `sent` is `None` there.
pub fn starting_entries(live: Vec<Entry>, sent: Option<&[ManagedFieldsEntry]>) -> Vec<Entry> {
    match sent {
        None => live,
        Some(sent) if sent.is_empty() || sent == [ManagedFieldsEntry::default()] => Vec::new(),
        // What cannot be read does not come from somebody who knows what it is.
        Some(sent) => sent.iter().map(Entry::try_from).collect::<Result<_, _>>().unwrap_or(live),
    }
}

/// Takes back changes of time alone: `before` and `after` are the entries of two objects that are otherwise equal.
pub fn keep_times(before: &[Entry], after: &mut [Entry]) {
    let same = before.len() == after.len() && before.iter().all(|old| after.iter().any(|new| new.is_same_but_for_time(old)));
    if same {
        after.clone_from_slice(before);
    }
}

/// Why a client's entry is not one.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error("unknown operation {0:?} in managed fields")]
    Operation(String),
    #[error("unknown type {0:?} of managed fields")]
    FieldsType(String),
    #[error("the managed fields of {manager:?} cannot be read: {source}")]
    Fields { manager: String, source: serde_json::Error },
}

impl TryFrom<&ManagedFieldsEntry> for Entry {
    type Error = Malformed;

    fn try_from(entry: &ManagedFieldsEntry) -> Result<Self, Malformed> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let operation = match entry.operation.as_deref() {
            Some("Apply") => Operation::Apply,
            Some("Update") => Operation::Update,
            other => return Err(Malformed::Operation(other.unwrap_or_default().into())),
        };
        if entry.fields_type.as_deref() != Some("FieldsV1") {
            return Err(Malformed::FieldsType(text(&entry.fields_type)));
        }
        let unreadable = |source| Malformed::Fields { manager: text(&entry.manager), source };
        let fields = match &entry.fields_v1 {
            Some(FieldsV1(fields)) => serde_json::value::to_raw_value(fields).map_err(unreadable)?,
            None => RawValue::from_string("{}".into()).map_err(unreadable)?,
        };
        codec::decode(fields.get()).map_err(unreadable)?;
        Ok(Self {
            api_version: text(&entry.api_version),
            fields_type: FieldsType::FieldsV1,
            fields,
            manager: text(&entry.manager),
            operation,
            subresource: text(&entry.subresource),
            time: entry.time.clone(),
        })
    }
}

impl From<&Entry> for ManagedFieldsEntry {
    fn from(entry: &Entry) -> Self {
        let operation = match entry.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        Self {
            api_version: Some(entry.api_version.clone()),
            fields_type: Some("FieldsV1".into()),
            // The text of a set is JSON.
            fields_v1: Some(FieldsV1(serde_json::from_str(entry.fields.get()).unwrap_or(Value::Null))),
            manager: Some(entry.manager.clone()),
            operation: Some(operation.into()),
            subresource: Some(entry.subresource.clone()).filter(|name| !name.is_empty()),
            time: entry.time.clone(),
        }
    }
}

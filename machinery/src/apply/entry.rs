//! The entries of `metadata.managedFields`: who owns which fields since when. The sets stay encoded until somebody
//! has to look into them.

use std::cmp::Ordering;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, Time};
use serde::Serialize;
use serde_json::Value;

use super::codec;
use super::set::Set;
use crate::text::Text;

/// How a manager came to own its fields. Appliers come first in lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Server-side apply: what the manager names, it wants to keep.
    Apply,
    /// Everything else: create, update and the other patches.
    Update,
}

impl Operation {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Apply, Self::Update].into_iter().find(|operation| operation.as_str() == text)
    }
}

/// The one encoding of field sets there is.
const FIELDS_TYPE: &str = "FieldsV1";

/// A set of fields in its encoded form: JSON text, fresh from the encoder or from a stored object.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields(Box<str>);

impl Fields {
    /// What the encoder wrote.
    pub(super) fn encoded(text: String) -> Self {
        Self(text.into())
    }

    /// Encodes a set; `None` where there is nothing to encode.
    pub(super) fn of(set: &Set<'_>) -> Option<Self> {
        (!set.is_empty()).then(|| Self::encoded(codec::encode(set)))
    }

    /// Decodes the set.
    pub fn set(&self) -> Result<Set<'_>, serde_json::Error> {
        codec::decode(&mut serde_json::Deserializer::from_str(&self.0))
    }

    /// The fields less `removed`, and with `written`; `None` where nothing is left.
    pub(super) fn edited(&self, removed: &Set<'_>, written: &Set<'_>) -> Result<Option<Self>, serde_json::Error> {
        Ok(codec::edit(&self.0, removed, written)?.map(Self::encoded))
    }

    /// How many members of `set` are among these fields.
    pub(super) fn count_common(&self, set: &Set<'_>) -> Result<usize, serde_json::Error> {
        codec::count_common(Text::new(&self.0), set)
    }

    /// The set without fields.
    fn none() -> Self {
        Self("{}".into())
    }

    fn is_empty(&self) -> bool {
        *self == Self::none()
    }

    pub(super) fn to_tree(&self) -> Value {
        // The text is JSON, so that this does not fail.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

/// One manager's fields. Its JSON is that of a `metav1.ManagedFieldsEntry`.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The version of the object's type that the fields are named in.
    pub api_version: String,
    pub fields: Fields,
    pub manager: String,
    pub operation: Operation,
    /// The subresource that was written through, or empty.
    pub subresource: String,
    /// When the fields last changed, to the second.
    pub time: Option<Time>,
}

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
    pub(super) fn new(writer: Writer<'_>, operation: Operation, fields: Fields) -> Self {
        Self {
            api_version: writer.api_version.into(),
            fields,
            manager: writer.name().into(),
            operation,
            subresource: writer.subresource.into(),
            time: Some(writer.time()),
        }
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"apiVersion\":");
        write_text(&self.api_version, out);
        out.extend_from_slice(b",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":");
        out.extend_from_slice(self.fields.0.as_bytes());
        out.extend_from_slice(b",\"manager\":");
        write_text(&self.manager, out);
        out.extend_from_slice(b",\"operation\":");
        write_text(self.operation.as_str(), out);
        if !self.subresource.is_empty() {
            out.extend_from_slice(b",\"subresource\":");
            write_text(&self.subresource, out);
        }
        if let Some(time) = &self.time {
            out.extend_from_slice(b",\"time\":");
            write_text(time, out);
        }
        out.push(b'}');
    }

    /// The entry at the head of `json`, as [`Self::write_json`] wrote it, and what follows it.
    fn read_json(json: &str) -> Option<(Self, &str)> {
        let (mut api_version, mut manager, mut subresource) = (String::new(), String::new(), String::new());
        let (mut operation, mut fields, mut time) = (None, None, None);
        let mut rest = json.strip_prefix('{')?;
        loop {
            let (name, after) = Text::split_first(rest)?;
            let (value, after) = Text::split_first(after.strip_prefix(':')?)?;
            match name.as_str() {
                "\"apiVersion\"" => api_version = value.unquoted().into_owned(),
                "\"fieldsType\"" => {}
                "\"fieldsV1\"" => fields = Some(Fields(value.as_str().into())),
                "\"manager\"" => manager = value.unquoted().into_owned(),
                "\"operation\"" => operation = Operation::parse(value.between_quotes()),
                "\"subresource\"" => subresource = value.unquoted().into_owned(),
                "\"time\"" => time = Some(Time(value.between_quotes().parse().ok()?)),
                _ => return None,
            }
            if let Some(end) = after.strip_prefix('}') {
                let entry = Self { api_version, fields: fields?, manager, operation: operation?, subresource, time };
                return Some((entry, end));
            }
            rest = after.strip_prefix(',')?;
        }
    }

    /// Whether what `writer` does by `operation` belongs to this entry. An applier keeps its entry across versions.
    pub(super) fn is_of(&self, writer: Writer<'_>, operation: Operation) -> bool {
        self.operation == operation
            && self.manager == writer.name()
            && self.subresource == writer.subresource
            && (operation == Operation::Apply || self.api_version == writer.api_version)
    }

    /// Whether this is what `entry` says, word for word.
    fn is(&self, entry: &ManagedFieldsEntry) -> bool {
        let says = |text: &Option<String>, word: &str| text.as_deref().unwrap_or_default() == word;
        says(&entry.manager, &self.manager)
            && says(&entry.operation, self.operation.as_str())
            && says(&entry.api_version, &self.api_version)
            && says(&entry.subresource, &self.subresource)
            && says(&entry.fields_type, FIELDS_TYPE)
            && entry.time == self.time
            && entry.fields_v1.as_ref().is_some_and(|FieldsV1(sent)| *sent == self.fields.to_tree())
    }

    fn is_same_but_for_time(&self, other: &Self) -> bool {
        self.operation == other.operation
            && self.manager == other.manager
            && self.api_version == other.api_version
            && self.subresource == other.subresource
            && self.fields == other.fields
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

/// Appends the JSON of a list of entries.
pub fn write_entries(entries: &[Entry], out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, entry) in entries.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        entry.write_json(out);
    }
    out.push(b']');
}

/// The entries at the head of `json`, as [`write_entries`] wrote them, and what follows them; None where others wrote them.
pub fn read_entries(json: &str) -> Option<(Vec<Entry>, &str)> {
    let mut entries = Vec::new();
    let mut rest = json.strip_prefix('[')?;
    while !rest.starts_with(']') {
        let (entry, after) = Entry::read_json(rest)?;
        entries.push(entry);
        rest = if after.starts_with(']') { after } else { after.strip_prefix(',')? };
    }
    Some((entries, rest.strip_prefix(']')?))
}

/// Appends what is a string in JSON.
fn write_text(text: impl Serialize, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail, and no string can.
    let _ = serde_json::to_writer(out, &text);
}

/// The entries that a write starts from: those that the client sent, where it sent any that can be read, else those
/// of the live object. A client clears them by sending an empty list, or a list of one empty entry. Writes through
/// a subresource cannot change them: `sent` is `None` there.
pub fn starting_entries(live: Vec<Entry>, sent: Option<&[ManagedFieldsEntry]>) -> Vec<Entry> {
    match sent {
        None => live,
        Some(sent) if sent.is_empty() || sent == [ManagedFieldsEntry::default()] => Vec::new(),
        // Most clients send back what they were given.
        Some(sent) if sent.len() == live.len() && live.iter().zip(sent).all(|(live, sent)| live.is(sent)) => live,
        // What cannot be read does not come from somebody who knows what it is.
        Some(sent) => match sent.iter().map(read).collect::<Result<Vec<Entry>, _>>() {
            // Who owns nothing is forgotten.
            Ok(sent) => sent.into_iter().filter(|entry| !entry.fields.is_empty()).collect(),
            Err(_) => live,
        },
    }
}

/// An entry as a client sent it, with its set in the one form that sets have here.
fn read(entry: &ManagedFieldsEntry) -> Result<Entry, Malformed> {
    let operation = entry.operation.as_deref().unwrap_or_default();
    let operation = Operation::parse(operation).ok_or_else(|| Malformed::Operation(operation.into()))?;
    if entry.fields_type.as_deref() != Some(FIELDS_TYPE) {
        return Err(Malformed::FieldsType(entry.fields_type.clone().unwrap_or_default()));
    }
    let manager = entry.manager.clone().unwrap_or_default();
    let api_version = entry.api_version.clone().filter(|version| !version.is_empty());
    let api_version = api_version.ok_or_else(|| Malformed::Version(manager.clone()))?;
    let set = match &entry.fields_v1 {
        Some(FieldsV1(tree)) => codec::decode(tree).map_err(|source| Malformed::Fields { manager: manager.clone(), source })?,
        None => Set::new(),
    };
    Ok(Entry {
        api_version,
        fields: Fields::of(&set).unwrap_or_else(Fields::none),
        manager,
        operation,
        subresource: entry.subresource.clone().unwrap_or_default(),
        time: entry.time.clone(),
    })
}

/// Takes back changes of time alone: `before` and `after` are the entries of two objects that are otherwise equal.
pub fn keep_times(before: &[Entry], after: &mut [Entry]) {
    let same = before.len() == after.len() && before.iter().all(|old| after.iter().any(|new| new.is_same_but_for_time(old)));
    if same {
        after.clone_from_slice(before);
    }
}

/// Takes back the time of what `writer` owns, for writes that leave it as it was: none, where the writer is new.
pub fn keep_own_time(before: &[Entry], after: &mut [Entry], writer: Writer<'_>) {
    for own in after.iter_mut() {
        let operation = own.operation;
        if own.is_of(writer, operation) {
            let known = before.iter().find(|entry| entry.is_of(writer, operation));
            own.time = known.and_then(|entry| entry.time.clone());
        }
    }
    after.sort_by(Entry::order);
}

/// Why a client's entry is not one.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error("unknown operation {0:?} in managed fields")]
    Operation(String),
    #[error("unknown type {0:?} of managed fields")]
    FieldsType(String),
    #[error("the managed fields of {0:?} say no version")]
    Version(String),
    #[error("the managed fields of {manager:?} cannot be read: {source}")]
    Fields { manager: String, source: serde_json::Error },
}

impl From<&Entry> for ManagedFieldsEntry {
    fn from(entry: &Entry) -> Self {
        Self {
            api_version: Some(entry.api_version.clone()),
            fields_type: Some(FIELDS_TYPE.into()),
            fields_v1: Some(FieldsV1(entry.fields.to_tree())),
            manager: Some(entry.manager.clone()),
            operation: Some(entry.operation.as_str().into()),
            subresource: Some(entry.subresource.clone()).filter(|name| !name.is_empty()),
            time: entry.time.clone(),
        }
    }
}

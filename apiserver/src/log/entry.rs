//! [`Entry`]: an object at one version, encoded once.
//!
//! Stored bytes carry no `metadata.resourceVersion`, since it is known only once the write is done. An entry's JSON
//! is the stored bytes with the version spliced in at the head of `metadata`; nothing is encoded twice. Behind it come
//! the managed fields. They are in the JSON alone: decoded objects do not carry them, since only writes look at them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use api::{Object, Resource};
use bytes::Bytes;
use jiff::Timestamp;
use machinery::{NamespacedName, ResourceVersion, apply, protobuf};
use parking_lot::Mutex;
use serde::Deserialize;

use super::layout::{Layout, managed_at, splice};

/// An object as it stands at one version, encoded.
pub struct Entry {
    pub key: NamespacedName,
    pub version: ResourceVersion,
    /// The object's JSON, with `metadata.resourceVersion` in it.
    pub json: Bytes,
    pub labels: Arc<BTreeMap<String, String>>,
    /// Values of the kind's selectable fields, besides name and namespace.
    pub fields: Fields,
    layout: Layout,
    /// The object's protobuf body, made for the first who asks for it. None inside: its kind has none.
    protobuf: OnceLock<Option<Bytes>>,
    /// The decoded object, while the entry is recent; see [`Entry::typed`].
    typed: Mutex<Option<Typed>>,
}

/// A decoded object at hand.
pub(super) enum Typed {
    Own(Arc<dyn Object>),
    /// It is the same but for its version, which it is given when somebody asks.
    Earlier(Arc<dyn Object>),
}

/// Values of selectable fields by name.
pub type Fields = Arc<[(&'static str, Cow<'static, str>)]>;

impl Entry {
    /// An object whose JSON is what stands before and behind its version.
    pub(super) fn new(
        key: NamespacedName,
        version: ResourceVersion,
        (before, after, layout): (&[u8], &[u8], Layout),
        typed: Option<Typed>,
        (labels, fields): (Arc<BTreeMap<String, String>>, Fields),
    ) -> Self {
        let (json, length) = splice(before, after, version);
        let layout = Layout { version: length, ..layout };
        Self { key, version, json, labels, fields, layout, protobuf: OnceLock::new(), typed: Mutex::new(typed) }
    }

    /// The decoded object, where it is still at hand. It carries its resource version.
    pub fn typed(&self) -> Option<Arc<dyn Object>> {
        let mut typed = self.typed.lock();
        if let Some(Typed::Earlier(earlier)) = &*typed {
            let mut object = earlier.clone_boxed();
            object.meta_mut().resource_version = Some(self.version.to_string());
            *typed = Some(Typed::Own(object.into()));
        }
        match &*typed {
            Some(Typed::Own(object)) => Some(object.clone()),
            _ => None,
        }
    }

    /// The decoded object, which may say an earlier version.
    fn at_hand(&self) -> Option<Arc<dyn Object>> {
        match &*self.typed.lock() {
            Some(Typed::Own(object) | Typed::Earlier(object)) => Some(object.clone()),
            None => None,
        }
    }

    /// The decoded object; `resource` is the one whose log the entry stands in.
    pub fn object(&self, resource: &dyn Resource) -> Result<Arc<dyn Object>, String> {
        if let Some(typed) = self.typed() {
            return Ok(typed);
        }
        resource.decode_stored(&self.without_managed()).map(Arc::from)
    }

    /// The object's JSON without its managed fields.
    pub fn without_managed(&self) -> Cow<'_, [u8]> {
        let managed = self.layout.managed();
        if managed.is_empty() {
            return Cow::Borrowed(&self.json);
        }
        Cow::Owned([&self.json[..managed.start], &self.json[managed.end..]].concat())
    }

    /// The JSON of the object's metadata, without its version and managed fields.
    pub fn metadata(&self) -> Vec<u8> {
        [b"{", &self.json[self.layout.own()]].concat()
    }

    /// The JSON of the same object with other metadata, which is JSON, too.
    pub(super) fn json_with(&self, metadata: &[u8]) -> (Vec<u8>, Layout) {
        let (start, end) = (self.layout.start as usize - "{".len(), self.layout.own().end);
        let json = [&self.json[..start], metadata, &self.json[end..]].concat();
        (json, Layout::of_metadata(start, metadata.len()))
    }

    /// As [`Entry::object`], and keeps the decoded object: for those that are asked for with every other request, such as
    /// namespaces.
    pub fn kept_object(&self, resource: &dyn Resource) -> Result<Arc<dyn Object>, String> {
        let object = self.object(resource)?;
        self.typed.lock().get_or_insert_with(|| Typed::Own(object.clone()));
        Ok(object)
    }

    /// The object's uid, and when it was or will be deleted.
    pub fn identity(&self) -> (String, Option<Timestamp>) {
        #[derive(Default, Deserialize)]
        struct Head {
            metadata: Meta,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Meta {
            uid: String,
            deletion_timestamp: Option<Timestamp>,
        }
        if let Some(typed) = self.at_hand() {
            let meta = typed.meta();
            return (meta.uid.clone().unwrap_or_default(), meta.deletion_timestamp.as_ref().map(|at| at.0));
        }
        // An entry's JSON is this server's own.
        let Head { metadata } = serde_json::from_slice(&self.json).unwrap_or_default();
        (metadata.uid, metadata.deletion_timestamp)
    }

    /// The object's managed fields.
    pub fn managed(&self) -> Vec<apply::Entry> {
        managed_at(&self.json, self.layout.managed().start).map(|(managed, _)| managed).unwrap_or_default()
    }

    /// Lets go of the decoded object; the bytes stay.
    pub(crate) fn forget_typed(&self) {
        self.typed.lock().take();
    }

    /// The value of a selectable field.
    pub fn field(&self, name: &str) -> Option<&str> {
        match name {
            "metadata.name" => Some(&self.key.name),
            "metadata.namespace" => Some(&self.key.namespace),
            _ => self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| &**value),
        }
    }

    /// The same state under another version: how a deletion shows the last state.
    pub(crate) fn at_version(&self, version: ResourceVersion) -> Self {
        let Range { start, end } = self.layout.version();
        let around = (&self.json[..start], &self.json[end..], self.layout);
        Self::new(self.key.clone(), version, around, self.at_hand().map(Typed::Earlier), (self.labels.clone(), self.fields.clone()))
    }

    /// The object's protobuf body, in the version in which it is stored; None where its kind has no such form.
    pub fn protobuf(&self) -> Option<Bytes> {
        self.protobuf.get_or_init(|| protobuf::encode_json(&self.json).map(Bytes::from)).clone()
    }

    /// Whether the stored form of this entry is exactly `value`.
    pub(crate) fn is_stored_as(&self, value: &[u8]) -> bool {
        let Range { start, end } = self.layout.version();
        value.len() + end - start == self.json.len() && value[..start] == self.json[..start] && value[start..] == self.json[end..]
    }

    /// About how many bytes of memory this entry takes.
    pub(crate) fn weight(&self) -> usize {
        const OVERHEAD_BYTES: usize = 512;
        self.json.len() + OVERHEAD_BYTES
    }
}

/// An object has one state at one version.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.key == other.key
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("key", &self.key).field("version", &self.version).finish_non_exhaustive()
    }
}

//! [`Entry`]: an object at one version, encoded once; and [`Prepared`]: one that is about to be written.
//!
//! Stored bytes carry no `metadata.resourceVersion`, since it is known only once the write is done. An entry's JSON
//! is the stored bytes with the version spliced in at the head of `metadata`; nothing is encoded twice. Behind it come
//! the managed fields. They are in the JSON alone: decoded objects do not carry them, since only writes look at them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock, OnceLock};

use api::{Object, Resource};
use bytes::Bytes;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::shared::Pool;
use machinery::text::Text;
use machinery::{NamespacedName, ResourceVersion, apply, protobuf};
use parking_lot::Mutex;
use serde::Deserialize;
use storage::Revision;

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
enum Typed {
    Own(Arc<dyn Object>),
    /// It is the same but for its version, which it is given when somebody asks.
    Earlier(Arc<dyn Object>),
}

/// Values of selectable fields by name.
pub type Fields = Arc<[(&'static str, Cow<'static, str>)]>;

/// Where the parts of an object's metadata are in its JSON: first the version, then the managed fields, then its own members.
/// Objects are far smaller than 4 GiB: the store's limit is a few MiB.
#[derive(Clone, Copy)]
struct Layout {
    /// Where the metadata's members begin: after the brace.
    start: u32,
    /// How long the version is, with its name and comma; 0 where there is none.
    version: u32,
    /// How long the managed fields are, with their name and comma.
    managed: u32,
    /// How long the metadata's own members are, with the brace that closes it.
    own: u32,
}

impl Layout {
    /// That of an object's JSON without version and managed fields; None where it has no metadata.
    fn find(json: &[u8]) -> Option<Self> {
        let json = std::str::from_utf8(json).ok()?;
        let (_, metadata) = Text::new(json).members().find(|(name, _)| name == "metadata")?;
        metadata.is_object().then(|| Self::of_metadata(metadata.start_in(json), metadata.as_str().len()))
    }

    fn of_metadata(start: usize, length: usize) -> Self {
        Self { start: (start + "{".len()) as u32, version: 0, managed: 0, own: (length - "{".len()) as u32 }
    }

    fn version(self) -> Range<usize> {
        range(self.start, self.version)
    }

    fn managed(self) -> Range<usize> {
        range(self.start + self.version, self.managed)
    }

    fn own(self) -> Range<usize> {
        range(self.start + self.version + self.managed, self.own)
    }
}

fn range(start: u32, length: u32) -> Range<usize> {
    start as usize..(start + length) as usize
}

impl Entry {
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
    fn json_with(&self, metadata: &[u8]) -> (Vec<u8>, Layout) {
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
        let old = self.layout.version();
        let (json, length) = splice(&self.json[..old.start], &self.json[old.end..], version);
        let typed = self.at_hand().map(Typed::Earlier);
        Self {
            key: self.key.clone(),
            version,
            json,
            labels: self.labels.clone(),
            fields: self.fields.clone(),
            layout: Layout { version: length, ..self.layout },
            protobuf: OnceLock::new(),
            typed: Mutex::new(typed),
        }
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

/// Joins the bytes around the version, and says how long it is.
fn splice(before: &[u8], after: &[u8], version: ResourceVersion) -> (Bytes, u32) {
    const NAME: &[u8] = b"\"resourceVersion\":\"";
    if version.0 == 0 {
        // The object is not stored.
        return ([before, after].concat().into(), 0);
    }
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(version.0).as_bytes();
    // An object without any metadata has nothing to be told apart from by a comma.
    let end: &[u8] = if after.first() == Some(&b'}') { b"\"" } else { b"\"," };
    let length = NAME.len() + digits.len() + end.len();
    let mut json = Vec::with_capacity(before.len() + length + after.len());
    json.extend_from_slice(before);
    json.extend_from_slice(NAME);
    json.extend_from_slice(digits);
    json.extend_from_slice(end);
    json.extend_from_slice(after);
    (json.into(), length as u32)
}

/// An object encoded for the store, to become an [`Entry`] as soon as its revision is known.
pub(crate) struct Prepared {
    pub(crate) key: NamespacedName,
    /// What is stored.
    pub(crate) value: Bytes,
    layout: Layout,
    parts: Mutex<Option<Parts>>,
    made: OnceLock<Arc<Entry>>,
}

struct Parts {
    object: Box<dyn Object>,
    labels: Arc<BTreeMap<String, String>>,
    fields: Fields,
}

impl Prepared {
    /// Encodes an object with its managed fields. Its resource version, if it carries one, is left out.
    pub(crate) fn new(resource: &dyn Resource, object: Box<dyn Object>, managed: &[apply::Entry]) -> Result<Self, EncodeError> {
        Self::after(None, false, resource, object, managed)
    }

    /// As [`Prepared::new`]. What is the same as in the state before is shared with it; all but the metadata is, if
    /// `metadata_only` says so.
    pub(crate) fn after(
        before: Option<&Entry>,
        metadata_only: bool,
        resource: &dyn Resource,
        mut object: Box<dyn Object>,
        managed: &[apply::Entry],
    ) -> Result<Self, EncodeError> {
        let meta = object.meta_mut();
        (meta.resource_version, meta.managed_fields) = (None, None);
        let (mut value, mut layout) = match before.filter(|_| metadata_only) {
            Some(before) => before.json_with(&metadata_json(object.meta())),
            None => {
                let json = object.json();
                let layout = Layout::find(&json).ok_or(EncodeError)?;
                (json, layout)
            }
        };
        if !managed.is_empty() {
            let bare = value.len();
            value = with_managed(&value, layout.start as usize, managed);
            layout.managed = (value.len() - bare) as u32;
        }
        let fields = resource.selectable_fields(&*object);
        let fields = match before.filter(|before| *before.fields == *fields) {
            Some(before) => before.fields.clone(),
            None => fields.into(),
        };
        let labels = object.meta().labels.as_ref();
        let labels = match before.filter(|before| labels.map_or(before.labels.is_empty(), |labels| *labels == *before.labels)) {
            Some(before) => before.labels.clone(),
            None => shared_labels(labels),
        };
        let key = NamespacedName::of(object.meta());
        let parts = Mutex::new(Some(Parts { object, labels, fields }));
        Ok(Self { key, value: value.into(), layout, parts, made: OnceLock::new() })
    }

    /// The object's path within its resource.
    pub(crate) fn path(&self) -> Arc<str> {
        super::path(&self.key.namespace, &self.key.name)
    }

    /// The entry that the write at `revision` made. Every caller gets the same one.
    pub(crate) fn entry(&self, revision: Revision) -> Arc<Entry> {
        self.made.get_or_init(|| self.make(ResourceVersion(revision.0))).clone()
    }

    fn make(&self, version: ResourceVersion) -> Arc<Entry> {
        let (before, after) = self.value.split_at(self.layout.start as usize);
        let (json, length) = splice(before, after, version);
        let (typed, labels, fields) = match self.parts.lock().take() {
            Some(Parts { mut object, labels, fields }) => {
                object.meta_mut().resource_version = Some(version.to_string());
                (Some(Typed::Own(object.into())), labels, fields)
            }
            None => (None, Arc::default(), Arc::from([])),
        };
        Arc::new(Entry {
            key: self.key.clone(),
            version,
            json,
            labels,
            fields,
            layout: Layout { version: length, ..self.layout },
            protobuf: OnceLock::new(),
            typed: Mutex::new(typed),
        })
    }
}

/// What [`with_managed`] writes before the entries.
const MANAGED: &[u8] = b"\"managedFields\":";

/// The object's JSON with managed fields, where the members of its metadata begin.
fn with_managed(json: &[u8], at: usize, managed: &[apply::Entry]) -> Vec<u8> {
    const TYPICAL_BYTES: usize = 512;
    let mut out = Vec::with_capacity(json.len() + managed.len() * TYPICAL_BYTES);
    out.extend_from_slice(&json[..at]);
    out.extend_from_slice(MANAGED);
    apply::write_entries(managed, &mut out);
    if json.get(at) != Some(&b'}') {
        out.push(b',');
    }
    out.extend_from_slice(&json[at..]);
    out
}

/// The managed fields that [`with_managed`] wrote, and where the metadata goes on behind them.
fn managed_at(json: &[u8], at: usize) -> Option<(Vec<apply::Entry>, usize)> {
    let rest = std::str::from_utf8(json.get(at..)?.strip_prefix(MANAGED)?).ok()?;
    let (managed, after) = apply::read_entries(rest)?;
    Some((managed, json.len() - after.strip_prefix(',').unwrap_or(after).len()))
}

/// Metadata as JSON.
pub(crate) fn metadata_json(meta: &ObjectMeta) -> Vec<u8> {
    // Writing to a Vec cannot fail, and metadata has nothing that JSON has not.
    serde_json::to_vec(meta).unwrap_or_default()
}

/// Takes stored bytes apart: the object without its managed fields, and those.
pub(crate) fn apart(resource: &dyn Resource, stored: &[u8]) -> Result<(Box<dyn Object>, Vec<apply::Entry>), String> {
    let at = Layout::find(stored).map_or(stored.len(), |layout| layout.start as usize);
    if let Some((managed, end)) = managed_at(stored, at) {
        let object = resource.decode_stored(&[&stored[..at], &stored[end..]].concat())?;
        return Ok((object, managed));
    }
    // Somebody else's order of fields.
    let mut object = resource.decode_stored(stored)?;
    let managed = apply::starting_entries(Vec::new(), object.meta_mut().managed_fields.take().as_deref());
    Ok((object, managed))
}

/// The labels, shared with all objects that have the same.
pub(crate) fn shared_labels(labels: Option<&BTreeMap<String, String>>) -> Arc<BTreeMap<String, String>> {
    static IN_USE: LazyLock<Pool<BTreeMap<String, String>>> = LazyLock::new(Pool::default);
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    IN_USE.share(labels.unwrap_or(&NONE), |labels| Arc::new(labels.clone()))
}

/// The object did not serialize to a JSON object with metadata.
#[derive(Debug, thiserror::Error)]
#[error("the object has no metadata where it is expected")]
pub(crate) struct EncodeError;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn metadata_is_found_at_the_outermost_level_only() {
        let json = br#"{"apiVersion":"v1","a":{"metadata":{}},"b":"x\\\",\"metadata\":{","metadata":{"name":"n"}}"#;
        let layout = Layout::find(json).unwrap();
        assert_eq!(&json[layout.own()], br#""name":"n"}"#);
        assert!(Layout::find(b"{}").is_none());
    }

    #[test]
    fn managed_fields_stand_in_the_json_and_not_in_the_object() {
        let registry = api::Registry::built_in();
        let found = registry.find("", "v1", "configmaps").unwrap();
        let resource = &*found;
        let entry = r#"{"apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:data":{}},"manager":"m","operation":"Update"}"#;
        let foreign = format!(r#"{{"metadata":{{"name":"n","managedFields":[{entry}]}},"data":{{"a":"b"}}}}"#);
        let (object, managed) = apart(resource, foreign.as_bytes()).unwrap();
        assert_eq!((managed.len(), &object.meta().managed_fields), (1, &None));
        let prepared = Prepared::new(resource, object, &managed).unwrap();
        let (object, again) = apart(resource, &prepared.value).unwrap();
        assert_eq!((&again, &object.meta().managed_fields), (&managed, &None));

        let entry = prepared.entry(Revision(7));
        assert!(std::str::from_utf8(&entry.json).unwrap().contains(r#""metadata":{"resourceVersion":"7","managedFields":[{"#));
        let later = entry.at_version(ResourceVersion(12));
        let version = |entry: &Entry| entry.typed().and_then(|object| object.meta().resource_version.clone());
        assert_eq!((version(&entry).as_deref(), version(&later).as_deref()), (Some("7"), Some("12")));
        entry.forget_typed();
        assert_eq!(entry.managed(), managed);
        assert_eq!(entry.metadata(), br#"{"name":"n"}"#);
        let object = entry.object(resource).unwrap();
        assert_eq!((object.meta().resource_version.as_deref(), &object.meta().managed_fields), (Some("7"), &None));
    }

    #[test]
    fn a_version_is_spliced_in_and_replaced() {
        let before = b"{\"metadata\":{";
        let (json, length) = splice(before, b"\"name\":\"n\"}}", ResourceVersion(12));
        assert_eq!(&json[..], br#"{"metadata":{"resourceVersion":"12","name":"n"}}"#);
        let (json, _) = splice(before, &json[before.len() + length as usize..], ResourceVersion(1234));
        assert_eq!(&json[..], br#"{"metadata":{"resourceVersion":"1234","name":"n"}}"#);
    }
}

//! [`Prepared`]: an object that is about to be written, encoded before its version is known.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use api::{Object, Resource};
use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::shared::Pool;
use machinery::{NamespacedName, ResourceVersion, apply};
use parking_lot::Mutex;
use storage::Revision;

use super::entry::{Entry, Fields, Typed};
use super::layout::{Layout, managed_at, with_managed};

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
        let (typed, labels, fields) = match self.parts.lock().take() {
            Some(Parts { mut object, labels, fields }) => {
                object.meta_mut().resource_version = Some(version.to_string());
                (Some(Typed::Own(object.into())), labels, fields)
            }
            None => (None, Arc::default(), Arc::from([])),
        };
        Arc::new(Entry::new(self.key.clone(), version, (before, after, self.layout), typed, (labels, fields)))
    }
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
}

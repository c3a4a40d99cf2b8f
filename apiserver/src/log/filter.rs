//! [`Filter`]: which objects of a resource a list or a watch is about.

use std::sync::Arc;

use machinery::{Status, fields, labels};

use super::Entry;
use super::resource_log::{IndexKey, Snapshot, path};
use crate::verbs::Target;

/// A namespace, a name and two selectors; each may be left open.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    namespace: Option<Arc<str>>,
    name: Option<Arc<str>>,
    labels: Option<Arc<labels::Selector>>,
    fields: Option<Arc<fields::Selector>>,
}

impl Filter {
    /// Reads the selectors of a request about `target`. Fails as a 400 where one is malformed or names a field
    /// by which the resource cannot be selected.
    pub fn parse(target: &Target, label_selector: &str, field_selector: &str) -> Result<Self, Status> {
        let some = |text: &str| (!text.is_empty()).then(|| Arc::from(text));
        let labels = match label_selector {
            "" => None,
            text => Some(Arc::new(
                labels::Selector::parse(text).map_err(|e| Status::bad_request(format!("unable to parse the label selector: {e}")))?,
            )),
        };
        let fields = match field_selector {
            "" => None,
            text => Some(Arc::new(parse_fields(target, text)?)),
        };
        let name = some(&target.name).or_else(|| fields.as_ref()?.exact("metadata.name").map(Arc::from));
        let namespace = some(&target.namespace).or_else(|| fields.as_ref()?.exact("metadata.namespace").map(Arc::from));
        Ok(Self { namespace, name, labels, fields })
    }

    /// Whether every object passes.
    pub fn is_open(&self) -> bool {
        self.labels.is_none() && self.fields.is_none() && self.name.is_none()
    }

    pub fn matches(&self, entry: &Entry) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == entry.key.namespace)
            && self.name.as_ref().is_none_or(|name| *name == entry.key.name)
            && self.labels.as_ref().is_none_or(|labels| labels.matches(&entry.labels))
            && self.fields.as_ref().is_none_or(|fields| fields.matches_by(|field| entry.field(field)))
    }

    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    /// The entries of a snapshot that pass, in order.
    pub fn pick(&self, snapshot: &Snapshot) -> Vec<Arc<Entry>> {
        match self.single(snapshot) {
            Some(one) => one.filter(|entry| self.matches(entry)).cloned().into_iter().collect(),
            None => snapshot.range(self.namespace(), "").map(|(_, entry)| entry).filter(|entry| self.matches(entry)).cloned().collect(),
        }
    }

    /// Whether one entry can pass at most, which is found by its name.
    pub fn names_one(&self, snapshot: &Snapshot) -> bool {
        self.single(snapshot).is_some()
    }

    /// The one entry that can pass, where the filter names an object.
    fn single<'a>(&self, snapshot: &'a Snapshot) -> Option<Option<&'a Arc<Entry>>> {
        let name = self.name.as_ref()?;
        let namespaced = snapshot.entries.keys().next().is_some_and(|path| path.contains('/'));
        if namespaced && self.namespace.is_none() {
            return None;
        }
        Some(snapshot.get(&path(self.namespace(), name)))
    }

    /// The value that all objects which pass have, where there is one by which a watch is indexed.
    pub(crate) fn index_key(&self) -> Option<IndexKey> {
        let key = |field: &str, value: &str| IndexKey { field: field.into(), value: value.into() };
        if let Some(name) = &self.name {
            return Some(key("metadata.name", name));
        }
        // An empty value would pick out many objects, and is not what an index is for.
        let exact = |one: &&fields::Requirement| one.equal && !one.value.is_empty() && !one.field.starts_with("metadata.");
        if let Some(one) = self.fields.as_ref().and_then(|fields| fields.requirements().iter().find(exact)) {
            return Some(key(&one.field, &one.value));
        }
        self.namespace.as_ref().map(|namespace| key("metadata.namespace", namespace))
    }
}

fn parse_fields(target: &Target, text: &str) -> Result<fields::Selector, Status> {
    let selector = fields::Selector::parse(text).map_err(|e| Status::bad_request(format!("unable to parse the field selector: {e}")))?;
    let known = |field: &str| matches!(field, "metadata.name" | "metadata.namespace") || target.resource.selectable().contains(&field);
    // The log is shared by a kind's versions, and knows the stored one's names.
    let stored = |field| target.resource.stored_field(field).filter(|stored| known(stored));
    selector.renamed(stored).map_err(|field| Status::bad_request(format!("field label not supported: {field}")))
}

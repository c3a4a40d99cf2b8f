//! Tables and bare metadata: what `kubectl get` and metadata informers ask for instead of whole objects.

use std::borrow::Cow;

use api::Resource;
use bytes::Bytes;
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v1::Scale;
use machinery::partial::{MetaVersion, PartialObjectMetadata, PartialObjectMetadataList};
use machinery::table::{ColumnDefinition, Include, Row, RowObject, Table};
use machinery::{Status, status};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::respond::list_meta;
use crate::verbs::List;

/// What the rows of the answer carry, as the query's `includeObject` says.
pub fn include(text: Option<&str>) -> status::Result<Include> {
    let text = text.unwrap_or_default();
    Include::parse(text).ok_or_else(|| Status::bad_request(format!("includeObject: {text:?} is none of None, Metadata, Object")))
}

fn internal(error: impl ToString) -> Status {
    Status::internal(error.to_string())
}

fn encode(value: &impl Serialize) -> status::Result<Bytes> {
    serde_json::to_vec(value).map(Bytes::from).map_err(internal)
}

/// An object without the annotation that its metadata alone do not show.
fn bare<'j>(resource: &dyn Resource, json: &'j [u8]) -> Cow<'j, [u8]> {
    let Some(hidden) = resource.hidden_annotation() else { return Cow::Borrowed(json) };
    let Ok(mut object) = serde_json::from_slice::<Value>(json) else { return Cow::Borrowed(json) };
    if let Some(Value::Object(metadata)) = object.get_mut("metadata")
        && let Some(Value::Object(annotations)) = metadata.get_mut("annotations")
    {
        annotations.remove(hidden);
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    Cow::Owned(object.to_string().into())
}

/// An object's metadata alone.
pub fn partial(resource: &dyn Resource, json: &[u8], version: MetaVersion) -> status::Result<Bytes> {
    of_any(&bare(resource, json), version)
}

/// The metadata of what is no resource's object.
pub fn of_any(json: &[u8], version: MetaVersion) -> status::Result<Bytes> {
    encode(&PartialObjectMetadata::of(json, version).map_err(internal)?)
}

/// A list of bare metadata.
pub fn partial_list(resource: &dyn Resource, list: &List, version: MetaVersion) -> status::Result<Bytes> {
    let items: Vec<_> = list.items.iter().map(|e| bare(resource, &e.json)).collect();
    let items = items.iter().map(|json| PartialObjectMetadata::of(json, version)).collect::<Result<_, _>>().map_err(internal)?;
    encode(&PartialObjectMetadataList::new(version, list_meta(list), items))
}

/// The tables of one request.
#[derive(Clone, Copy)]
pub struct Tables<'r> {
    pub resource: &'r dyn Resource,
    pub include: Include,
    pub version: MetaVersion,
}

impl Tables<'_> {
    /// What a row is to carry of an object: all of it in the version that is served, or the metadata that is stored.
    fn shown<'j>(&self, stored: &'j [u8]) -> Cow<'j, [u8]> {
        if self.include == Include::Object { self.resource.present(stored) } else { bare(self.resource, stored) }
    }

    fn row<'a>(&self, stored: &[u8], shown: &'a [u8], now: Timestamp) -> status::Result<Row<'a>> {
        let object = self.resource.decode_stored(stored).map_err(internal)?;
        let cells = self.resource.row(&*object, now);
        let conditions = self.resource.row_conditions(&*object);
        let object = RowObject::of(shown, self.include, self.version).map_err(internal)?;
        Ok(Row { cells, conditions, object })
    }

    /// A table of one row.
    pub fn of_object(&self, stored: &[u8]) -> status::Result<Bytes> {
        let metadata = meta_of(stored)?;
        let shown = self.shown(stored);
        let row = self.row(stored, &shown, Timestamp::now())?;
        encode(&Table::new(self.version, metadata, Some(self.resource.columns()), vec![row]))
    }

    /// A table of one Scale, of an object of the resource.
    pub fn of_scale(&self, scale: &[u8]) -> status::Result<Bytes> {
        let metadata = meta_of(scale)?;
        let object = RowObject::of(scale, self.include, self.version).map_err(internal)?;
        let scale: Scale = serde_json::from_slice(scale).map_err(internal)?;
        let desired = scale.spec.and_then(|spec| spec.replicas).unwrap_or_default();
        let observed = scale.status.map(|status| status.replicas).unwrap_or_default();
        let name = scale.metadata.name.as_deref().unwrap_or_default();
        let age = machinery::table::age(&scale.metadata, Timestamp::now());
        let row = Row { cells: vec![json!(name), json!(desired), json!(observed), json!(age)], conditions: Vec::new(), object };
        encode(&Table::new(self.version, metadata, Some(scale_columns(self.resource.is_custom())), vec![row]))
    }

    /// A table of a list.
    pub fn of_list(&self, list: &List) -> status::Result<Bytes> {
        let now = Timestamp::now();
        let items: Vec<_> = list.items.iter().map(|entry| (&entry.json, self.shown(&entry.json))).collect();
        let rows = items.iter().map(|(stored, shown)| self.row(stored, shown, now)).collect::<Result<_, _>>()?;
        encode(&Table::new(self.version, list_meta(list), Some(self.resource.columns()), rows))
    }

    /// A watch event's object as a table of one row. Only the first event of a watch carries the column definitions.
    pub fn of_event(&self, stored: &[u8], first: bool) -> status::Result<Bytes> {
        let columns = first.then(|| self.resource.columns());
        let shown = self.shown(stored);
        encode(&Table::new(self.version, meta_of(stored)?, columns, vec![self.row(stored, &shown, Timestamp::now())?]))
    }
}

/// The columns of a Scale. Built-in kinds say less about them than custom ones.
fn scale_columns(custom: bool) -> Vec<ColumnDefinition<'static>> {
    let column = |name, kind, format, description| ColumnDefinition { name, kind, format, description, priority: 0 };
    let (format, kind) = if custom { ("name", "date") } else { ("", "string") };
    vec![
        column("Name", "string", format, "The object's name."),
        column("Desired", "integer", "", "How many replicas there are to be."),
        column("Available", "integer", "", "How many replicas there are."),
        column("Age", kind, "", "Time since the object was created."),
    ]
}

/// The metadata of a table of one object: the object's version.
fn meta_of(stored: &[u8]) -> status::Result<status::ListMeta> {
    #[derive(Deserialize)]
    struct Versioned {
        metadata: Version,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        #[serde(default)]
        resource_version: String,
    }
    let version = serde_json::from_slice::<Versioned>(stored).map_err(internal)?.metadata.resource_version;
    Ok(status::ListMeta { resource_version: version, ..status::ListMeta::default() })
}

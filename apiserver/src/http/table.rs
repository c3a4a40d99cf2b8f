//! Tables and bare metadata: what `kubectl get` and metadata informers ask for instead of whole objects.

use api::Resource;
use bytes::Bytes;
use jiff::Timestamp;
use machinery::{Status, status};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::respond::list_meta;
use crate::verbs::List;

/// What a table's rows carry besides their cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    None,
    #[default]
    Metadata,
    Object,
}

impl Include {
    /// Reads the query's `includeObject`.
    pub fn parse(text: Option<&str>) -> status::Result<Self> {
        match text {
            None | Some("" | "Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::None),
            Some("Object") => Ok(Self::Object),
            Some(other) => Err(Status::bad_request(format!("includeObject: {other:?} is none of None, Metadata, Object"))),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Table<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: status::ListMeta,
    column_definitions: Vec<ColumnDefinition<'a>>,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct ColumnDefinition<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    format: &'a str,
    description: &'a str,
    priority: i32,
}

#[derive(Serialize)]
struct Row {
    cells: Vec<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<Box<RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PartialObject<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PartialList<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: status::ListMeta,
    items: Vec<PartialObject<'a>>,
}

/// An object's parts, not decoded.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
}

const META: &str = "meta.k8s.io/v1";

fn internal(error: impl ToString) -> Status {
    Status::internal(error.to_string())
}

fn partial_of(json: &[u8]) -> status::Result<PartialObject<'_>> {
    let head: Head<'_> = serde_json::from_slice(json).map_err(internal)?;
    Ok(PartialObject { kind: "PartialObjectMetadata", api_version: META, metadata: head.metadata })
}

fn encode(value: &impl Serialize) -> status::Result<Bytes> {
    serde_json::to_vec(value).map(Bytes::from).map_err(internal)
}

/// An object's metadata alone.
pub fn partial(json: &[u8]) -> status::Result<Bytes> {
    encode(&partial_of(json)?)
}

/// A list of bare metadata.
pub fn partial_list(list: &List) -> status::Result<Bytes> {
    let items = list.items.iter().map(|e| partial_of(&e.json)).collect::<Result<_, _>>()?;
    encode(&PartialList { kind: "PartialObjectMetadataList", api_version: META, metadata: list_meta(list), items })
}

fn row(resource: &dyn Resource, json: &[u8], include: Include, now: Timestamp) -> status::Result<Row> {
    let object = resource.decode_stored(json).map_err(internal)?;
    let cells = resource.row(&*object, now);
    let text = match include {
        Include::None => None,
        Include::Metadata => Some(serde_json::to_string(&partial_of(json)?).map_err(internal)?),
        Include::Object => Some(String::from_utf8_lossy(json).into_owned()),
    };
    let object = text.map(RawValue::from_string).transpose().map_err(internal)?;
    Ok(Row { cells, object })
}

fn table<'a>(resource: &'a dyn Resource, metadata: status::ListMeta, rows: Vec<Row>) -> Table<'a> {
    let columns = resource.columns().iter();
    let column_definitions = columns
        .map(|c| ColumnDefinition { name: c.name, kind: c.kind, format: c.format, description: c.description, priority: c.priority })
        .collect();
    Table { kind: "Table", api_version: META, metadata, column_definitions, rows }
}

/// A table of one row.
pub fn of_object(resource: &dyn Resource, json: &[u8], include: Include) -> status::Result<Bytes> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Versioned {
        metadata: Version,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        #[serde(default)]
        resource_version: String,
    }
    let version = serde_json::from_slice::<Versioned>(json).map_err(internal)?.metadata.resource_version;
    let metadata = status::ListMeta { resource_version: version, ..status::ListMeta::default() };
    encode(&table(resource, metadata, vec![row(resource, json, include, Timestamp::now())?]))
}

/// A table of a list.
pub fn of_list(resource: &dyn Resource, list: &List, include: Include) -> status::Result<Bytes> {
    let now = Timestamp::now();
    let rows = list.items.iter().map(|e| row(resource, &e.json, include, now)).collect::<Result<_, _>>()?;
    encode(&table(resource, list_meta(list), rows))
}

/// A watch event's object as a table of one row. Only the first event of a watch carries the column definitions.
pub fn of_event(resource: &dyn Resource, json: &[u8], include: Include, first: bool) -> status::Result<Bytes> {
    let mut table = table(resource, status::ListMeta::default(), vec![row(resource, json, include, Timestamp::now())?]);
    if !first {
        table.column_definitions.clear();
    }
    encode(&table)
}

//! Tables, as `kubectl get` shows them: the wire form (`metav1.Table`), whose rows carry the stored bytes of
//! their objects without copying them, and durations as columns show them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::partial::{MetaVersion, PartialObjectMetadata};
use crate::status::ListMeta;

/// What the rows of a table carry besides their cells: the query's `includeObject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    None,
    #[default]
    Metadata,
    Object,
}

impl Include {
    /// Reads the query parameter; None where it is none of the three words.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "Metadata" => Some(Self::Metadata),
            "None" => Some(Self::None),
            "Object" => Some(Self::Object),
            _ => None,
        }
    }
}

/// `metav1.Table`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Table<'a> {
    kind: &'static str,
    api_version: &'static str,
    pub metadata: ListMeta,
    /// In a watch, only the first event's table has them.
    /// None in events of a watch after the first.
    pub column_definitions: Option<Vec<ColumnDefinition<'a>>>,
    pub rows: Vec<Row<'a>>,
}

impl<'a> Table<'a> {
    pub fn new(
        version: MetaVersion,
        metadata: ListMeta,
        column_definitions: Option<Vec<ColumnDefinition<'a>>>,
        rows: Vec<Row<'a>>,
    ) -> Self {
        Self { kind: "Table", api_version: version.api_version(), metadata, column_definitions, rows }
    }
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct ColumnDefinition<'a> {
    pub name: &'a str,
    /// `string`, `integer`, `boolean`, `date`…
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// `name` for the name column, else empty.
    pub format: &'a str,
    pub description: &'a str,
    /// 0: always shown; more: shown where there is room (`-o wide`).
    pub priority: i32,
}

#[derive(Clone, Debug, Serialize)]
pub struct Row<'a> {
    pub cells: Vec<Value>,
    /// Marks on the row; kubectl hides rows that are `Completed` from some views.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<RowCondition>,
    /// None, which is written as null, where the rows are to carry nothing.
    pub object: Option<RowObject<'a>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowCondition {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub status: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub message: &'static str,
}

/// The object of a row, as it is stored.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub enum RowObject<'a> {
    Metadata(PartialObjectMetadata<'a>),
    Whole(&'a RawValue),
}

impl<'a> RowObject<'a> {
    /// What a row is to carry of an object's JSON.
    pub fn of(json: &'a [u8], include: Include, version: MetaVersion) -> serde_json::Result<Option<Self>> {
        Ok(match include {
            Include::None => None,
            Include::Metadata => Some(Self::Metadata(PartialObjectMetadata::of(json, version)?)),
            Include::Object => Some(Self::Whole(serde_json::from_slice(json)?)),
        })
    }
}

/// A duration as a column shows it: two units where the number is small, one where it is not.
pub fn human_duration(seconds: i64) -> String {
    match seconds {
        // A second of disagreement between clocks is let pass.
        ..=-2 => "<invalid>".to_owned(),
        -1..=0 => "0s".to_owned(),
        1..120 => format!("{seconds}s"),
        120..600 => two(seconds / 60, "m", seconds % 60, "s"),
        600..10_800 => format!("{}m", seconds / 60),
        10_800..28_800 => two(seconds / 3600, "h", seconds / 60 % 60, "m"),
        28_800..172_800 => format!("{}h", seconds / 3600),
        172_800..691_200 => two(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
        691_200..63_072_000 => format!("{}d", seconds / 86_400),
        63_072_000..252_288_000 => two(seconds / 86_400 / 365, "y", seconds / 86_400 % 365, "d"),
        _ => format!("{}y", seconds / 86_400 / 365),
    }
}

fn two(major: i64, major_unit: &str, minor: i64, minor_unit: &str) -> String {
    if minor == 0 { format!("{major}{major_unit}") } else { format!("{major}{major_unit}{minor}{minor_unit}") }
}

/// How long ago something was, as a column shows it.
pub fn since(time: Option<&Time>, now: Timestamp) -> String {
    match time {
        Some(time) => human_duration(now.as_second() - time.0.as_second()),
        None => "<unknown>".to_owned(),
    }
}

/// How long ago the object was created, as the Age column shows it.
pub fn age(meta: &ObjectMeta, now: Timestamp) -> String {
    since(meta.creation_timestamp.as_ref(), now)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations() {
        for (seconds, shown) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (121, "2m1s"),
            (599, "9m59s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (10_860, "3h1m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (183_600, "2d3h"),
            (691_200, "8d"),
            (63_071_999, "729d"),
            (63_072_000, "2y"),
            (63_158_400, "2y1d"),
            (252_288_000, "8y"),
        ] {
            assert_eq!(human_duration(seconds), shown, "{seconds}");
        }
        let now: Timestamp = "2026-01-01T00:05:00Z".parse().unwrap();
        assert_eq!(since(Some(&Time("2026-01-01T00:00:00Z".parse().unwrap())), now), "5m");
        assert_eq!(age(&ObjectMeta::default(), now), "<unknown>");
    }

    #[test]
    fn the_wire_form() {
        let stored = br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1"}}"#;
        let column = ColumnDefinition { name: "Name", kind: "string", format: "name", description: "It.", priority: 0 };
        let show = |include| {
            let object = RowObject::of(stored, include, MetaVersion::V1).unwrap();
            let row = Row { cells: vec!["c".into()], conditions: vec![], object };
            serde_json::to_value(Table::new(MetaVersion::V1, ListMeta::default(), Some(vec![column]), vec![row])).unwrap()
        };
        assert_eq!(
            show(Include::Metadata),
            json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {},
                "columnDefinitions": [{"name": "Name", "type": "string", "format": "name", "description": "It.", "priority": 0}],
                "rows": [{"cells": ["c"], "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "c"},
                }}],
            })
        );
        assert_eq!(show(Include::None)["rows"][0], json!({"cells": ["c"], "object": null}));
        assert_eq!(show(Include::Object)["rows"][0]["object"]["data"], json!({"a": "1"}));
        assert_eq!(Include::parse("Some"), None);
        assert_eq!(Include::parse(""), Some(Include::Metadata));
    }
}

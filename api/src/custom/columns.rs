//! The table of a custom resource: its name, and the columns that its definition names.

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition;
use machinery::table::{ColumnDefinition, human_duration};
use serde_json::{Value, json};

use super::jsonpath::JsonPath;
use super::object::Unstructured;
use crate::object::Object as _;

/// The columns of one version.
pub(super) struct Columns(Vec<Column>);

struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    priority: i32,
    path: Option<JsonPath>,
}

impl Columns {
    /// The columns as the definition has them; a table without any shows the age.
    pub(super) fn new(defined: &[CustomResourceColumnDefinition]) -> Self {
        if defined.is_empty() {
            let age = Column {
                name: "Age".into(),
                kind: "date".into(),
                format: String::new(),
                description: "Time since the object was created.".into(),
                priority: 0,
                path: JsonPath::parse(".metadata.creationTimestamp"),
            };
            return Self(vec![age]);
        }
        let column = |one: &CustomResourceColumnDefinition| Column {
            name: one.name.clone(),
            kind: one.type_.clone(),
            format: one.format.clone().unwrap_or_default(),
            description: match one.description.as_deref() {
                None | Some("") => format!("The value at {} of the object.", one.json_path),
                Some(text) => text.to_owned(),
            },
            priority: one.priority.unwrap_or(0),
            path: JsonPath::parse(&one.json_path),
        };
        Self(defined.iter().map(column).collect())
    }

    pub(super) fn definitions(&self) -> Vec<ColumnDefinition<'_>> {
        let name = ColumnDefinition { name: "Name", kind: "string", format: "name", description: "The object's name.", priority: 0 };
        let rest = self.0.iter().map(|one| ColumnDefinition {
            name: &one.name,
            kind: &one.kind,
            format: &one.format,
            description: &one.description,
            priority: one.priority,
        });
        std::iter::once(name).chain(rest).collect()
    }

    pub(super) fn row(&self, object: &Unstructured, now: Timestamp) -> Vec<Value> {
        let value = object.to_value();
        let name = json!(object.meta.name.as_deref().unwrap_or_default());
        let rest = self.0.iter().map(|one| {
            let found = one.path.as_ref().and_then(|path| path.first(&value));
            found.map_or(Value::Null, |found| cell(&one.kind, found, now))
        });
        std::iter::once(name).chain(rest).collect()
    }
}

/// A value as a cell of a column of this type; null where it is of another.
fn cell(kind: &str, value: &Value, now: Timestamp) -> Value {
    match (kind, value) {
        ("string", Value::String(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("string", Value::Null) => Value::Null,
        ("string", other) => json!(other.to_string()),
        ("integer", Value::Number(number)) => number.as_i64().or_else(|| number.as_f64().map(|n| n as i64)).into(),
        ("number", Value::Number(number)) => json!(number.as_f64()),
        ("date", Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(at) => json!(human_duration(now.as_second() - at.as_second())),
            Err(_) => json!("<invalid>"),
        },
        _ => Value::Null,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_of_their_columns_type() {
        let now: Timestamp = "2024-01-01T00:10:00Z".parse().unwrap();
        for (kind, value, wanted) in [
            ("string", json!("a"), json!("a")),
            ("string", json!({"a": 1}), json!(r#"{"a":1}"#)),
            ("string", json!(1.5), json!("1.5")),
            ("integer", json!(2.7), json!(2)),
            ("integer", json!("2"), Value::Null),
            ("number", json!(2), json!(2.0)),
            ("boolean", json!(true), json!(true)),
            ("date", json!("2024-01-01T00:00:00Z"), json!("10m")),
            ("date", json!("yesterday"), json!("<invalid>")),
        ] {
            assert_eq!(cell(kind, &value, now), wanted, "{kind} {value}");
        }
    }
}

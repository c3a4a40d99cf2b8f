//! The table of messages, read once when the first protobuf body comes or goes.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::by_name::ByName;

const TABLE: &str = include_str!("fields.tsv");

/// A message type.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) special: Option<Special>,
    /// By number.
    pub(super) fields: Vec<Field>,
    /// The places of those that are not inline, by their names in JSON.
    places: ByName<&'static str, usize>,
}

/// No message has as many fields.
pub(super) const MOST_FIELDS: usize = 64;

impl Message {
    fn new(special: Option<Special>) -> Self {
        Self { special, fields: Vec::new(), places: ByName::default() }
    }

    /// Where among the fields that one is which JSON knows by this name.
    pub(super) fn place(&self, json: &str) -> Option<usize> {
        self.places.find(json).map(|(_, place)| *place)
    }

    /// The field that JSON knows by this name, also among those of messages that stand inline.
    pub(super) fn find(&self, json: &str) -> Option<&Field> {
        let own = self.place(json).and_then(|at| self.fields.get(at));
        own.or_else(|| {
            self.fields.iter().filter(|field| field.inline).find_map(|field| match field.kind {
                Kind::Message(inner) => get(inner).find(json),
                _ => None,
            })
        })
    }
}

/// Types whose JSON is not an object of their fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    Duration,
    /// Raw JSON in bytes.
    Raw,
    /// A message around one repeated field, which in JSON is the list itself.
    Items,
    /// A schema, or something else in its place.
    SchemaOr,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) json: &'static str,
    pub(super) kind: Kind,
    pub(super) label: Label,
    /// Go has a pointer: a zero that is there was meant.
    pub(super) pointer: bool,
    /// Of a message: Go has the struct itself, which is written whether it is set or not.
    pub(super) value: bool,
    /// The fields of the message stand in JSON among the outer one's.
    pub(super) inline: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Optional,
    Repeated,
    Map,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    Bytes,
    Boolean,
    Integer,
    Double,
    Message(usize),
}

struct Table {
    messages: Vec<Message>,
    names: HashMap<String, usize>,
}

static MESSAGES: LazyLock<Table> = LazyLock::new(read);

pub(super) fn find(name: &str) -> Option<&'static Message> {
    MESSAGES.names.get(name).map(|i| &MESSAGES.messages[*i])
}

pub(super) fn get(index: usize) -> &'static Message {
    // Indices come from the table itself.
    &MESSAGES.messages[index]
}

fn special(name: &str) -> Option<Special> {
    let short = name.rsplit('.').next().unwrap_or_default();
    Some(match short {
        "Time" => Special::Time,
        "MicroTime" => Special::MicroTime,
        "Quantity" => Special::Quantity,
        "IntOrString" => Special::IntOrString,
        "Duration" => Special::Duration,
        "RawExtension" | "FieldsV1" | "JSON" => Special::Raw,
        "ExtraValue" | "Verbs" => Special::Items,
        "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray" => Special::SchemaOr,
        _ => return None,
    })
}

fn read() -> Table {
    let rows: Vec<Vec<&'static str>> = TABLE.lines().skip(1).map(|l| l.split('\t').collect::<Vec<_>>()).filter(|r| r.len() == 8).collect();
    let mut table = Table { messages: Vec::new(), names: HashMap::new() };
    for row in &rows {
        let name = format!("{}.{}", row[0], row[1]);
        if !table.names.contains_key(&name) {
            table.messages.push(Message::new(special(&name)));
            table.names.insert(name, table.messages.len() - 1);
        }
    }
    for row in &rows {
        // A message without fields has no row of its own.
        if kind(element(row[5]), row[0], &table.names).is_none() {
            table.messages.push(Message::new(None));
            table.names.insert(format!("{}.{}", row[0], element(row[5])), table.messages.len() - 1);
        }
    }
    for row in &rows {
        let name = format!("{}.{}", row[0], row[1]);
        let (Some(at), Ok(number)) = (table.names.get(&name).copied(), row[3].parse()) else { continue };
        let label = match row[4] {
            "repeated" => Label::Repeated,
            "map" => Label::Map,
            _ => Label::Optional,
        };
        let Some(kind) = kind(element(row[5]), row[0], &table.names) else { continue };
        let json = if row[7].is_empty() || row[7] == "~" { row[2] } else { row[7] };
        let field = Field { number, json, kind, label, pointer: row[6] == "pointer", value: row[6] == "value", inline: row[7] == "~" };
        table.messages[at].fields.push(field);
    }
    for message in &mut table.messages {
        message.fields.sort_by_key(|f| f.number);
        let places = message.fields.iter().enumerate().filter(|(_, field)| !field.inline).map(|(at, field)| (field.json, at));
        message.places = places.collect();
    }
    table
}

/// The type of a field's elements: of a map's values, else of the field itself.
fn element(name: &'static str) -> &'static str {
    name.strip_prefix("map<string,").and_then(|t| t.strip_suffix('>')).unwrap_or(name)
}

fn kind(name: &str, package: &str, names: &HashMap<String, usize>) -> Option<Kind> {
    Some(match name {
        "string" => Kind::String,
        "bytes" => Kind::Bytes,
        "bool" => Kind::Boolean,
        "int32" | "int64" => Kind::Integer,
        "double" => Kind::Double,
        // A name without a package is of the message's own.
        name => Kind::Message(*names.get(name).or_else(|| names.get(&format!("{package}.{name}")))?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_fields_have_a_place() {
        assert!(MESSAGES.messages.len() > 500 && MESSAGES.messages.iter().all(|message| message.fields.len() < MOST_FIELDS));
    }
}

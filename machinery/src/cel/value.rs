//! Values while an expression is evaluated. Inputs are looked at where they lie: a list or a map of the input is a
//! reference to its JSON and to what it was declared as, and is read element by element, as asked.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::rc::Rc;

use jiff::Timestamp;
use serde_json::{Map as JsonMap, Value as Json};

use super::Stop;
use super::authorizer::{Authorizer, Check, Verdict};
use super::libraries::{network::Cidr, semver::Version, url::Url};
use super::types::{self, ANY, Declared, Identity, Object, Shape, Type};
use super::{text, time};
use crate::quantity::Quantity;

#[derive(Clone)]
pub enum Value<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Text<'v>),
    Bytes(Rc<[u8]>),
    List(List<'v>),
    Map(Map<'v>),
    Timestamp(Timestamp),
    /// Nanoseconds.
    Duration(i64),
    Type(Text<'v>),
    Optional(Option<Rc<Value<'v>>>),
    Quantity(Quantity),
    Ip(IpAddr),
    Cidr(Cidr),
    Url(Rc<Url>),
    Semver(Rc<Version>),
    /// One of the named formats.
    Format(&'static super::libraries::format::Named),
    Authorizer(&'v dyn Authorizer, Option<Rc<(String, String)>>),
    Check(&'v dyn Authorizer, Rc<Check>),
    Decision(Rc<Verdict>),
}

#[derive(Clone)]
pub enum Text<'v> {
    Borrowed(&'v str),
    Shared(Rc<str>),
}

#[derive(Clone)]
pub enum List<'v> {
    Json(&'v [Json], &'v Declared, &'v Identity),
    Made(Rc<Vec<Value<'v>>>),
}

#[derive(Clone)]
pub enum Map<'v> {
    /// Keys are the JSON's, values as declared.
    Json(&'v JsonMap<String, Json>, &'v Declared),
    /// Keys are the names of fields.
    Object(&'v JsonMap<String, Json>, &'v Object),
    Made(Rc<Made<'v>>),
    Lazy(Rc<dyn Fields<'v> + 'v>),
}

/// A map that was made while evaluating.
#[derive(Default)]
pub struct Made<'v> {
    pub entries: BTreeMap<Key<'v>, Value<'v>>,
    /// What a missing key stands for, in maps that have a value for each.
    pub default: Option<Value<'v>>,
}

/// Fields that are found when asked for, such as a policy's variables.
pub trait Fields<'v> {
    /// None where there is no such field.
    fn field(&self, name: &str) -> Option<Result<Value<'v>, Stop>>;
}

/// A key of a map. Numbers of all types that are equal are one key.
#[derive(Clone)]
pub enum Key<'v> {
    Bool(bool),
    Number { value: i128, unsigned: bool },
    String(Text<'v>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::Shared(text.into())
    }
}

impl<'v> Text<'v> {
    /// Characters, which is what sizes are counted in.
    pub(super) fn characters(&self) -> usize {
        self.chars().count()
    }
}

impl<'v> Key<'v> {
    /// What a key is compared by; types of keys come one after the other.
    fn rank(&self) -> (u8, i128, &str) {
        match self {
            Self::Bool(value) => (0, i128::from(*value), ""),
            Self::Number { value, .. } => (1, *value, ""),
            Self::String(text) => (2, 0, text),
        }
    }

    /// None where the value is of a type that no key has, or equals none.
    pub(super) fn of(value: &Value<'v>) -> Option<Self> {
        Some(match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Number { value: i128::from(*value), unsigned: false },
            Value::Uint(value) => Self::Number { value: i128::from(*value), unsigned: true },
            Value::Double(value) if value.fract() == 0.0 && value.abs() < 1e19 => Self::Number { value: *value as i128, unsigned: false },
            Value::String(text) => Self::String(text.clone()),
            _ => return None,
        })
    }

    pub(super) fn value(&self) -> Value<'v> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            // Keys are made of 64-bit numbers; a double beyond them is no key of any map that was made.
            Self::Number { value, unsigned: true } => Value::Uint(u64::try_from(*value).unwrap_or(u64::MAX)),
            Self::Number { value, .. } => Value::Int(i64::try_from(*value).unwrap_or(i64::MAX)),
            Self::String(text) => Value::String(text.clone()),
        }
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Key<'_> {}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::String(Text::Borrowed(text))
    }
}

impl<'v> Value<'v> {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::String(text.into().into())
    }

    pub(super) fn list(elements: Vec<Self>) -> Self {
        Self::List(List::Made(Rc::new(elements)))
    }

    pub fn optional(value: Option<Self>) -> Self {
        Self::Optional(value.map(Rc::new))
    }

    /// A map with text for keys.
    pub fn map(entries: impl IntoIterator<Item = (String, Self)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (Key::String(key.into()), value)).collect();
        Self::Map(Map::Made(Rc::new(Made { entries, default: None })))
    }

    /// JSON without a declared type.
    pub fn from_any(json: &'v Json) -> Self {
        Self::from_json(json, &ANY)
    }

    /// JSON as what it was declared; where it is not that, as what it is.
    pub fn from_json(json: &'v Json, declared: &'v Declared) -> Self {
        match (&declared.shape, json) {
            (Shape::Optional(inner), json) => return Self::optional(Some(Self::from_json(json, inner))),
            (Shape::List(list), Json::Array(elements)) => return Self::List(List::Json(elements, &list.element, &list.identity)),
            (Shape::Map { value, .. }, Json::Object(entries)) => return Self::Map(Map::Json(entries, value)),
            (Shape::Object(object), Json::Object(fields)) => return Self::Map(Map::Object(fields, object)),
            (Shape::Double, Json::Number(number)) => return Self::Double(number.as_f64().unwrap_or_default()),
            (Shape::Int, Json::Number(number)) => {
                if let Some(whole) = number.as_i64().or_else(|| whole(number.as_f64()?)) {
                    return Self::Int(whole);
                }
            }
            (Shape::Timestamp, Json::String(text)) => {
                if let Some(time) = time::parse_declared(text) {
                    return Self::Timestamp(time);
                }
            }
            (Shape::Duration, Json::String(text)) => {
                if let Some(duration) = time::parse_duration(text) {
                    return Self::Duration(duration);
                }
            }
            (Shape::Bytes, Json::String(text)) => {
                use base64::Engine;
                if let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(text) {
                    return Self::Bytes(bytes.into());
                }
            }
            _ => {}
        }
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(value) => Self::Int(value),
                None => Self::Double(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Self::from(text.as_str()),
            Json::Array(elements) => Self::List(List::Json(elements, &ANY, &Identity::Index)),
            Json::Object(entries) => Self::Map(Map::Json(entries, &ANY)),
        }
    }

    /// The name that `type()` gives.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Type(_) => "type",
            Self::Optional(_) => "optional_type",
            Self::Quantity(_) => types::QUANTITY,
            Self::Ip(_) => types::IP,
            Self::Cidr(_) => types::CIDR,
            Self::Url(_) => types::URL,
            Self::Semver(_) => types::SEMVER,
            Self::Format(_) => types::FORMAT,
            Self::Authorizer(..) => types::AUTHORIZER,
            Self::Check(_, check) => check.type_name(),
            Self::Decision(_) => types::DECISION,
        }
    }

    /// Whether the value is of a type, as far as its outside tells.
    pub(super) fn is_a(&self, wanted: &Type) -> bool {
        match wanted {
            Type::Dyn | Type::Nothing | Type::Parameter(_) => true,
            Type::Null => matches!(self, Self::Null),
            Type::Bool => matches!(self, Self::Bool(_)),
            Type::Int => matches!(self, Self::Int(_)),
            Type::Uint => matches!(self, Self::Uint(_)),
            Type::Double => matches!(self, Self::Double(_)),
            Type::String => matches!(self, Self::String(_)),
            Type::Bytes => matches!(self, Self::Bytes(_)),
            Type::Timestamp => matches!(self, Self::Timestamp(_)),
            Type::Duration => matches!(self, Self::Duration(_)),
            Type::Type => matches!(self, Self::Type(_)),
            Type::List(_) => matches!(self, Self::List(_)),
            Type::Map(_) | Type::Object(_) => matches!(self, Self::Map(_)),
            Type::Optional(_) => matches!(self, Self::Optional(_)),
            Type::Opaque(name) => self.type_name() == *name,
        }
    }

    /// Elements or characters; one for what has none.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::String(text) => text.characters() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::List(list) => list.len() as u64,
            Self::Map(map) => map.len() as u64,
            Self::Optional(Some(inner)) => inner.size(),
            _ => 1,
        }
    }
}

/// Values in what is written as JSON, at most: parts that are shared within a value are written each time.
const MOST_JSON_VALUES: usize = 1 << 20;

impl Value<'_> {
    /// The value as JSON. What has no value in an optional is left out of objects.
    pub fn to_json(&self) -> Result<Json, Stop> {
        let mut left = MOST_JSON_VALUES;
        self.json(&mut left).map(Option::unwrap_or_default)
    }

    fn json(&self, left: &mut usize) -> Result<Option<Json>, Stop> {
        *left = left.checked_sub(1).ok_or(Stop::Cost)?;
        Ok(Some(match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(number) => (*number).into(),
            Self::Uint(number) => (*number).into(),
            Self::Double(number) => (*number).into(),
            Self::String(text) => (&**text).into(),
            Self::Bytes(bytes) => {
                use base64::Engine;
                base64::engine::general_purpose::STANDARD.encode(bytes).into()
            }
            Self::Optional(None) => return Ok(None),
            Self::Optional(Some(inner)) => return inner.json(left),
            Self::List(list) => {
                let elements: Result<Vec<_>, _> = list.iter().map(|element| element.json(left)).collect();
                elements?.into_iter().map(Option::unwrap_or_default).collect()
            }
            Self::Map(map) => {
                let mut object = JsonMap::new();
                for key in map.keys() {
                    let name = text::plain(&key.value()).ok_or_else(|| Stop::failed("a key is no text"))?;
                    if let Some(value) = map.get(&key).transpose()? {
                        object.extend(value.json(left)?.map(|value| (name, value)));
                    }
                }
                Json::Object(object)
            }
            Self::Quantity(amount) => amount.to_string().into(),
            other => text::plain(other).ok_or_else(|| Stop::failed(format!("a {} is not written as JSON", other.type_name())))?.into(),
        }))
    }
}

/// A whole number that JSON has with a point.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e18).then_some(number as i64)
}

impl<'v> List<'v> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Json(elements, ..) => elements.len(),
            Self::Made(elements) => elements.len(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Value<'v>> {
        match self {
            Self::Json(elements, declared, _) => elements.get(index).map(|json| Value::from_json(json, declared)),
            Self::Made(elements) => elements.get(index).cloned(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Value<'v>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl<'v> Map<'v> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Json(entries, _) => entries.len(),
            Self::Object(fields, object) => object.fields.values().filter(|field| fields.contains_key(&field.json)).count(),
            Self::Made(made) => made.entries.len(),
            Self::Lazy(_) => 0,
        }
    }

    /// The value of a key that is text.
    pub(super) fn field(&self, name: &str) -> Option<Result<Value<'v>, Stop>> {
        Some(Ok(match self {
            Self::Json(entries, declared) => Value::from_json(entries.get(name)?, declared),
            Self::Object(fields, object) => {
                let field = object.fields.get(name)?;
                Value::from_json(fields.get(&field.json)?, &field.declared)
            }
            Self::Made(made) => {
                // The text is only compared with; no value of the map refers to it.
                let key = Key::String(Text::Shared(name.into()));
                made.entries.get(&key).or(made.default.as_ref())?.clone()
            }
            Self::Lazy(fields) => return fields.field(name),
        }))
    }

    /// The value of a field by its name in JSON.
    pub(super) fn json_field(&self, name: &str) -> Option<Value<'v>> {
        match self {
            Self::Object(fields, _) => fields.get(name).map(Value::from_any),
            _ => self.field(name)?.ok(),
        }
    }

    pub(super) fn get(&self, key: &Key<'v>) -> Option<Result<Value<'v>, Stop>> {
        match (self, key) {
            (Self::Made(made), _) => made.entries.get(key).or(made.default.as_ref()).cloned().map(Ok),
            (_, Key::String(name)) => self.field(name),
            _ => None,
        }
    }

    /// Keys in an order that is always the same.
    pub(super) fn keys(&self) -> Vec<Key<'v>> {
        match self {
            Self::Json(entries, _) => entries.keys().map(|key| Key::String(Text::Borrowed(key))).collect(),
            Self::Object(fields, object) => {
                let present = object.fields.iter().filter(|(_, field)| fields.contains_key(&field.json));
                present.map(|(name, _)| Key::String(Text::Borrowed(name))).collect()
            }
            Self::Made(made) => made.entries.keys().cloned().collect(),
            Self::Lazy(_) => Vec::new(),
        }
    }
}

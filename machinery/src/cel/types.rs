//! Types: those that expressions have ([`Type`]), and those that inputs are declared with ([`Declared`]), which also
//! say how large a value can be and how its JSON is to be read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The type of an expression. Typing is gradual: [`Type::Dyn`] goes with everything, and is looked at when evaluated.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    Dyn,
    /// Of the elements of an empty list: goes with everything, and yields to everything.
    Nothing,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    /// The type of types.
    Type,
    List(Arc<Type>),
    Map(Arc<(Type, Type)>),
    Optional(Arc<Type>),
    Object(Arc<Object>),
    /// A type with functions only, by its full name.
    Opaque(&'static str),
    /// A parameter of a function's signature.
    Parameter(char),
}

pub const QUANTITY: &str = "kubernetes.Quantity";
pub const IP: &str = "net.IP";
pub const CIDR: &str = "net.CIDR";
pub const URL: &str = "kubernetes.URL";
pub const SEMVER: &str = "kubernetes.Semver";
pub const FORMAT: &str = "kubernetes.NamedFormat";
pub const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
pub const PATH_CHECK: &str = "kubernetes.authorization.PathCheck";
pub const GROUP_CHECK: &str = "kubernetes.authorization.GroupCheck";
pub const RESOURCE_CHECK: &str = "kubernetes.authorization.ResourceCheck";
pub const DECISION: &str = "kubernetes.authorization.Decision";

/// The opaque types, by the names that signatures have for them.
const OPAQUE: [(&str, &str); 11] = [
    ("quantity", QUANTITY),
    ("ip", IP),
    ("cidr", CIDR),
    ("url", URL),
    ("semver", SEMVER),
    ("format", FORMAT),
    ("authorizer", AUTHORIZER),
    ("path_check", PATH_CHECK),
    ("group_check", GROUP_CHECK),
    ("resource_check", RESOURCE_CHECK),
    ("decision", DECISION),
];

impl Type {
    pub fn list(element: Self) -> Self {
        Self::List(Arc::new(element))
    }

    pub fn map(key: Self, value: Self) -> Self {
        Self::Map(Arc::new((key, value)))
    }

    pub fn optional(value: Self) -> Self {
        Self::Optional(Arc::new(value))
    }

    pub(super) fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn | Self::Nothing)
    }

    /// Whether two values of the type are in an order.
    pub(super) fn has_order(&self) -> bool {
        let ordered = matches!(
            self,
            Self::Bool | Self::Int | Self::Uint | Self::Double | Self::String | Self::Bytes | Self::Timestamp | Self::Duration
        );
        ordered || self.is_dyn()
    }

    /// Whether null is a value of the type as well.
    fn is_nullable(&self) -> bool {
        matches!(self, Self::Null | Self::Object(_) | Self::Opaque(_) | Self::Timestamp | Self::Duration)
    }

    /// The type as signatures write it: `list(A)`, `map(string, dyn)`. An unknown word is a type parameter if it is one
    /// capital letter, and dyn otherwise, which the tests of the library rule out.
    pub(super) fn parse(text: &str) -> Self {
        let text = text.trim();
        if let Some((outer, inner)) = text.split_once('(') {
            let inner = inner.strip_suffix(')').unwrap_or(inner);
            return match outer {
                "list" => Self::list(Self::parse(inner)),
                "optional" => Self::optional(Self::parse(inner)),
                "map" => {
                    let (key, value) = inner.split_once(',').unwrap_or((inner, "dyn"));
                    Self::map(Self::parse(key), Self::parse(value))
                }
                _ => Self::Dyn,
            };
        }
        match text {
            "null" => Self::Null,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "uint" => Self::Uint,
            "double" => Self::Double,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "timestamp" => Self::Timestamp,
            "duration" => Self::Duration,
            "type" => Self::Type,
            _ => match (OPAQUE.iter().find(|(word, _)| *word == text), text.as_bytes()) {
                (Some((_, name)), _) => Self::Opaque(name),
                (None, [c @ b'A'..=b'Z']) => Self::Parameter(char::from(*c)),
                _ => Self::Dyn,
            },
        }
    }

    /// Whether a value of the type can stand where `wanted` is; parameters of `wanted` are bound by the way.
    pub(super) fn fits(&self, wanted: &Self, bound: &mut Bindings) -> bool {
        match (self, wanted) {
            (_, Self::Parameter(name)) => bound.bind(*name, self),
            (Self::Dyn | Self::Nothing, _) => {
                // What is not known says nothing about the parameters inside.
                wanted.parameters(&mut |name| bound.assume_dyn(name));
                true
            }
            (_, Self::Dyn | Self::Nothing) => true,
            (Self::List(a), Self::List(b)) | (Self::Optional(a), Self::Optional(b)) => a.fits(b, bound),
            (Self::Map(a), Self::Map(b)) => a.0.fits(&b.0, bound) && a.1.fits(&b.1, bound),
            (Self::Object(a), Self::Object(b)) => a.name == b.name,
            (Self::Null, other) | (other, Self::Null) => other.is_nullable(),
            _ => self == wanted,
        }
    }

    fn parameters(&self, visit: &mut impl FnMut(char)) {
        match self {
            Self::Parameter(name) => visit(*name),
            Self::List(inner) | Self::Optional(inner) => inner.parameters(visit),
            Self::Map(inner) => {
                inner.0.parameters(visit);
                inner.1.parameters(visit);
            }
            _ => {}
        }
    }

    /// The type of a value that is of one or the other type; None where they do not go together.
    pub(super) fn join(&self, other: &Self) -> Option<Self> {
        Some(match (self, other) {
            (Self::Nothing, known) | (known, Self::Nothing) => known.clone(),
            (Self::Dyn, _) | (_, Self::Dyn) => Self::Dyn,
            (Self::List(a), Self::List(b)) => Self::list(a.join(b)?),
            (Self::Optional(a), Self::Optional(b)) => Self::optional(a.join(b)?),
            (Self::Map(a), Self::Map(b)) => Self::map(a.0.join(&b.0)?, a.1.join(&b.1)?),
            (Self::Null, other) | (other, Self::Null) if other.is_nullable() => other.clone(),
            _ if self.fits(other, &mut Bindings::default()) => self.clone(),
            _ => return None,
        })
    }

    pub(super) fn substitute(&self, bound: &Bindings) -> Self {
        match self {
            Self::Parameter(name) => bound.get(*name).cloned().unwrap_or(Self::Nothing),
            Self::List(inner) => Self::list(inner.substitute(bound)),
            Self::Optional(inner) => Self::optional(inner.substitute(bound)),
            Self::Map(inner) => Self::map(inner.0.substitute(bound), inner.1.substitute(bound)),
            other => other.clone(),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn | Self::Nothing => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("google.protobuf.Timestamp"),
            Self::Duration => f.write_str("google.protobuf.Duration"),
            Self::Type => f.write_str("type"),
            Self::List(inner) => write!(f, "list({inner})"),
            Self::Optional(inner) => write!(f, "optional_type({inner})"),
            Self::Map(inner) => write!(f, "map({}, {})", inner.0, inner.1),
            Self::Object(object) => f.write_str(&object.name),
            Self::Opaque(name) => f.write_str(name),
            Self::Parameter(name) => write!(f, "{name}"),
        }
    }
}

/// What the parameters of one signature stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings(Vec<(char, Type)>);

impl Bindings {
    fn get(&self, name: char) -> Option<&Type> {
        self.0.iter().find(|(bound, _)| *bound == name).map(|(_, found)| found)
    }

    fn bind(&mut self, name: char, found: &Type) -> bool {
        match self.0.iter_mut().find(|(bound, _)| *bound == name) {
            None => self.0.push((name, found.clone())),
            Some((_, bound)) => match bound.join(found) {
                Some(joined) => *bound = joined,
                None => return false,
            },
        }
        true
    }

    fn assume_dyn(&mut self, name: char) {
        if self.get(name).is_none() {
            self.0.push((name, Type::Dyn));
        }
    }
}

/// How large a value of unknown size is.
pub const UNBOUNDED: u64 = u64::MAX;

/// The type of an input: its shape, and how many elements or characters it has at most.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    pub shape: Shape,
    pub most: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Whatever the JSON is.
    Any,
    Bool,
    Int,
    Double,
    String,
    /// Base64 in JSON.
    Bytes,
    /// RFC 3339 in JSON, or just a date.
    Timestamp,
    Duration,
    List(Arc<ListShape>),
    /// Keys are text, of the given length at most.
    Map {
        longest_key: u64,
        value: Arc<Declared>,
    },
    Object(Arc<Object>),
    Optional(Arc<Declared>),
    Opaque(&'static str),
    /// What an expression was found to be.
    Known(Type),
}

#[derive(Clone, Debug, PartialEq)]
pub struct ListShape {
    pub element: Declared,
    pub identity: Identity,
}

/// What makes two elements of a list the same one: it decides about equality and addition of lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Identity {
    /// The place in the list.
    #[default]
    Index,
    /// The element as a whole: the list is a set.
    Value,
    /// Some fields of the element, under their names in JSON: the list is a map.
    Keys(Vec<String>),
}

/// A type with fields.
#[derive(Debug)]
pub struct Object {
    /// Types are told apart by their names.
    pub name: String,
    /// By the names that expressions have for them.
    pub fields: BTreeMap<String, Field>,
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

#[derive(Clone, Debug)]
pub struct Field {
    /// The name in JSON.
    pub json: String,
    pub declared: Declared,
}

pub(super) static ANY: Declared = Declared { shape: Shape::Any, most: UNBOUNDED };

impl Declared {
    pub fn new(shape: Shape) -> Self {
        Self { shape, most: UNBOUNDED }
    }

    pub fn any() -> Self {
        ANY.clone()
    }

    pub fn at_most(shape: Shape, most: u64) -> Self {
        Self { shape, most }
    }

    pub fn list(element: Self, identity: Identity, most: u64) -> Self {
        Self { shape: Shape::List(Arc::new(ListShape { element, identity })), most }
    }

    pub fn map(longest_key: u64, value: Self, most: u64) -> Self {
        Self { shape: Shape::Map { longest_key, value: Arc::new(value) }, most }
    }

    /// A type with fields; where a field's name in expressions is not that in JSON, say both.
    pub fn object(name: impl Into<String>, fields: impl IntoIterator<Item = (String, Field)>) -> Self {
        let object = Object { name: name.into(), fields: fields.into_iter().collect() };
        let most = object.fields.len() as u64;
        Self { shape: Shape::Object(Arc::new(object)), most }
    }

    /// The type of an expression that is just this input.
    pub fn as_type(&self) -> Type {
        match &self.shape {
            Shape::Any => Type::Dyn,
            Shape::Bool => Type::Bool,
            Shape::Int => Type::Int,
            Shape::Double => Type::Double,
            Shape::String => Type::String,
            Shape::Bytes => Type::Bytes,
            Shape::Timestamp => Type::Timestamp,
            Shape::Duration => Type::Duration,
            Shape::List(list) => Type::list(list.element.as_type()),
            Shape::Map { value, .. } => Type::map(Type::String, value.as_type()),
            Shape::Object(object) => Type::Object(object.clone()),
            Shape::Optional(inner) => Type::optional(inner.as_type()),
            Shape::Opaque(name) => Type::Opaque(name),
            Shape::Known(found) => found.clone(),
        }
    }
}

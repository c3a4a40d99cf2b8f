//! [`Object`]: an API object in hand, its type erased. Every k8s-openapi type with object metadata is one.

use std::any::Any;
use std::{io, mem};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::Formatter;

use crate::nulls;

/// What most objects take as JSON, for buffers that are to hold one.
pub const TYPICAL_JSON_BYTES: usize = 2048;

/// What becomes of empty lists that Kubernetes stores as null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyLists {
    /// They stay, as their writer said them, and came to own them.
    Keep,
    Forget,
}

/// An object of any kind. Inside, it is the kind's own type; see [`downcast_ref`] and [`downcast_mut`].
pub trait Object: Any + Send + Sync {
    fn meta(&self) -> &ObjectMeta;
    fn meta_mut(&mut self) -> &mut ObjectMeta;
    /// The object as JSON, with `apiVersion` and `kind`.
    fn to_value(&self) -> Value;
    /// Appends the object's JSON as it is stored, with `apiVersion` and `kind` first.
    fn write_json(&self, out: &mut Vec<u8>) {
        self.write_json_with(EmptyLists::Forget, out);
    }
    /// The object's JSON, as [`Object::write_json`] has it.
    fn json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(TYPICAL_JSON_BYTES);
        self.write_json(&mut json);
        json
    }
    /// As [`Object::write_json`]; storing makes some empty lists null.
    fn write_json_with(&self, empty_lists: EmptyLists, out: &mut Vec<u8>);
    fn clone_boxed(&self) -> Box<dyn Object>;
    /// Whether `other` is of the same type, and the same but for the metadata. (This one's metadata is put aside for a moment.)
    fn differs_in_metadata_only(&mut self, other: &dyn Object) -> bool;
}

impl<T> Object for T
where
    T: k8s_openapi::Metadata<Ty = ObjectMeta> + Serialize + Clone + PartialEq + Any + Send + Sync,
{
    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.metadata_mut()
    }

    fn to_value(&self) -> Value {
        // By way of the text, since code that turns every type into a value would be several percent of the program.
        let mut json = Vec::with_capacity(TYPICAL_JSON_BYTES);
        self.write_json_with(EmptyLists::Keep, &mut json);
        serde_json::from_slice(&json).unwrap_or_default()
    }

    fn write_json_with(&self, empty_lists: EmptyLists, out: &mut Vec<u8>) {
        let start = out.len();
        // As above; writing to a Vec cannot fail either.
        let _ = self.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, Compact));
        let nulls = nulls::of(T::GROUP, T::KIND);
        if nulls.concern(&out[start..]) {
            let json = out.split_off(start);
            nulls::write_filled(nulls, std::str::from_utf8(&json).unwrap_or_default(), empty_lists, out);
        }
    }

    fn clone_boxed(&self) -> Box<dyn Object> {
        Box::new(self.clone())
    }

    fn differs_in_metadata_only(&mut self, other: &dyn Object) -> bool {
        let Some(other) = downcast_ref::<T>(other) else { return false };
        let own = mem::replace(self.metadata_mut(), other.metadata().clone());
        let is_same = self == other;
        *self.metadata_mut() = own;
        is_same
    }
}

/// JSON without spaces, in which whole numbers have no fraction whatever their type (`maximum: 10` in a schema), and
/// exponents are used as Go uses them, as in Kubernetes.
pub(crate) struct Compact;

impl Formatter for Compact {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        match value.abs() {
            0.0 => writer.write_all(b"0"),
            1e-6..1e21 => write!(writer, "{value}"),
            1e21.. => writer.write_all(format!("{value:e}").replace('e', "e+").as_bytes()),
            _ => write!(writer, "{value:e}"),
        }
    }
}

/// Appends an object's JSON, with `apiVersion` and `kind` first.
pub fn write_object(object: &Value, out: &mut Vec<u8>) {
    let Value::Object(fields) = object else { return };
    let first = ["apiVersion", "kind"];
    let rest = fields.iter().filter(|(name, _)| !first.contains(&name.as_str()));
    let ordered = first.iter().filter_map(|name| fields.get_key_value(*name)).chain(rest);
    for (i, (name, value)) in ordered.enumerate() {
        out.push(if i == 0 { b'{' } else { b',' });
        // Values are JSON already, and writing to a Vec cannot fail.
        let _ = serde_json::to_writer(&mut *out, name);
        out.push(b':');
        let _ = serde_json::to_writer(&mut *out, value);
    }
    out.extend_from_slice(if fields.is_empty() { b"{}" } else { b"}" });
}

/// The typed object inside, if it is of type `T`.
pub fn downcast_ref<T: Any>(object: &dyn Object) -> Option<&T> {
    (object as &dyn Any).downcast_ref()
}

/// The typed object inside, if it is of type `T`.
pub fn downcast_mut<T: Any>(object: &mut dyn Object) -> Option<&mut T> {
    (object as &mut dyn Any).downcast_mut()
}

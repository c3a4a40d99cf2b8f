//! [`Unstructured`]: an object of a custom resource. Its metadata is typed like everybody's; the rest is JSON, which its
//! definition's schema describes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::Value;

use crate::object::{Compact, EmptyLists, Object, downcast_ref};

/// A custom object.
#[derive(Clone, Debug)]
pub struct Unstructured {
    pub meta: ObjectMeta,
    /// An object with everything but the metadata; `apiVersion` and `kind` are in it.
    fields: Value,
}

impl Unstructured {
    /// Takes an object's JSON apart. The error says what is wrong with the metadata.
    pub fn new(value: Value) -> Result<Self, String> {
        let Value::Object(mut fields) = value else { return Err("the object is no JSON object".to_owned()) };
        let meta = match fields.remove("metadata") {
            None => ObjectMeta::default(),
            Some(meta) => serde_json::from_value(meta).map_err(|error| format!("metadata: {error}"))?,
        };
        Ok(Self { meta, fields: Value::Object(fields) })
    }

    /// Everything but the metadata, as one value.
    pub fn content(&self) -> &Value {
        &self.fields
    }

    pub fn content_mut(&mut self) -> &mut Value {
        &mut self.fields
    }

    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// Sets or removes a field besides the metadata.
    pub fn set_field(&mut self, name: &str, value: Option<Value>) {
        if let Value::Object(fields) = &mut self.fields {
            match value {
                Some(value) => _ = fields.insert(name.to_owned(), value),
                None => _ = fields.remove(name),
            }
        }
    }
}

impl Object for Unstructured {
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }

    fn to_value(&self) -> Value {
        let mut value = self.fields.clone();
        if let Value::Object(fields) = &mut value {
            // Metadata has string keys only, so that serialization cannot fail.
            fields.insert("metadata".to_owned(), serde_json::to_value(&self.meta).unwrap_or_default());
        }
        value
    }

    fn write_json_with(&self, _: EmptyLists, out: &mut Vec<u8>) {
        let Some(fields) = self.fields.as_object() else { return };
        out.push(b'{');
        for name in ["apiVersion", "kind"] {
            if let Some(value) = fields.get(name) {
                write_member(name, value, out);
                out.push(b',');
            }
        }
        write_member("metadata", &self.meta, out);
        for (name, value) in fields.iter().filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind")) {
            out.push(b',');
            write_member(name, value, out);
        }
        out.push(b'}');
    }

    fn clone_boxed(&self) -> Box<dyn Object> {
        Box::new(self.clone())
    }

    fn differs_in_metadata_only(&mut self, other: &dyn Object) -> bool {
        downcast_ref::<Self>(other).is_some_and(|other| self.fields == other.fields)
    }
}

/// Values have string keys only, and writing to a Vec cannot fail.
fn write_member(name: &str, value: &impl Serialize, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(&mut *out, name);
    out.push(b':');
    let _ = value.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, Compact));
}

/// The custom object inside.
pub(super) fn custom(object: &dyn Object) -> &Unstructured {
    downcast_ref(object).unwrap_or_else(|| unreachable!("an object of another kind reached a custom resource"))
}

/// The custom object inside.
pub(super) fn custom_mut(object: &mut dyn Object) -> &mut Unstructured {
    crate::object::downcast_mut(object).unwrap_or_else(|| unreachable!("an object of another kind reached a custom resource"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let value = json!({"apiVersion": "e.org/v1", "kind": "Lamp", "metadata": {"name": "a"}, "Arms": 1, "spec": {"watts": 9}});
        let object = Unstructured::new(value.clone()).unwrap();
        assert_eq!(object.to_value(), value);
        let mut json = Vec::new();
        object.write_json(&mut json);
        let text = String::from_utf8(json).unwrap();
        assert!(text.starts_with(r#"{"apiVersion":"e.org/v1","kind":"Lamp","metadata":{"name":"a"},"Arms":1,"#), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn metadata_of_a_wrong_type_is_refused() {
        assert!(Unstructured::new(json!({"metadata": {"labels": 1}})).is_err());
        assert!(Unstructured::new(json!([])).is_err());
    }
}

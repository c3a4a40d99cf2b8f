//! [`Object`]: an API object in hand, its type erased. Every k8s-openapi type with object metadata is one.

use std::any::Any;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::Value;

/// An object of any kind. Inside, it is the kind's own type; see [`downcast_ref`] and [`downcast_mut`].
pub trait Object: Any + Send + Sync {
    fn meta(&self) -> &ObjectMeta;
    fn meta_mut(&mut self) -> &mut ObjectMeta;
    /// The object as JSON, with `apiVersion` and `kind`.
    fn to_value(&self) -> Value;
    /// Appends the object's JSON, with `apiVersion` and `kind` first.
    fn write_json(&self, out: &mut Vec<u8>);
    fn clone_boxed(&self) -> Box<dyn Object>;
}

impl<T> Object for T
where
    T: k8s_openapi::Metadata<Ty = ObjectMeta> + Serialize + Clone + Any + Send + Sync,
{
    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.metadata_mut()
    }

    fn to_value(&self) -> Value {
        // The API types have string keys and finite numbers only, so that serialization cannot fail.
        serde_json::to_value(self).unwrap_or_default()
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        // As above; writing to a Vec cannot fail either.
        let _ = serde_json::to_writer(out, self);
    }

    fn clone_boxed(&self) -> Box<dyn Object> {
        Box::new(self.clone())
    }
}

/// The typed object inside, if it is of type `T`.
pub fn downcast_ref<T: Any>(object: &dyn Object) -> Option<&T> {
    (object as &dyn Any).downcast_ref()
}

/// The typed object inside, if it is of type `T`.
pub fn downcast_mut<T: Any>(object: &mut dyn Object) -> Option<&mut T> {
    (object as &mut dyn Any).downcast_mut()
}

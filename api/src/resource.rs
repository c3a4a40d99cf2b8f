//! [`Resource`]: a kind with its type erased, as the serving code sees it, so that the pipeline is compiled once
//! and not per kind. [`crate::served::Served`] makes one of any [`crate::Kind`]; custom resources implement it over unstructured
//! objects.

use std::any::Any;
use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use machinery::decode::{self, Finding, TypeError};
use machinery::field::Errors;
use machinery::objectmeta::Repeated;
use machinery::protobuf::Shape;
use machinery::schema::{Definitions, Schema};
use machinery::table::{ColumnDefinition, RowCondition};
use machinery::{GroupKind, GroupResource, GroupVersionKind, Status};
use serde_json::Value;

use crate::kind::{Names, Propagation, Scope, SelectableField};
use crate::nulls::Nulls;
use crate::object::Object;
use crate::prune::prune;
use crate::strategy::Context;

/// A served resource. Methods that take an object panic if it is not of the kind's own type: objects come from
/// this resource's `decode`, and a mix-up is a bug in the server.
pub trait Resource: Send + Sync + 'static {
    fn names(&self) -> &Names;
    fn list_kind(&self) -> Cow<'_, str> {
        format!("{}List", self.names().kind).into()
    }
    /// Whether the resource is custom. Lists of custom objects name the kind of each; they have neither a protobuf form
    /// nor strategic merge patches.
    fn is_custom(&self) -> bool {
        false
    }
    /// What the users of a deprecated version are told.
    fn deprecation(&self) -> Option<&str> {
        None
    }
    /// Why no objects are made at the moment, if so.
    fn refuses_new(&self) -> Option<&'static str> {
        None
    }
    /// Why this version cannot be read or written, if so: there is no way to it from the version that is stored.
    fn unreachable(&self) -> Option<&'static str> {
        None
    }
    fn scope(&self) -> Scope;
    fn stored_under(&self) -> &str;
    fn verbs(&self) -> &'static [&'static str];
    /// The verbs as discovery lists them.
    fn announced_verbs(&self) -> &'static [&'static str] {
        self.verbs()
    }
    fn create_on_update(&self) -> bool;
    fn unconditional_update(&self) -> bool;
    /// None: deletes have nothing to do with dependents.
    fn default_propagation(&self) -> Option<Propagation>;
    /// What those are told who delete without saying what is to become of dependents.
    fn delete_warning(&self) -> Option<&'static str> {
        None
    }
    /// Whether finalizers have to name the domain of their owner.
    fn finalizer_domains(&self) -> bool {
        false
    }
    fn schema(&self) -> &Schema;
    /// Adds the kind's published schema; returns its name.
    fn define(&self, definitions: &mut Definitions) -> String;
    fn delete_returns_object(&self) -> bool;

    /// The kind as it is stored and as validation errors name it; differs from [`Resource::kind`] where this
    /// version is converted.
    fn stored_kind(&self) -> GroupVersionKind;
    /// Makes a value fit this version: drops what it does not know, each a finding, and brings the rest into the form in
    /// which the API keeps it.
    fn conform(&self, value: &mut Value, findings: &mut Vec<Finding>) -> Result<(), TypeError> {
        decode::conform(value, self.schema(), findings)
    }
    /// The same for what an applied configuration has been merged into, in which nothing is found any more. Custom objects keep
    /// the nulls in it, for validation to refuse.
    fn conform_applied(&self, value: &mut Value) -> Result<(), TypeError> {
        self.conform(value, &mut Vec::new())
    }
    /// The typed object of a value of this version that was checked against the schema. The error says what does
    /// not fit.
    fn decode(&self, value: Value) -> Result<Box<dyn Object>, String>;
    /// The typed object of a JSON body that says plainly what [`Resource::conform`] and [`Resource::decode`] would make of it, at a
    /// fraction of their cost. None: it is to be read with care.
    fn decode_plain(&self, _json: &[u8]) -> Option<Box<dyn Object>> {
        None
    }
    /// The metadata of a built-in object as [`Resource::decode`] would read it, of a value that has perhaps nothing else.
    fn decode_metadata(&self, mut value: Value) -> Result<ObjectMeta, String> {
        let names = self.names();
        prune(self.schema(), &Nulls::default(), Shape::of(names.group, names.version, names.kind), &mut value);
        let metadata = value.get_mut("metadata").map(Value::take);
        metadata.map_or_else(|| Ok(ObjectMeta::default()), |metadata| serde_json::from_value(metadata).map_err(|e| e.to_string()))
    }
    /// The typed object of bytes that this server stored. (What is stored is [`Object::write_json`]'s.)
    fn decode_stored(&self, json: &[u8]) -> Result<Box<dyn Object>, String>;
    /// The metadata of an object of this kind whose type was forgotten; None where it is of another.
    fn meta_of<'a>(&self, object: &'a (dyn Any + Send + Sync)) -> Option<&'a ObjectMeta>;
    /// The object as JSON of this version.
    fn encode(&self, object: &dyn Object) -> Value;
    /// Stored bytes as JSON of this version; they are the same bytes unless this version is converted.
    fn present<'a>(&self, stored: &'a [u8]) -> Cow<'a, [u8]>;

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String>;
    fn validate_own_name(&self, _object: &dyn Object) -> Vec<String> {
        Vec::new()
    }
    /// See [`Kind::drop_unkept`](crate::kind::Kind::drop_unkept).
    fn drop_unkept(&self, _object: &mut dyn Object) {}
    fn default(&self, object: &mut dyn Object);
    fn as_written(&self, object: &dyn Object) -> Option<Box<dyn Object>>;
    fn prepare_create(&self, cx: &Context<'_>, object: &mut dyn Object);
    fn validate_create(&self, cx: &Context<'_>, object: &dyn Object) -> Errors;
    fn complete(&self, _object: &mut dyn Object) {}
    fn has_random_names(&self) -> bool {
        true
    }
    fn warnings_given(&self, _object: &dyn Object) -> Vec<String> {
        Vec::new()
    }
    fn warnings_create(&self, object: &dyn Object) -> Vec<String>;
    /// The strategy of the main resource.
    fn update(&self) -> &dyn ErasedUpdate;
    fn subresources(&self) -> &[ErasedSubresource];

    fn selectable(&self) -> &[&'static str];
    /// The name that the stored version has for a field that selectors name; None for one that has another name here.
    fn stored_field<'n>(&self, name: &'n str) -> Option<&'n str>;
    fn selectable_fields(&self, object: &dyn Object) -> Vec<SelectableField>;
    fn columns(&self) -> Vec<ColumnDefinition<'_>>;
    /// An annotation that only the whole object shows, not its metadata alone.
    fn hidden_annotation(&self) -> Option<&'static str> {
        None
    }
    /// Whether `status` is shown as a table.
    fn status_has_table(&self) -> bool {
        true
    }
    fn row(&self, object: &dyn Object, now: Timestamp) -> Vec<Value>;
    fn row_conditions(&self, object: &dyn Object) -> Vec<RowCondition>;

    fn deletion_grace_seconds(&self, object: &dyn Object, requested: Option<i64>) -> Option<i64>;
    fn begin_deletion(&self, object: &mut dyn Object, now: Time);
    fn is_kept(&self, object: &dyn Object) -> bool;
    fn time_to_live(&self, object: &dyn Object) -> Option<Duration>;

    fn group_resource(&self) -> GroupResource {
        GroupResource::new(self.names().group, self.names().plural)
    }

    fn group_kind(&self) -> GroupKind {
        GroupKind::new(self.names().group, self.names().kind)
    }

    fn kind(&self) -> GroupVersionKind {
        GroupVersionKind::new(self.names().group, self.names().version, self.names().kind)
    }

    fn subresource(&self, name: &str) -> Option<&ErasedSubresource> {
        self.subresources().iter().find(|s| s.name == name)
    }
}

/// A resource in hand. Built-in ones live as long as the program does, and cost nothing to hand on; a custom one lives as
/// long as somebody holds it, however soon its definition changes.
#[derive(Clone)]
pub enum ResourceRef {
    BuiltIn(&'static dyn Resource),
    Custom(Arc<dyn Resource>),
}

impl Deref for ResourceRef {
    type Target = dyn Resource;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::BuiltIn(resource) => *resource,
            Self::Custom(resource) => &**resource,
        }
    }
}

/// [`UpdateStrategy`](crate::strategy::UpdateStrategy), erased.
pub trait ErasedUpdate: Send + Sync {
    fn prepare(&self, cx: &Context<'_>, new: &mut dyn Object, old: &dyn Object);
    fn validate(&self, cx: &Context<'_>, new: &dyn Object, old: &dyn Object) -> Errors;
    fn validate_change(&self, _new: &dyn Object, _old: &dyn Object) -> Errors {
        Errors::new()
    }
    fn warnings(&self, new: &dyn Object, old: &dyn Object) -> Vec<String>;
    fn repeated_metadata(&self) -> Repeated {
        Repeated::default()
    }
    fn reset_fields(&self) -> &'static [&'static str];
}

/// [`Subresource`](crate::kind::Subresource), erased.
pub struct ErasedSubresource {
    pub name: &'static str,
    pub view: ErasedView,
}

/// [`View`](crate::kind::View), erased.
pub enum ErasedView {
    Object(Box<dyn ErasedUpdate>),
    Scale(Box<dyn ErasedScale>),
}

/// A scalable object's replica counts, erased.
pub trait ErasedScale: Send + Sync {
    fn replicas(&self, object: &dyn Object) -> i32;
    fn set_replicas(&self, object: &mut dyn Object, replicas: i32);
    fn observed(&self, object: &dyn Object) -> i32;
    fn selector(&self, object: &dyn Object) -> String;
    fn path(&self) -> machinery::field::Path;
}

/// The Status for a body that names another kind than the resource's own.
pub fn kind_mismatch(resource: &dyn Resource, api_version: &str, kind: &str) -> Status {
    let want = resource.kind();
    Status::bad_request(format!(
        "the body is a {api_version} {kind}; {} takes {} {}",
        resource.group_resource(),
        want.api_version(),
        want.kind
    ))
}

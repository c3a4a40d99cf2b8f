//! [`Resource`]: a kind with its type erased, as the serving code sees it, so that the pipeline is compiled once
//! and not per kind. [`Served`] makes one of any [`Kind`]; custom resources implement it over unstructured objects.

use std::any::Any;
use std::borrow::Cow;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use machinery::decode::{self, Finding, TypeError};
use machinery::field::Errors;
use machinery::objectmeta::Repeated;
use machinery::protobuf::Shape;
use machinery::schema::{Definitions, Schema};
use machinery::table::{ColumnDefinition, RowCondition};
use machinery::{GroupKind, GroupResource, GroupVersion, GroupVersionKind, Status};
use serde_json::Value;

use crate::kind::{Column, Conversion, Kind, Names, Propagation, Scope, SelectableField, Subresource, View};
use crate::nulls;
use crate::object::{Object, downcast_mut, downcast_ref, write_object};
use crate::prune::prune;
use crate::strategy::{Context, UpdateStrategy};

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
    /// The metadata of a built-in object as [`Resource::decode`] would read it, of a value that has perhaps nothing else.
    fn decode_metadata(&self, mut value: Value) -> Result<ObjectMeta, String> {
        let names = self.names();
        prune(self.schema(), &[], Shape::of(names.group, names.version, names.kind), &mut value);
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

/// [`UpdateStrategy`], erased.
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

/// [`Subresource`], erased.
pub struct ErasedSubresource {
    pub name: &'static str,
    pub view: ErasedView,
}

/// [`View`], erased.
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

/// The adapter from a [`Kind`] to a [`Resource`].
pub struct Served<K: Kind> {
    parts: OnceLock<Parts>,
    kind: PhantomData<K>,
}

struct Parts {
    schema: Schema,
    update: Box<dyn ErasedUpdate>,
    subresources: Vec<ErasedSubresource>,
}

impl<K: Kind> Served<K> {
    #[allow(clippy::new_without_default, reason = "a const is what the registry needs")]
    pub const fn new() -> Self {
        Self { parts: OnceLock::new(), kind: PhantomData }
    }

    fn parts(&self) -> &Parts {
        self.parts.get_or_init(|| Parts {
            schema: K::CONVERSION.map_or_else(Schema::of::<K::Object>, |c| (c.schema)()),
            update: Box::new(Erased(K::update())),
            subresources: K::subresources().into_iter().map(erase).collect(),
        })
    }
}

fn erase<O: crate::kind::Typed>(subresource: Subresource<O>) -> ErasedSubresource {
    let view = match subresource.view {
        View::Object(strategy) => ErasedView::Object(Box::new(Erased(strategy))),
        View::Scale(view) => ErasedView::Scale(Box::new(view)),
    };
    ErasedSubresource { name: subresource.name, view }
}

fn typed<O: 'static>(object: &dyn Object) -> &O {
    downcast_ref(object).unwrap_or_else(|| unreachable!("an object of another kind reached this resource"))
}

fn typed_mut<O: 'static>(object: &mut dyn Object) -> &mut O {
    downcast_mut(object).unwrap_or_else(|| unreachable!("an object of another kind reached this resource"))
}

impl<K: Kind> Resource for Served<K> {
    fn names(&self) -> &Names {
        &K::NAMES
    }
    fn scope(&self) -> Scope {
        K::SCOPE
    }
    fn stored_under(&self) -> &str {
        K::STORED_UNDER
    }
    fn verbs(&self) -> &'static [&'static str] {
        K::VERBS
    }
    fn create_on_update(&self) -> bool {
        K::CREATE_ON_UPDATE
    }
    fn unconditional_update(&self) -> bool {
        K::UNCONDITIONAL_UPDATE
    }
    fn default_propagation(&self) -> Option<Propagation> {
        K::DEFAULT_PROPAGATION
    }
    fn delete_warning(&self) -> Option<&'static str> {
        K::DELETE_WARNING
    }
    fn finalizer_domains(&self) -> bool {
        K::FINALIZER_DOMAINS
    }
    fn has_random_names(&self) -> bool {
        K::RANDOM_NAMES
    }
    fn deprecation(&self) -> Option<&str> {
        K::DEPRECATION
    }
    fn schema(&self) -> &Schema {
        &self.parts().schema
    }
    fn define(&self, definitions: &mut Definitions) -> String {
        K::CONVERSION.map_or(Definitions::add::<K::Object> as fn(&mut _) -> _, |c| c.define)(definitions)
    }
    fn delete_returns_object(&self) -> bool {
        K::DELETE_RETURNS_OBJECT
    }
    fn stored_kind(&self) -> GroupVersionKind {
        match K::CONVERSION {
            None => self.kind(),
            Some(c) => {
                let stored = GroupVersion::parse(c.stored_api_version);
                GroupVersionKind::new(stored.group, stored.version, K::NAMES.kind)
            }
        }
    }
    fn decode(&self, mut value: Value) -> Result<Box<dyn Object>, String> {
        let names = K::NAMES;
        let shape = Shape::of(names.group, names.version, names.kind);
        prune(self.schema(), nulls::of(names.group, names.kind), shape, &mut value);
        if let Some(conversion) = K::CONVERSION {
            to_stored(&conversion, &mut value);
        }
        if let Value::Object(object) = &mut value {
            K::before_decode(object);
        }
        let object = serde_json::from_value::<K::Object>(value).map_err(|e| e.to_string())?;
        K::check_decoded(&object)?;
        Ok(Box::new(object))
    }
    fn decode_stored(&self, json: &[u8]) -> Result<Box<dyn Object>, String> {
        let mut object = serde_json::from_slice::<K::Object>(json).or_else(|error| {
            // What is null because the type has no absence for it (a condition's time) is marked as in a client's object.
            let Ok(Value::Object(mut fields)) = serde_json::from_slice(json) else { return Err(error.to_string()) };
            K::before_decode(&mut fields);
            serde_json::from_value::<K::Object>(Value::Object(fields)).map_err(|error| error.to_string())
        })?;
        K::after_reading(&mut object);
        Ok(Box::new(object))
    }
    fn meta_of<'a>(&self, object: &'a (dyn Any + Send + Sync)) -> Option<&'a ObjectMeta> {
        object.downcast_ref::<K::Object>().map(k8s_openapi::Metadata::metadata)
    }
    fn encode(&self, object: &dyn Object) -> Value {
        let mut value = object.to_value();
        if let Some(conversion) = K::CONVERSION {
            from_stored(&conversion, &self.kind().api_version(), &mut value);
        }
        value
    }
    fn present<'a>(&self, stored: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(conversion) = K::CONVERSION else { return Cow::Borrowed(stored) };
        // Stored bytes are this server's own JSON; were they not, showing them as they are is the best there is.
        let Ok(mut value) = serde_json::from_slice(stored) else { return Cow::Borrowed(stored) };
        from_stored(&conversion, &self.kind().api_version(), &mut value);
        let mut out = Vec::with_capacity(stored.len());
        write_object(&value, &mut out);
        Cow::Owned(out)
    }
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        K::validate_name(name, prefix)
    }
    fn default(&self, object: &mut dyn Object) {
        K::default(typed_mut(object));
    }
    fn as_written(&self, object: &dyn Object) -> Option<Box<dyn Object>> {
        K::as_written(typed(object)).map(|object| Box::new(object) as _)
    }
    fn prepare_create(&self, cx: &Context<'_>, object: &mut dyn Object) {
        K::prepare_create(cx, typed_mut(object));
    }
    fn validate_create(&self, cx: &Context<'_>, object: &dyn Object) -> Errors {
        K::validate_create(cx, typed(object))
    }
    fn complete(&self, object: &mut dyn Object) {
        K::complete(typed_mut(object));
    }
    fn warnings_given(&self, object: &dyn Object) -> Vec<String> {
        K::warnings_given(typed(object))
    }
    fn warnings_create(&self, object: &dyn Object) -> Vec<String> {
        K::warnings_create(typed(object))
    }
    fn update(&self) -> &dyn ErasedUpdate {
        &*self.parts().update
    }
    fn subresources(&self) -> &[ErasedSubresource] {
        &self.parts().subresources
    }
    fn selectable(&self) -> &[&'static str] {
        K::SELECTABLE
    }
    fn stored_field<'n>(&self, name: &'n str) -> Option<&'n str> {
        let names = K::CONVERSION.map_or(&[][..], |c| c.fields);
        let renamed = names.iter().find(|(here, _)| *here == name).map(|(_, stored)| *stored);
        renamed.or_else(|| names.iter().all(|(_, stored)| *stored != name).then_some(name))
    }
    fn selectable_fields(&self, object: &dyn Object) -> Vec<SelectableField> {
        K::selectable_fields(typed(object))
    }
    fn status_has_table(&self) -> bool {
        K::STATUS_HAS_TABLE
    }
    fn columns(&self) -> Vec<ColumnDefinition<'_>> {
        let definition = |column: &Column| {
            let Column { name, kind, format, priority, description } = *column;
            ColumnDefinition { name, kind, format, description, priority }
        };
        K::COLUMNS.iter().map(definition).collect()
    }
    fn row(&self, object: &dyn Object, now: Timestamp) -> Vec<Value> {
        K::row(typed(object), now)
    }
    fn row_conditions(&self, object: &dyn Object) -> Vec<RowCondition> {
        K::row_conditions(typed(object))
    }
    fn deletion_grace_seconds(&self, object: &dyn Object, requested: Option<i64>) -> Option<i64> {
        K::deletion_grace_seconds(typed(object), requested)
    }
    fn begin_deletion(&self, object: &mut dyn Object, now: Time) {
        K::begin_deletion(typed_mut(object), now);
    }
    fn is_kept(&self, object: &dyn Object) -> bool {
        K::is_kept(typed(object))
    }
    fn time_to_live(&self, object: &dyn Object) -> Option<Duration> {
        K::time_to_live(typed(object))
    }
}

fn to_stored(conversion: &Conversion, value: &mut Value) {
    if let Value::Object(fields) = value {
        (conversion.to_stored)(fields);
        fields.insert("apiVersion".to_owned(), conversion.stored_api_version.into());
    }
}

fn from_stored(conversion: &Conversion, api_version: &str, value: &mut Value) {
    if let Value::Object(fields) = value {
        (conversion.from_stored)(fields);
        fields.insert("apiVersion".to_owned(), api_version.into());
    }
}

struct Erased<O: 'static>(&'static dyn UpdateStrategy<O>);

impl<O: 'static> ErasedUpdate for Erased<O> {
    fn prepare(&self, cx: &Context<'_>, new: &mut dyn Object, old: &dyn Object) {
        self.0.prepare(cx, typed_mut(new), typed(old));
    }
    fn validate(&self, cx: &Context<'_>, new: &dyn Object, old: &dyn Object) -> Errors {
        self.0.validate(cx, typed(new), typed(old))
    }
    fn validate_change(&self, new: &dyn Object, old: &dyn Object) -> Errors {
        self.0.validate_change(typed(new), typed(old))
    }
    fn warnings(&self, new: &dyn Object, old: &dyn Object) -> Vec<String> {
        self.0.warnings(typed(new), typed(old))
    }
    fn repeated_metadata(&self) -> Repeated {
        self.0.repeated_metadata()
    }
    fn reset_fields(&self) -> &'static [&'static str] {
        self.0.reset_fields()
    }
}

impl<O: 'static> ErasedScale for crate::kind::ScaleView<O> {
    fn replicas(&self, object: &dyn Object) -> i32 {
        (self.replicas)(typed(object))
    }
    fn set_replicas(&self, object: &mut dyn Object, replicas: i32) {
        (self.set_replicas)(typed_mut(object), replicas);
    }
    fn observed(&self, object: &dyn Object) -> i32 {
        (self.observed)(typed(object))
    }
    fn selector(&self, object: &dyn Object) -> String {
        (self.selector)(typed(object))
    }
    fn path(&self) -> machinery::field::Path {
        (self.path)()
    }
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

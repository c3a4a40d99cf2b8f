//! [`CustomResource`]: one version of a definition as a [`Resource`].

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use machinery::GroupVersionKind;
use machinery::decode::{Finding, TypeError};
use machinery::field::{Error, Errors, Path};
use machinery::names::dns1123_subdomain;
use machinery::schema::{Definitions, Schema};
use machinery::table::{ColumnDefinition, RowCondition};
use serde_json::{Value, json};

use super::columns::Columns;
use super::jsonpath::JsonPath;
use super::object::{Unstructured, custom, custom_mut};
use super::shape::Shape;
use super::{VERBS, VERBS_WHILE_TERMINATING, scale, strategy};
use crate::kind::{Names, Propagation, Scope, SelectableField};
use crate::object::{Object, write_object};
use crate::resource::{ErasedSubresource, ErasedUpdate, ErasedView, Resource};
use crate::strategy::Context;

/// What one version of a definition says.
pub(super) struct Parts {
    pub(super) names: Names,
    pub(super) list_kind: &'static str,
    pub(super) scope: Scope,
    pub(super) stored_under: String,
    pub(super) stored_version: &'static str,
    pub(super) deprecation: Option<String>,
    /// Other versions than the stored one are made by a webhook.
    pub(super) needs_webhook: bool,
    pub(super) served: bool,
    pub(super) columns: Columns,
    /// The fields by which objects can be selected in this version.
    pub(super) selectable: &'static [&'static str],
    /// Those of all versions: a log is in the storage version, and read in every one.
    pub(super) indexed: Arc<[Selectable]>,
    pub(super) has_status: bool,
    pub(super) scale: Option<scale::Paths>,
    pub(super) shape: Arc<Shape>,
    /// The storage version's.
    pub(super) stored_shape: Arc<Shape>,
}

pub(super) struct Selectable {
    pub(super) name: &'static str,
    pub(super) path: JsonPath,
}

impl Parts {
    fn is_stored(&self) -> bool {
        self.names.version == self.stored_version
    }

    fn api_version(&self) -> String {
        format!("{}/{}", self.names.group, self.names.version)
    }

    /// Drops what the storage version does not know.
    pub(super) fn drop_unstored(&self, object: &mut Unstructured) {
        if !self.is_stored() {
            self.stored_shape.prune(object.content_mut());
        }
    }

    /// The whole object as this version has it, for its schema to look at.
    fn seen(&self, object: &Unstructured) -> Value {
        let mut value = object.to_value();
        value["apiVersion"] = json!(self.api_version());
        value
    }

    fn validate_shape(&self, new: &Unstructured, old: Option<&Unstructured>) -> Errors {
        let old = old.map(|old| self.seen(old));
        self.shape.validate(&self.seen(new), old.as_ref())
    }

    pub(super) fn validate(&self, new: &Unstructured, old: Option<&Unstructured>) -> Errors {
        if let Some(other) = new.field("kind").filter(|kind| **kind != self.names.kind) {
            return vec![Error::invalid(&Path::new("kind"), other, format!("must be {}", self.names.kind))];
        }
        let mut errors = self.validate_shape(new, old);
        errors.extend(self.scale.iter().flat_map(|scale| scale.validate(new, true)));
        errors
    }

    pub(super) fn validate_status(&self, new: &Unstructured, old: &Unstructured) -> Errors {
        let mut errors = self.validate_shape(new, Some(old));
        errors.extend(self.scale.iter().flat_map(|scale| scale.validate(new, false)));
        errors
    }
}

/// A served version of a definition. Cheap to make anew from another one.
pub struct CustomResource {
    parts: Arc<Parts>,
    update: strategy::Main,
    subresources: Vec<ErasedSubresource>,
    terminating: bool,
}

impl CustomResource {
    pub(super) fn new(parts: Parts) -> Self {
        Self::of(Arc::new(parts), false)
    }

    fn of(parts: Arc<Parts>, terminating: bool) -> Self {
        let mut subresources = Vec::new();
        if parts.has_status {
            let view = ErasedView::Object(Box::new(strategy::Status(parts.clone())));
            subresources.push(ErasedSubresource { name: "status", view });
        }
        if let Some(scale) = &parts.scale {
            subresources.push(ErasedSubresource { name: "scale", view: ErasedView::Scale(Box::new(scale.clone())) });
        }
        Self { update: strategy::Main(parts.clone()), subresources, terminating, parts }
    }

    /// The same resource while its definition is being deleted: nothing new is made.
    pub fn terminating(&self) -> Self {
        Self::of(self.parts.clone(), true)
    }

    /// Whether clients can use this version. The storage version may be there for the others only.
    pub fn is_served(&self) -> bool {
        self.parts.served
    }
}

impl Resource for CustomResource {
    fn names(&self) -> &Names {
        &self.parts.names
    }
    fn list_kind(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.parts.list_kind)
    }
    fn is_custom(&self) -> bool {
        true
    }
    fn deprecation(&self) -> Option<&str> {
        self.parts.deprecation.as_deref()
    }
    fn refuses_new(&self) -> Option<&'static str> {
        self.terminating.then_some("its definition is being deleted, and nothing new is made")
    }
    fn unreachable(&self) -> Option<&'static str> {
        (self.parts.needs_webhook && !self.parts.is_stored())
            .then_some("this version is made of the stored one by a conversion webhook, which this server does not call")
    }
    fn scope(&self) -> Scope {
        self.parts.scope
    }
    fn stored_under(&self) -> &str {
        &self.parts.stored_under
    }
    fn verbs(&self) -> &'static [&'static str] {
        VERBS
    }
    fn announced_verbs(&self) -> &'static [&'static str] {
        if self.terminating { VERBS_WHILE_TERMINATING } else { VERBS }
    }
    fn create_on_update(&self) -> bool {
        false
    }
    fn unconditional_update(&self) -> bool {
        false
    }
    fn default_propagation(&self) -> Option<Propagation> {
        Some(Propagation::Background)
    }
    fn schema(&self) -> &Schema {
        self.parts.shape.ownership()
    }
    fn define(&self, definitions: &mut Definitions) -> String {
        let names = self.names();
        let reversed: Vec<&str> = names.group.rsplit('.').collect();
        let name = format!("{}.{}.{}", reversed.join("."), names.version, names.kind);
        definitions.add::<ObjectMeta>();
        definitions.insert(&name, self.parts.shape.published());
        name
    }
    fn delete_returns_object(&self) -> bool {
        false
    }
    fn stored_kind(&self) -> GroupVersionKind {
        GroupVersionKind::new(self.names().group, self.parts.stored_version, self.names().kind)
    }
    fn conform(&self, value: &mut Value, findings: &mut Vec<Finding>) -> Result<(), TypeError> {
        self.parts.shape.conform(value, findings)
    }
    fn conform_applied(&self, value: &mut Value) -> Result<(), TypeError> {
        self.parts.shape.conform_applied(value, &mut Vec::new())
    }
    fn decode(&self, mut value: Value) -> Result<Box<dyn Object>, String> {
        if let Value::Object(fields) = &mut value {
            fields.insert("apiVersion".to_owned(), self.stored_kind().api_version().into());
            fields.entry("kind").or_insert_with(|| self.names().kind.into());
        }
        Ok(Box::new(Unstructured::new(value)?))
    }
    /// What is stored may be older than the definition: it is pruned, and has defaults, as the schema now says.
    fn decode_stored(&self, json: &[u8]) -> Result<Box<dyn Object>, String> {
        let value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let mut object = Unstructured::new(value)?;
        let shape = &self.parts.stored_shape;
        shape.prune(object.content_mut());
        shape.default(object.content_mut());
        object.set_field("apiVersion", Some(self.stored_kind().api_version().into()));
        Ok(Box::new(object))
    }
    fn meta_of<'a>(&self, object: &'a (dyn Any + Send + Sync)) -> Option<&'a ObjectMeta> {
        object.downcast_ref::<Unstructured>().map(|object| &object.meta)
    }
    fn encode(&self, object: &dyn Object) -> Value {
        let mut value = object.to_value();
        if !self.parts.is_stored() {
            self.convert(&mut value);
        }
        value
    }
    fn present<'a>(&self, stored: &'a [u8]) -> Cow<'a, [u8]> {
        if self.parts.is_stored() {
            return Cow::Borrowed(stored);
        }
        // Stored bytes are this server's own JSON; were they not, showing them as they are is the best there is.
        let Ok(mut value) = serde_json::from_slice(stored) else { return Cow::Borrowed(stored) };
        self.convert(&mut value);
        let mut out = Vec::with_capacity(stored.len());
        write_object(&value, &mut out);
        Cow::Owned(out)
    }
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        dns1123_subdomain(name, prefix)
    }
    fn default(&self, object: &mut dyn Object) {
        self.parts.shape.default(custom_mut(object).content_mut());
    }
    fn as_written(&self, _object: &dyn Object) -> Option<Box<dyn Object>> {
        None
    }
    fn prepare_create(&self, _cx: &Context<'_>, object: &mut dyn Object) {
        let object = custom_mut(object);
        if self.parts.has_status {
            object.set_field("status", None);
        }
        self.parts.drop_unstored(object);
        object.meta.generation = Some(1);
    }
    fn validate_create(&self, _cx: &Context<'_>, object: &dyn Object) -> Errors {
        self.parts.validate(custom(object), None)
    }
    fn warnings_create(&self, object: &dyn Object) -> Vec<String> {
        strategy::finalizer_warnings(object, None)
    }
    fn update(&self) -> &dyn ErasedUpdate {
        &self.update
    }
    fn subresources(&self) -> &[ErasedSubresource] {
        &self.subresources
    }
    fn selectable(&self) -> &[&'static str] {
        self.parts.selectable
    }
    fn stored_field<'n>(&self, name: &'n str) -> Option<&'n str> {
        Some(name)
    }
    fn selectable_fields(&self, object: &dyn Object) -> Vec<SelectableField> {
        let content = custom(object).content();
        let text = |value: Option<&Value>| match value {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        self.parts.indexed.iter().map(|one| (one.name, text(one.path.first(content)).into())).collect()
    }
    fn columns(&self) -> Vec<ColumnDefinition<'_>> {
        self.parts.columns.definitions()
    }
    fn row(&self, object: &dyn Object, now: Timestamp) -> Vec<Value> {
        self.parts.columns.row(custom(object), now)
    }
    fn row_conditions(&self, _object: &dyn Object) -> Vec<RowCondition> {
        Vec::new()
    }
    fn deletion_grace_seconds(&self, _object: &dyn Object, _requested: Option<i64>) -> Option<i64> {
        None
    }
    fn begin_deletion(&self, _object: &mut dyn Object, _now: Time) {}
    fn is_kept(&self, _object: &dyn Object) -> bool {
        false
    }
    fn time_to_live(&self, _object: &dyn Object) -> Option<Duration> {
        None
    }
}

impl CustomResource {
    /// Makes an object of the storage version one of this version.
    fn convert(&self, value: &mut Value) {
        self.parts.shape.prune(value);
        value["apiVersion"] = json!(self.parts.api_version());
    }
}

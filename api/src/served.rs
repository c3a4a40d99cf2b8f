//! [`Served`]: the adapter from a [`Kind`] to a [`Resource`].

use std::any::Any;
use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use machinery::decode::is_plain;
use machinery::field::Errors;
use machinery::json;
use machinery::objectmeta::Repeated;
use machinery::protobuf::Shape;
use machinery::schema::{Definitions, Schema};
use machinery::table::{ColumnDefinition, RowCondition};
use machinery::tape::Tape;
use machinery::{GroupVersion, GroupVersionKind};
use serde_json::Value;

use crate::kind::{Column, Conversion, Kind, Names, Propagation, Scope, SelectableField, Subresource, View};
use crate::nulls;
use crate::object::{Object, downcast_mut, downcast_ref, write_object};
use crate::prune::prune;
use crate::resource::{ErasedScale, ErasedSubresource, ErasedUpdate, ErasedView, Resource};
use crate::strategy::{Context, UpdateStrategy};

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
        prune(self.schema(), nulls::of(K::NAMES.group, K::NAMES.kind), shape::<K>(), &mut value);
        if let Some(conversion) = K::CONVERSION {
            to_stored(&conversion, &mut value);
        }
        let object = read_marked::<K>(value)?;
        K::check_decoded(&object)?;
        Ok(Box::new(object))
    }
    fn decode_plain(&self, json: &[u8]) -> Option<Box<dyn Object>> {
        if K::CONVERSION.is_some() || K::MARK.is_some() {
            return None;
        }
        let json = std::str::from_utf8(json).ok()?;
        let tape = Tape::read(json)?;
        let object = tape.root();
        let says = |name, own: &str| object.get(name).is_some_and(|value| value.text().unquoted() == own);
        let is_own = says("kind", K::NAMES.kind) && says("apiVersion", &self.kind().api_version());
        if !is_own || !is_plain(object, self.schema(), shape::<K>()) {
            return None;
        }
        let object = serde_json::from_str::<K::Object>(json).ok()?;
        K::check_decoded(&object).ok()?;
        Some(Box::new(object))
    }
    fn decode_stored(&self, json: &[u8]) -> Result<Box<dyn Object>, String> {
        // As text, of which each string is not looked at once more.
        let json = std::str::from_utf8(json).map_err(|error| error.to_string())?;
        let mut object = match serde_json::from_str::<K::Object>(json) {
            Ok(object) => object,
            // What is null because the type has no absence for it (a condition's time) is marked as in a client's object.
            Err(_) => read_marked::<K>(serde_json::from_str(json).map_err(|error| error.to_string())?)?,
        };
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
    fn validate_own_name(&self, object: &dyn Object) -> Vec<String> {
        K::validate_own_name(typed(object))
    }
    fn default(&self, object: &mut dyn Object) {
        K::default(typed_mut(object));
    }
    fn as_written(&self, object: &dyn Object) -> Option<Box<dyn Object>> {
        K::as_written(typed(object)).map(|object| Box::new(object) as _)
    }
    fn drop_unkept(&self, object: &mut dyn Object) {
        K::drop_unkept(typed_mut(object));
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
    fn hidden_annotation(&self) -> Option<&'static str> {
        K::HIDDEN_ANNOTATION
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

fn shape<K: Kind>() -> Option<Shape> {
    Shape::of(K::NAMES.group, K::NAMES.version, K::NAMES.kind)
}

/// The object that a value of the stored version is, with its marks.
fn read_marked<K: Kind>(mut value: Value) -> Result<K::Object, String> {
    if let (Some(mark), Value::Object(object)) = (K::MARK, &mut value) {
        mark(object);
    }
    json::to_typed(&value).map_err(|error| error.to_string())
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

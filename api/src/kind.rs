//! [`Kind`]: everything that makes a type an API object, in one trait with defaults for what most kinds do alike.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use machinery::field::{Errors, Path};
use machinery::schema::{Definitions, Schema};
use machinery::table::RowCondition;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::strategy::{Context, UpdateStrategy};

/// What a resource is called. The names of custom resources are kept for as long as the program runs, each distinct text once
/// (see [`crate::custom::intern`]), so that names can be handed about without a lifetime.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Empty for the core group.
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub singular: &'static str,
    pub short: &'static [&'static str],
    pub categories: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Cluster,
    Namespaced,
}

/// What happens to dependents when a delete does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Orphan,
    Background,
    Foreground,
}

/// A column of the kind's table form, as `printer-columns.tsv` lists them.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    /// `string`, `integer`, `boolean`, `date`…
    pub kind: &'static str,
    /// `name` for the name column, else empty.
    pub format: &'static str,
    /// 0: always shown; 1: shown by `-o wide`.
    pub priority: i32,
    pub description: &'static str,
}

impl Column {
    const fn new(name: &'static str, kind: &'static str, description: &'static str) -> Self {
        Self { name, kind, format: "", priority: 0, description }
    }

    pub const NAME: Self = Self { format: "name", ..Self::new("Name", "string", "The object's name.") };
    pub const AGE: Self = Self::new("Age", "string", "Time since the object was created.");

    pub const fn text(name: &'static str, description: &'static str) -> Self {
        Self::new(name, "string", description)
    }

    pub const fn integer(name: &'static str, description: &'static str) -> Self {
        Self::new(name, "integer", description)
    }

    pub const fn boolean(name: &'static str, description: &'static str) -> Self {
        Self::new(name, "boolean", description)
    }

    pub const fn date(name: &'static str, description: &'static str) -> Self {
        Self::new(name, "date", description)
    }

    /// The same column, shown by `-o wide` only.
    pub const fn wide(self) -> Self {
        Self { priority: 1, ..self }
    }
}

/// See [`Kind::MARK`].
pub type Mark = fn(&mut Map<String, Value>);

/// A selectable field's name and an object's value for it.
pub type SelectableField = (&'static str, Cow<'static, str>);

/// The bounds of a kind's typed object.
pub trait Typed:
    k8s_openapi::Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned + JsonSchema + Clone + PartialEq + Send + Sync + 'static
{
}

impl<T> Typed for T where
    T: k8s_openapi::Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned + JsonSchema + Clone + PartialEq + Send + Sync + 'static
{
}

/// A kind of object. The implementing type is a marker; all methods are associated functions over `Object`.
pub trait Kind: Send + Sync + 'static {
    type Object: Typed;

    const NAMES: Names;
    const SCOPE: Scope;
    /// Where objects are kept below the registry prefix, without slashes at the ends (`etcd-keys.tsv`).
    const STORED_UNDER: &'static str;
    /// Verbs of the main resource, as discovery lists them.
    const VERBS: &'static [&'static str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    /// Whether PUT of a missing object creates it.
    const CREATE_ON_UPDATE: bool = false;
    /// Whether PUT without a resourceVersion overwrites whatever is there.
    const UNCONDITIONAL_UPDATE: bool = true;
    /// Whether finalizers have to name the domain of their owner. Of custom objects that is asked in a warning only, and some
    /// groups never asked it.
    const FINALIZER_DOMAINS: bool = true;
    /// Whether a name that is made of `generateName` ends at random; else it is that.
    const RANDOM_NAMES: bool = true;
    /// What a delete without a policy does to dependents. None: deletes have nothing to do with dependents, whatever they ask for.
    const DEFAULT_PROPAGATION: Option<Propagation> = Some(Propagation::Background);
    /// What those are told who delete without a policy.
    const DELETE_WARNING: Option<&'static str> = None;

    /// For a version that is not the stored one: how they differ. `Object` is then the stored version's type.
    const CONVERSION: Option<Conversion> = None;

    /// Marks in a client's JSON what the type cannot tell (an empty selector from none). Runs before decoding.
    const MARK: Option<Mark> = None;

    /// What users are told of a version that is deprecated.
    const DEPRECATION: Option<&'static str> = None;

    /// Whether the answer to a finished delete is the object rather than a Status.
    const DELETE_RETURNS_OBJECT: bool = false;

    /// What of a client's object cannot be understood, though its fields decode.
    fn check_decoded(_object: &Self::Object) -> Result<(), String> {
        Ok(())
    }

    /// Marks the same in an object from the store, in which empty lists may have become null.
    fn after_reading(_object: &mut Self::Object) {}

    /// What is wrong with a name; `prefix` says that it is a `generateName`.
    fn validate_name(name: &str, prefix: bool) -> Vec<String>;

    /// What is wrong with an object's name beside the rest of the object.
    fn validate_own_name(_object: &Self::Object) -> Vec<String> {
        Vec::new()
    }

    /// Fills what the writer left out. Runs on every decoded object, stored ones too.
    fn default(_object: &mut Self::Object) {}

    /// The object as its writer comes to own it, where a defaulted one does not have all of that yet.
    fn as_written(_object: &Self::Object) -> Option<Self::Object> {
        None
    }

    /// Drops what its writer comes to own, but the object does not keep, such as fields of features that are not on.
    fn drop_unkept(_object: &mut Self::Object) {}

    /// Clears what a creator may not set and sets what the system derives. Metadata is filled elsewhere,
    /// except `generation`, which kinds that have one set to 1 here.
    fn prepare_create(_cx: &Context<'_>, _object: &mut Self::Object) {}

    /// Everything wrong with a new object, metadata aside.
    fn validate_create(cx: &Context<'_>, object: &Self::Object) -> Errors;

    /// What a new object has besides, once it has been found sound: what Kubernetes would fill in as it reads it for the first time.
    fn complete(_object: &mut Self::Object) {}

    /// What the creator is warned of whatever becomes of the object: it is as it was given, neither prepared nor validated.
    fn warnings_given(_object: &Self::Object) -> Vec<String> {
        Vec::new()
    }

    /// What the creator of a sound object is warned of.
    fn warnings_create(_object: &Self::Object) -> Vec<String> {
        Vec::new()
    }

    /// The strategy for updates of the main resource.
    fn update() -> &'static dyn UpdateStrategy<Self::Object>;

    /// The subresources, besides those that need more than this object and are served by the API server
    /// (`eviction`, `log`, `exec`…).
    fn subresources() -> Vec<Subresource<Self::Object>> {
        Vec::new()
    }

    /// Fields that selectors can name, besides `metadata.name` and `metadata.namespace`.
    fn selectable_fields(_object: &Self::Object) -> Vec<SelectableField> {
        Vec::new()
    }

    /// The names of the above, also where an object has no value for them.
    const SELECTABLE: &'static [&'static str] = &[];

    const COLUMNS: &'static [Column] = &[Column::NAME, Column::AGE];

    /// An annotation that only the whole object shows, not its metadata alone.
    const HIDDEN_ANNOTATION: Option<&'static str> = None;

    /// Whether `status` is shown as a table, as the object itself is.
    const STATUS_HAS_TABLE: bool = true;

    /// The cells of the object's table row, one for each of `COLUMNS`.
    fn row(object: &Self::Object, now: Timestamp) -> Vec<Value>;

    /// What the row says besides its cells: whether the object has completed.
    fn row_conditions(_object: &Self::Object) -> Vec<RowCondition> {
        Vec::new()
    }

    /// For kinds that are deleted gracefully: how long, in seconds, given what the request asks for.
    /// None: at once.
    fn deletion_grace_seconds(_object: &Self::Object, _requested: Option<i64>) -> Option<i64> {
        None
    }

    /// What else changes in an object that is to be deleted: what says so, and what keeps it until then. May come again. One that
    /// is marked here as being deleted has no grace period, and keeps its generation.
    fn begin_deletion(_object: &mut Self::Object, _now: Time) {}

    /// Whether something besides `metadata.finalizers` keeps an object that is being deleted.
    fn is_kept(_object: &Self::Object) -> bool {
        false
    }

    /// Objects vanish by themselves after this long.
    fn time_to_live(_object: &Self::Object) -> Option<Duration> {
        None
    }
}

/// How a served version differs from the version that is stored, JSON to JSON. Strategies see stored objects
/// only; clients of this version, its patches and its field managers see this version only.
#[derive(Clone, Copy, Debug)]
pub struct Conversion {
    /// `apiVersion` of the stored version.
    pub stored_api_version: &'static str,
    /// The shape of this version.
    pub schema: fn() -> Schema,
    /// Adds the published schema of this version; returns its name.
    pub define: fn(&mut Definitions) -> String,
    /// Rewrites this version's fields as the stored version's; `apiVersion` is rewritten elsewhere.
    pub to_stored: fn(&mut Map<String, Value>),
    /// The way back.
    pub from_stored: fn(&mut Map<String, Value>),
    /// Selectable fields that this version has other names for, or (as an empty text) none: its name, and the stored version's.
    pub fields: &'static [(&'static str, &'static str)],
}

/// A view of a stored object at `<resource>/<name>`.
pub struct Subresource<O: 'static> {
    pub name: &'static str,
    pub view: View<O>,
}

/// How a subresource reads and writes the object it belongs to.
pub enum View<O: 'static> {
    /// The whole object, updated under another strategy.
    Object(&'static dyn UpdateStrategy<O>),
    /// The object as an `autoscaling/v1` Scale.
    Scale(ScaleView<O>),
}

/// Where a scalable object keeps what a Scale shows.
pub struct ScaleView<O> {
    /// `spec.replicas`.
    pub replicas: fn(&O) -> i32,
    pub set_replicas: fn(&mut O, i32),
    /// `status.replicas`.
    pub observed: fn(&O) -> i32,
    /// `status.selector`, in the selector grammar's string form.
    pub selector: fn(&O) -> String,
    /// The path of the replica count, for error causes and field ownership.
    pub path: fn() -> Path,
}

//! The verbs of the API, one file each, for every resource. A door (HTTP, gRPC, or a component in the same
//! process) has authenticated and authorized the caller and parsed the request into the types below.

mod apply;
mod binding;
mod body;
mod component_status;
mod create;
mod delete;
mod delete_collection;
pub(crate) mod delete_options;
mod eviction;
mod fields;
mod get;
mod list;
mod metadata;
mod patch;
mod revision;
mod scale;
mod taken;
mod token;
mod update;
mod watch;
mod write;

pub(crate) use body::typed as read_unstored;
pub(crate) use fields::record_unstored;
pub(crate) use metadata::seconds;

use std::sync::Arc;

use api::strategy::UserInfo;
use api::{Object, ResourceRef};
use bytes::Bytes;
use machinery::ResourceVersion;
use machinery::decode::{self, Encoding};

use crate::audit::Trail;
use crate::log::Entry;

/// Who calls.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    pub user: UserInfo,
    /// The field manager where a request names none: the user agent up to its first `/`.
    pub agent: String,
    /// What is recorded of the call.
    pub trail: Trail,
    /// What the caller should know about how it proves who it is.
    pub warning: Option<&'static str>,
}

/// What a call is about.
#[derive(Clone)]
pub struct Target {
    pub resource: ResourceRef,
    /// `status`, `scale`, `eviction`…
    pub subresource: Option<String>,
    /// Empty for cluster scope, and for all namespaces in lists and watches.
    pub namespace: String,
    /// Empty where the verb has no name (create, list, watch, deletecollection).
    pub name: String,
}

/// The object in a request's body.
pub enum Body {
    Json(Bytes),
    Yaml(Bytes),
    /// From a component in this process: decoded already.
    Typed(Box<dyn Object>),
}

impl Body {
    /// The same body. Bytes are shared.
    fn share(&self) -> Self {
        match self {
            Self::Json(bytes) => Self::Json(bytes.clone()),
            Self::Yaml(bytes) => Self::Yaml(bytes.clone()),
            Self::Typed(object) => Self::Typed(object.clone_boxed()),
        }
    }
}

/// What to do about unknown and duplicate fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    pub dry_run: bool,
    /// As the request names it; [`Caller::agent`] stands in where it is None.
    pub field_manager: Option<String>,
    pub field_validation: FieldValidation,
}

/// A patch document; its bytes are JSON, or YAML for apply.
#[derive(Clone, Debug)]
pub enum Patch {
    Json(Bytes),
    Merge(Bytes),
    Strategic(Bytes),
    Apply { config: Bytes, force: bool },
}

impl Patch {
    /// The document in JSON, if it reads; else as it came.
    fn shown(&self) -> Bytes {
        match self {
            Self::Json(document) | Self::Merge(document) | Self::Strategic(document) => document.clone(),
            Self::Apply { config, .. } => match decode::parse(config, Encoding::Yaml) {
                Ok(parsed) => parsed.value.to_string().into(),
                Err(_) => config.clone(),
            },
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    pub label_selector: String,
    pub field_selector: String,
    /// As given; None if the parameter was absent or empty.
    pub resource_version: Option<String>,
    pub resource_version_match: Option<String>,
    /// 0 or less: no limit.
    pub limit: i64,
    pub continue_token: String,
}

#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    pub label_selector: String,
    pub field_selector: String,
    pub resource_version: Option<String>,
    pub resource_version_match: Option<String>,
    pub send_initial_events: Option<bool>,
    pub allow_bookmarks: bool,
    pub timeout_seconds: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub propagation: Option<api::kind::Propagation>,
    /// The deprecated way to say `Orphan` or `Background`; refused together with `propagation`.
    pub orphan_dependents: Option<bool>,
    pub grace_period_seconds: Option<i64>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub dry_run: bool,
}

/// An object to show the caller.
#[derive(Clone)]
pub enum Shown {
    /// A stored object.
    Entry(Arc<Entry>),
    /// One that is not stored: a dry run's result, a Scale, a review.
    Json(Bytes),
}

impl Shown {
    pub fn json(&self) -> &Bytes {
        match self {
            Self::Entry(entry) => &entry.json,
            Self::Json(json) => json,
        }
    }
}

/// The result of a write.
pub struct Written {
    pub object: Shown,
    /// Whether the write made the object (201 rather than 200).
    pub created: bool,
    pub warnings: Vec<String>,
}

/// A page of a list, in key order.
pub struct List {
    pub version: ResourceVersion,
    pub items: Vec<Arc<Entry>>,
    /// Empty on the last page.
    pub continue_token: String,
    pub remaining: Option<i64>,
}

/// The result of a delete.
pub enum Deleted {
    /// The object is gone; its last state.
    Gone(Arc<Entry>),
    /// The object stays until its finalizers or grace period end; as it stands now.
    Pending(Shown),
}

/// One step of a watch.
#[derive(Clone)]
pub enum WatchEvent {
    Added(Arc<Entry>),
    Modified(Arc<Entry>),
    /// The last state; its version is the deletion's.
    Deleted(Arc<Entry>),
    Bookmark {
        version: ResourceVersion,
        initial_state_end: bool,
    },
}

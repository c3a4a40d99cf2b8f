//! [`Transport`]: the API's verbs as a client sees them, for any resource. Two things implement it: the gRPC
//! connection in this crate, and the API server itself for components in the same process, where objects are
//! handed over as they are and nothing is encoded on the way.

use std::any::Any;
use std::sync::Arc;

use api::Object;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use machinery::{GroupVersionResource, ResourceVersion, Status};

pub type Result<T, E = Status> = std::result::Result<T, E>;

/// The verbs. Errors are the Status that the server answered; a server that cannot be reached is a 503 `ServiceUnavailable`.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    async fn get(&self, target: Target, resource_version: Option<String>) -> Result<Payload>;
    async fn list(&self, request: ListRequest) -> Result<List>;
    async fn watch(&self, request: WatchRequest) -> Result<WatchStream>;
    async fn create(&self, target: Target, body: Body, options: WriteOptions) -> Result<Payload>;
    async fn update(&self, target: Target, body: Body, options: WriteOptions) -> Result<Payload>;
    async fn patch(&self, target: Target, patch: Patch, options: WriteOptions) -> Result<Payload>;
    async fn delete(&self, target: Target, options: DeleteOptions) -> Result<()>;
    async fn delete_collection(&self, request: ListRequest, options: DeleteOptions) -> Result<()>;
    /// Binds pods to nodes; one result for each binding, in order.
    async fn bind_pods(&self, bindings: Vec<Binding>) -> Result<Vec<Result<ResourceVersion>>>;
    /// Replaces the status of objects of one resource; one result for each object, in order.
    async fn update_statuses(&self, resource: GroupVersionResource, objects: Vec<Body>) -> Result<Vec<Result<ResourceVersion>>>;
}

/// What a call is about. `namespace` is empty for cluster scope; `name` is empty in creates of the main resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub resource: GroupVersionResource,
    pub subresource: Option<&'static str>,
    pub namespace: String,
    pub name: String,
}

/// An object on its way to a client: encoded, typed, or both.
#[derive(Clone)]
pub struct Payload {
    pub version: ResourceVersion,
    /// The object's JSON, where the sender had it at hand.
    pub json: Option<Bytes>,
    /// The object itself, of its kind's k8s-openapi type, where sender and receiver share a process.
    pub typed: Option<Arc<dyn Any + Send + Sync>>,
}

/// An object on its way to the server.
pub enum Body {
    Json(Bytes),
    /// Taken as it is where client and server share a process; encoded otherwise.
    Typed(Box<dyn Object>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    pub dry_run: bool,
    /// The writer's name in managedFields.
    pub field_manager: String,
}

/// A patch document, in JSON.
#[derive(Clone, Debug)]
pub enum Patch {
    Json(Bytes),
    Merge(Bytes),
    Strategic(Bytes),
    Apply { config: Bytes, force: bool },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    pub propagation: Option<api::kind::Propagation>,
    pub grace_period_seconds: Option<i64>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

/// Which objects of a resource. Selectors are in their string form; empty ones select everything.
#[derive(Clone, Debug)]
pub struct ListRequest {
    pub resource: GroupVersionResource,
    /// Empty for all namespaces and for cluster scope.
    pub namespace: String,
    pub label_selector: String,
    pub field_selector: String,
    /// None: the newest state. `0`: what the server has at hand.
    pub resource_version: Option<String>,
    /// 0: all.
    pub limit: usize,
    pub continue_token: String,
}

pub struct List {
    pub version: ResourceVersion,
    pub items: Vec<Payload>,
    /// Empty on the last page.
    pub continue_token: String,
}

#[derive(Clone, Debug)]
pub struct WatchRequest {
    pub resource: GroupVersionResource,
    pub namespace: String,
    pub label_selector: String,
    pub field_selector: String,
    /// Events after this version. None: the present objects first, then events.
    pub after: Option<ResourceVersion>,
}

/// Events in order and without a gap, until the server ends the watch. An error ends it; one with code 410 says
/// that the position is gone and the client must start from the present state.
pub type WatchStream = BoxStream<'static, Result<WatchEvent>>;

#[derive(Clone)]
pub enum WatchEvent {
    Added(Payload),
    Modified(Payload),
    /// In its last state, with the version of the deletion.
    Deleted(Payload),
    /// All events up to here have been sent. `initial_state_end` marks the end of the present objects.
    Bookmark {
        version: ResourceVersion,
        initial_state_end: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub node: String,
}

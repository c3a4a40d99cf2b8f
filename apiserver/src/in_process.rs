//! [`InProcess`]: the API server as a [`Transport`], for components in the same process. They call the same verbs as
//! everybody else, under an identity of their own and with its rights; objects are handed over as they are, and nothing is encoded
//! for the way.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use api::strategy::UserInfo;
use async_trait::async_trait;
use client::transport::{
    self, Binding, DeleteOptions, ListRequest, Payload, Result, Target, Transport, WatchEvent, WatchRequest, WatchStream, WriteOptions,
};
use futures::StreamExt;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue};
use machinery::{GroupVersionResource, NamespacedName, ResourceVersion, Status};
use tokio::task::{JoinError, JoinHandle};

use crate::audit::{Answered, Audit, Incoming, Trail};
use crate::auth::authorize::{self, ResourceAccess};
use crate::auth::{Attributes, Authorizer as _};
use crate::chain::{Chain, Wanted};
use crate::log::{Entry, Watch};
use crate::reviews::Review;
use crate::server::ApiServer;
use crate::verbs::{self, Caller, FieldValidation, ListOptions, Shown, WatchOptions};

/// How many writes of a batch are under way at once. The store commits those together that wait together.
const BATCH_CONCURRENCY: usize = 512;
/// In-process watches need not end to spread load; a day keeps them from being forgotten.
const WATCH_SECONDS: u64 = 86_400;

/// A component's way to the API server in its own process. Cheap to clone.
#[derive(Clone)]
pub struct InProcess {
    server: Arc<ApiServer>,
    caller: Arc<Caller>,
}

impl InProcess {
    /// `user` is who the component is; `agent` names it in managed fields where a write does not.
    pub fn new(server: Arc<ApiServer>, user: UserInfo, agent: impl Into<String>) -> Self {
        Self { server, caller: Arc::new(Caller { user, agent: agent.into(), ..Caller::default() }) }
    }

    /// A call that the component may make.
    async fn admit(&self, verb: &str, target: Target, field_selector: &str) -> Result<Call> {
        let caller = self.allow(verb, &target, field_selector).await?;
        let Target { resource, subresource, namespace, name } = target;
        let found = self.server.served().find(&resource.group, &resource.version, &resource.resource);
        let resource = found.ok_or_else(Status::path_not_found)?;
        Ok(Call { caller, target: verbs::Target { resource, subresource: subresource.map(str::to_owned), namespace, name } })
    }

    /// The component, if it may make a call.
    async fn allow(&self, verb: &str, target: &Target, field_selector: &str) -> Result<Arc<Caller>> {
        let Target { resource, subresource, namespace, name } = target;
        let access = ResourceAccess {
            verb,
            group: &resource.group,
            resource: &resource.resource,
            subresource: *subresource,
            // A namespace is authorized within itself.
            namespace: if resource.group.is_empty() && resource.resource == "namespaces" { name } else { namespace },
            name,
            field_selector,
        };
        self.permit(&Wanted { attributes: Attributes::Resource(access.of_selected()), version: &resource.version }).await
    }

    async fn permit(&self, wanted: &Wanted<'_>) -> Result<Arc<Caller>> {
        let caller = match &self.server.options().audit {
            None => self.caller.clone(),
            Some(audit) => Arc::new(self.recorded(audit, wanted).await?),
        };
        let decision = self.server.access().authorize(&caller.user, &wanted.attributes);
        caller.trail.decided(&decision);
        let settled = authorize::settle(decision, &caller.user, &wanted.attributes);
        if let Err(status) = &settled {
            caller.trail.refuses(status).await;
        }
        settled.map(|()| caller)
    }

    /// The component, with a trail of its own for this call. There is no request: it is recorded as the one that a process of
    /// its own would have sent.
    async fn recorded(&self, audit: &Audit, wanted: &Wanted<'_>) -> Result<Caller> {
        let mut headers = HeaderMap::new();
        if let Ok(agent) = HeaderValue::from_str(&self.caller.agent) {
            headers.insert(USER_AGENT, agent);
        }
        let (id, uri) = (Chain::request_id(&headers), wanted.path());
        let incoming = Incoming { id: &id, uri: &uri, headers: &headers, address: None };
        let trail = audit.begin(&incoming, Some(&Arc::new(self.caller.user.clone())), wanted).await?;
        Ok(Caller { trail, ..(*self.caller).clone() })
    }

    async fn collection(&self, verb: &str, resource: GroupVersionResource, namespace: String, field_selector: &str) -> Result<Call> {
        self.admit(verb, Target { resource, subresource: None, namespace, name: String::new() }, field_selector).await
    }

    async fn update_status(&self, resource: &GroupVersionResource, object: transport::Body) -> Result<ResourceVersion> {
        let (key, body) = match object {
            transport::Body::Typed(object) => (NamespacedName::of(object.meta()), verbs::Body::Typed(object)),
            transport::Body::Json(json) => (key_of(&json)?, verbs::Body::Json(json)),
        };
        let (namespace, name) = (key.namespace.to_string(), key.name.to_string());
        let call = self.admit("update", Target { resource: resource.clone(), subresource: Some("status"), namespace, name }, "").await?;
        let written = self.server.update(&call.caller, &call.target, body, &write_options(WriteOptions::default())).await;
        Ok(version_of(&call.done(written).await?.object))
    }
}

/// A call that may be made.
struct Call {
    caller: Arc<Caller>,
    target: verbs::Target,
}

impl Call {
    /// What the call gives, once it is recorded.
    async fn done<T: Answered>(&self, result: Result<T>) -> Result<T> {
        self.caller.trail.settles(&result).await;
        result
    }
}

/// The name in an encoded object's metadata.
fn key_of(json: &[u8]) -> Result<NamespacedName> {
    #[derive(serde::Deserialize)]
    struct Head {
        metadata: Metadata,
    }
    #[derive(serde::Deserialize)]
    struct Metadata {
        #[serde(default)]
        namespace: String,
        name: String,
    }
    let head: Head = serde_json::from_slice(json).map_err(|error| Status::bad_request(error.to_string()))?;
    Ok(NamespacedName::new(head.metadata.namespace, head.metadata.name))
}

fn body(body: transport::Body) -> verbs::Body {
    match body {
        transport::Body::Json(json) => verbs::Body::Json(json),
        transport::Body::Typed(object) => verbs::Body::Typed(object),
    }
}

fn write_options(options: WriteOptions) -> verbs::WriteOptions {
    verbs::WriteOptions {
        dry_run: options.dry_run,
        field_manager: Some(options.field_manager).filter(|manager| !manager.is_empty()),
        field_validation: FieldValidation::Ignore,
    }
}

fn delete_options(options: DeleteOptions) -> verbs::DeleteOptions {
    verbs::DeleteOptions {
        propagation: options.propagation,
        grace_period_seconds: options.grace_period_seconds,
        uid: options.uid,
        resource_version: options.resource_version,
        ..verbs::DeleteOptions::default()
    }
}

fn version_of(shown: &Shown) -> ResourceVersion {
    match shown {
        Shown::Entry(entry) => entry.version,
        Shown::Json(_) => ResourceVersion::default(),
    }
}

/// An entry as the component gets it: decoded if the log still has it so, and encoded in the version it asked for.
fn payload(resource: &dyn api::Resource, entry: &Entry) -> Payload {
    let typed = entry.typed().map(|object| object as Arc<dyn Any + Send + Sync>);
    let json = match resource.present(&entry.json) {
        std::borrow::Cow::Borrowed(_) => entry.json.clone(),
        std::borrow::Cow::Owned(converted) => converted.into(),
    };
    Payload { version: entry.version, json: Some(json), typed }
}

fn shown(resource: &dyn api::Resource, shown: &Shown) -> Payload {
    match shown {
        Shown::Entry(entry) => payload(resource, entry),
        Shown::Json(json) => Payload { version: ResourceVersion::default(), json: Some(json.clone()), typed: None },
    }
}

fn event(resource: &dyn api::Resource, event: &verbs::WatchEvent) -> WatchEvent {
    match event {
        verbs::WatchEvent::Added(entry) => WatchEvent::Added(payload(resource, entry)),
        verbs::WatchEvent::Modified(entry) => WatchEvent::Modified(payload(resource, entry)),
        verbs::WatchEvent::Deleted(entry) => WatchEvent::Deleted(payload(resource, entry)),
        verbs::WatchEvent::Bookmark { version, initial_state_end } => {
            WatchEvent::Bookmark { version: *version, initial_state_end: *initial_state_end }
        }
    }
}

/// The results of a batch's writes, in order. Each write is a task of its own, so that all processors share them.
async fn side_by_side<T: Send + 'static>(writes: impl Iterator<Item = impl Future<Output = Result<T>> + Send + 'static>) -> Vec<Result<T>> {
    let ended = |task: std::result::Result<_, JoinError>| task.unwrap_or_else(|error| Err(Status::internal(error.to_string())));
    let mut results = Vec::with_capacity(writes.size_hint().0);
    let mut under_way = VecDeque::with_capacity(BATCH_CONCURRENCY);
    for write in writes {
        if under_way.len() == BATCH_CONCURRENCY
            && let Some(oldest) = under_way.pop_front()
        {
            let oldest: JoinHandle<_> = oldest;
            results.push(ended(oldest.await));
        }
        under_way.push_back(tokio::spawn(write));
    }
    for task in under_way {
        results.push(ended(task.await));
    }
    results
}

/// The events of a watch, until it ends; an error is the last one.
fn stream(resource: api::ResourceRef, watch: Watch, trail: Trail) -> WatchStream {
    futures::stream::unfold((watch, resource, trail), |(mut watch, resource, trail)| async move {
        let next = watch.next().await?;
        Some((next.map(|one| event(&*resource, &one)), (watch, resource, trail)))
    })
    .boxed()
}

#[async_trait]
impl Transport for InProcess {
    async fn get(&self, target: Target, resource_version: Option<String>) -> Result<Payload> {
        let call = self.admit("get", target, "").await?;
        let found = self.server.get(&call.caller, &call.target, resource_version.as_deref()).await;
        Ok(shown(&*call.target.resource, &call.done(found).await?))
    }

    async fn list(&self, request: ListRequest) -> Result<transport::List> {
        let call = self.collection("list", request.resource, request.namespace, &request.field_selector).await?;
        let options = ListOptions {
            label_selector: request.label_selector,
            field_selector: request.field_selector,
            resource_version: request.resource_version,
            resource_version_match: None,
            limit: i64::try_from(request.limit).unwrap_or(i64::MAX),
            continue_token: request.continue_token,
        };
        let list = self.server.list(&call.caller, &call.target, &options).await;
        let list = call.done(list).await?;
        let items = list.items.iter().map(|entry| payload(&*call.target.resource, entry)).collect();
        Ok(transport::List { version: list.version, items, continue_token: list.continue_token })
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream> {
        let Call { caller, target } = self.collection("watch", request.resource, request.namespace, &request.field_selector).await?;
        let options = WatchOptions {
            label_selector: request.label_selector,
            field_selector: request.field_selector,
            resource_version: request.after.map(|version| version.to_string()),
            resource_version_match: None,
            send_initial_events: request.after.is_none().then_some(true),
            allow_bookmarks: true,
            timeout_seconds: Some(WATCH_SECONDS),
        };
        match self.server.watch(&caller, &target, &options).await {
            Ok(watch) => {
                caller.trail.started(200).await;
                Ok(stream(target.resource, watch, caller.trail.clone()))
            }
            Err(status) => {
                caller.trail.refuses(&status).await;
                Err(status)
            }
        }
    }

    async fn create(&self, target: Target, object: transport::Body, options: WriteOptions) -> Result<Payload> {
        if let Some(review) = Review::find(&target.resource.group, &target.resource.version, &target.resource.resource) {
            let caller = self.allow("create", &target, "").await?;
            let answer = self.server.review(review, &caller, &target.namespace, body(object), &write_options(options)).await;
            caller.trail.settles(&answer).await;
            return Ok(Payload { version: ResourceVersion::default(), json: Some(answer?.json), typed: None });
        }
        let call = self.admit("create", target, "").await?;
        let written = self.server.create(&call.caller, &call.target, body(object), &write_options(options)).await;
        Ok(shown(&*call.target.resource, &call.done(written).await?.object))
    }

    async fn update(&self, target: Target, object: transport::Body, options: WriteOptions) -> Result<Payload> {
        let call = self.admit("update", target, "").await?;
        let written = self.server.update(&call.caller, &call.target, body(object), &write_options(options)).await;
        Ok(shown(&*call.target.resource, &call.done(written).await?.object))
    }

    async fn patch(&self, target: Target, patch: transport::Patch, options: WriteOptions) -> Result<Payload> {
        let call = self.admit("patch", target, "").await?;
        let patch = match patch {
            transport::Patch::Json(document) => verbs::Patch::Json(document),
            transport::Patch::Merge(document) => verbs::Patch::Merge(document),
            transport::Patch::Strategic(document) => verbs::Patch::Strategic(document),
            transport::Patch::Apply { config, force } => verbs::Patch::Apply { config, force },
        };
        let written = self.server.patch(&call.caller, &call.target, patch, &write_options(options)).await;
        Ok(shown(&*call.target.resource, &call.done(written).await?.object))
    }

    async fn delete(&self, target: Target, options: DeleteOptions) -> Result<()> {
        let call = self.admit("delete", target, "").await?;
        let deleted = self.server.delete(&call.caller, &call.target, &delete_options(options)).await;
        call.done(deleted).await?;
        Ok(())
    }

    async fn delete_collection(&self, request: ListRequest, options: DeleteOptions) -> Result<()> {
        let call = self.collection("deletecollection", request.resource, request.namespace, &request.field_selector).await?;
        let selection =
            ListOptions { label_selector: request.label_selector, field_selector: request.field_selector, ..ListOptions::default() };
        let deleted = self.server.delete_collection(&call.caller, &call.target, &selection, &delete_options(options)).await;
        call.done(deleted).await?;
        Ok(())
    }

    async fn bind_pods(&self, bindings: Vec<Binding>) -> Result<Vec<Result<ResourceVersion>>> {
        let write = |binding: Binding| {
            let this = self.clone();
            async move {
                let access = ResourceAccess::binding(&binding.namespace, &binding.name);
                let caller = this.permit(&Wanted { attributes: Attributes::Resource(access), version: "v1" }).await?;
                let bound = this.server.bind_pod(&caller, &binding, &verbs::WriteOptions::default()).await;
                caller.trail.settles(&bound).await;
                Ok(version_of(&bound?))
            }
        };
        Ok(side_by_side(bindings.into_iter().map(write)).await)
    }

    async fn update_statuses(&self, resource: GroupVersionResource, objects: Vec<transport::Body>) -> Result<Vec<Result<ResourceVersion>>> {
        let write = |object| {
            let (this, resource) = (self.clone(), resource.clone());
            async move { this.update_status(&resource, object).await }
        };
        Ok(side_by_side(objects.into_iter().map(write)).await)
    }
}

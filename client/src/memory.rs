//! [`Memory`]: an API server without rules, for tests of what talks to one. It keeps any JSON objects, counts
//! revisions, checks preconditions and serves watches; it defaults, validates and admits nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use machinery::{GroupVersionResource, ResourceVersion, Status};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::transport::{
    Binding, Body, DeleteOptions, List, ListRequest, Patch, Payload, Result, Target, Transport, WatchEvent, WatchRequest, WatchStream,
    WriteOptions,
};

type Key = (GroupVersionResource, String, String);

/// Clones share their objects.
#[derive(Clone)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    revision: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    revision: u64,
    objects: BTreeMap<Key, Stored>,
    events: Vec<Event>,
    /// Watches from before this revision are refused.
    forgotten: u64,
    /// Raised to break all open watches.
    broken: u64,
    /// How many of the next writes fail.
    failing: usize,
    writes: usize,
}

#[derive(Clone)]
struct Stored {
    revision: u64,
    value: Value,
}

struct Event {
    revision: u64,
    key: Key,
    old: Option<Value>,
    /// None in deletions, where `old` is the last state.
    new: Option<Value>,
}

/// What a watch or list selects.
#[derive(Clone)]
struct Selector {
    resource: GroupVersionResource,
    namespace: String,
    labels: Vec<Term>,
    fields: Vec<Term>,
}

/// `path=value`, or `path!=value`.
#[derive(Clone)]
struct Term {
    path: String,
    value: String,
    equal: bool,
}

impl Default for Memory {
    fn default() -> Self {
        Self { state: Arc::default(), revision: watch::Sender::new(0) }
    }
}

impl Memory {
    /// Forgets the history: watches that resume from before now get a 410.
    pub fn forget_history(&self) {
        let mut state = self.state.lock();
        state.forgotten = state.revision;
        state.events.clear();
    }

    /// Ends all watches.
    pub fn break_watches(&self) {
        self.state.lock().broken += 1;
        self.revision.send_modify(|_| {});
    }

    /// Lets the next `count` writes fail with 503.
    pub fn fail_writes(&self, count: usize) {
        self.state.lock().failing = count;
    }

    /// How many writes have been tried.
    pub fn writes(&self) -> usize {
        self.state.lock().writes
    }

    /// The newest revision.
    pub fn version(&self) -> ResourceVersion {
        ResourceVersion(self.state.lock().revision)
    }

    /// Waits until an object of the resource satisfies the condition, and returns it.
    pub async fn wait_for(&self, resource: &GroupVersionResource, name: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let mut revision = self.revision.subscribe();
        loop {
            let found = self.find(resource, name).filter(&condition);
            if let Some(value) = found {
                return value;
            }
            // The sender lives as long as `self`.
            let _ = revision.changed().await;
        }
    }

    /// Waits until no object of that name is left.
    pub async fn wait_gone(&self, resource: &GroupVersionResource, name: &str) {
        let mut revision = self.revision.subscribe();
        while self.find(resource, name).is_some() {
            let _ = revision.changed().await;
        }
    }

    fn find(&self, resource: &GroupVersionResource, name: &str) -> Option<Value> {
        let state = self.state.lock();
        state.objects.iter().find(|((r, _, n), _)| r == resource && n == name).map(|(_, stored)| stored.value.clone())
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.state.lock();
        state.writes += 1;
        if state.failing > 0 {
            state.failing -= 1;
            return Err(Status::unavailable("asked to fail"));
        }
        let result = change(&mut state);
        let revision = state.revision;
        drop(state);
        self.revision.send_if_modified(|seen| std::mem::replace(seen, revision) != revision);
        result
    }
}

impl State {
    fn get(&self, key: &Key) -> Result<Stored> {
        self.objects.get(key).cloned().ok_or_else(|| Status::not_found(&key.0.group_resource(), &key.2))
    }

    fn put(&mut self, key: Key, mut value: Value) -> Payload {
        self.revision += 1;
        value["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let stored = Stored { revision: self.revision, value: value.clone() };
        let old = self.objects.insert(key.clone(), stored.clone()).map(|old| old.value);
        self.events.push(Event { revision: self.revision, key, old, new: Some(value) });
        payload(&stored)
    }

    fn remove(&mut self, key: Key) {
        self.revision += 1;
        let old = self.objects.remove(&key).map(|old| old.value);
        self.events.push(Event { revision: self.revision, key, old, new: None });
    }

    fn replace(&mut self, key: Key, mut value: Value, subresource: Option<&str>) -> Result<Payload> {
        let old = self.get(&key)?;
        let given = value["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if !given.is_empty() && given != old.revision.to_string() {
            return Err(Status::conflict(&key.0.group_resource(), &key.2, "the object has been modified"));
        }
        if value["metadata"]["uid"].as_str().is_some_and(|uid| Some(uid) != old.value["metadata"]["uid"].as_str()) {
            return Err(Status::conflict(&key.0.group_resource(), &key.2, "the uid differs"));
        }
        if subresource == Some("status") {
            let status = value["status"].take();
            value = old.value.clone();
            value["status"] = status;
        } else {
            value["status"] = old.value["status"].clone();
            value["metadata"]["uid"] = old.value["metadata"]["uid"].clone();
        }
        if without_version(&value) == without_version(&old.value) {
            return Ok(payload(&old));
        }
        Ok(self.put(key, value))
    }

    fn delete(&mut self, key: Key, options: &DeleteOptions) -> Result<()> {
        let mut stored = self.get(&key)?;
        let meta = &mut stored.value["metadata"];
        if options.uid.as_deref().is_some_and(|uid| meta["uid"].as_str() != Some(uid)) {
            return Err(Status::conflict(&key.0.group_resource(), &key.2, "the uid differs"));
        }
        let is_bound_pod = key.0.resource == "pods" && !stored.value["spec"]["nodeName"].as_str().unwrap_or_default().is_empty();
        if is_bound_pod && options.grace_period_seconds != Some(0) {
            let grace = options.grace_period_seconds.unwrap_or(30);
            let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(grace);
            let meta = &mut stored.value["metadata"];
            if meta["deletionTimestamp"].is_null() {
                meta["deletionTimestamp"] = json!(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at));
                meta["deletionGracePeriodSeconds"] = json!(grace);
                self.put(key, stored.value);
            }
            return Ok(());
        }
        self.remove(key);
        Ok(())
    }
}

fn payload(stored: &Stored) -> Payload {
    Payload { version: ResourceVersion(stored.revision), json: Some(Bytes::from(stored.value.to_string())), typed: None }
}

fn without_version(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(meta) = value["metadata"].as_object_mut() {
        meta.remove("resourceVersion");
    }
    value
}

fn decode(body: Body) -> Result<Value> {
    match body {
        Body::Json(json) => serde_json::from_slice(&json).map_err(|error| Status::bad_request(error.to_string())),
        Body::Typed(object) => Ok(object.to_value()),
    }
}

fn key(target: &Target) -> Key {
    (target.resource.clone(), target.namespace.clone(), target.name.clone())
}

fn terms(selector: &str) -> Vec<Term> {
    let term = |(path, value): (&str, &str)| {
        let equal = !path.ends_with('!');
        Term { path: path.trim_end_matches('!').to_owned(), value: value.to_owned(), equal }
    };
    selector.split(',').filter_map(|term| term.split_once('=')).map(term).collect()
}

impl Selector {
    fn matches(&self, key: &Key, value: &Value) -> bool {
        let at = |path: &str| path.split('.').fold(value, |value, part| &value[part]).as_str().unwrap_or_default();
        key.0 == self.resource
            && (self.namespace.is_empty() || self.namespace == key.1)
            && self.labels.iter().all(|term| (value["metadata"]["labels"][&term.path].as_str() == Some(&term.value)) == term.equal)
            && self.fields.iter().all(|term| (at(&term.path) == term.value) == term.equal)
    }

    /// The event as this selector's watchers see it.
    fn event(&self, event: &Event) -> Option<WatchEvent> {
        let before = event.old.as_ref().filter(|value| self.matches(&event.key, value));
        let after = event.new.as_ref().filter(|value| self.matches(&event.key, value));
        let payload = |value: &Value| payload(&Stored { revision: event.revision, value: value.clone() });
        match (before, after) {
            (None, Some(new)) => Some(WatchEvent::Added(payload(new))),
            (Some(_), Some(new)) => Some(WatchEvent::Modified(payload(new))),
            (Some(old), None) => Some(WatchEvent::Deleted(payload(old))),
            (None, None) => None,
        }
    }
}

#[async_trait]
impl Transport for Memory {
    async fn get(&self, target: Target, _: Option<String>) -> Result<Payload> {
        self.state.lock().get(&key(&target)).map(|stored| payload(&stored))
    }

    async fn list(&self, request: ListRequest) -> Result<List> {
        let selector = Selector {
            resource: request.resource,
            namespace: request.namespace,
            labels: terms(&request.label_selector),
            fields: terms(&request.field_selector),
        };
        let state = self.state.lock();
        let items = state.objects.iter().filter(|(key, stored)| selector.matches(key, &stored.value)).map(|(_, stored)| payload(stored));
        Ok(List { version: ResourceVersion(state.revision), items: items.collect(), continue_token: String::new() })
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream> {
        let selector = Selector {
            resource: request.resource,
            namespace: request.namespace,
            labels: terms(&request.label_selector),
            fields: terms(&request.field_selector),
        };
        let state = self.state.lock();
        let mut first = Vec::new();
        let after = match request.after {
            Some(after) if after.0 < state.forgotten => return Err(Status::expired("too old resource version")),
            Some(after) => after.0,
            None => {
                let present = state.objects.iter().filter(|(key, stored)| selector.matches(key, &stored.value));
                first.extend(present.map(|(_, stored)| Ok(WatchEvent::Added(payload(stored)))));
                first.push(Ok(WatchEvent::Bookmark { version: ResourceVersion(state.revision), initial_state_end: true }));
                state.revision
            }
        };
        let broken = state.broken;
        drop(state);
        let follow = (self.clone(), self.revision.subscribe(), after, selector);
        let events = futures::stream::unfold(follow, move |(memory, mut revision, after, selector)| async move {
            loop {
                {
                    let state = memory.state.lock();
                    if state.broken != broken {
                        return None;
                    }
                    let new: Vec<_> = state
                        .events
                        .iter()
                        .filter(|event| event.revision > after)
                        .filter_map(|event| selector.event(event))
                        .map(Ok)
                        .collect();
                    if !new.is_empty() {
                        let reached = state.revision;
                        drop(state);
                        return Some((futures::stream::iter(new), (memory, revision, reached, selector)));
                    }
                }
                revision.changed().await.ok()?;
            }
        });
        Ok(futures::stream::iter(first).chain(events.flatten()).boxed())
    }

    async fn create(&self, mut target: Target, body: Body, _: WriteOptions) -> Result<Payload> {
        let mut value = decode(body)?;
        self.write(|state| {
            if target.name.is_empty() {
                target.name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            }
            let key = key(&target);
            if state.objects.contains_key(&key) {
                return Err(Status::already_exists(&key.0.group_resource(), &key.2));
            }
            let meta = &mut value["metadata"];
            meta["uid"] = json!(uuid::Uuid::new_v4().to_string());
            meta["generation"] = json!(1);
            meta["creationTimestamp"] = json!(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::now()));
            Ok(state.put(key, value))
        })
    }

    async fn update(&self, target: Target, body: Body, _: WriteOptions) -> Result<Payload> {
        let value = decode(body)?;
        self.write(|state| state.replace(key(&target), value, target.subresource))
    }

    async fn patch(&self, target: Target, patch: Patch, _: WriteOptions) -> Result<Payload> {
        let patch = match &patch {
            Patch::Merge(patch) | Patch::Strategic(patch) | Patch::Json(patch) | Patch::Apply { config: patch, .. } => patch,
        };
        let patch: Value = serde_json::from_slice(patch).map_err(|error| Status::bad_request(error.to_string()))?;
        self.write(|state| {
            let mut value = state.get(&key(&target))?.value;
            merge(&mut value, patch);
            Ok(state.put(key(&target), value))
        })
    }

    async fn delete(&self, target: Target, options: DeleteOptions) -> Result<()> {
        self.write(|state| state.delete(key(&target), &options))
    }

    async fn delete_collection(&self, request: ListRequest, options: DeleteOptions) -> Result<()> {
        let selector = Selector {
            resource: request.resource,
            namespace: request.namespace,
            labels: terms(&request.label_selector),
            fields: terms(&request.field_selector),
        };
        self.write(|state| {
            let keys: Vec<Key> =
                state.objects.iter().filter(|(k, stored)| selector.matches(k, &stored.value)).map(|(k, _)| k.clone()).collect();
            keys.into_iter().try_for_each(|key| state.delete(key, &options))
        })
    }

    async fn bind_pods(&self, bindings: Vec<Binding>) -> Result<Vec<Result<ResourceVersion>>> {
        self.write(|state| {
            let bind = |binding: Binding| {
                let key = (GroupVersionResource::new("", "v1", "pods"), binding.namespace, binding.name);
                let mut value = state.get(&key)?.value;
                value["spec"]["nodeName"] = json!(binding.node);
                Ok(state.put(key, value).version)
            };
            Ok(bindings.into_iter().map(bind).collect())
        })
    }

    async fn update_statuses(&self, resource: GroupVersionResource, objects: Vec<Body>) -> Result<Vec<Result<ResourceVersion>>> {
        self.write(|state| {
            let update = |body: Body| {
                let value = decode(body)?;
                let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default().to_owned();
                let key = (resource.clone(), text("namespace"), text("name"));
                state.replace(key, value, Some("status")).map(|payload| payload.version)
            };
            Ok(objects.into_iter().map(update).collect())
        })
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (key, value) in patch {
        if value.is_null() {
            if let Some(target) = target.as_object_mut() {
                target.remove(&key);
            }
        } else {
            merge(&mut target[key], value);
        }
    }
}

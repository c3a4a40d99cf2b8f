//! [`Follower`]: keeps track of the metadata of one resource's objects, of whatever kind, for the graph of owners. It
//! reads nothing else of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use api::Registry;
use client::Transport;
use client::transport::{Payload, WatchEvent, WatchRequest};
use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::{GroupVersionResource, NamespacedName, ResourceVersion, Status};
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::world::{AnyRow, Header, Interner};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// An object's metadata, as a row of the graph.
pub struct Metadata(Header);

impl AnyRow for Metadata {
    fn header(&self) -> &Header {
        &self.0
    }
}

type Notify = Box<dyn Fn(Option<&str>, Option<Arc<Metadata>>) + Send + Sync>;

pub struct Follower {
    transport: Arc<dyn Transport>,
    resource: GroupVersionResource,
    /// What reads the objects where they come typed.
    kind: Option<api::ResourceRef>,
    notify: Notify,
    first: Option<oneshot::Sender<()>>,
    uids: HashMap<NamespacedName, Arc<str>>,
}

#[derive(Deserialize)]
struct Partial {
    metadata: ObjectMeta,
}

impl Follower {
    /// `notify` is called with the former uid and the present metadata of each object that changes. The receiver
    /// hears when the present state is in.
    pub fn new(
        transport: Arc<dyn Transport>,
        resource: GroupVersionResource,
        notify: impl Fn(Option<&str>, Option<Arc<Metadata>>) + Send + Sync + 'static,
    ) -> (Self, oneshot::Receiver<()>) {
        let (first, receiver) = oneshot::channel();
        let kind = Registry::built_in().find(&resource.group, &resource.version, &resource.resource);
        let follower = Self { transport, resource, kind, notify: Box::new(notify), first: Some(first), uids: HashMap::new() };
        (follower, receiver)
    }

    /// Follows the server for as long as it is polled.
    pub async fn follow(mut self, intern: &Interner) {
        let mut position = None;
        let mut delay = FIRST_DELAY;
        loop {
            match self.watch(&mut position, intern).await {
                Ok(()) => delay = FIRST_DELAY,
                Err(status) if status.is_expired() => position = None,
                Err(status) => {
                    tracing::debug!(resource = %self.resource.resource, %status, "the watch broke");
                    delay = (delay * 2).min(LONGEST_DELAY);
                }
            }
            tokio::time::sleep(delay.mul_f64(rand::random_range(0.5..1.0))).await;
        }
    }

    async fn watch(&mut self, position: &mut Option<ResourceVersion>, intern: &Interner) -> Result<(), Status> {
        let request = WatchRequest {
            resource: self.resource.clone(),
            namespace: String::new(),
            label_selector: String::new(),
            field_selector: String::new(),
            after: *position,
        };
        let mut stream = self.transport.watch(request).await?;
        let mut initial = position.is_none().then(HashSet::new);
        while let Some(event) = stream.next().await {
            match event? {
                WatchEvent::Bookmark { version, initial_state_end } => {
                    if initial_state_end && let Some(present) = initial.take() {
                        self.drop_absent(&present);
                    }
                    if initial.is_none() {
                        *position = Some(version);
                    }
                }
                WatchEvent::Added(payload) | WatchEvent::Modified(payload) => {
                    let version = payload.version;
                    let header = self.header(payload, intern)?;
                    if let Some(present) = &mut initial {
                        present.insert(header.key.clone());
                    } else {
                        *position = Some(version);
                    }
                    self.put(header);
                }
                WatchEvent::Deleted(payload) => {
                    let version = payload.version;
                    let header = self.header(payload, intern)?;
                    if let Some(present) = &mut initial {
                        present.remove(&header.key);
                    } else {
                        *position = Some(version);
                    }
                    self.remove(&header.key);
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, header: Header) {
        let old = self.uids.insert(header.key.clone(), header.uid.clone());
        (self.notify)(old.as_deref(), Some(Arc::new(Metadata(header))));
    }

    fn remove(&mut self, key: &NamespacedName) {
        if let Some(uid) = self.uids.remove(key) {
            (self.notify)(Some(&uid), None);
        }
    }

    /// After a new beginning: what the server no longer has is gone.
    fn drop_absent(&mut self, present: &HashSet<NamespacedName>) {
        let gone: Vec<_> = self.uids.keys().filter(|key| !present.contains(*key)).cloned().collect();
        for key in gone {
            self.remove(&key);
        }
        if let Some(first) = self.first.take() {
            // Nobody listens any more where the process is about to end.
            let _ = first.send(());
        }
    }

    fn header(&self, payload: Payload, intern: &Interner) -> Result<Header, Status> {
        match typed_meta(self.kind.as_deref(), &payload) {
            Some(meta) => Ok(Header::of(meta, intern)),
            None => Ok(Header::of(&decode(&payload)?, intern)),
        }
    }
}

/// The metadata of an object of this resource, however it was sent.
pub fn meta(resource: &GroupVersionResource, payload: Payload) -> Result<ObjectMeta, Status> {
    let kind = Registry::built_in().find(&resource.group, &resource.version, &resource.resource);
    match typed_meta(kind.as_deref(), &payload) {
        Some(meta) => Ok(meta.clone()),
        None => decode(&payload),
    }
}

/// The metadata of an object that came as it is.
fn typed_meta<'p>(kind: Option<&dyn api::Resource>, payload: &'p Payload) -> Option<&'p ObjectMeta> {
    let object = payload.typed.as_deref()?;
    match kind {
        Some(kind) => kind.meta_of(object),
        None => object.downcast_ref::<api::custom::Unstructured>().map(|object| &object.meta),
    }
}

fn decode(payload: &Payload) -> Result<ObjectMeta, Status> {
    let json = payload.json.as_ref().ok_or_else(|| Status::internal("the server sent an object without its encoding"))?;
    serde_json::from_slice::<Partial>(json).map(|partial| partial.metadata).map_err(|error| Status::internal(error.to_string()))
}

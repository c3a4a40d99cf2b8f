//! [`Informer`]: keeps a [`Store`] equal to what the server has, by one watch. It begins with the streamed initial
//! state, which is swapped in whole, follows events from there, resumes where a broken watch ended, and starts
//! again from the present state where the server has forgotten that position.

use std::sync::Arc;
use std::time::Duration;

use api::kind::Typed;
use futures::StreamExt;
use machinery::{NamespacedName, ResourceVersion, Status};
use tokio_util::sync::CancellationToken;

use crate::access::{Selection, decode, watch_request};
use crate::store::{Change, Contents, Index, IndexFn, Namespaces, Store};
use crate::transport::{Payload, Transport, WatchEvent};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

type Project<K, P> = Box<dyn Fn(Arc<K>) -> P + Send + Sync>;
type Notify<P> = Box<dyn Fn(&Change<P>) + Send + Sync>;

/// Watches objects of type `K` and keeps a projection `P` of each: what its component needs of it, and no more.
/// `P` should be cheap to clone; `Arc<K>` keeps whole objects.
pub struct Informer<K, P> {
    transport: Arc<dyn Transport>,
    selection: Selection,
    project: Project<K, P>,
    indexes: Vec<IndexFn<P>>,
    notify: Vec<Notify<P>>,
    store: Store<P>,
    namespaces: Namespaces,
}

/// Where the informer stands between two watches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    /// The initial state is wanted.
    Start,
    /// Everything up to here is in the store.
    After(ResourceVersion),
}

impl<K: Typed> Informer<K, Arc<K>> {
    /// Keeps whole objects.
    pub fn whole(transport: Arc<dyn Transport>, selection: Selection) -> Self {
        Self::new(transport, selection, |object| object)
    }
}

impl<K: Typed, P: Clone + Send + Sync + 'static> Informer<K, P> {
    pub fn new(transport: Arc<dyn Transport>, selection: Selection, project: impl Fn(Arc<K>) -> P + Send + Sync + 'static) -> Self {
        Self {
            transport,
            selection,
            project: Box::new(project),
            indexes: Vec::new(),
            notify: Vec::new(),
            store: Store::new(),
            namespaces: Namespaces::default(),
        }
    }

    /// Adds an index: `values` says under which values an object is to be found.
    pub fn index(&mut self, values: impl Fn(&P) -> Vec<Arc<str>> + Send + Sync + 'static) -> Index {
        self.indexes.push(Box::new(values));
        Index(self.indexes.len() - 1)
    }

    /// Calls `notify` with every change, in order, after the store has it. It must not block: it adds keys to a
    /// queue, or sends the change to a channel.
    pub fn on_change(&mut self, notify: impl Fn(&Change<P>) + Send + Sync + 'static) {
        self.notify.push(Box::new(notify));
    }

    pub fn store(&self) -> Store<P> {
        self.store.clone()
    }

    /// Follows the server until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.follow()).await;
    }

    async fn follow(&mut self) {
        let mut position = Position::Start;
        let mut delay = FIRST_DELAY;
        loop {
            let before = position;
            let ended = self.watch(&mut position).await;
            if position != before {
                delay = FIRST_DELAY;
            }
            match ended {
                // The server ends watches now and then: that is no failure.
                Ok(()) => {}
                Err(status) if status.is_expired() => {
                    tracing::debug!(kind = K::KIND, "the position of the watch is gone: starting again");
                    position = Position::Start;
                }
                Err(status) => {
                    tracing::debug!(kind = K::KIND, %status, ?delay, "the watch broke");
                    delay = (delay * 2).min(LONGEST_DELAY);
                }
            }
            tokio::time::sleep(delay.mul_f64(rand::random_range(0.5..1.0))).await;
        }
    }

    /// One watch, until it ends.
    async fn watch(&mut self, position: &mut Position) -> Result<(), Status> {
        let after = match position {
            Position::Start => None,
            Position::After(version) => Some(*version),
        };
        let mut stream = self.transport.watch(watch_request::<K>(&self.selection, after)).await?;
        let mut initial = after.is_none().then(|| Contents::new(&self.indexes));
        while let Some(event) = stream.next().await {
            match (event?, &mut initial) {
                (WatchEvent::Bookmark { version, initial_state_end: true }, initial @ Some(_)) => {
                    if let Some(contents) = initial.take() {
                        self.swap(contents, version);
                    }
                    *position = Position::After(version);
                }
                (WatchEvent::Bookmark { .. }, Some(_)) => {}
                (WatchEvent::Bookmark { version, .. }, None) => {
                    self.store.advance(version);
                    *position = Position::After(version);
                }
                (WatchEvent::Added(payload) | WatchEvent::Modified(payload), Some(contents)) => {
                    let (key, version, value) = project(&self.project, &mut self.namespaces, payload)?;
                    contents.put(&self.indexes, key, version, value);
                }
                (WatchEvent::Deleted(payload), Some(contents)) => {
                    let object = decode::<K>(payload)?;
                    contents.remove(&self.indexes, &NamespacedName::of(object.metadata()));
                }
                (WatchEvent::Added(payload) | WatchEvent::Modified(payload), None) => {
                    let (key, version, value) = project(&self.project, &mut self.namespaces, payload)?;
                    self.apply(key, version, Some(value));
                    *position = Position::After(version);
                }
                (WatchEvent::Deleted(payload), None) => {
                    let version = payload.version;
                    let object = decode::<K>(payload)?;
                    self.apply(NamespacedName::of(object.metadata()), version, None);
                    *position = Position::After(version);
                }
            }
        }
        Ok(())
    }

    fn swap(&mut self, contents: Contents<P>, version: ResourceVersion) {
        let old = self.store.replace(contents, version);
        if !self.notify.is_empty() {
            for change in self.store.snapshot().changes_since(&old) {
                self.tell(&change);
            }
        }
        // Only now, so that whoever waits for the initial state has been told of all of it.
        self.store.synchronized(version);
    }

    fn apply(&self, key: NamespacedName, version: ResourceVersion, new: Option<P>) {
        let old = self.store.set(&self.indexes, &key, version, new.clone());
        if old.is_some() || new.is_some() {
            self.tell(&Change { key, old, new, version });
        }
    }

    fn tell(&self, change: &Change<P>) {
        for notify in &self.notify {
            notify(change);
        }
    }
}

fn project<K: Typed, P>(
    project: &Project<K, P>,
    namespaces: &mut Namespaces,
    payload: Payload,
) -> Result<(NamespacedName, ResourceVersion, P), Status> {
    let version = payload.version;
    let object = decode::<K>(payload)?;
    let meta = object.metadata();
    let key = namespaces.key(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
    Ok((key, version, project(object)))
}

//! [`Feed`]: brings what the informers learn into the [`World`], and wakes the controllers that it concerns. There
//! is one informer per kind, whoever looks at it, and none for kinds that nobody looks at.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client::{Informer, Selection, Transport, WorkQueue};
use machinery::{GroupVersion, GroupVersionResource, NamespacedName, ResourceVersion};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::controller::{Controller, Key, Wake};
use crate::custom;
use crate::metadata::{Follower, Metadata};
use crate::world::{AnyRow, Delta, Entry, Interner, Kind, ResourceId, ResourceInfo, RowVisitor, Tabled, World};

/// A controller and the keys that wait for it.
#[derive(Clone)]
pub struct Subscriber {
    pub controller: Arc<dyn Controller>,
    pub queue: WorkQueue<Key>,
}

/// The world, and who is told of its changes.
pub struct Feed {
    world: RwLock<World>,
    interner: Interner,
    subscribers: Vec<Subscriber>,
    /// By kind: everything up to this version is in the world.
    reached: Box<[AtomicU64]>,
    moved: Notify,
}

impl Feed {
    pub fn new(world: World, subscribers: Vec<Subscriber>) -> Self {
        let reached = Kind::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self { world: RwLock::new(world), interner: Interner::default(), subscribers, reached, moved: Notify::new() }
    }

    pub fn world(&self) -> RwLockReadGuard<'_, World> {
        self.world.read()
    }

    pub fn world_mut(&self) -> RwLockWriteGuard<'_, World> {
        self.world.write()
    }

    pub fn subscribers(&self) -> &[Subscriber] {
        &self.subscribers
    }

    /// Starts an informer for each kind that some controller looks at, and, if the graph is needed, for every
    /// resource that the graph knows. Returns when all have the server's present state.
    pub async fn start(self: &Arc<Self>, transport: &Arc<dyn Transport>, shutdown: &CancellationToken) {
        let graph = self.subscribers.iter().any(|s| s.controller.needs_graph());
        let mut start = Start { feed: self, transport, shutdown, synced: Vec::new() };
        for kind in Kind::ALL {
            let watched = self.subscribers.iter().any(|s| s.controller.watches().contains(kind));
            if watched || (graph && self.serves(*kind)) {
                kind.visit(&mut start);
            }
        }
        let mut synced = start.synced;
        if graph {
            synced.extend(self.start_untabled(transport, shutdown));
            synced.push(custom::follow(self, transport, shutdown));
        }
        futures::future::join_all(synced).await;
    }

    fn serves(&self, kind: Kind) -> bool {
        let (group, plural) = kind.resource();
        self.world().graph.id(group, plural).is_some()
    }

    fn start_untabled(self: &Arc<Self>, transport: &Arc<dyn Transport>, shutdown: &CancellationToken) -> Vec<Synced> {
        let resources = self.world().graph.untabled();
        resources.into_iter().map(|(id, resource)| self.follow(transport, id, resource, shutdown.clone())).collect()
    }

    /// Follows a resource whose kind has no table until `end`. What is returned ends when the present state is in.
    fn follow(
        self: &Arc<Self>,
        transport: &Arc<dyn Transport>,
        id: ResourceId,
        resource: GroupVersionResource,
        end: CancellationToken,
    ) -> Synced {
        let feed = self.clone();
        let (follower, first) = Follower::new(transport.clone(), resource, move |uid, new| feed.apply_untabled(id, uid, new));
        let feed = self.clone();
        tokio::spawn(async move { end.run_until_cancelled(follower.follow(&feed.interner)).await });
        Box::pin(async move {
            // An error means that the follower ended, at shutdown: nobody waits for it then.
            let _ = first.await;
        })
    }

    /// Follows a custom resource until `end`.
    pub(crate) fn begin_custom(self: &Arc<Self>, transport: &Arc<dyn Transport>, info: ResourceInfo, end: CancellationToken) {
        let resource = info.resource.clone();
        let Some(id) = self.world.write().graph.learn(info) else {
            tracing::warn!(resource = %resource.resource, "there are more resources than can be followed");
            return;
        };
        let synced = self.follow(transport, id, resource, end.clone());
        let feed = self.clone();
        tokio::spawn(async move {
            if end.run_until_cancelled(synced).await.is_some() {
                feed.custom_read(id);
            }
        });
    }

    /// The objects of a custom resource are in. What names one of them as its owner can be judged from now on.
    fn custom_read(&self, id: ResourceId) {
        let mut guard = self.world.write();
        guard.graph.read(id);
        let world = RwLockWriteGuard::downgrade(guard);
        let info = world.graph.info(id);
        let owned = world.graph.all().filter(|entry| {
            let mut owners = entry.header().owners.iter();
            owners.any(|owner| owner.kind == info.kind && GroupVersion::parse(&owner.api_version).group == info.resource.group)
        });
        for entry in owned {
            for subscriber in self.subscribers.iter().filter(|s| s.controller.needs_graph()) {
                let mut wake = Wake::default();
                subscriber.controller.wakes_graph(&world, None, Some(entry), &mut wake);
                subscriber.add(wake);
            }
        }
    }

    /// Forgets a custom resource, and its objects.
    pub(crate) fn end_custom(&self, group: &str, plural: &str) {
        let Some(id) = self.world().graph.id(group, plural) else { return };
        self.world.write().graph.forget(id);
        let objects = self.world().graph.objects_of(id);
        objects.iter().for_each(|uid| self.apply_untabled(id, Some(uid), None));
    }

    fn apply<T: Tabled>(&self, change: &client::Change<Arc<T>>) {
        let mut guard = self.world.write();
        guard.look_at(crate::executor::now());
        let entry = |row: &Arc<T>, world: &World| world.graph.get(&row.header().uid).cloned();
        let old_entry = change.old.as_ref().and_then(|row| entry(row, &guard));
        let (old, new) = match &change.new {
            Some(row) => (guard.put(row.clone()), Some(row.clone())),
            None => (guard.remove::<T>(&change.key), None),
        };
        let delta = match (&old, &new) {
            (Some(old), Some(new)) => Some(Delta::Changed { old, new }),
            (None, Some(new)) => Some(Delta::Added(new)),
            (Some(old), None) => Some(Delta::Removed(old)),
            (None, None) => None,
        };
        let world = RwLockWriteGuard::downgrade(guard);
        self.reached[T::KIND as usize].fetch_max(change.version.0, Ordering::Release);
        let Some(delta) = delta else { return };
        let new_entry = new.as_ref().and_then(|row| entry(row, &world));
        for subscriber in &self.subscribers {
            let mut wake = Wake::default();
            if subscriber.controller.watches().contains(&T::KIND) {
                subscriber.controller.wakes(&world, &T::change(delta), &mut wake);
            }
            if subscriber.controller.needs_graph() {
                subscriber.controller.wakes_graph(&world, old_entry.as_ref(), new_entry.as_ref(), &mut wake);
            }
            subscriber.add(wake);
        }
        drop(world);
        self.moved.notify_waiters();
    }

    fn apply_untabled(&self, id: ResourceId, old_uid: Option<&str>, new: Option<Arc<Metadata>>) {
        let mut guard = self.world.write();
        let old: Option<Entry> = old_uid.and_then(|uid| guard.graph.get(uid).cloned());
        let new_uid = new.as_ref().map(|row| row.header().uid.clone());
        guard.put_untabled(id, old_uid, new.map(|row| row as _));
        let world = RwLockWriteGuard::downgrade(guard);
        let new = new_uid.and_then(|uid| world.graph.get(&uid).cloned());
        for subscriber in self.subscribers.iter().filter(|s| s.controller.needs_graph()) {
            let mut wake = Wake::default();
            subscriber.controller.wakes_graph(&world, old.as_ref(), new.as_ref(), &mut wake);
            subscriber.add(wake);
        }
        drop(world);
        self.moved.notify_waiters();
    }

    /// Returns once the world has what was written, or after a while in any case: preconditions keep a plan from a
    /// stale world from doing harm.
    pub async fn wait_for(&self, mut writes: Vec<Written>) {
        const LONGEST: Duration = Duration::from_secs(10);
        let seen = async {
            loop {
                let moved = self.moved.notified();
                tokio::pin!(moved);
                moved.as_mut().enable();
                while writes.last().is_some_and(|written| self.has(written)) {
                    writes.pop();
                }
                if writes.is_empty() {
                    return;
                }
                moved.await;
            }
        };
        if tokio::time::timeout(LONGEST, seen).await.is_err() {
            tracing::debug!("what was written has not come back from the server in time: going on");
        }
    }

    fn has(&self, written: &Written) -> bool {
        match written {
            Written::Version(kind, version) => self.reached[*kind as usize].load(Ordering::Acquire) >= version.0,
            Written::Deletion { uid } => self.world().graph.get(uid).is_none_or(|entry| entry.header().is_terminating()),
            Written::PodDeletion { key, uid } => self.world().pods.get(key).is_none_or(|pod| pod.uid != *uid || pod.is_terminating()),
        }
    }

    /// What to wait for after a write was answered with a version; None for kinds without a table.
    pub fn written(&self, resource: &GroupVersionResource, version: ResourceVersion) -> Option<Written> {
        Kind::of(resource).filter(|kind| self.watched(*kind)).map(|kind| Written::Version(kind, version))
    }

    /// What to wait for after a deletion was accepted.
    pub fn deleted(&self, resource: &GroupVersionResource, key: &NamespacedName, uid: &str) -> Option<Written> {
        let kind = Kind::of(resource).filter(|kind| self.watched(*kind))?;
        let uid: Arc<str> = uid.into();
        if kind == Kind::Pod {
            return Some(Written::PodDeletion { key: key.clone(), uid });
        }
        Some(Written::Deletion { uid })
    }

    fn watched(&self, kind: Kind) -> bool {
        self.subscribers.iter().any(|s| s.controller.watches().contains(&kind))
    }
}

/// A write whose effect the world is to show.
pub enum Written {
    Version(Kind, ResourceVersion),
    Deletion { uid: Arc<str> },
    PodDeletion { key: NamespacedName, uid: Arc<str> },
}

impl Subscriber {
    fn add(&self, wake: Wake) {
        for key in wake.now {
            self.queue.add(key);
        }
        for (key, delay) in wake.later {
            self.queue.add_after(key, delay);
        }
    }
}

pub(crate) type Synced = futures::future::BoxFuture<'static, ()>;

/// Starts the informer of a kind.
struct Start<'a> {
    feed: &'a Arc<Feed>,
    transport: &'a Arc<dyn Transport>,
    shutdown: &'a CancellationToken,
    synced: Vec<Synced>,
}

impl RowVisitor for Start<'_> {
    fn visit<T: Tabled>(&mut self) {
        let feed = self.feed.clone();
        let project = move |object: Arc<T::Source>| Arc::new(T::project(&object, &feed.interner));
        let mut informer = Informer::<T::Source, Arc<T>>::new(self.transport.clone(), Selection::all(), project);
        let feed = self.feed.clone();
        informer.on_change(move |change| feed.apply(change));
        let store = informer.store();
        tokio::spawn(informer.run(self.shutdown.clone()));
        self.synced.push(Box::pin(async move { store.synced().await }));
    }
}

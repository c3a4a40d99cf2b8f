//! [`Store`]: what an informer keeps, for readers. Its contents are persistent maps, so that a [`Snapshot`] costs
//! a few pointer copies and stays as it is while the store moves on. Values should be cheap to clone: an `Arc`.

use std::collections::HashSet;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use machinery::{NamespacedName, ResourceVersion};
use parking_lot::RwLock;
use tokio::sync::watch;

/// What happened to one object: `old` is None where it is new, `new` is None where it is gone.
#[derive(Clone, Debug)]
pub struct Change<P> {
    pub key: NamespacedName,
    pub old: Option<P>,
    pub new: Option<P>,
    /// The version of the event.
    pub version: ResourceVersion,
}

/// One of a store's indexes, as [`Informer::index`](crate::Informer::index) returned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index(pub(crate) usize);

/// The values by which an index finds an object.
pub(crate) type IndexFn<P> = Box<dyn Fn(&P) -> Vec<Arc<str>> + Send + Sync>;

/// The objects that an informer keeps. Clones share them.
pub struct Store<P> {
    shared: Arc<Shared<P>>,
}

struct Shared<P> {
    state: RwLock<Snapshot<P>>,
    /// The version up to which the store has seen everything; None before the first synchronization.
    reached: watch::Sender<Option<ResourceVersion>>,
}

/// The objects at one version.
pub struct Snapshot<P> {
    objects: OrdMap<NamespacedName, Held<P>>,
    indexes: Vec<OrdMap<Arc<str>, OrdSet<NamespacedName>>>,
    version: ResourceVersion,
}

#[derive(Clone)]
struct Held<P> {
    version: ResourceVersion,
    value: P,
}

impl<P> Clone for Store<P> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<P: Clone> Clone for Snapshot<P> {
    fn clone(&self) -> Self {
        Self { objects: self.objects.clone(), indexes: self.indexes.clone(), version: self.version }
    }
}

impl<P> Default for Snapshot<P> {
    fn default() -> Self {
        Self { objects: OrdMap::new(), indexes: Vec::new(), version: ResourceVersion::default() }
    }
}

impl<P: Clone> Snapshot<P> {
    pub fn get(&self, key: &NamespacedName) -> Option<&P> {
        self.objects.get(key).map(|held| &held.value)
    }

    /// In order of namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = (&NamespacedName, &P)> {
        self.objects.iter().map(|(key, held)| (key, &held.value))
    }

    /// The objects of one namespace, in order of name.
    pub fn namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (&'a NamespacedName, &'a P)> {
        let first = NamespacedName::new(namespace, "");
        self.objects.range(first..).take_while(move |(key, _)| &*key.namespace == namespace).map(|(key, held)| (key, &held.value))
    }

    /// The objects that an index has under `value`, in order of namespace and name.
    pub fn indexed<'a>(&'a self, index: Index, value: &str) -> impl Iterator<Item = (&'a NamespacedName, &'a P)> {
        let keys = self.indexes.get(index.0).and_then(|index| index.get(value));
        keys.into_iter().flatten().filter_map(|key| self.objects.get_key_value(key)).map(|(key, held)| (key, &held.value))
    }

    /// Everything up to this version is in.
    pub fn version(&self) -> ResourceVersion {
        self.version
    }

    pub fn len(&self) -> usize {
        self.objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

impl<P: Clone + Send + Sync + 'static> Store<P> {
    pub(crate) fn new() -> Self {
        Self { shared: Arc::new(Shared { state: RwLock::default(), reached: watch::Sender::new(None) }) }
    }

    /// A store with given contents, for tests of what reads one.
    pub fn of(objects: impl IntoIterator<Item = (NamespacedName, P)>, version: ResourceVersion) -> Self {
        let store = Self::new();
        let mut contents = Contents::new(&[]);
        for (key, value) in objects {
            contents.put(&[], key, version, value);
        }
        store.replace(contents, version);
        store.synchronized(version);
        store
    }

    pub fn get(&self, key: &NamespacedName) -> Option<P> {
        self.shared.state.read().get(key).cloned()
    }

    pub fn snapshot(&self) -> Snapshot<P> {
        self.shared.state.read().clone()
    }

    /// Everything up to this version is in; 0 before the first synchronization.
    pub fn version(&self) -> ResourceVersion {
        self.shared.state.read().version
    }

    pub fn is_synced(&self) -> bool {
        self.shared.reached.borrow().is_some()
    }

    /// Returns once the initial state is in.
    pub async fn synced(&self) {
        self.wait_until(ResourceVersion(0)).await;
    }

    /// Returns once everything up to `version` is in. A selection that leaves out what was written reaches the
    /// version with the server's next bookmark, which can take a minute.
    pub async fn wait_until(&self, version: ResourceVersion) {
        let mut reached = self.shared.reached.subscribe();
        // The sender lives as long as `self`, so that waiting cannot fail.
        let _ = reached.wait_for(|reached| reached.is_some_and(|reached| reached >= version)).await;
    }

    /// Puts new contents in place of all others. Whoever waits is told by [`synchronized`](Self::synchronized).
    pub(crate) fn replace(&self, contents: Contents<P>, version: ResourceVersion) -> Snapshot<P> {
        let mut next = contents.snapshot;
        next.version = version;
        std::mem::replace(&mut *self.shared.state.write(), next)
    }

    /// Notes that the whole state up to `version` is in.
    pub(crate) fn synchronized(&self, version: ResourceVersion) {
        self.shared.reached.send_replace(Some(version));
    }

    /// Puts or (with None) removes one object and returns what was there.
    pub(crate) fn set(&self, index_fns: &[IndexFn<P>], key: &NamespacedName, version: ResourceVersion, value: Option<P>) -> Option<P> {
        let old = {
            let mut state = self.shared.state.write();
            state.version = state.version.max(version);
            match value {
                Some(value) => state.put(index_fns, key.clone(), version, value),
                None => state.remove(index_fns, key),
            }
        };
        self.advance(version);
        old
    }

    /// Notes that everything up to `version` has been seen.
    pub(crate) fn advance(&self, version: ResourceVersion) {
        {
            let mut state = self.shared.state.write();
            state.version = state.version.max(version);
        }
        self.shared.reached.send_if_modified(|reached| {
            let changed = reached.is_some_and(|reached| reached < version);
            if changed {
                *reached = Some(version);
            }
            changed
        });
    }
}

impl<P: Clone> Snapshot<P> {
    fn put(&mut self, index_fns: &[IndexFn<P>], key: NamespacedName, version: ResourceVersion, value: P) -> Option<P> {
        let values: Vec<_> = index_fns.iter().map(|index| index(&value)).collect();
        let old = self.objects.insert(key.clone(), Held { version, value }).map(|held| held.value);
        for (index, index_fn) in index_fns.iter().enumerate() {
            let before = old.as_ref().map(index_fn).unwrap_or_default();
            if before != values[index] {
                self.unindex(index, &before, &key);
                for value in &values[index] {
                    self.indexes[index].entry(value.clone()).or_default().insert(key.clone());
                }
            }
        }
        old
    }

    fn remove(&mut self, index_fns: &[IndexFn<P>], key: &NamespacedName) -> Option<P> {
        let old = self.objects.remove(key)?.value;
        for (index, index_fn) in index_fns.iter().enumerate() {
            self.unindex(index, &index_fn(&old), key);
        }
        Some(old)
    }

    fn unindex(&mut self, index: usize, values: &[Arc<str>], key: &NamespacedName) {
        for value in values {
            let Some(keys) = self.indexes[index].get_mut(value) else { continue };
            keys.remove(key);
            if keys.is_empty() {
                self.indexes[index].remove(value);
            }
        }
    }

    /// The differences that lead from `old` to this snapshot.
    pub(crate) fn changes_since<'a>(&'a self, old: &'a Self) -> impl Iterator<Item = Change<P>> + 'a {
        let removed = old.objects.iter().filter(|(key, _)| !self.objects.contains_key(*key)).map(|(key, held)| Change {
            key: key.clone(),
            old: Some(held.value.clone()),
            new: None,
            version: self.version,
        });
        let put = self.objects.iter().filter_map(|(key, held)| {
            let before = old.objects.get(key);
            if before.is_some_and(|before| before.version == held.version) {
                return None;
            }
            let old = before.map(|before| before.value.clone());
            Some(Change { key: key.clone(), old, new: Some(held.value.clone()), version: held.version })
        });
        removed.chain(put)
    }
}

/// The contents of a store while its initial state arrives.
pub(crate) struct Contents<P> {
    snapshot: Snapshot<P>,
}

impl<P: Clone> Contents<P> {
    pub(crate) fn new(index_fns: &[IndexFn<P>]) -> Self {
        let indexes = index_fns.iter().map(|_| OrdMap::new()).collect();
        Self { snapshot: Snapshot { indexes, ..Snapshot::default() } }
    }

    pub(crate) fn put(&mut self, index_fns: &[IndexFn<P>], key: NamespacedName, version: ResourceVersion, value: P) {
        self.snapshot.put(index_fns, key, version, value);
    }

    pub(crate) fn remove(&mut self, index_fns: &[IndexFn<P>], key: &NamespacedName) {
        self.snapshot.remove(index_fns, key);
    }
}

/// Shares the text of namespaces among keys: an object's key then costs its name alone.
#[derive(Default)]
pub(crate) struct Namespaces {
    known: HashSet<Arc<str>>,
}

impl Namespaces {
    pub(crate) fn key(&mut self, namespace: &str, name: &str) -> NamespacedName {
        let namespace = match self.known.get(namespace) {
            Some(known) => known.clone(),
            None => {
                let namespace: Arc<str> = namespace.into();
                self.known.insert(namespace.clone());
                namespace
            }
        };
        NamespacedName { namespace, name: name.into() }
    }
}

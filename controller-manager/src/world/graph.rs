//! [`Graph`]: every object the server has, by uid, with its owners and its dependents. It holds no copies: an entry
//! points at the row that a table has already.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use machinery::GroupVersionResource;

use super::row::{AnyRow, Header, Row};
use k8s_openapi::Resource;

/// A resource, as an index into [`Graph::resources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(u16);

/// A resource that the server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceInfo {
    pub resource: GroupVersionResource,
    pub kind: String,
    pub namespaced: bool,
    /// Whether `deletecollection` is served.
    pub collection: bool,
}

#[derive(Clone)]
pub struct Entry {
    pub resource: ResourceId,
    row: Arc<dyn AnyRow>,
}

impl Entry {
    pub fn header(&self) -> &Header {
        self.row.header()
    }
}

#[derive(Default)]
pub struct Graph {
    /// Custom ones come and go; one that is gone keeps its place.
    resources: Vec<ResourceInfo>,
    gone: BTreeSet<ResourceId>,
    /// Custom resources whose objects are not all known yet.
    unread: BTreeSet<ResourceId>,
    objects: HashMap<Arc<str>, Entry>,
    dependents: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    contents: HashMap<Arc<str>, BTreeMap<ResourceId, Contents>>,
}

/// How many objects of one resource a namespace holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub total: usize,
    /// Those whose deletion has begun.
    pub terminating: usize,
    /// Those of the terminating that wait for finalizers.
    pub finalizing: usize,
}

impl Contents {
    fn add(&mut self, header: &Header) {
        self.total += 1;
        self.terminating += usize::from(header.is_terminating());
        self.finalizing += usize::from(header.is_terminating() && !header.finalizers.is_empty());
    }

    fn subtract(&mut self, header: &Header) {
        self.total -= 1;
        self.terminating -= usize::from(header.is_terminating());
        self.finalizing -= usize::from(header.is_terminating() && !header.finalizers.is_empty());
    }
}

impl Graph {
    pub fn new(resources: Vec<ResourceInfo>) -> Self {
        Self { resources, ..Self::default() }
    }

    /// The resources that the server has.
    pub fn resources(&self) -> impl Iterator<Item = &ResourceInfo> {
        self.ids().map(|id| self.info(id))
    }

    fn ids(&self) -> impl Iterator<Item = ResourceId> {
        let ids = (0..self.resources.len()).filter_map(|at| u16::try_from(at).ok()).map(ResourceId);
        ids.filter(|id| !self.gone.contains(id))
    }

    /// A custom resource that the server has from now on, or has in another version. Nothing is known of its objects yet. None:
    /// there are too many resources.
    pub fn learn(&mut self, info: ResourceInfo) -> Option<ResourceId> {
        let same = |known: &ResourceInfo| known.resource.group_resource() == info.resource.group_resource();
        let at = self.resources.iter().position(same).unwrap_or(self.resources.len());
        let id = ResourceId(u16::try_from(at).ok()?);
        match self.resources.get_mut(at) {
            Some(known) => *known = info,
            None => self.resources.push(info),
        }
        self.gone.remove(&id);
        self.unread.insert(id);
        Some(id)
    }

    /// All objects of a custom resource are known.
    pub fn read(&mut self, id: ResourceId) {
        self.unread.remove(&id);
    }

    /// A custom resource is gone: what is still heard of its objects is not taken in.
    pub fn forget(&mut self, id: ResourceId) {
        self.unread.remove(&id);
        self.gone.insert(id);
    }

    /// The uids of a resource's objects.
    pub fn objects_of(&self, id: ResourceId) -> Vec<Arc<str>> {
        self.objects.iter().filter(|(_, entry)| entry.resource == id).map(|(uid, _)| uid.clone()).collect()
    }

    /// Whether the objects of all resources are known.
    pub fn is_complete(&self) -> bool {
        self.unread.is_empty()
    }

    pub fn info(&self, id: ResourceId) -> &ResourceInfo {
        &self.resources[usize::from(id.0)]
    }

    pub fn id(&self, group: &str, plural: &str) -> Option<ResourceId> {
        self.ids().find(|id| self.info(*id).resource.group == group && self.info(*id).resource.resource == plural)
    }

    pub(super) fn id_of<T: Row>(&self) -> Option<ResourceId> {
        self.id(T::Source::GROUP, T::Source::URL_PATH_SEGMENT)
    }

    /// The resources whose kinds have no table. Events are left out: they neither own nor are owned.
    pub fn untabled(&self) -> Vec<(ResourceId, GroupVersionResource)> {
        self.ids()
            .map(|id| (id, self.info(id).resource.clone()))
            .filter(|(_, resource)| resource.resource != "events" && super::Kind::of(resource).is_none())
            .collect()
    }

    /// The resource that serves a kind, in whichever version.
    pub fn of_kind(&self, group: &str, kind: &str) -> Option<&ResourceInfo> {
        self.resources().find(|r| r.resource.group == group && r.kind == kind)
    }

    pub fn get(&self, uid: &str) -> Option<&Entry> {
        self.objects.get(uid)
    }

    /// The objects that name this uid as an owner.
    pub fn dependents(&self, uid: &str) -> impl Iterator<Item = &Entry> {
        self.dependents.get(uid).into_iter().flatten().filter_map(|uid| self.objects.get(uid))
    }

    /// The resources of which a namespace has objects, and how many.
    pub fn contents(&self, namespace: &str) -> impl Iterator<Item = (ResourceId, Contents)> {
        self.contents.get(namespace).into_iter().flatten().map(|(id, contents)| (*id, *contents))
    }

    pub fn all(&self) -> impl Iterator<Item = &Entry> {
        self.objects.values()
    }

    pub(super) fn put(&mut self, resource: ResourceId, row: Arc<dyn AnyRow>) {
        if self.gone.contains(&resource) {
            return;
        }
        let header = row.header();
        if let Some(known) = self.objects.get_mut(&header.uid) {
            let before = known.row.clone();
            if before.header().owners == header.owners {
                // Nothing moves in the graph: most changes are of this sort.
                known.row = row.clone();
                self.count(before.header(), resource, Contents::subtract);
                self.count(header, resource, Contents::add);
                return;
            }
        }
        self.remove(&header.uid.clone());
        for owner in header.owners.iter() {
            match self.dependents.get_mut(owner.uid.as_str()) {
                Some(dependents) => {
                    dependents.insert(header.uid.clone());
                }
                None => {
                    self.dependents.insert(owner.uid.as_str().into(), BTreeSet::from([header.uid.clone()]));
                }
            }
        }
        self.count(header, resource, Contents::add);
        self.objects.insert(header.uid.clone(), Entry { resource, row });
    }

    pub(super) fn remove(&mut self, uid: &str) {
        let Some(entry) = self.objects.remove(uid) else { return };
        let header = entry.header();
        for owner in header.owners.iter() {
            if let Some(dependents) = self.dependents.get_mut(owner.uid.as_str()) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(owner.uid.as_str());
                }
            }
        }
        self.count(header, entry.resource, Contents::subtract);
    }

    fn count(&mut self, header: &Header, resource: ResourceId, change: fn(&mut Contents, &Header)) {
        let namespace = &header.key.namespace;
        if namespace.is_empty() {
            return;
        }
        let resources = self.contents.entry(namespace.clone()).or_default();
        let contents = resources.entry(resource).or_default();
        change(contents, header);
        if contents.total == 0 {
            resources.remove(&resource);
            if resources.is_empty() {
                self.contents.remove(namespace);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn lamps(version: &str) -> ResourceInfo {
        let resource = GroupVersionResource::new("e.org".to_owned(), version.to_owned(), "lamps".to_owned());
        ResourceInfo { resource, kind: "Lamp".into(), namespaced: true, collection: true }
    }

    #[test]
    fn custom_resources_come_and_go_and_keep_their_place() {
        let mut graph = Graph::new(Vec::new());
        let id = graph.learn(lamps("v1")).unwrap();
        assert!(!graph.is_complete(), "nothing is known of its objects");
        graph.read(id);
        assert!(graph.is_complete() && graph.of_kind("e.org", "Lamp").is_some());
        graph.forget(id);
        assert!(graph.of_kind("e.org", "Lamp").is_none() && graph.id("e.org", "lamps").is_none());
        assert_eq!(graph.learn(lamps("v2")), Some(id));
        assert_eq!(graph.info(id).resource.version, "v2");
        graph.forget(id);
        assert!(graph.is_complete());
    }
}

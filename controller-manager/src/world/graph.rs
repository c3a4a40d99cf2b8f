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
    resources: Vec<ResourceInfo>,
    objects: HashMap<Arc<str>, Entry>,
    dependents: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// How many objects of which resource a namespace holds.
    contents: HashMap<Arc<str>, BTreeMap<ResourceId, usize>>,
}

impl Graph {
    pub fn new(resources: Vec<ResourceInfo>) -> Self {
        Self { resources, ..Self::default() }
    }

    pub fn resources(&self) -> &[ResourceInfo] {
        &self.resources
    }

    pub fn info(&self, id: ResourceId) -> &ResourceInfo {
        &self.resources[usize::from(id.0)]
    }

    pub fn id(&self, group: &str, plural: &str) -> Option<ResourceId> {
        let at = self.resources.iter().position(|r| r.resource.group == group && r.resource.resource == plural)?;
        u16::try_from(at).ok().map(ResourceId)
    }

    pub(super) fn id_of<T: Row>(&self) -> Option<ResourceId> {
        self.id(T::Source::GROUP, T::Source::URL_PATH_SEGMENT)
    }

    /// The resources whose kinds have no table. Events are left out: they neither own nor are owned.
    pub fn untabled(&self) -> Vec<(ResourceId, GroupVersionResource)> {
        let ids = (0..self.resources.len()).filter_map(|at| u16::try_from(at).ok()).map(ResourceId);
        ids.map(|id| (id, self.info(id).resource.clone()))
            .filter(|(_, resource)| resource.resource != "events" && super::Kind::of(resource).is_none())
            .collect()
    }

    /// The resource that serves a kind, in whichever version.
    pub fn of_kind(&self, group: &str, kind: &str) -> Option<&ResourceInfo> {
        self.resources.iter().find(|r| r.resource.group == group && r.kind == kind)
    }

    pub fn get(&self, uid: &str) -> Option<&Entry> {
        self.objects.get(uid)
    }

    /// The objects that name this uid as an owner.
    pub fn dependents(&self, uid: &str) -> impl Iterator<Item = &Entry> {
        self.dependents.get(uid).into_iter().flatten().filter_map(|uid| self.objects.get(uid))
    }

    /// The resources of which a namespace has objects, and how many.
    pub fn contents(&self, namespace: &str) -> impl Iterator<Item = (ResourceId, usize)> {
        self.contents.get(namespace).into_iter().flatten().map(|(id, count)| (*id, *count))
    }

    pub fn all(&self) -> impl Iterator<Item = &Entry> {
        self.objects.values()
    }

    pub(super) fn put(&mut self, resource: ResourceId, row: Arc<dyn AnyRow>) {
        self.remove(&row.header().uid.clone());
        let header = row.header();
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
        if !header.key.namespace.is_empty() {
            *self.contents.entry(header.key.namespace.clone()).or_default().entry(resource).or_default() += 1;
        }
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
        if let Some(contents) = self.contents.get_mut(&header.key.namespace)
            && let Some(count) = contents.get_mut(&entry.resource)
        {
            *count -= 1;
            if *count == 0 {
                contents.remove(&entry.resource);
            }
            if contents.is_empty() {
                self.contents.remove(&header.key.namespace);
            }
        }
    }
}

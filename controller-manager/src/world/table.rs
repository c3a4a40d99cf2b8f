//! [`Table`]: the rows of one kind, found by key, by namespace, by controlling owner and by node.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use machinery::NamespacedName;

use super::row::Row;

type Named<T> = BTreeMap<Arc<str>, Arc<T>>;

/// Rows of one kind. Iteration is in order of name, so that what is decided from it can be repeated.
pub struct Table<T> {
    by_namespace: HashMap<Arc<str>, Named<T>>,
    /// By the uid of the controlling owner. An owner and what it controls share a namespace.
    by_controller: HashMap<Arc<str>, Named<T>>,
    /// Rows without a controller, by namespace: those that may be adopted.
    uncontrolled: HashMap<Arc<str>, Named<T>>,
    by_node: HashMap<Arc<str>, BTreeMap<NamespacedName, Arc<T>>>,
    len: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { by_namespace: HashMap::new(), by_controller: HashMap::new(), uncontrolled: HashMap::new(), by_node: HashMap::new(), len: 0 }
    }
}

impl<T: Row> Table<T> {
    pub fn get(&self, key: &NamespacedName) -> Option<&Arc<T>> {
        self.by_namespace.get(&key.namespace)?.get(&key.name)
    }

    pub fn find(&self, namespace: &str, name: &str) -> Option<&Arc<T>> {
        self.by_namespace.get(namespace)?.get(name)
    }

    pub fn namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<T>> {
        self.by_namespace.get(namespace).into_iter().flat_map(BTreeMap::values)
    }

    /// What the owner of this uid controls.
    pub fn controlled_by(&self, uid: &str) -> impl Iterator<Item = &Arc<T>> {
        self.by_controller.get(uid).into_iter().flat_map(BTreeMap::values)
    }

    /// Rows of a namespace that nobody controls.
    pub fn uncontrolled(&self, namespace: &str) -> impl Iterator<Item = &Arc<T>> {
        self.uncontrolled.get(namespace).into_iter().flat_map(BTreeMap::values)
    }

    pub fn on_node(&self, node: &str) -> impl Iterator<Item = &Arc<T>> {
        self.by_node.get(node).into_iter().flat_map(BTreeMap::values)
    }

    /// The nodes that rows are bound to, whether they exist or not.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_node.keys()
    }

    /// All rows, namespace by namespace in no order.
    pub fn all(&self) -> impl Iterator<Item = &Arc<T>> {
        self.by_namespace.values().flat_map(BTreeMap::values)
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn put(&mut self, row: Arc<T>) -> Option<Arc<T>> {
        let old = self.remove(&row.header().key);
        let key = &row.header().key;
        match row.header().controller() {
            Some(owner) => insert(&mut self.by_controller, owner.uid.as_str(), &key.name, &row),
            None => insert(&mut self.uncontrolled, &key.namespace, &key.name, &row),
        }
        if let Some(node) = row.node() {
            self.by_node.entry(node.clone()).or_default().insert(key.clone(), row.clone());
        }
        insert(&mut self.by_namespace, &key.namespace, &key.name, &row);
        self.len += 1;
        old
    }

    pub(super) fn remove(&mut self, key: &NamespacedName) -> Option<Arc<T>> {
        let old = take(&mut self.by_namespace, &key.namespace, &key.name)?;
        match old.header().controller() {
            Some(owner) => take(&mut self.by_controller, &owner.uid, &key.name),
            None => take(&mut self.uncontrolled, &key.namespace, &key.name),
        };
        if let Some(node) = old.node()
            && let Some(rows) = self.by_node.get_mut(node)
        {
            rows.remove(key);
            if rows.is_empty() {
                self.by_node.remove(node);
            }
        }
        self.len -= 1;
        Some(old)
    }
}

fn insert<T>(index: &mut HashMap<Arc<str>, Named<T>>, value: &str, name: &Arc<str>, row: &Arc<T>) {
    match index.get_mut(value) {
        Some(rows) => {
            rows.insert(name.clone(), row.clone());
        }
        None => {
            index.insert(value.into(), Named::from([(name.clone(), row.clone())]));
        }
    }
}

fn take<T>(index: &mut HashMap<Arc<str>, Named<T>>, value: &str, name: &str) -> Option<Arc<T>> {
    let rows = index.get_mut(value)?;
    let row = rows.remove(name);
    if rows.is_empty() {
        index.remove(value);
    }
    row
}

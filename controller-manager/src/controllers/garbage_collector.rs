//! The garbage collector: deletes what has lost its owners, and carries out the deletions that wait for dependents
//! (foreground) or for dependents to be let go (orphan). It knows no kind: it reads the graph of owners.
//!
//! Its keys are uids. What looks absent in the graph is asked of the server before anything is deleted: an owner's
//! watch may lag behind its dependent's.

use std::collections::HashSet;

use api::kind::Propagation;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use machinery::{GroupVersion, NamespacedName};
use serde_json::json;

use crate::controller::{Controller, Key, Wake};
use crate::plan::{BURST, Guard, Named, Plan, Verb, Write};
use crate::world::{Change, Entry, Graph, Header, Kind, World};

/// Keeps an object until its dependents that block it are gone.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Keeps an object until its dependents no longer name it.
pub const ORPHAN: &str = "orphan";

pub struct GarbageCollector;

impl Controller for GarbageCollector {
    fn name(&self) -> &'static str {
        "garbage-collector-controller"
    }

    fn account(&self) -> Option<&'static str> {
        Some("generic-garbage-collector")
    }

    fn watches(&self) -> &'static [Kind] {
        &[]
    }

    fn needs_graph(&self) -> bool {
        true
    }

    fn wakes(&self, _world: &World, _change: &Change<'_>, _wake: &mut Wake) {}

    fn wakes_graph(&self, world: &World, old: Option<&Entry>, new: Option<&Entry>, wake: &mut Wake) {
        let mut uid = |uid: &str| wake.key(&Key::cluster(uid));
        match (old.map(Entry::header), new.map(Entry::header)) {
            (old, Some(new)) => {
                let moved = old.is_none_or(|old| old.owners != new.owners || old.uid != new.uid);
                let waits = new.is_terminating() && (new.has_finalizer(FOREGROUND) || new.has_finalizer(ORPHAN));
                if waits || (moved && !new.owners.is_empty()) {
                    uid(&new.uid);
                }
                if let Some(old) = old.filter(|_| moved) {
                    old.owners.iter().for_each(|owner| uid(&owner.uid));
                }
            }
            (Some(old), None) => {
                // Its dependents may have lost their last owner, and its owners may have waited for it.
                world.graph.dependents(&old.uid).for_each(|dependent| uid(&dependent.header().uid));
                old.owners.iter().for_each(|owner| uid(&owner.uid));
            }
            (None, None) => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(entry) = world.graph.get(&key.name) else { return plan };
        let header = entry.header();
        if !header.is_terminating() {
            if let Some(write) = judge(&world.graph, entry) {
                plan.write(write);
            }
        } else if header.has_finalizer(ORPHAN) {
            orphan(&world.graph, entry, &mut plan);
        } else if header.has_finalizer(FOREGROUND) {
            foreground(&world.graph, entry, &mut plan);
        }
        plan
    }
}

/// How an owner stands to its dependent.
enum Standing {
    /// It is there and stays.
    Solid,
    /// It is being deleted and waits for its dependents.
    Waiting,
    /// It is not in the graph; the server will know.
    Absent(Named),
    /// Of a kind that is not known here: nothing can be said.
    Unknown,
}

fn standing(graph: &Graph, dependent: &Header, owner: &OwnerReference) -> Standing {
    let group = GroupVersion::parse(&owner.api_version).group;
    let Some(info) = graph.of_kind(&group, &owner.kind) else { return Standing::Unknown };
    let namespace = if info.namespaced { dependent.key.namespace.clone() } else { "".into() };
    let key = NamespacedName { namespace, name: owner.name.as_str().into() };
    match graph.get(&owner.uid).map(Entry::header).filter(|found| found.key == key) {
        Some(found) if found.is_terminating() && found.has_finalizer(FOREGROUND) => Standing::Waiting,
        Some(_) => Standing::Solid,
        None => Standing::Absent(Named { resource: info.resource.clone(), key, uid: owner.uid.clone() }),
    }
}

/// What is to become of an object that has owners and is not being deleted.
fn judge(graph: &Graph, entry: &Entry) -> Option<Write> {
    let header = entry.header();
    let (mut kept, mut solid, mut waiting, mut guards) = (Vec::new(), false, false, Vec::new());
    for owner in header.owners.iter() {
        match standing(graph, header, owner) {
            Standing::Solid | Standing::Unknown => {
                solid = true;
                kept.push(owner.clone());
            }
            Standing::Waiting => waiting = true,
            Standing::Absent(named) => guards.push(Guard::Absent(named)),
        }
    }
    if kept.len() == header.owners.len() {
        return None;
    }
    let mut write = if solid {
        set_owners(graph, entry, &kept)
    } else {
        let dependents = graph.dependents(&header.uid).next().is_some();
        delete(graph, entry, waiting && dependents)
    };
    write.guards = guards;
    Some(write)
}

fn delete(graph: &Graph, entry: &Entry, foreground: bool) -> Write {
    let header = entry.header();
    let propagation = match () {
        () if header.has_finalizer(ORPHAN) => Propagation::Orphan,
        () if foreground || header.has_finalizer(FOREGROUND) => Propagation::Foreground,
        () => Propagation::Background,
    };
    let mut write = Write::delete_named(named(graph, entry));
    if let Verb::Delete { version, propagation: with, .. } = &mut write.verb {
        // An adoption in the meantime must not be overlooked.
        *version = Some(header.version);
        *with = Some(propagation);
    }
    write
}

/// Takes the owner from its dependents, then lets it go.
fn orphan(graph: &Graph, entry: &Entry, plan: &mut Plan) {
    let uid = &entry.header().uid;
    let releases: Vec<_> = graph
        .dependents(uid)
        .take(BURST)
        .map(|dependent| {
            let owners = dependent.header().owners.iter().filter(|owner| owner.uid != **uid).cloned().collect::<Vec<_>>();
            set_owners(graph, dependent, &owners)
        })
        .collect();
    let all = releases.len() < BURST;
    plan.then(releases);
    if all {
        plan.then(vec![remove_finalizer(graph, entry, ORPHAN)]);
    }
}

/// Deletes the dependents; when none is left that blocks, lets the owner go.
fn foreground(graph: &Graph, entry: &Entry, plan: &mut Plan) {
    let uid = &entry.header().uid;
    let blocks = |dependent: &Entry| {
        let names = dependent.header().owners.iter().any(|owner| owner.uid == **uid && owner.block_owner_deletion == Some(true));
        names && !waits_for(graph, dependent.header(), entry.header())
    };
    let alive = graph.dependents(uid).filter(|dependent| !dependent.header().is_terminating());
    for write in alive.filter_map(|dependent| judge(graph, dependent)).take(BURST) {
        plan.write(write);
    }
    if !graph.dependents(uid).any(blocks) {
        plan.then(vec![remove_finalizer(graph, entry, FOREGROUND)]);
    }
}

/// Whether `waiter` is deleted in the foreground and cannot go before `last` has: then `last` must not wait for it, or neither
/// would ever go. Owners may form a circle.
fn waits_for(graph: &Graph, waiter: &Header, last: &Header) -> bool {
    let waits = |header: &Header| header.is_terminating() && header.has_finalizer(FOREGROUND);
    if !waits(waiter) {
        return false;
    }
    let (mut seen, mut next) = (HashSet::new(), vec![last]);
    while let Some(one) = next.pop() {
        let held = one.owners.iter().filter(|owner| owner.block_owner_deletion == Some(true));
        for owner in held.filter_map(|owner| graph.get(&owner.uid)).map(Entry::header).filter(|owner| waits(owner)) {
            if owner.uid == waiter.uid {
                return true;
            }
            if seen.insert(&*owner.uid) {
                next.push(owner);
            }
        }
    }
    false
}

fn named(graph: &Graph, entry: &Entry) -> Named {
    let header = entry.header();
    Named { resource: graph.info(entry.resource).resource.clone(), key: header.key.clone(), uid: header.uid.to_string() }
}

fn set_owners(graph: &Graph, entry: &Entry, owners: &[OwnerReference]) -> Write {
    let owners = if owners.is_empty() { json!(null) } else { json!(owners) };
    let version = entry.header().version.to_string();
    let patch = json!({"metadata": {"ownerReferences": owners, "resourceVersion": version}});
    Write::patch_named(named(graph, entry), patch)
}

fn remove_finalizer(graph: &Graph, entry: &Entry, finalizer: &str) -> Write {
    let left: Vec<_> = entry.header().finalizers.iter().filter(|f| *f != finalizer).collect();
    let left = if left.is_empty() { json!(null) } else { json!(left) };
    let version = entry.header().version.to_string();
    let patch = json!({"metadata": {"finalizers": left, "resourceVersion": version}});
    Write::patch_named(named(graph, entry), patch)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::laws::{Scenario, check};
    use crate::simulator::Simulator;

    fn map(name: &str, owners: &[(&Simulator, &str)]) -> Value {
        let owners: Vec<Value> = owners
            .iter()
            .map(|(server, owner)| {
                let uid = &server.get("configmaps", "default", owner).unwrap()["metadata"]["uid"];
                json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": uid, "blockOwnerDeletion": true})
            })
            .collect();
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": owners}})
    }

    fn family(server: &mut Simulator) {
        server.create(map("root", &[]));
        let child = map("child", &[(server, "root")]);
        server.create(child);
        let grandchild = map("grandchild", &[(server, "child")]);
        server.create(grandchild);
    }

    fn delete_with(server: &mut Simulator, name: &str, propagation: Propagation) {
        let uid = server.get("configmaps", "default", name).unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
        let resource = machinery::GroupVersionResource::new("", "v1", "configmaps");
        let mut write = Write::delete_named(Named { resource, key: Key::new("default", name), uid });
        if let Verb::Delete { propagation: with, .. } = &mut write.verb {
            *with = Some(propagation);
        }
        server.apply(write).unwrap();
    }

    fn names(server: &Simulator) -> Vec<&str> {
        server.all("configmaps").map(|map| map["metadata"]["name"].as_str().unwrap()).collect()
    }

    #[test]
    fn background_takes_dependents_and_theirs() {
        let server = check(&Scenario {
            controllers: &[&GarbageCollector],
            phases: &[&family, &|s| s.delete("configmaps", "root")],
            ..Scenario::default()
        });
        assert!(names(&server).is_empty());
    }

    #[test]
    fn foreground_takes_dependents_first() {
        let server = check(&Scenario {
            controllers: &[&GarbageCollector],
            phases: &[&family, &|s| delete_with(s, "root", Propagation::Foreground)],
            always: &|s| {
                let has = |name| names(s).contains(&name);
                assert!(has("root") || !has("child"), "the owner went before its dependent");
                assert!(has("child") || !has("grandchild"), "the dependent went before its own");
            },
        });
        assert!(names(&server).is_empty());
    }

    #[test]
    fn orphaning_lets_dependents_go_free() {
        let server = check(&Scenario {
            controllers: &[&GarbageCollector],
            phases: &[&family, &|s| delete_with(s, "root", Propagation::Orphan)],
            ..Scenario::default()
        });
        assert_eq!(names(&server), ["child", "grandchild"]);
        assert!(server.get("configmaps", "default", "child").unwrap()["metadata"]["ownerReferences"].is_null());
    }

    #[test]
    fn a_circle_of_owners_goes_as_a_whole() {
        let server = check(&Scenario {
            controllers: &[&GarbageCollector],
            phases: &[
                &family,
                &|s| {
                    let uid = s.get("configmaps", "default", "grandchild").unwrap()["metadata"]["uid"].clone();
                    let owner =
                        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "grandchild", "uid": uid, "blockOwnerDeletion": true}]);
                    s.change("configmaps", "root", |root| root["metadata"]["ownerReferences"] = owner);
                },
                &|s| delete_with(s, "root", Propagation::Foreground),
            ],
            ..Scenario::default()
        });
        assert!(names(&server).is_empty());
    }

    #[test]
    fn one_owner_of_two_is_enough() {
        let server = check(&Scenario {
            controllers: &[&GarbageCollector],
            phases: &[
                &|s| {
                    s.create(map("one", &[]));
                    s.create(map("two", &[]));
                    let child = map("child", &[(s, "one"), (s, "two")]);
                    s.create(child);
                },
                &|s| s.delete("configmaps", "one"),
            ],
            ..Scenario::default()
        });
        assert_eq!(names(&server), ["child", "two"]);
        let child = server.get("configmaps", "default", "child").unwrap();
        assert_eq!(child["metadata"]["ownerReferences"].as_array().unwrap().len(), 1);
    }
}

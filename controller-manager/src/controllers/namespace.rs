//! Namespace: empties a namespace that is being deleted, pods first, and lets it go when nothing is left.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::GroupVersionResource;

use crate::controller::{Controller, Key, Wake};
use crate::plan::{Plan, Write};
use crate::world::{Change, Contents, Entry, Graph, Kind, ResourceInfo, Whole, World};

/// In `spec.finalizers`: the content is to be deleted first.
const FINALIZER: &str = "kubernetes";
/// A deletion that is done sooner is not reported about: every write of the status would be one too many.
const REPORT_AFTER_SECONDS: i64 = 5;

/// How long the objects of a custom resource may take to be read.
const UNREAD_SECONDS: i64 = 1;

pub struct NamespaceController;

impl Controller for NamespaceController {
    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Namespace]
    }

    fn needs_graph(&self) -> bool {
        true
    }

    fn wakes(&self, _world: &World, change: &Change<'_>, wake: &mut Wake) {
        if let Change::Namespace(delta) = change
            && delta.newest().header().is_terminating()
        {
            wake.key(&delta.newest().header().key);
        }
    }

    fn wakes_graph(&self, world: &World, old: Option<&Entry>, new: Option<&Entry>, wake: &mut Wake) {
        let Some(entry) = new.or(old) else { return };
        let key = Key::cluster(entry.header().key.namespace.clone());
        if world.namespaces.get(&key).is_some_and(|namespace| namespace.header().is_terminating()) {
            wake.key(&key);
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(namespace) = world.namespaces.get(key).filter(|n| n.header().is_terminating()) else { return plan };
        let finalizers = namespace.spec.as_ref().and_then(|s| s.finalizers.as_deref()).unwrap_or_default();
        if !finalizers.iter().any(|f| f == FINALIZER) {
            return plan;
        }
        let contents: Vec<_> = world.graph.contents(&key.name).map(|(id, count)| (world.graph.info(id), count)).collect();
        if contents.is_empty() && !world.graph.is_complete() {
            // A custom resource has just been defined, and may have objects in this namespace.
            plan.look_again_in(UNREAD_SECONDS);
            return plan;
        }
        if contents.is_empty() {
            finalize(&world.graph, namespace, &mut plan);
            return plan;
        }
        // Pods go before what they use: a Secret that vanished under a running pod would be noticed.
        let pods: Vec<_> = contents.iter().filter(|(info, _)| info.resource.resource == "pods").collect();
        let first = if pods.is_empty() { contents.iter().collect() } else { pods };
        for (info, count) in first {
            if count.total > count.terminating && info.collection {
                plan.write(Write::delete_all(info.resource.clone(), &key.name));
            }
        }
        let since = namespace.header().deleted.map_or(0, |at| now.as_second() - at.as_second());
        if since < REPORT_AFTER_SECONDS {
            plan.look_again_in(REPORT_AFTER_SECONDS - since);
        } else {
            plan.update_status(namespace, |namespace| tell(namespace, &contents, now));
        }
        plan
    }
}

/// Deletes what the graph does not show, then takes the finalizer away, with which the namespace goes.
fn finalize(graph: &Graph, namespace: &Whole<Namespace>, plan: &mut Plan) {
    let name = namespace.header().name();
    if graph.id("", "events").is_some() {
        plan.then(vec![Write::delete_all(GroupVersionResource::new("", "v1", "events"), name)]);
    }
    let mut object = namespace.to_object();
    if let Some(finalizers) = object.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
        finalizers.retain(|f| f != FINALIZER);
    }
    plan.then(vec![Write::update_view(object, "finalize")]);
}

/// Says what the deletion waits for.
fn tell(namespace: &mut Namespace, contents: &[(&ResourceInfo, Contents)], now: Timestamp) {
    let remaining: Vec<String> =
        contents.iter().map(|(info, count)| format!("{} has {} resource instances", info.resource.group_resource(), count.total)).collect();
    let finalizing: usize = contents.iter().map(|(_, count)| count.finalizing).sum();
    let held = finalizing > 0;
    let conditions = [
        ("NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered", "All resources are known".to_owned()),
        ("NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions", "All group versions are understood".to_owned()),
        ("NamespaceDeletionContentFailure", false, "ContentDeleted", "Everything was asked to go".to_owned()),
        ("NamespaceContentRemaining", true, "SomeResourcesRemain", format!("Some resources remain: {}", remaining.join(", "))),
        if held {
            let message = format!("{finalizing} objects wait for their finalizers");
            ("NamespaceFinalizersRemaining", true, "SomeFinalizersRemain", message)
        } else {
            ("NamespaceFinalizersRemaining", false, "ContentHasNoFinalizers", "No object waits for a finalizer".to_owned())
        },
    ];
    let known = namespace.status.get_or_insert_default().conditions.get_or_insert_default();
    for (type_, holds, reason, message) in conditions {
        let status = if holds { "True" } else { "False" };
        let at = known.iter().position(|c| c.type_ == type_);
        let since = at.filter(|at| known[*at].status == status).and_then(|at| known[at].last_transition_time.clone());
        let condition = NamespaceCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(since.unwrap_or(Time(now))),
        };
        match at {
            Some(at) => known[at] = condition,
            None => known.push(condition),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::laws::{Scenario, check, count};

    fn namespace() -> Value {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}, "spec": {"finalizers": ["kubernetes"]}})
    }

    fn map(finalizers: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map", "namespace": "shop", "finalizers": finalizers}})
    }

    fn pod() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", "namespace": "shop"},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        })
    }

    #[test]
    fn empties_a_namespace_pods_first() {
        let server = check(&Scenario {
            controllers: &[&NamespaceController],
            phases: &[
                &|s| {
                    s.create(namespace());
                    s.create(map(json!(null)));
                    s.create(pod());
                },
                &|s| s.delete("namespaces", "shop"),
            ],
            always: &|s| assert!(s.get("configmaps", "shop", "map").is_some() || count(s, "pods", |_| true) == 0),
        });
        assert_eq!(server.digest(), Vec::<String>::new());
    }

    #[test]
    fn waits_for_finalizers_and_says_so() {
        let server = check(&Scenario {
            controllers: &[&NamespaceController],
            phases: &[
                &|s| {
                    s.create(namespace());
                    s.create(map(json!(["example.com/hold"])));
                },
                &|s| s.delete("namespaces", "shop"),
            ],
            ..Scenario::default()
        });
        let conditions = &server.get("namespaces", "", "shop").unwrap()["status"]["conditions"];
        let held = conditions.as_array().unwrap().iter().find(|c| c["type"] == "NamespaceFinalizersRemaining").unwrap();
        assert_eq!(held["status"], "True");
    }
}

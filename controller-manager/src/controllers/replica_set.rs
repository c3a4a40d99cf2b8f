//! ReplicaSet: keeps as many pods of a template as asked for, and says in its status how many there are.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::controller::{Controller, Key, Wake};
use crate::controllers::replicas::{Counts, Wanted, plan_replicas, pod_change_matters, wake_for_pod};
use crate::plan::Plan;
use crate::selection;
use crate::world::{Change, Failure, Kind, Labels, Whole, World};

const NAME: &str = "replicaset-controller";

pub struct ReplicaSetController;

impl Controller for ReplicaSetController {
    fn name(&self) -> &'static str {
        NAME
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::ReplicaSet, Kind::Pod]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::ReplicaSet(delta) => wake.key(&delta.newest().header().key),
            Change::Pod(delta) if pod_change_matters(delta) => {
                wake_for_pod(delta, &world.replica_sets, "ReplicaSet", &|set, labels| selects(set, labels), wake);
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(set) = world.replica_sets.get(key) else { return plan };
        let Some(spec) = &set.spec else { return plan };
        let Some(template) = &spec.template else { return plan };
        let wanted = Wanted {
            replicas: spec.replicas.unwrap_or(1),
            template,
            min_ready_seconds: spec.min_ready_seconds.unwrap_or(0),
            selects: &|labels| selects(set, labels),
            siblings: siblings(world, set),
        };
        let counts = plan_replicas(world, &**set, &wanted, now, &mut plan);
        let failure = world.failure(NAME, key);
        plan.update_status(set, |set| {
            let generation = set.metadata.generation;
            let status = set.status.get_or_insert_default();
            count_into(status, counts);
            status.observed_generation = generation;
            tell_failure(status, failure, now);
        });
        plan
    }
}

fn selects(set: &Whole<ReplicaSet>, labels: &Labels) -> bool {
    set.spec.as_ref().is_some_and(|spec| !selection::is_empty(&spec.selector) && selection::selects(&spec.selector, labels))
}

/// The active pods of all ReplicaSets that share this one's controller, its own among them.
fn siblings(world: &World, set: &Whole<ReplicaSet>) -> Vec<std::sync::Arc<crate::world::PodRow>> {
    let uids: Vec<&str> = match set.header().controller() {
        Some(owner) => world.replica_sets.controlled_by(&owner.uid).map(|set| &*set.header().uid).collect(),
        None => vec![&*set.header().uid],
    };
    uids.into_iter().flat_map(|uid| world.pods.controlled_by(uid)).filter(|pod| pod.is_active()).cloned().collect()
}

fn count_into(status: &mut ReplicaSetStatus, counts: Counts) {
    let positive = |count: i32| Some(count).filter(|count| *count > 0);
    status.replicas = counts.replicas;
    status.fully_labeled_replicas = positive(counts.fully_labeled);
    status.ready_replicas = positive(counts.ready);
    status.available_replicas = positive(counts.available);
    status.terminating_replicas = Some(counts.terminating);
}

/// Shows what the last attempt failed with, or takes it away.
fn tell_failure(status: &mut ReplicaSetStatus, failure: Option<&Failure>, now: Timestamp) {
    const TYPE: &str = "ReplicaFailure";
    let mut conditions = status.conditions.take().unwrap_or_default();
    let known = conditions.iter().position(|c| c.type_ == TYPE);
    match (failure, known) {
        // The first failure is the one to show: messages that change with each attempt would never settle.
        (Some(_), Some(_)) | (None, None) => {}
        (None, Some(at)) => {
            conditions.remove(at);
        }
        (Some(failure), None) => conditions.push(ReplicaSetCondition {
            type_: TYPE.to_owned(),
            status: "True".to_owned(),
            reason: Some(failure.reason.to_owned()),
            message: Some(failure.message.clone()),
            last_transition_time: Some(Time(now)),
        }),
    }
    status.conditions = Some(conditions).filter(|c| !c.is_empty());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::laws::{Scenario, check, count};
    use crate::simulator::Simulator;

    fn replica_set(replicas: i32) -> serde_json::Value {
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "cache"},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": {"app": "cache"}},
                "template": {"metadata": {"labels": {"app": "cache"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
            },
        })
    }

    fn pod(name: &str, labels: serde_json::Value) -> serde_json::Value {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        })
    }

    fn most(server: &Simulator) -> usize {
        count(server, "pods", |pod| pod["metadata"]["deletionTimestamp"].is_null())
    }

    #[test]
    fn keeps_the_number_of_pods_that_is_asked_for() {
        let server = check(&Scenario {
            controllers: &[&ReplicaSetController],
            phases: &[
                &|s| s.create(replica_set(3)),
                &|s| s.change("replicasets", "cache", |set| set["spec"]["replicas"] = json!(5)),
                &|s| {
                    let name = s.all("pods").next().unwrap()["metadata"]["name"].as_str().unwrap().to_owned();
                    s.delete("pods", &name);
                },
                &|s| s.change("replicasets", "cache", |set| set["spec"]["replicas"] = json!(2)),
            ],
            always: &|s| assert!(most(s) <= 5),
        });
        let set = server.get("replicasets", "default", "cache").unwrap();
        assert_eq!(set["status"]["readyReplicas"], 2);
        assert_eq!(set["status"]["terminatingReplicas"], 0);
        assert_eq!(server.all("pods").count(), 2);
    }

    #[test]
    fn adopts_orphans_and_releases_what_is_relabelled() {
        let server = check(&Scenario {
            controllers: &[&ReplicaSetController],
            phases: &[&|s| s.create(pod("loner", json!({"app": "cache"}))), &|s| s.create(replica_set(2)), &|s| {
                s.change("pods", "loner", |pod| pod["metadata"]["labels"]["app"] = json!("debug"))
            }],
            always: &|s| assert!(most(s) <= 3),
        });
        assert_eq!(server.all("pods").count(), 3);
        let loner = server.get("pods", "default", "loner").unwrap();
        assert!(loner["metadata"]["ownerReferences"].is_null());
    }

    #[test]
    fn replaces_failed_pods_and_leaves_their_remains() {
        let server = check(&Scenario {
            controllers: &[&ReplicaSetController],
            phases: &[&|s| s.create(replica_set(1)), &|s| {
                let name = s.all("pods").next().unwrap()["metadata"]["name"].as_str().unwrap().to_owned();
                s.change("pods", &name, |pod| pod["status"]["phase"] = json!("Failed"));
            }],
            ..Scenario::default()
        });
        assert_eq!(server.all("pods").count(), 2);
        assert_eq!(server.get("replicasets", "default", "cache").unwrap()["status"]["replicas"], 1);
    }

    #[test]
    fn shows_a_failure_until_it_is_overcome() {
        let mut server = Simulator::new();
        server.create(replica_set(1));
        let mut world = server.world_at(server.log.len());
        let key = Key::new("default", "cache");
        world.set_failure(NAME, &key, Some(Failure { reason: "FailedCreate", message: "quota".to_owned() }));
        let plan = ReplicaSetController.reconcile(&world, &key, server.now);
        for write in plan.steps.into_iter().flatten() {
            let _ = server.apply(write);
        }
        let set = server.get("replicasets", "default", "cache").unwrap();
        assert_eq!(set["status"]["conditions"][0]["reason"], "FailedCreate");
    }
}

//! ReplicationController: the elder of ReplicaSet, with a plain map for a selector.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ReplicationController, ReplicationControllerCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::controller::{Controller, Key, Wake};
use crate::controllers::replicas::{Wanted, plan_replicas, pod_change_matters, wake_for_pod};
use crate::plan::Plan;
use crate::selection;
use crate::world::{Change, Failure, Kind, Labels, Whole, World};

const NAME: &str = "replicationcontroller-controller";

pub struct ReplicationControllerController;

impl Controller for ReplicationControllerController {
    fn name(&self) -> &'static str {
        NAME
    }

    fn account(&self) -> Option<&'static str> {
        Some("replication-controller")
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::ReplicationController, Kind::Pod]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::ReplicationController(delta) => wake.key(&delta.newest().header().key),
            Change::Pod(delta) if pod_change_matters(delta) => {
                let owners = &world.replication_controllers;
                wake_for_pod(delta, owners, "ReplicationController", &|owner, labels| selects(owner, labels), wake);
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(owner) = world.replication_controllers.get(key) else { return plan };
        let Some(spec) = &owner.spec else { return plan };
        let Some(template) = &spec.template else { return plan };
        let wanted = Wanted {
            replicas: spec.replicas.unwrap_or(1),
            template,
            min_ready_seconds: spec.min_ready_seconds.unwrap_or(0),
            selects: &|labels| selects(owner, labels),
            siblings: world.pods.controlled_by(&owner.header().uid).filter(|pod| pod.is_active()).cloned().collect(),
        };
        let counts = plan_replicas(world, &**owner, &wanted, now, &mut plan);
        let failure = world.failure(NAME, key);
        plan.update_status(owner, |owner| {
            let positive = |count: i32| Some(count).filter(|count| *count > 0);
            let generation = owner.metadata.generation;
            let status = owner.status.get_or_insert_default();
            status.replicas = counts.replicas;
            status.fully_labeled_replicas = positive(counts.fully_labeled);
            status.ready_replicas = positive(counts.ready);
            status.available_replicas = positive(counts.available);
            status.observed_generation = generation;
            status.conditions = conditions(status.conditions.take(), failure, now);
        });
        plan
    }
}

fn selects(owner: &Whole<ReplicationController>, labels: &Labels) -> bool {
    owner.spec.as_ref().and_then(|spec| spec.selector.as_ref()).is_some_and(|s| selection::map_selects(s, labels))
}

fn conditions(
    known: Option<Vec<ReplicationControllerCondition>>,
    failure: Option<&Failure>,
    now: Timestamp,
) -> Option<Vec<ReplicationControllerCondition>> {
    let mut conditions = known.unwrap_or_default();
    let at = conditions.iter().position(|c| c.type_ == "ReplicaFailure");
    match (failure, at) {
        (None, Some(at)) => {
            conditions.remove(at);
        }
        (Some(failure), None) => conditions.push(ReplicationControllerCondition {
            type_: "ReplicaFailure".to_owned(),
            status: "True".to_owned(),
            reason: Some(failure.reason.to_owned()),
            message: Some(failure.message.clone()),
            last_transition_time: Some(Time(now)),
        }),
        _ => {}
    }
    Some(conditions).filter(|c| !c.is_empty())
}

//! Disruption budgets: says in a PodDisruptionBudget's status how many of its pods may be evicted now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::controller::{Controller, Key, Wake};
use crate::controllers::deployment::{Rounding, scaled};
use crate::controllers::replicas::pod_change_matters;
use crate::plan::{Note, Plan};
use crate::selection;
use crate::world::{Change, Kind, Labels, PodRow, Whole, World};

/// How long an eviction that was granted counts, in seconds, if the pod's deletion does not come to be seen.
const GRANTED: i64 = 120;

pub struct DisruptionController;

impl Controller for DisruptionController {
    fn name(&self) -> &'static str {
        "disruption-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::PodDisruptionBudget, Kind::Pod, Kind::ReplicaSet, Kind::Deployment, Kind::StatefulSet, Kind::ReplicationController]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::PodDisruptionBudget(delta) => wake.key(&delta.newest().header().key),
            Change::Pod(delta) if pod_change_matters(delta) => {
                for pod in delta.states() {
                    for budget in world.budgets.namespace(pod.namespace()).filter(|budget| selects(budget, &pod.labels)) {
                        wake.key(&budget.header().key);
                    }
                }
            }
            Change::ReplicaSet(_) | Change::Deployment(_) | Change::StatefulSet(_) | Change::ReplicationController(_) => {
                let namespace = &change.header().key.namespace;
                world.budgets.namespace(namespace).for_each(|budget| wake.key(&budget.header().key));
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(budget) = world.budgets.get(key) else { return plan };
        let Some(spec) = &budget.spec else { return plan };
        let pods: Vec<&Arc<PodRow>> =
            world.pods.namespace(budget.header().namespace()).filter(|pod| selects(budget, &pod.labels)).collect();
        let granted = still_granted(budget, world, now, &mut plan);
        match expectation(world, spec, &pods) {
            Ok((expected, desired)) => {
                let healthy = |pod: &&&Arc<PodRow>| pod.is_active() && pod.is_ready() && !granted.contains_key(pod.name());
                let counts = Counts { expected, desired, healthy: pods.iter().filter(healthy).count() as i32 };
                plan.update_status(budget, |budget| counts.fill(budget, granted, now));
            }
            Err(why) => {
                let known = budget.status.as_ref().is_some_and(|s| s.conditions.iter().flatten().any(|c| c.reason == "SyncFailed"));
                if !known {
                    plan.note(Note::warning(&**budget, "CalculateExpectedPodCountFailed", why.clone()));
                }
                plan.update_status(budget, |budget| fail(budget, &why, now));
            }
        }
        plan
    }
}

/// A selector that is missing selects nothing, an empty one everything.
fn selects(budget: &Whole<PodDisruptionBudget>, labels: &Labels) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| selection::selects(selector, labels))
}

/// Evictions that were granted and whose pods have not begun to go.
fn still_granted(budget: &Whole<PodDisruptionBudget>, world: &World, now: Timestamp, plan: &mut Plan) -> BTreeMap<String, Time> {
    let mut granted = BTreeMap::new();
    for (name, at) in budget.status.iter().flat_map(|status| status.disrupted_pods.iter().flatten()) {
        let left = at.0.as_second() + GRANTED - now.as_second();
        let pod = world.pods.find(budget.header().namespace(), name);
        if left > 0 && pod.is_some_and(|pod| !pod.is_terminating()) {
            granted.insert(name.clone(), at.clone());
            plan.look_again_in(left);
        }
    }
    granted
}

/// How many pods there should be, and how many must be healthy.
fn expectation(world: &World, spec: &PodDisruptionBudgetSpec, pods: &[&Arc<PodRow>]) -> Result<(i32, i32), String> {
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => {
            let expected = owners_scale(world, pods)?;
            Ok((expected, (expected - scaled(Some(most), expected, Rounding::Up)).max(0)))
        }
        (None, Some(IntOrString::Int(least))) => Ok((pods.len() as i32, *least)),
        (None, Some(least)) => {
            let expected = owners_scale(world, pods)?;
            Ok((expected, scaled(Some(least), expected, Rounding::Up)))
        }
        (None, None) => Ok((pods.len() as i32, 0)),
    }
}

/// What the controllers of the pods were asked for, together. A Deployment counts for its ReplicaSets.
fn owners_scale(world: &World, pods: &[&Arc<PodRow>]) -> Result<i32, String> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut total = 0;
    for pod in pods {
        let owner = pod.controller().ok_or_else(|| format!("pod {} has no controller to take a scale from", pod.key))?;
        if seen.contains(&owner.uid) {
            continue;
        }
        seen.insert(owner.uid.clone());
        let key = Key::new(pod.key.namespace.clone(), owner.name.as_str());
        let (uid, scale) = scale_of(world, &owner.kind, &key)
            .ok_or_else(|| format!("the {} {} of pod {} has no scale", owner.kind, owner.name, pod.key))?;
        if uid == owner.uid || seen.insert(uid) {
            total += scale;
        }
    }
    Ok(total)
}

/// The uid and the scale of the controller that decides.
fn scale_of(world: &World, kind: &str, key: &Key) -> Option<(String, i32)> {
    let one = |replicas: Option<i32>| replicas.unwrap_or(1);
    match kind {
        "ReplicaSet" => {
            let set = world.replica_sets.get(key)?;
            let deployment = set.header().controller().and_then(|owner| world.deployments.find(&key.namespace, &owner.name));
            Some(match deployment {
                Some(found) => (found.header().uid.to_string(), one(found.spec.as_ref()?.replicas)),
                None => (set.header().uid.to_string(), one(set.spec.as_ref()?.replicas)),
            })
        }
        "StatefulSet" => {
            let set = world.stateful_sets.get(key)?;
            Some((set.header().uid.to_string(), one(set.spec.as_ref()?.replicas)))
        }
        "ReplicationController" => {
            let owner = world.replication_controllers.get(key)?;
            Some((owner.header().uid.to_string(), one(owner.spec.as_ref()?.replicas)))
        }
        _ => None,
    }
}

struct Counts {
    expected: i32,
    desired: i32,
    healthy: i32,
}

impl Counts {
    fn fill(&self, budget: &mut PodDisruptionBudget, granted: BTreeMap<String, Time>, now: Timestamp) {
        let allowed = if self.expected > 0 { (self.healthy - self.desired).max(0) } else { 0 };
        let generation = budget.metadata.generation;
        let status = budget.status.get_or_insert_default();
        status.expected_pods = Some(self.expected);
        status.desired_healthy = Some(self.desired);
        status.current_healthy = Some(self.healthy);
        status.disruptions_allowed = Some(allowed);
        status.disrupted_pods = Some(granted).filter(|granted| !granted.is_empty());
        status.observed_generation = generation;
        let (value, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        tell(status, generation, (value, reason, ""), now);
    }
}

fn fail(budget: &mut PodDisruptionBudget, why: &str, now: Timestamp) {
    let generation = budget.metadata.generation;
    let status = budget.status.get_or_insert_default();
    // Nothing is known: nothing is allowed.
    status.disruptions_allowed = Some(0);
    status.observed_generation = generation;
    tell(status, generation, ("False", "SyncFailed", why), now);
}

fn tell(status: &mut PodDisruptionBudgetStatus, generation: Option<i64>, (value, reason, message): (&str, &str, &str), now: Timestamp) {
    let conditions = status.conditions.get_or_insert_default();
    let known = conditions.iter().position(|c| c.type_ == "DisruptionAllowed");
    let since = known.filter(|at| conditions[*at].status == value).map(|at| conditions[at].last_transition_time.clone());
    let condition = Condition {
        type_: "DisruptionAllowed".to_owned(),
        status: value.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: since.unwrap_or(Time(now)),
        observed_generation: generation,
    };
    match known {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::controllers::replica_set::ReplicaSetController;
    use crate::laws::{Scenario, check};

    fn budget(spec: Value) -> Value {
        let mut spec = spec;
        spec["selector"] = json!({"matchLabels": {"app": "web"}});
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "half"}, "spec": spec})
    }

    fn replica_set() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web"},
            "spec": {
                "replicas": 4, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
            },
        })
    }

    fn allowed(spec: Value) -> (i64, String) {
        let server = check(&Scenario {
            controllers: &[&ReplicaSetController, &DisruptionController],
            phases: &[&|s| s.create(replica_set()), &|s| s.create(budget(spec.clone()))],
            ..Scenario::default()
        });
        let status = &server.get("poddisruptionbudgets", "default", "half").unwrap()["status"];
        (status["disruptionsAllowed"].as_i64().unwrap(), status["conditions"][0]["reason"].as_str().unwrap().to_owned())
    }

    #[test]
    fn what_may_go_depends_on_the_budget() {
        assert_eq!(allowed(json!({"maxUnavailable": "50%"})), (2, "SufficientPods".to_owned()));
        assert_eq!(allowed(json!({"minAvailable": 3})), (1, "SufficientPods".to_owned()));
        assert_eq!(allowed(json!({"minAvailable": "90%"})), (0, "InsufficientPods".to_owned()));
    }

    #[test]
    fn a_share_of_pods_that_nobody_controls_is_unknown() {
        let server = check(&Scenario {
            controllers: &[&DisruptionController],
            phases: &[&|s| {
                s.create(json!({
                    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "c", "image": "i"}]},
                }));
                s.create(budget(json!({"maxUnavailable": 1})));
            }],
            ..Scenario::default()
        });
        let status = &server.get("poddisruptionbudgets", "default", "half").unwrap()["status"];
        assert_eq!(status["conditions"][0]["reason"], "SyncFailed");
    }
}

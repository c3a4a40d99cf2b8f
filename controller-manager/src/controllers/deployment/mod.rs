//! Deployment: carries a template through ReplicaSets, one per revision of it. What is planned in one pass is at most
//! one step of a rollout; the ReplicaSets' changes bring the next.

mod conditions;
mod history;
mod recreate;
mod revisions;
mod rolling;
mod scaling;
mod status;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::controller::{Controller, Key, Wake};
use crate::ownership::claim;
use crate::plan::{Note, Plan};
use crate::selection;
use crate::world::{Change, Delta, Kind, Whole, World};

pub struct DeploymentController;

impl Controller for DeploymentController {
    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Deployment, Kind::ReplicaSet, Kind::Pod]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::Deployment(delta) => wake.key(&delta.newest().header().key),
            Change::ReplicaSet(delta) => wake_for_replica_set(world, delta, wake),
            // Recreate waits for the last old pod to be gone, which its ReplicaSet's status does not tell.
            Change::Pod(Delta::Removed(pod)) => {
                let set = pod.controller().and_then(|owner| world.replica_sets.find(pod.namespace(), &owner.name));
                let owner = set.and_then(|set| set.header().controller());
                if let Some(found) = owner.and_then(|owner| world.deployments.find(pod.namespace(), &owner.name))
                    && found.spec.as_ref().is_some_and(is_recreate)
                {
                    wake.key(&found.header().key);
                }
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(deployment) = world.deployments.get(key) else { return plan };
        let Some(spec) = &deployment.spec else { return plan };
        if selection::is_empty(&spec.selector) {
            let message = "The selector is empty and would select every pod; it is not acted upon";
            plan.note(Note::warning(&**deployment, "SelectingAll", message));
            return plan;
        }
        let selects = |labels: &_| selection::selects(&spec.selector, labels);
        let mut sets = claim(&world.replica_sets, &**deployment, &selects, &|_| true, &mut plan);
        sets.sort_by(|a, b| (a.header().created, a.header().name()).cmp(&(b.header().created, b.header().name())));
        Rollout::new(world, deployment, spec, sets, now).plan(plan)
    }
}

fn wake_for_replica_set(world: &World, delta: &Delta<'_, Whole<ReplicaSet>>, wake: &mut Wake) {
    for state in delta.states() {
        if let Some(owner) = state.header().controller()
            && owner.kind == "Deployment"
            && let Some(found) = world.deployments.find(state.header().namespace(), &owner.name)
        {
            wake.key(&found.header().key);
        }
    }
    let Some(orphan) = delta.after().filter(|set| set.header().controller().is_none()) else { return };
    for deployment in world.deployments.namespace(orphan.header().namespace()) {
        let selector = deployment.spec.as_ref().map(|spec| &spec.selector);
        if selector.is_some_and(|s| !selection::is_empty(s) && selection::selects(s, &orphan.header().labels)) {
            wake.key(&deployment.header().key);
        }
    }
}

fn is_recreate(spec: &DeploymentSpec) -> bool {
    spec.strategy.as_ref().and_then(|s| s.type_.as_deref()) == Some("Recreate")
}

/// A ReplicaSet as a rollout sees it, with the size that the plan gives it.
#[derive(Clone)]
struct Member {
    set: Arc<Whole<ReplicaSet>>,
    /// `spec.replicas`.
    size: i32,
}

impl Member {
    fn available(&self) -> i32 {
        self.set.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0)
    }

    fn replicas(&self) -> i32 {
        self.set.status.as_ref().map_or(0, |s| s.replicas)
    }
}

/// One Deployment, its ReplicaSets, and the limits of its strategy.
struct Rollout<'a> {
    world: &'a World,
    deployment: &'a Whole<Deployment>,
    spec: &'a DeploymentSpec,
    now: Timestamp,
    replicas: i32,
    /// How many pods there may be above `replicas`.
    surge: i32,
    /// How many of `replicas` may be unavailable.
    unavailable: i32,
    /// The ReplicaSet of the present template, if there is one.
    new: Option<Member>,
    /// All others, oldest first.
    old: Vec<Member>,
}

impl<'a> Rollout<'a> {
    fn new(
        world: &'a World,
        deployment: &'a Whole<Deployment>,
        spec: &'a DeploymentSpec,
        sets: Vec<Arc<Whole<ReplicaSet>>>,
        now: Timestamp,
    ) -> Self {
        let replicas = spec.replicas.unwrap_or(1);
        let (surge, unavailable) = limits(spec, replicas);
        let (mut new, mut old) = (None, Vec::new());
        for set in sets {
            let size = set.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
            let member = Member { set, size };
            // Of several with the present template the oldest counts, so that all readers agree on it.
            if new.is_none() && revisions::has_template(&member.set, &spec.template) {
                new = Some(member);
            } else {
                old.push(member);
            }
        }
        Self { world, deployment, spec, now, replicas, surge, unavailable, new, old }
    }

    fn plan(mut self, mut plan: Plan) -> Plan {
        let mut deployment = self.deployment.to_object();
        if self.deployment.header().is_terminating() {
            status::fill(&self, &mut deployment);
            return self.finish(deployment, plan);
        }
        conditions::follow_pause(&self, &mut deployment);
        if self.spec.paused == Some(true) || self.has_been_scaled() {
            revisions::sync(&mut self, &mut deployment, revisions::IfMissing::Leave, &mut plan);
            scaling::scale(&mut self, &mut plan);
            if self.spec.paused == Some(true) {
                history::clean(&self, &mut plan);
            }
        } else if is_recreate(self.spec) {
            recreate::roll(&mut self, &mut deployment, &mut plan);
        } else {
            revisions::sync(&mut self, &mut deployment, revisions::IfMissing::Create, &mut plan);
            rolling::roll(&mut self, &mut plan);
        }
        status::fill(&self, &mut deployment);
        if status::is_complete(self.spec, &deployment) && self.spec.paused != Some(true) {
            history::clean(&self, &mut plan);
        }
        plan.again = plan.again.or_else(|| conditions::next_deadline(&self, &deployment));
        self.finish(deployment, plan)
    }

    /// Writes what differs of the Deployment. The revision is an annotation, and goes with the status: a change of
    /// annotations alone would be a new generation.
    fn finish(&self, changed: Deployment, mut plan: Plan) -> Plan {
        plan.update_status(self.deployment, |deployment| {
            deployment.metadata.annotations = changed.metadata.annotations;
            deployment.status = changed.status;
        });
        plan
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.old.iter().chain(&self.new)
    }

    /// All pods that the ReplicaSets are to have.
    fn total_size(&self) -> i32 {
        self.members().map(|m| m.size).sum()
    }

    /// The most pods that there may be.
    fn most(&self) -> i32 {
        self.replicas + self.surge
    }

    /// Whether `spec.replicas` changed since the ReplicaSets were last sized: they note what they were sized for.
    fn has_been_scaled(&self) -> bool {
        self.members()
            .filter(|m| m.size > 0)
            .filter_map(|m| scaling::noted(&m.set, scaling::DESIRED))
            .any(|desired| desired != self.replicas)
    }
}

/// Surge and unavailability in pods. Surge is rounded up and unavailability down; both zero would never move, so
/// that then one pod may be unavailable.
fn limits(spec: &DeploymentSpec, replicas: i32) -> (i32, i32) {
    if is_recreate(spec) {
        return (0, 0);
    }
    let rolling = spec.strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
    let surge = scaled(rolling.and_then(|r| r.max_surge.as_ref()), replicas, Rounding::Up);
    let unavailable = scaled(rolling.and_then(|r| r.max_unavailable.as_ref()), replicas, Rounding::Down);
    match (surge, unavailable) {
        (0, 0) => (0, 1),
        (surge, unavailable) => (surge, unavailable.min(replicas)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    Up,
    Down,
}

/// A count, or a percentage of `total`. 25% where nothing is said, as the API defaults it.
pub fn scaled(value: Option<&IntOrString>, total: i32, rounding: Rounding) -> i32 {
    let percent = match value {
        Some(IntOrString::Int(count)) => return *count,
        Some(IntOrString::String(text)) => text.trim_end_matches('%').parse().unwrap_or(0),
        None => 25,
    };
    let hundredths = i64::from(total) * percent;
    let rounded = if rounding == Rounding::Up { (hundredths + 99).div_euclid(100) } else { hundredths.div_euclid(100) };
    i32::try_from(rounded).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;

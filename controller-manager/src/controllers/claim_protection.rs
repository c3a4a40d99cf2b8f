//! Protects volume claims: one that a pod uses stays until the last such pod has ended.

use std::sync::Arc;

use crate::controller::{Controller, Key, Wake};
use crate::plan::{Plan, Write};
use crate::world::{Change, Kind, PodRow, Whole, World};
use api::kind::Typed;
use jiff::Timestamp;

const FINALIZER: &str = "kubernetes.io/pvc-protection";

pub struct ClaimProtectionController;

impl Controller for ClaimProtectionController {
    fn name(&self) -> &'static str {
        "persistentvolumeclaim-protection-controller"
    }

    fn account(&self) -> Option<&'static str> {
        Some("pvc-protection-controller")
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::PersistentVolumeClaim, Kind::Pod]
    }

    fn wakes(&self, _world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::PersistentVolumeClaim(delta) => wake.key(&delta.newest().header().key),
            Change::Pod(delta) if delta.after().is_none_or(|pod| pod.phase.is_finished()) => {
                let pod = delta.newest();
                pod.claims.iter().for_each(|claim| wake.key(&Key::new(pod.key.namespace.clone(), &**claim)));
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(claim) = world.claims.get(key) else { return plan };
        let header = claim.header();
        match (header.is_terminating(), header.has_finalizer(FINALIZER)) {
            (false, false) => plan.write(set_finalizers(&**claim, header.finalizers.iter().map(String::as_str).chain([FINALIZER]))),
            (true, true) if !is_used(world, key) => {
                plan.write(set_finalizers(&**claim, header.finalizers.iter().map(String::as_str).filter(|f| *f != FINALIZER)));
            }
            _ => {}
        }
        plan
    }
}

/// Whether a pod that has not ended, and has or may get a node, uses the claim.
fn is_used(world: &World, key: &Key) -> bool {
    let uses = |pod: &Arc<PodRow>| !pod.phase.is_finished() && pod.claims.iter().any(|claim| **claim == *key.name);
    world.pods.namespace(&key.namespace).any(uses)
}

/// Replaces an object's finalizers, if nobody else has changed it.
pub(super) fn set_finalizers<'a, K: Typed>(row: &Whole<K>, finalizers: impl Iterator<Item = &'a str>) -> Write {
    let finalizers: Vec<String> = finalizers.map(str::to_owned).collect();
    Write::change(row, |object| object.metadata_mut().finalizers = (!finalizers.is_empty()).then_some(finalizers))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::laws::{Scenario, check};

    #[test]
    fn a_claim_stays_while_a_pod_uses_it() {
        let phases: &[&dyn Fn(&mut crate::simulator::Simulator)] = &[
            &|s| {
                s.create(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {}}));
                s.create(json!({
                    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"},
                    "spec": {
                        "containers": [{"name": "c", "image": "i"}],
                        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
                    },
                }));
            },
            &|s| s.delete("persistentvolumeclaims", "data"),
            &|s| s.delete("pods", "user"),
        ];
        let run = |phases| check(&Scenario { controllers: &[&ClaimProtectionController], phases, ..Scenario::default() });
        assert_eq!(run(&phases[..2]).all("persistentvolumeclaims").count(), 1);
        assert_eq!(run(phases).all("persistentvolumeclaims").count(), 0);
    }
}

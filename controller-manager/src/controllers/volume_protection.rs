//! Protects volumes: one that a claim is bound to stays until it is released.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolume;

use super::claim_protection::set_finalizers;
use crate::controller::{Controller, Key, Wake};
use crate::plan::Plan;
use crate::world::{Change, Kind, World};

const FINALIZER: &str = "kubernetes.io/pv-protection";

pub struct VolumeProtectionController;

impl Controller for VolumeProtectionController {
    fn name(&self) -> &'static str {
        "persistentvolume-protection-controller"
    }

    fn account(&self) -> Option<&'static str> {
        Some("pv-protection-controller")
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::PersistentVolume]
    }

    fn wakes(&self, _world: &World, change: &Change<'_>, wake: &mut Wake) {
        if let Change::PersistentVolume(delta) = change {
            wake.key(&delta.newest().header().key);
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(volume) = world.volumes.get(key) else { return plan };
        let header = volume.header();
        let finalizers = header.finalizers.iter().map(String::as_str);
        match (header.is_terminating(), header.has_finalizer(FINALIZER)) {
            (false, false) => plan.write(set_finalizers(&**volume, finalizers.chain([FINALIZER]))),
            (true, true) if !is_bound(volume) => plan.write(set_finalizers(&**volume, finalizers.filter(|f| *f != FINALIZER))),
            _ => {}
        }
        plan
    }
}

fn is_bound(volume: &PersistentVolume) -> bool {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
}

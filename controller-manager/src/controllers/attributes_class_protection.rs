//! Protects classes of volume attributes: one that a claim or a volume has, or is to have, stays until none does.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use super::claim_protection::set_finalizers;
use crate::controller::{Controller, Key, Wake};
use crate::plan::Plan;
use crate::world::{Change, Kind, World};

const FINALIZER: &str = "kubernetes.io/vac-protection";

pub struct AttributesClassProtectionController;

impl Controller for AttributesClassProtectionController {
    fn name(&self) -> &'static str {
        "volumeattributesclass-protection-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::VolumeAttributesClass, Kind::PersistentVolume, Kind::PersistentVolumeClaim]
    }

    /// A class may be let go when one that had it has it no more.
    fn wakes(&self, _world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::VolumeAttributesClass(delta) => wake.key(&delta.newest().header().key),
            Change::PersistentVolume(delta) => {
                delta.before().into_iter().flat_map(|volume| of_volume(volume)).for_each(|class| wake.key(&Key::cluster(class)));
            }
            Change::PersistentVolumeClaim(delta) => {
                delta.before().into_iter().flat_map(|claim| of_claim(claim)).for_each(|class| wake.key(&Key::cluster(class)));
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(class) = world.volume_attributes_classes.get(key) else { return plan };
        let header = class.header();
        let finalizers = header.finalizers.iter().map(String::as_str);
        match (header.is_terminating(), header.has_finalizer(FINALIZER)) {
            (false, false) => plan.write(set_finalizers(&**class, finalizers.chain([FINALIZER]))),
            (true, true) if !is_used(world, header.name()) => {
                plan.write(set_finalizers(&**class, finalizers.filter(|f| *f != FINALIZER)));
            }
            _ => {}
        }
        plan
    }
}

fn is_used(world: &World, class: &str) -> bool {
    let by_volume = world.volumes.all().flat_map(|volume| of_volume(volume));
    let mut all = by_volume.chain(world.claims.all().flat_map(|claim| of_claim(claim)));
    all.any(|used| used == class)
}

fn of_volume(volume: &PersistentVolume) -> impl Iterator<Item = &str> {
    volume.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref()).into_iter()
}

/// The class that a claim asks for, the one that its volume has, and the one that it is getting.
fn of_claim(claim: &PersistentVolumeClaim) -> impl Iterator<Item = &str> {
    let wanted = claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref());
    let status = claim.status.as_ref();
    let current = status.and_then(|status| status.current_volume_attributes_class_name.as_deref());
    let target = status.and_then(|status| status.modify_volume_status.as_ref()?.target_volume_attributes_class_name.as_deref());
    [wanted, current, target].into_iter().flatten()
}

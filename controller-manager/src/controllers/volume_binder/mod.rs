//! The volume binder: brings claims and volumes together, and says in their phases how far that is.
//!
//! A binding is made in steps, each of which holds by itself: the volume names the claim, the claim names the volume,
//! then both are `Bound`. Who is asked about a claim looks after the claim, who is asked about a volume after the volume.

mod claim;
mod matching;
mod volume;

use api::scheduling::volumes::class_of;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};

use crate::controller::{Controller, Key, Wake};
use crate::plan::Plan;
use crate::world::{Change, Kind, Whole, World};

type Claim = Whole<PersistentVolumeClaim>;
type Volume = Whole<PersistentVolume>;

const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

pub struct VolumeBinder;

impl Controller for VolumeBinder {
    fn name(&self) -> &'static str {
        "persistentvolume-binder-controller"
    }

    fn component(&self) -> &'static str {
        "persistentvolume-controller"
    }

    fn account(&self) -> Option<&'static str> {
        Some("persistent-volume-binder")
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::PersistentVolume, Kind::PersistentVolumeClaim, Kind::StorageClass, Kind::Node]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::PersistentVolumeClaim(delta) => {
                for claim in delta.states() {
                    wake.key(&claim.header().key);
                    let name = volume_name(claim);
                    if !name.is_empty() {
                        wake.key(&Key::cluster(name));
                    }
                }
                // A claim that is gone may be named by a volume that it never came to name.
                let key = &delta.newest().header().key;
                if delta.after().is_none() {
                    world.volumes.all().filter(|volume| refers_to(volume, key)).for_each(|volume| wake.key(&volume.header().key));
                }
            }
            Change::PersistentVolume(delta) => {
                for volume in delta.states() {
                    wake.key(&volume.header().key);
                    if let Some(reference) = claim_ref(volume) {
                        wake.key(&key_of(reference));
                    }
                    let class = class_of_volume(volume);
                    let waits = |claim: &&std::sync::Arc<Claim>| {
                        (volume_name(claim).is_empty() && class_of(claim) == class) || volume_name(claim) == volume.header().name()
                    };
                    world.claims.all().filter(waits).for_each(|claim| wake.key(&claim.header().key));
                }
            }
            Change::StorageClass(delta) => {
                let name = delta.newest().header().name();
                let waits = |claim: &&std::sync::Arc<Claim>| volume_name(claim).is_empty() && class_of(claim) == name;
                world.claims.all().filter(waits).for_each(|claim| wake.key(&claim.header().key));
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        if key.namespace.is_empty() {
            world.volumes.get(key).map(|volume| volume::look_after(world, volume, now)).unwrap_or_default()
        } else {
            world.claims.get(key).map(|claim| claim::look_after(world, claim)).unwrap_or_default()
        }
    }
}

fn volume_name(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default()
}

fn class_of_volume(volume: &PersistentVolume) -> &str {
    volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or_default()
}

fn claim_ref(volume: &PersistentVolume) -> Option<&ObjectReference> {
    volume.spec.as_ref()?.claim_ref.as_ref()
}

fn key_of(reference: &ObjectReference) -> Key {
    Key::new(reference.namespace.as_deref().unwrap_or_default(), reference.name.as_deref().unwrap_or_default())
}

/// Whether the volume names a claim of this name, whichever object that is.
fn refers_to(volume: &PersistentVolume, key: &Key) -> bool {
    claim_ref(volume).is_some_and(|reference| key_of(reference) == *key)
}

/// Whether the volume names this claim, or would take any claim of its name.
fn is_for(volume: &PersistentVolume, claim: &Claim) -> bool {
    let uid = claim_ref(volume).and_then(|reference| reference.uid.as_deref()).unwrap_or_default();
    refers_to(volume, &claim.header().key) && (uid.is_empty() || *uid == *claim.header().uid)
}

#[cfg(test)]
mod tests;

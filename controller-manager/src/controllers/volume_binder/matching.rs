//! Which volume a claim gets: the smallest that has all that is asked for.

use std::sync::Arc;

use api::scheduling::volumes::{self, SELECTED_NODE, annotation, class_of, phase};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaimSpec, PersistentVolumeSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::quantity::Quantity;

use super::{Claim, Volume, claim_ref, is_for};
use crate::selection;
use crate::world::{Row, World};

/// The best volume for a claim: one that was set aside for it, else the smallest that is free, if anything but what was
/// set aside is wanted.
pub(super) fn best<'w>(world: &'w World, claim: &Claim, only_reserved: bool) -> Option<&'w Arc<Volume>> {
    let spec = claim.spec.as_ref()?;
    let fits = |volume: &&Arc<Volume>| {
        !volume.header().is_terminating() && why_unfit(volume, claim).is_none() && reaches_selected_node(world, volume, claim)
    };
    let reserved = world.volumes.all().filter(|volume| claim_ref(volume).is_some() && is_for(volume, claim));
    let mut reserved: Vec<_> = reserved.filter(fits).collect();
    reserved.sort_by_key(|volume| (size_of(volume), volume.header().name().to_owned()));
    if let Some(found) = reserved.first() {
        return Some(found);
    }
    if only_reserved {
        return None;
    }
    let free = world
        .volumes
        .all()
        .filter(|volume| claim_ref(volume).is_none() && phase(volume) == "Available" && selected(spec, &volume.metadata) && fits(volume));
    // The name decides between equals, so that a decision can be repeated.
    free.min_by_key(|volume| (size_of(volume), volume.header().name().to_owned()))
}

fn selected(spec: &PersistentVolumeClaimSpec, meta: &ObjectMeta) -> bool {
    let labels = meta.labels.clone().unwrap_or_default();
    spec.selector.as_ref().is_none_or(|selector| selection::selects(selector, &labels))
}

fn size_of(volume: &PersistentVolume) -> Option<Quantity> {
    volume.spec.as_ref().and_then(volumes::capacity)
}

/// What a claim needs and the volume does not have.
pub(super) fn why_unfit(volume: &Volume, claim: &Claim) -> Option<&'static str> {
    let (no_volume, no_claim) = (PersistentVolumeSpec::default(), PersistentVolumeClaimSpec::default());
    volumes::why_unfit(volume.spec.as_ref().unwrap_or(&no_volume), claim.spec.as_ref().unwrap_or(&no_claim), class_of(claim))
}

/// A claim whose first consumer has a node needs a volume that can be reached from there.
fn reaches_selected_node(world: &World, volume: &PersistentVolume, claim: &Claim) -> bool {
    let Some(node) = annotation(&claim.metadata, SELECTED_NODE) else { return true };
    let required = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref()?.required.as_ref());
    let Some(selector) = required else { return true };
    let Some(row) = world.nodes.find("", node) else { return false };
    api::scheduling::affinity::matches_selector(selector, node, &row.header().labels)
}

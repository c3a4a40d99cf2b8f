//! A volume's side of the binding: its phase, and what becomes of it when its claim is gone.

use api::scheduling::volumes::{BOUND_BY_CONTROLLER, annotation, phase};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{PROVISIONED_BY, Volume, claim_ref, key_of, volume_name};
use crate::plan::{Note, Plan, Write};
use crate::world::World;

pub(super) fn look_after(world: &World, volume: &Volume, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(reference) = claim_ref(volume) else {
        set_phase(volume, "Available", None, now, &mut plan);
        return plan;
    };
    let uid = reference.uid.as_deref().unwrap_or_default();
    if uid.is_empty() {
        // Set aside for a claim that has not come.
        set_phase(volume, "Available", None, now, &mut plan);
        return plan;
    }
    let claim = world.claims.get(&key_of(reference)).filter(|claim| *claim.header().uid == *uid);
    match claim.map(|claim| volume_name(claim)) {
        None => release(volume, now, &mut plan),
        Some(name) if name == volume.header().name() => set_phase(volume, "Bound", None, now, &mut plan),
        // The claim is about to name this volume.
        Some("") => {}
        Some(_) if annotation(&volume.metadata, BOUND_BY_CONTROLLER).is_some() => {
            // The claim went elsewhere meanwhile: this volume is free again.
            plan.write(Write::change(volume, |volume| {
                volume.metadata.annotations.get_or_insert_default().remove(BOUND_BY_CONTROLLER);
                volume.spec.get_or_insert_default().claim_ref = None;
            }));
        }
        // Its author set it aside for this very claim, which may come to it yet.
        Some(_) => set_phase(volume, "Available", None, now, &mut plan),
    }
    plan
}

/// The claim is gone. What was kept in the volume is its owner's to decide about.
fn release(volume: &Volume, now: Timestamp, plan: &mut Plan) {
    if phase(volume) == "Failed" {
        return;
    }
    if phase(volume) != "Released" {
        return set_phase(volume, "Released", None, now, plan);
    }
    let policy = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    // Who made the volume deletes it, too.
    let external = annotation(&volume.metadata, PROVISIONED_BY).is_some() || volume.spec.as_ref().is_some_and(|spec| spec.csi.is_some());
    if policy == Some("Delete") && !external {
        let why = "no volume plugin that could delete it was found";
        plan.note(Note::warning(volume, "VolumeFailedDelete", why));
        set_phase(volume, "Failed", Some(why), now, plan);
    }
}

fn set_phase(volume: &Volume, wanted: &str, why: Option<&str>, now: Timestamp, plan: &mut Plan) {
    if phase(volume) == wanted {
        return;
    }
    plan.update_status(volume, |volume| {
        let status = volume.status.get_or_insert_default();
        status.phase = Some(wanted.to_owned());
        status.message = why.map(str::to_owned);
        status.last_phase_transition_time = Some(Time(now));
    });
}

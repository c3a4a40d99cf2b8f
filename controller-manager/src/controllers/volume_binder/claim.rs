//! A claim's side of the binding.

use api::scheduling::volumes::{BIND_COMPLETED, BOUND_BY_CONTROLLER, NO_PROVISIONER, SELECTED_NODE, annotation, class_of};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::matching::{best, why_unfit};
use super::{Claim, Volume, claim_ref, is_for, volume_name};
use crate::controller::Key;
use crate::plan::{Note, Plan, Write, reference};
use crate::world::World;

const PROVISIONER_ANNOTATIONS: [&str; 2] = ["volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"];
/// How often a claim that waits for somebody else says so again.
const REMIND_SECONDS: i64 = 15;

pub(super) fn look_after(world: &World, claim: &Claim) -> Plan {
    let mut plan = Plan::default();
    let name = volume_name(claim);
    let completed = annotation(&claim.metadata, BIND_COMPLETED).is_some();
    let volume = world.volumes.get(&Key::cluster(name)).filter(|_| !name.is_empty());
    match (completed, volume) {
        (true, Some(volume)) if claim_ref(volume).is_none() || is_for(volume, claim) => bind(volume, claim, &mut plan),
        (true, volume) => {
            if phase(claim) != "Lost" {
                let (reason, why) = match volume {
                    Some(_) => ("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly"),
                    None => ("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"),
                };
                plan.note(Note::warning(claim, reason, why));
            }
            set_phase(claim, "Lost", &mut plan);
        }
        (false, _) if name.is_empty() => find(world, claim, &mut plan),
        (false, Some(volume)) if claim_ref(volume).is_none() => match why_unfit(volume, claim) {
            None => bind(volume, claim, &mut plan),
            Some(why) => {
                plan.note(Note::warning(claim, "VolumeMismatch", format!("Cannot bind to requested volume {name:?}: {why}")));
                set_phase(claim, "Pending", &mut plan);
            }
        },
        (false, Some(volume)) if is_for(volume, claim) => bind(volume, claim, &mut plan),
        (false, Some(_)) => {
            let why = format!("volume {name:?} already bound to a different claim.");
            plan.note(Note::warning(claim, "FailedBinding", why));
            set_phase(claim, "Pending", &mut plan);
        }
        (false, None) => set_phase(claim, "Pending", &mut plan),
    }
    plan
}

fn phase(claim: &PersistentVolumeClaim) -> &str {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn set_phase(claim: &Claim, wanted: &str, plan: &mut Plan) {
    // What others wrote about a claim in this phase is not overruled.
    if phase(claim) == wanted {
        return;
    }
    plan.update_status(claim, |claim| {
        let status = claim.status.get_or_insert_default();
        status.phase = Some(wanted.to_owned());
        if wanted != "Bound" {
            status.capacity = None;
            status.access_modes = None;
        }
    });
}

/// A claim that names no volume gets one, or is left to a provisioner, or waits.
fn find(world: &World, claim: &Claim, plan: &mut Plan) {
    let class = world.storage_classes.find("", class_of(claim));
    let delays = class.is_some_and(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"));
    let waits = delays && annotation(&claim.metadata, SELECTED_NODE).is_none();
    if claim.header().is_terminating() {
        return;
    }
    if let Some(volume) = best(world, claim, waits) {
        return bind(volume, claim, plan);
    }
    let class_name = class_of(claim);
    let provisioner = class.map(|class| class.provisioner.as_str()).filter(|name| *name != NO_PROVISIONER);
    let note = match (waits, class_name, provisioner) {
        (true, ..) => Note::normal(claim, "WaitForFirstConsumer", "waiting for first consumer to be created before binding"),
        (_, "", _) => Note::normal(claim, "FailedBinding", "no persistent volumes available for this claim and no storage class is set"),
        (_, _, Some(provisioner)) => {
            hand_over(claim, provisioner, plan);
            let why = format!(
                "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system administrator."
            );
            Note::normal(claim, "ExternalProvisioning", why)
        }
        (_, name, None) if class.is_none() => {
            Note::warning(claim, "ProvisioningFailed", format!("storageclass.storage.k8s.io {name:?} not found"))
        }
        _ => Note::normal(claim, "FailedBinding", "no persistent volumes available for this claim, and its storage class makes none"),
    };
    plan.note(note);
    plan.look_again_in(REMIND_SECONDS);
    set_phase(claim, "Pending", plan);
}

/// Tells the provisioner that the claim is for it.
fn hand_over(claim: &Claim, provisioner: &str, plan: &mut Plan) {
    if PROVISIONER_ANNOTATIONS.iter().any(|key| annotation(&claim.metadata, key) != Some(provisioner)) {
        let annotations = PROVISIONER_ANNOTATIONS.map(|key| (key.to_owned(), provisioner.to_owned()));
        plan.write(Write::change(claim, |claim| claim.metadata.annotations.get_or_insert_default().extend(annotations)));
    }
}

/// The next step of a binding: the volume first, so that nobody else takes it; then the claim; then its status. (The
/// volume's own status follows from the claim's, by itself.)
fn bind(volume: &Volume, claim: &Claim, plan: &mut Plan) {
    let reference = claim_ref(volume);
    if reference.is_none_or(|reference| reference.uid.as_deref() != Some(&claim.header().uid)) {
        return plan.write(name_claim(volume, claim));
    }
    let chosen_here = volume_name(claim).is_empty();
    if chosen_here || annotation(&claim.metadata, BIND_COMPLETED).is_none() {
        return plan.write(Write::change(claim, |claim| {
            let annotations = claim.metadata.annotations.get_or_insert_default();
            annotations.insert(BIND_COMPLETED.to_owned(), "yes".to_owned());
            if chosen_here {
                annotations.insert(BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
            }
            claim.spec.get_or_insert_default().volume_name = Some(volume.header().name().to_owned());
        }));
    }
    plan.update_status(claim, |claim| {
        let spec = volume.spec.clone().unwrap_or_default();
        let status = claim.status.get_or_insert_default();
        // The size of a claim that was bound before is its resizer's business.
        if status.phase.as_deref() != Some("Bound") {
            status.capacity = spec.capacity;
            status.access_modes = spec.access_modes;
            status.current_volume_attributes_class_name = spec.volume_attributes_class_name;
            status.phase = Some("Bound".to_owned());
        }
    });
}

/// The volume is the claim's from here on: no other claim of the same name will do.
fn name_claim(volume: &Volume, claim: &Claim) -> Write {
    let chosen_here = claim_ref(volume).is_none();
    Write::change(volume, |volume| {
        if chosen_here {
            volume.metadata.annotations.get_or_insert_default().insert(BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
        }
        volume.spec.get_or_insert_default().claim_ref = Some(reference(claim));
    })
}

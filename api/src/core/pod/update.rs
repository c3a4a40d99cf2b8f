//! Updates of a pod itself: metadata, images, `activeDeadlineSeconds`, more tolerations, fewer scheduling gates, and, of
//! a gated pod, a narrower choice of nodes. Everything else of a spec stays as it was created.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{Affinity, Container, NodeAffinity, NodeSelectorTerm, Pod, PodSpec, Toleration};
use machinery::field::{Error, Errors, Path};

use super::{count_generation, validation};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate::{required, text};
use crate::zero::omit;

pub(super) struct Update;

impl UpdateStrategy<Pod> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Pod, old: &Pod) {
        new.status = old.status.clone();
        if let Some(spec) = &mut new.spec {
            omit(&mut spec.overhead);
        }
        count_generation(new, old);
    }

    fn validate(&self, _cx: &Context<'_>, new: &Pod, old: &Pod) -> Errors {
        let mut errors = validation::validate_pod(new);
        errors.extend(validation::validate_annotations_update(new, old));
        if let (Some(new), Some(old)) = (&new.spec, &old.spec) {
            errors.extend(validate_spec(&Path::new("spec"), new, old));
        }
        errors
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

fn validate_spec(path: &Path, new: &PodSpec, old: &PodSpec) -> Errors {
    let mut errors = match validate_containers(&path.child("containers"), &new.containers, &old.containers) {
        Ok(errors) => errors,
        Err(error) => return vec![error],
    };
    let [new_init, old_init] = [new, old].map(|spec| spec.init_containers.as_deref().unwrap_or_default());
    match validate_containers(&path.child("initContainers"), new_init, old_init) {
        Ok(more) => errors.extend(more),
        Err(error) => {
            errors.push(error);
            return errors;
        }
    }
    match validate_deadline(path, new, old) {
        Ok(()) => {}
        Err(Deadline::Final(error)) => {
            errors.push(error);
            return errors;
        }
        Err(Deadline::Removed(error)) => errors.push(error),
    }
    errors.extend(validate_tolerations(path, new, old));
    errors.extend(validate_gates(path, new, old));
    if new == old {
        return errors;
    }
    let mut same = with_mutable_fields_of(new, old);
    if old.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) {
        errors.extend(validate_narrowing(path, &mut same, old));
    }
    if same != *old {
        const WHY: &str = "a pod's spec cannot change, except for images, activeDeadlineSeconds, more tolerations and a \
                           terminationGracePeriodSeconds of 1 where it was negative";
        errors.push(Error::forbidden(path, WHY));
    }
    errors
}

/// Containers may have other images, but there are no more and no fewer; an error says that nothing else can be
/// compared.
fn validate_containers(path: &Path, new: &[Container], old: &[Container]) -> Result<Errors, Error> {
    if new.len() != old.len() {
        return Err(Error::forbidden(path, "containers cannot be added or removed"));
    }
    // What is wrong with an image in itself has been said before, and is said again.
    let mut errors = Errors::new();
    for (i, container) in new.iter().enumerate() {
        let (at, image) = (path.index(i).child("image"), text(&container.image));
        errors.extend(required(&at, image));
        if image.trim() != image {
            errors.push(Error::invalid(&at, image, "must not have blanks at its ends"));
        }
    }
    Ok(errors)
}

enum Deadline {
    /// Kubernetes looks at nothing further.
    Final(Error),
    Removed(Error),
}

/// A deadline may be set, and may come nearer.
fn validate_deadline(path: &Path, new: &PodSpec, old: &PodSpec) -> Result<(), Deadline> {
    let path = path.child("activeDeadlineSeconds");
    match (new.active_deadline_seconds, old.active_deadline_seconds) {
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            Err(Deadline::Final(Error::invalid(&path, new, "must be between 0 and 2147483647")))
        }
        (Some(new), Some(old)) if new > old => {
            Err(Deadline::Final(Error::invalid(&path, new, "must be less than or equal to the previous value")))
        }
        (None, Some(_)) => Err(Deadline::Removed(Error::invalid(&path, &(), "cannot be removed"))),
        _ => Ok(()),
    }
}

/// Tolerations may be added, and of those there are, the seconds may change.
fn validate_tolerations(path: &Path, new: &PodSpec, old: &PodSpec) -> Errors {
    let path = path.child("tolerations");
    let new = new.tolerations.as_deref().unwrap_or_default();
    let kept: HashSet<_> = new.iter().map(untimed).collect();
    match old.tolerations.iter().flatten().find(|old| !kept.contains(&untimed(old))) {
        Some(_) => vec![Error::forbidden(&path, "existing tolerations cannot be changed, except for their tolerationSeconds")],
        None => validation::validate_tolerations(&path, new),
    }
}

/// All that a toleration says but for how long.
fn untimed(toleration: &Toleration) -> [Option<&str>; 4] {
    [&toleration.key, &toleration.operator, &toleration.value, &toleration.effect].map(Option::as_deref)
}

/// Gates may be removed.
fn validate_gates(path: &Path, new: &PodSpec, old: &PodSpec) -> Errors {
    let path = path.child("schedulingGates");
    let known: HashSet<&str> = old.scheduling_gates.iter().flatten().map(|gate| gate.name.as_str()).collect();
    let added = new.scheduling_gates.iter().flatten().enumerate().filter(|(_, gate)| !known.contains(gate.name.as_str()));
    added.map(|(i, gate)| Error::forbidden(&path.index(i).child("name"), format!("{:?} cannot be added", gate.name))).collect()
}

/// The new spec, with the fields that may change, and were looked at, as they were.
fn with_mutable_fields_of(new: &PodSpec, old: &PodSpec) -> PodSpec {
    let mut same = new.clone();
    let old_init = old.init_containers.as_deref().unwrap_or_default();
    for (container, old) in same.containers.iter_mut().zip(&old.containers) {
        container.image.clone_from(&old.image);
    }
    for (container, old) in same.init_containers.iter_mut().flatten().zip(old_init) {
        container.image.clone_from(&old.image);
    }
    same.active_deadline_seconds = old.active_deadline_seconds;
    same.scheduling_gates.clone_from(&old.scheduling_gates);
    same.tolerations.clone_from(&old.tolerations);
    if old.termination_grace_period_seconds.is_some_and(|s| s < 0) && same.termination_grace_period_seconds == Some(1) {
        same.termination_grace_period_seconds = old.termination_grace_period_seconds;
    }
    same
}

/// A gated pod may become choosier about nodes: more node labels to match, more requirements in each term. What is
/// looked at here is put back in `same`.
fn validate_narrowing(path: &Path, same: &mut PodSpec, old: &PodSpec) -> Errors {
    let mut errors = Errors::new();
    let wanted = same.node_selector.clone().unwrap_or_default();
    if old.node_selector.iter().flatten().any(|(key, value)| wanted.get(key) != Some(value)) {
        let why = "labels may be added while the pod is gated, not changed or removed";
        errors.push(Error::invalid(&path.child("nodeSelector"), &wanted, why));
    }
    same.node_selector.clone_from(&old.node_selector);

    let affinity = |spec: &PodSpec| spec.affinity.as_ref().and_then(|a| a.node_affinity.clone());
    let (new_node, old_node) = (affinity(same), affinity(old));
    if new_node == old_node {
        return errors;
    }
    errors.extend(validate_narrower_terms(&path.child("affinity").child("nodeAffinity"), new_node.as_ref(), old_node.as_ref()));
    match (&mut same.affinity, &old.affinity) {
        (None, Some(_)) => same.affinity = Some(Affinity { node_affinity: old_node, ..Affinity::default() }),
        (Some(new), None) if new.pod_affinity.is_none() && new.pod_anti_affinity.is_none() => same.affinity = None,
        (Some(new), _) => new.node_affinity = old_node,
        (None, None) => {}
    }
    errors
}

fn validate_narrower_terms(path: &Path, new: Option<&NodeAffinity>, old: Option<&NodeAffinity>) -> Errors {
    let terms = |node: Option<&NodeAffinity>| {
        let required = node.and_then(|n| n.required_during_scheduling_ignored_during_execution.clone());
        required.map(|selector| selector.node_selector_terms).unwrap_or_default()
    };
    let (new, old) = (terms(new), terms(old));
    let at = path.child("requiredDuringSchedulingIgnoredDuringExecution").child("nodeSelectorTerms");
    const WHY: &str = "requirements may be added to terms while the pod is gated, not changed or removed";
    if old.is_empty() {
        return Errors::new();
    }
    if new.len() != old.len() {
        return vec![Error::invalid(&at, &new, WHY)];
    }
    let wider = new.iter().zip(&old).enumerate().filter(|(_, (new, old))| !narrows(new, old));
    wider.map(|(i, (new, _))| Error::invalid(&at.index(i), new, WHY)).collect()
}

/// A term without requirements matches nothing, so that adding to it would widen the choice.
fn narrows(new: &NodeSelectorTerm, old: &NodeSelectorTerm) -> bool {
    let begins = |new: Option<&Vec<_>>, old: Option<&Vec<_>>| {
        let (new, old) = (new.map_or(&[][..], |v| v), old.map_or(&[][..], |v| v));
        new.starts_with(old)
    };
    let empty = *old == NodeSelectorTerm::default();
    (!empty || new == old)
        && begins(new.match_expressions.as_ref(), old.match_expressions.as_ref())
        && begins(new.match_fields.as_ref(), old.match_fields.as_ref())
}

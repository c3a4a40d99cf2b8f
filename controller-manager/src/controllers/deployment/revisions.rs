//! The ReplicaSet of the present template: finding it, creating it, and numbering revisions.

use std::collections::BTreeMap;

use api::core::pod::template_json;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Member, Rollout, conditions, is_recreate, rolling, scaling};
use crate::naming;
use crate::ownership::controller_reference;
use crate::plan::{Note, Plan, Write};
use crate::world::Whole;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const HASH_LABEL: &str = "pod-template-hash";

/// Annotations of a Deployment that are its own and are not handed on to ReplicaSets.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    scaling::DESIRED,
    scaling::MOST,
    "deprecated.deployment.rollback.to",
];

/// What to do where the present template has no ReplicaSet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IfMissing {
    Create,
    Leave,
}

/// Whether a ReplicaSet was made from this template; the hash label is not part of it.
pub(super) fn has_template(set: &Whole<ReplicaSet>, template: &PodTemplateSpec) -> bool {
    let Some(known) = set.spec.as_ref().and_then(|s| s.template.as_ref()) else { return false };
    known.spec == template.spec && {
        let none = ObjectMeta::default();
        let (a, b) = (known.metadata.as_ref().unwrap_or(&none), template.metadata.as_ref().unwrap_or(&none));
        let labels = |meta: &'_ ObjectMeta| -> BTreeMap<String, String> {
            meta.labels.iter().flatten().filter(|(key, _)| *key != HASH_LABEL).map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        labels(a) == labels(b) && a.annotations.iter().flatten().eq(b.annotations.iter().flatten()) && a.finalizers == b.finalizers
    }
}

pub(super) fn revision(set: &Whole<ReplicaSet>) -> i64 {
    set.metadata.annotations.as_ref().and_then(|a| a.get(REVISION)?.parse().ok()).unwrap_or(0)
}

/// Brings the new ReplicaSet's annotations and the revision up to date, or creates the ReplicaSet.
pub(super) fn sync(rollout: &mut Rollout<'_>, deployment: &mut Deployment, missing: IfMissing, plan: &mut Plan) {
    let newest_old = rollout.old.iter().map(|member| revision(&member.set)).max().unwrap_or(0);
    let number = newest_old + 1;
    match rollout.new.clone() {
        Some(member) => refresh(rollout, &member, number, deployment, plan),
        None if missing == IfMissing::Create => create(rollout, number, deployment, plan),
        None => {}
    }
}

fn refresh(rollout: &Rollout<'_>, member: &Member, number: i64, deployment: &mut Deployment, plan: &mut Plan) {
    let mut set = member.set.to_object();
    let wanted = annotations(rollout, set.metadata.annotations.take().unwrap_or_default(), number);
    set_revision(deployment, wanted.get(REVISION).cloned());
    set.metadata.annotations = Some(wanted);
    if let Some(spec) = &mut set.spec {
        spec.min_ready_seconds = rollout.spec.min_ready_seconds;
    }
    let min_ready = |spec: Option<&ReplicaSetSpec>| spec.and_then(|s| s.min_ready_seconds).unwrap_or(0);
    let differs =
        set.metadata.annotations != member.set.metadata.annotations || min_ready(set.spec.as_ref()) != min_ready(member.set.spec.as_ref());
    if differs {
        plan.write(Write::update(set));
    }
    conditions::found_new(rollout, deployment, member.set.header().name());
}

fn create(rollout: &mut Rollout<'_>, number: i64, deployment: &mut Deployment, plan: &mut Plan) {
    let owner = rollout.deployment;
    let collisions = deployment.status.as_ref().and_then(|s| s.collision_count).unwrap_or(0);
    let hash = naming::template_hash(&template_json(&rollout.spec.template), collisions);
    let name = naming::joined(owner.header().name(), &format!("-{hash}"));
    if rollout.world.replica_sets.find(owner.header().namespace(), &name).is_some() {
        // Somebody else's: another count gives another hash in the next pass.
        deployment.status.get_or_insert_default().collision_count = Some(collisions + 1);
        return;
    }
    let size = if is_recreate(rollout.spec) { rollout.replicas } else { rolling::new_size(rollout, 0) };
    let mut template = rollout.spec.template.clone();
    template.metadata.get_or_insert_default().labels.get_or_insert_default().insert(HASH_LABEL.to_owned(), hash.clone());
    let mut selector = rollout.spec.selector.clone();
    selector.match_labels.get_or_insert_default().insert(HASH_LABEL.to_owned(), hash);
    let mut annotations = annotations(rollout, BTreeMap::new(), number);
    scaling::note(&mut annotations, rollout.replicas, rollout.most());
    set_revision(deployment, annotations.get(REVISION).cloned());
    let set = ReplicaSet {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: owner.metadata.namespace.clone(),
            labels: template.metadata.as_ref().and_then(|m| m.labels.clone()),
            annotations: Some(annotations),
            owner_references: Some(vec![controller_reference(owner)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(size),
            min_ready_seconds: rollout.spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    };
    let mut write = Write::create(set).failed(Note::warning(owner, "ReplicaSetCreateError", "Could not create a ReplicaSet"));
    if size > 0 {
        write = write.done(Note::normal(owner, scaling::EVENT, format!("Scaled up replica set {name} from 0 to {size}")));
    }
    plan.write(write);
    conditions::created_new(rollout, deployment, &name);
}

/// The annotations of the new ReplicaSet: the Deployment's, and the revision with those it had before.
fn annotations(rollout: &Rollout<'_>, mut known: BTreeMap<String, String>, number: i64) -> BTreeMap<String, String> {
    for (key, value) in rollout.deployment.metadata.annotations.iter().flatten() {
        if !OWN.contains(&key.as_str()) {
            known.insert(key.clone(), value.clone());
        }
    }
    let before = known.get(REVISION).cloned();
    if before.as_ref().and_then(|b| b.parse::<i64>().ok()).unwrap_or(0) < number {
        if let Some(before) = before.filter(|b| !b.is_empty()) {
            let history = known.entry(REVISION_HISTORY.to_owned()).or_default();
            if !history.is_empty() {
                history.push(',');
            }
            history.push_str(&before);
        }
        known.insert(REVISION.to_owned(), number.to_string());
    }
    known
}

fn set_revision(deployment: &mut Deployment, revision: Option<String>) {
    if let Some(revision) = revision {
        deployment.metadata.annotations.get_or_insert_default().insert(REVISION.to_owned(), revision);
    }
}

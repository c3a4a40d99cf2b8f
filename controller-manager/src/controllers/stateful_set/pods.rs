//! The pods of a StatefulSet: their names, identity and volumes.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume};

use super::claims;
use crate::controllers::replicas::pod_of;
use crate::controllers::revisions::HASH_LABEL;
use crate::world::Whole;

const NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// The ordinal in the name of a pod of this set; None where the name is not of that form.
pub(super) fn ordinal(set: &str, pod: &str) -> Option<i32> {
    let digits = pod.strip_prefix(set)?.strip_prefix('-')?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    plain.then(|| digits.parse().ok()).flatten()
}

pub(super) fn name(set: &str, ordinal: i32) -> String {
    format!("{set}-{ordinal}")
}

pub(super) fn pod(set: &Whole<StatefulSet>, spec: &StatefulSetSpec, template: &PodTemplateSpec, ordinal: i32, revision: &str) -> Pod {
    let parent = set.header().name();
    let name = name(parent, ordinal);
    let mut pod = pod_of(template, set, name.clone(), &format!("{parent}-"));
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(NAME_LABEL.to_owned(), name.clone());
    labels.insert(INDEX_LABEL.to_owned(), ordinal.to_string());
    labels.insert(HASH_LABEL.to_owned(), revision.to_owned());
    let inner = pod.spec.get_or_insert_default();
    inner.hostname = Some(name);
    inner.subdomain = spec.service_name.clone();
    let mut volumes: Vec<Volume> = spec
        .volume_claim_templates
        .iter()
        .flatten()
        .map(|template| Volume {
            name: template.metadata.name.clone().unwrap_or_default(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claims::name(template, parent, ordinal),
                read_only: None,
            }),
            ..Volume::default()
        })
        .collect();
    // A volume of the template's with the name of a claim gives way to the claim.
    let given = inner.volumes.take().unwrap_or_default();
    volumes.extend(
        given.into_iter().filter(|given| {
            spec.volume_claim_templates.iter().flatten().all(|template| template.metadata.name.as_ref() != Some(&given.name))
        }),
    );
    inner.volumes = Some(volumes).filter(|volumes| !volumes.is_empty());
    pod
}

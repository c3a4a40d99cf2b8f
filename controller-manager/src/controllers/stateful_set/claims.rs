//! The volume claims of a StatefulSet's pods: made with the pod, kept or deleted by the retention policy, which works
//! through owner references: a claim goes with the set, or with the pod, that owns it.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::{States, pods};
use crate::ownership::controller_reference;
use crate::plan::Write;
use crate::world::{Row, Whole};

pub(super) fn name(template: &PersistentVolumeClaim, set: &str, ordinal: i32) -> String {
    format!("{}-{}", template.metadata.name.as_deref().unwrap_or_default(), pods::name(set, ordinal))
}

impl States<'_> {
    fn templates(&self) -> &[PersistentVolumeClaim] {
        self.spec.volume_claim_templates.as_deref().unwrap_or_default()
    }

    /// The claims that the pod of an ordinal lacks; None where one is being deleted, which the pod has to wait for.
    pub(super) fn missing_claims(&self, ordinal: i32) -> Option<Vec<Write>> {
        let head = self.set.header();
        let mut missing = Vec::new();
        for template in self.templates() {
            let name = name(template, head.name(), ordinal);
            match self.world.claims.find(head.namespace(), &name) {
                Some(claim) if claim.header().is_terminating() => return None,
                Some(_) => {}
                None => missing.push(Write::create(self.claim(template, name))),
            }
        }
        Some(missing)
    }

    fn claim(&self, template: &PersistentVolumeClaim, name: String) -> PersistentVolumeClaim {
        let mut labels = template.metadata.labels.clone().unwrap_or_default();
        labels.extend(self.spec.selector.match_labels.iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        let owners = self.deletes_with_set().then(|| vec![controller_reference(self.set)]);
        PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(self.set.header().namespace().to_owned()),
                labels: Some(labels),
                annotations: template.metadata.annotations.clone(),
                owner_references: owners,
                ..ObjectMeta::default()
            },
            spec: template.spec.clone(),
            status: None,
        }
    }

    fn policy(&self) -> (Option<&str>, Option<&str>) {
        let policy = self.spec.persistent_volume_claim_retention_policy.as_ref();
        (policy.and_then(|p| p.when_deleted.as_deref()), policy.and_then(|p| p.when_scaled.as_deref()))
    }

    fn deletes_with_set(&self) -> bool {
        self.policy().0 == Some("Delete")
    }

    /// Gives each claim of a pod the owner that the retention policy asks for: the pod, once it is to go for good; else
    /// the set, or nobody.
    pub(super) fn keep_claims(&self, writes: &mut Vec<Write>) {
        let head = self.set.header();
        for (ordinal, pod) in &self.pods {
            let owner = match self.policy() {
                (_, Some("Delete")) if !self.range.contains(ordinal) => Some(controller_reference(&**pod)),
                (Some("Delete"), _) => Some(controller_reference(self.set)),
                _ => None,
            };
            for template in self.templates() {
                let name = name(template, head.name(), *ordinal);
                if let Some(claim) = self.world.claims.find(head.namespace(), &name).filter(|c| !c.header().is_terminating()) {
                    writes.extend(own(claim, owner.clone(), &[&head.uid, &pod.uid]));
                }
            }
        }
    }
}

/// Makes `owner` the owner of a claim among `ours`, the uids of those that may be. Owners that others gave it stay.
fn own(claim: &Whole<PersistentVolumeClaim>, owner: Option<OwnerReference>, ours: &[&str]) -> Option<Write> {
    let header = Row::header(claim);
    let mut owners: Vec<OwnerReference> = header.owners.iter().filter(|known| !ours.contains(&known.uid.as_str())).cloned().collect();
    if owner.is_some() && owners.iter().any(|known| known.controller == Some(true)) {
        return None;
    }
    owners.extend(owner);
    if owners[..] == header.owners[..] {
        return None;
    }
    Some(Write::change(claim, |claim| claim.metadata.owner_references = (!owners.is_empty()).then_some(owners)))
}

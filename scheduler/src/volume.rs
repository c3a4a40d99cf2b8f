//! What the scheduler keeps of persistent volumes and claims: which claim is bound to which volume, and from which nodes
//! that can be reached.

use std::sync::Arc;

use hashbrown::HashMap;
use k8s_openapi::api::core::v1::{NodeSelector, PersistentVolume, PersistentVolumeClaim};
use machinery::NamespacedName;

/// A persistent volume.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Volume {
    /// The nodes from which it can be reached; None: all.
    pub nodes: Option<NodeSelector>,
}

/// A persistent volume claim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// The volume that it is bound to.
    pub volume: Option<Box<str>>,
    pub deleting: bool,
}

#[derive(Default)]
pub struct Volumes {
    volumes: HashMap<Arc<str>, Arc<Volume>>,
    claims: HashMap<NamespacedName, Arc<Claim>>,
}

impl Volume {
    pub fn of(volume: &PersistentVolume) -> Self {
        let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref());
        Self { nodes: affinity.and_then(|affinity| affinity.required.clone()) }
    }
}

impl Claim {
    pub fn of(claim: &PersistentVolumeClaim) -> Self {
        let name = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
        // A claim may name its volume before it is bound to it.
        let bound = claim.metadata.annotations.as_ref().is_some_and(|a| a.contains_key("pv.kubernetes.io/bind-completed"))
            || claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
        Self {
            volume: name.filter(|name| bound && !name.is_empty()).map(Into::into),
            deleting: claim.metadata.deletion_timestamp.is_some(),
        }
    }
}

impl Volumes {
    pub fn volume(&self, name: &str) -> Option<&Arc<Volume>> {
        self.volumes.get(name)
    }

    pub fn claim(&self, key: &NamespacedName) -> Option<&Arc<Claim>> {
        self.claims.get(key)
    }

    pub fn set_volume(&mut self, name: &Arc<str>, volume: Option<Arc<Volume>>) {
        match volume {
            Some(volume) => _ = self.volumes.insert(name.clone(), volume),
            None => _ = self.volumes.remove(name),
        }
    }

    pub fn set_claim(&mut self, key: &NamespacedName, claim: Option<Arc<Claim>>) {
        match claim {
            Some(claim) => _ = self.claims.insert(key.clone(), claim),
            None => _ = self.claims.remove(key),
        }
    }
}

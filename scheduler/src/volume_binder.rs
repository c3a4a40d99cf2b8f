//! [`VolumeBinder`]: carries out what was chosen for a pod's claims, before the pod is bound. A volume that there is comes to
//! name its claim; a claim whose volume is to be made says on which node. The rest is the volume controller's and the
//! provisioner's work, for which the pod waits.

use std::sync::Arc;
use std::time::Duration;

use api::scheduling::volumes::{BOUND_BY_CONTROLLER, SELECTED_NODE};
use bytes::Bytes;
use client::transport::{Patch, Result};
use client::{Api, Transport};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use machinery::NamespacedName;
use serde_json::json;

use crate::cache::Cluster;
use crate::pod::Pod;
use crate::volume::Choice;

/// How long a pod waits for its volumes before it is decided about anew.
pub const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Clone)]
pub struct VolumeBinder {
    volumes: Api<PersistentVolume>,
    claims: Api<PersistentVolumeClaim>,
}

/// A choice that was written, and the revision of what was written.
pub struct Written {
    choice: Choice,
    revision: u64,
}

/// How far a pod's volumes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Bound,
    Waiting,
    /// They will not be: something else was decided about a claim, or it is gone.
    Failed,
}

impl VolumeBinder {
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { volumes: Api::new(transport.clone(), "kube-scheduler"), claims: Api::new(transport, "kube-scheduler") }
    }

    /// # Errors
    /// The server's. Earlier choices may have been written then; they hold for the next try.
    pub async fn write(&self, choices: Vec<Choice>, node: &str) -> Result<Vec<Written>> {
        let mut written = Vec::with_capacity(choices.len());
        for choice in choices {
            let revision = match &choice.volume {
                Some(volume) => self.set_aside(volume, &choice).await?,
                None => self.select(&choice, node).await?,
            };
            written.push(Written { choice, revision });
        }
        Ok(written)
    }

    /// The volume is the claim's from here on.
    async fn set_aside(&self, volume: &str, choice: &Choice) -> Result<u64> {
        let key = NamespacedName::cluster(volume);
        let stored = self.volumes.get(&key).await?;
        let before = stored.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
        let mut metadata = json!({"resourceVersion": stored.metadata.resource_version});
        if before.is_none() {
            metadata["annotations"] = json!({BOUND_BY_CONTROLLER: "yes"});
        }
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": &*choice.claim.namespace, "name": &*choice.claim.name,
            "uid": &*choice.uid, "resourceVersion": choice.revision.to_string(),
        });
        let patch = json!({"metadata": metadata, "spec": {"claimRef": claim}});
        let written = self.volumes.patch(&key, Patch::Merge(Bytes::from(patch.to_string()))).await?;
        Ok(revision(written.metadata.resource_version.as_deref()))
    }

    /// The claim's volume is to be made for the node.
    async fn select(&self, choice: &Choice, node: &str) -> Result<u64> {
        let patch = json!({"metadata": {"uid": &*choice.uid, "annotations": {SELECTED_NODE: node}}});
        let written = self.claims.patch(&choice.claim, Patch::Merge(Bytes::from(patch.to_string()))).await?;
        Ok(revision(written.metadata.resource_version.as_deref()))
    }
}

fn revision(version: Option<&str>) -> u64 {
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// How far the volumes of a pod are that is to run on a node. A provisioner that cannot make one there takes the node away
/// from the claim.
pub fn progress(pod: &Pod, node: &str, written: &[Written], cluster: &Cluster) -> Progress {
    let mut progress = Progress::Bound;
    for name in &pod.shape.claims {
        let key = NamespacedName { namespace: pod.key.namespace.clone(), name: name.resolve(pod).as_str().into() };
        let Some(claim) = cluster.volumes().claim(&key).filter(|claim| !claim.deleting) else { return Progress::Failed };
        if claim.volume.is_some() {
            continue;
        }
        progress = Progress::Waiting;
        let made = written.iter().find(|written| written.choice.claim == key && written.choice.volume.is_none());
        if let (Some(made), Some(wish)) = (made, &claim.wish)
            && wish.revision >= made.revision
            && wish.selected.as_deref() != Some(node)
        {
            return Progress::Failed;
        }
    }
    progress
}

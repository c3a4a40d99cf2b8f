//! [`Evictor`]: deletes the pods that have to make room, after noting in their status why.

use std::sync::Arc;

use bytes::Bytes;
use client::transport::{DeleteOptions, Patch, Result};
use client::{Api, Transport};
use jiff::Timestamp;
use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::pod::Pod;

#[derive(Clone)]
pub struct Evictor {
    pods: Api<v1::Pod>,
}

impl Evictor {
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { pods: Api::new(transport, "kube-scheduler") }
    }

    /// # Errors
    /// The server's; a pod that is gone already is a 404.
    pub async fn evict(&self, victim: &Pod) -> Result<()> {
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
            "message": "the scheduler needs the room for a pod of higher priority",
            "lastTransitionTime": Time(Timestamp::now()), "observedGeneration": victim.generation,
        });
        let patch = json!({"metadata": {"uid": victim.uid}, "status": {"conditions": [condition]}});
        self.pods.patch_view(&victim.key, Some("status"), Patch::Strategic(Bytes::from(patch.to_string()))).await?;
        let options = DeleteOptions { uid: Some(victim.uid.to_string()), ..DeleteOptions::default() };
        self.pods.delete(&victim.key, options).await
    }
}

//! What the agent tells the API server: statuses, many in one call, and the final deletions. Calls run beside the
//! agent's loop; while some are under way, what else is to be written gathers for the next one.

use std::sync::Arc;

use client::transport::{DeleteOptions, Result};
use client::{Api, Transport};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{Pod as ApiPod, PodStatus};
use machinery::ResourceVersion;

use super::PodRef;
use crate::pod::Pod;

const LARGEST_BATCH: usize = 256;
const MOST_BATCHES: usize = 4;
const MOST_DELETIONS: usize = 32;

/// What became of a write.
pub struct Outcome {
    pub pod: PodRef,
    /// The hash of the status that was written; None for a deletion.
    pub wrote: Option<u64>,
    pub result: Result<ResourceVersion>,
}

pub struct Writer {
    pods: Api<ApiPod>,
    statuses: Vec<Write>,
    deletions: Vec<PodRef>,
    batches_under_way: usize,
    deletions_under_way: usize,
    calls: FuturesUnordered<BoxFuture<'static, Vec<Outcome>>>,
    settled: Vec<Outcome>,
}

struct Write {
    pod: PodRef,
    hash: u64,
    object: ApiPod,
}

impl Writer {
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            pods: Api::new(transport, "kubelet"),
            statuses: Vec::new(),
            deletions: Vec::new(),
            batches_under_way: 0,
            deletions_under_way: 0,
            calls: FuturesUnordered::new(),
            settled: Vec::new(),
        }
    }

    /// Writes a status, if the pod's object is still of `version`.
    pub fn put(&mut self, pod_ref: PodRef, pod: &Pod, status: PodStatus, hash: u64, version: ResourceVersion) {
        let mut metadata = pod.metadata();
        metadata.resource_version = Some(version.to_string());
        self.statuses.push(Write { pod: pod_ref, hash, object: ApiPod { metadata, spec: None, status: Some(status) } });
    }

    /// Removes the object of a pod that has ended.
    pub fn delete(&mut self, pod: PodRef) {
        self.deletions.push(pod);
    }

    /// Begins as many calls as may run at once.
    pub fn flush(&mut self) {
        while !self.statuses.is_empty() && self.batches_under_way < MOST_BATCHES {
            let batch: Vec<Write> = self.statuses.drain(..self.statuses.len().min(LARGEST_BATCH)).collect();
            self.batches_under_way += 1;
            self.calls.push(Box::pin(write(self.pods.clone(), batch)));
        }
        while self.deletions_under_way < MOST_DELETIONS {
            let Some(pod) = self.deletions.pop() else { break };
            self.deletions_under_way += 1;
            self.calls.push(Box::pin(delete(self.pods.clone(), pod)));
        }
    }

    /// The next outcome; waits as long as nothing is under way.
    pub async fn next_outcome(&mut self) -> Outcome {
        loop {
            if let Some(outcome) = self.settled.pop() {
                return outcome;
            }
            if self.calls.is_empty() {
                return std::future::pending().await;
            }
            let Some(outcomes) = self.calls.next().await else { continue };
            match outcomes.first().map(|outcome| outcome.wrote) {
                Some(None) => self.deletions_under_way -= 1,
                _ => self.batches_under_way -= 1,
            }
            self.settled = outcomes;
        }
    }
}

async fn write(pods: Api<ApiPod>, batch: Vec<Write>) -> Vec<Outcome> {
    let (pods_of, objects): (Vec<_>, Vec<_>) = batch.into_iter().map(|write| ((write.pod, write.hash), write.object)).unzip();
    let results = match pods.update_statuses(objects).await {
        Ok(results) => results,
        Err(status) => vec![Err(status); pods_of.len()],
    };
    pods_of.into_iter().zip(results).map(|((pod, hash), result)| Outcome { pod, wrote: Some(hash), result }).collect()
}

async fn delete(pods: Api<ApiPod>, pod: PodRef) -> Vec<Outcome> {
    let options = DeleteOptions { grace_period_seconds: Some(0), uid: Some(pod.uid.to_string()), ..DeleteOptions::default() };
    let result = pods.delete(&pod.key, options).await.map(|()| ResourceVersion::default());
    vec![Outcome { pod, wrote: None, result }]
}

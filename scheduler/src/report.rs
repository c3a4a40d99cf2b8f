//! [`Reporter`]: tells users what became of their pods: events for `kubectl describe`, and the `PodScheduled` condition
//! of pods that fit no node. A binding sets the condition of the others.

use std::sync::Arc;

use bytes::Bytes;
use client::transport::Patch;
use client::{Api, EventRecorder, EventType, NewEvent, Transport};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{self, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::pod::Pod;

/// Conditions that are written at once.
const WRITES_AT_ONCE: usize = 16;

/// Where the scheduler leaves what is to be told.
#[derive(Clone)]
pub struct Reporter {
    recorder: EventRecorder,
    conditions: mpsc::UnboundedSender<NewCondition>,
}

/// Writes the conditions that reporters leave.
pub struct ConditionWriter {
    pods: Api<v1::Pod>,
    conditions: mpsc::UnboundedReceiver<NewCondition>,
}

struct NewCondition {
    pod: Arc<Pod>,
    reason: &'static str,
    message: Arc<str>,
}

impl Reporter {
    /// A reporter, and the writer that somebody must run.
    pub fn new(transport: Arc<dyn Transport>, recorder: EventRecorder) -> (Self, ConditionWriter) {
        let (sender, conditions) = mpsc::unbounded_channel();
        let writer = ConditionWriter { pods: Api::new(transport, "kube-scheduler"), conditions };
        (Self { recorder, conditions: sender }, writer)
    }

    pub fn scheduled(&self, pod: &Pod, node: &str) {
        let message = format!("Successfully assigned {} to {node}", pod.key);
        self.event(pod, EventType::Normal, "Scheduled", "Binding", message);
    }

    pub fn unschedulable(&self, pod: &Arc<Pod>, message: &Arc<str>) {
        self.event(pod, EventType::Warning, "FailedScheduling", "Scheduling", message.to_string());
        self.condition(pod, "Unschedulable", message);
    }

    pub fn gated(&self, pod: &Arc<Pod>, message: &Arc<str>) {
        self.condition(pod, "SchedulingGated", message);
    }

    /// The pod had a node, but the binding failed.
    pub fn not_bound(&self, pod: &Arc<Pod>, why: &str) {
        let message: Arc<str> = format!("binding rejected: {why}").into();
        self.event(pod, EventType::Warning, "FailedScheduling", "Scheduling", message.to_string());
        self.condition(pod, "SchedulerError", &message);
    }

    fn condition(&self, pod: &Arc<Pod>, reason: &'static str, message: &Arc<str>) {
        let known = pod.condition.as_ref();
        if known.is_some_and(|known| *known.reason == *reason && *known.message == **message) {
            return;
        }
        // The writer outlives all reporters, but for the end of the process.
        let _ = self.conditions.send(NewCondition { pod: pod.clone(), reason, message: message.clone() });
    }

    fn event(&self, pod: &Pod, event_type: EventType, reason: &'static str, action: &'static str, message: String) {
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(pod.key.namespace.to_string()),
            name: Some(pod.key.name.to_string()),
            uid: Some(pod.uid.to_string()),
            ..ObjectReference::default()
        };
        self.recorder.record(NewEvent { regarding, event_type, reason, action, message });
    }
}

impl ConditionWriter {
    /// Writes until `shutdown`, or until all reporters are gone.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { pods, conditions } = self;
        let writes = UnboundedReceiverStream::new(conditions).for_each_concurrent(WRITES_AT_ONCE, |condition| {
            let pods = pods.clone();
            async move { write(&pods, condition).await }
        });
        shutdown.run_until_cancelled(writes).await;
    }
}

async fn write(pods: &Api<v1::Pod>, NewCondition { pod, reason, message }: NewCondition) {
    // The time of the last transition is that of the status, which has been False since.
    let since = pod.condition.as_ref().and_then(|known| known.since.clone()).unwrap_or_else(|| Time(Timestamp::now()));
    let patch = json!({
        // A pod of the same name that came later is another.
        "metadata": {"uid": pod.uid},
        "status": {"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": reason, "message": *message,
            "lastProbeTime": null, "lastTransitionTime": since, "observedGeneration": pod.generation,
        }]},
    });
    match pods.patch_view(&pod.key, Some("status"), Patch::Strategic(Bytes::from(patch.to_string()))).await {
        Ok(_) => {}
        Err(status) if status.is_not_found() || status.is_conflict() => {}
        Err(status) => tracing::debug!(pod = %pod.key, %status, "cannot write why a pod is not scheduled"),
    }
}

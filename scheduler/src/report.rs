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

/// Statuses that are written at once.
const WRITES_AT_ONCE: usize = 16;

/// Where the scheduler leaves what is to be told.
#[derive(Clone)]
pub struct Reporter {
    recorder: EventRecorder,
    statuses: mpsc::UnboundedSender<NewStatus>,
}

/// Writes the statuses that reporters leave.
pub struct StatusWriter {
    pods: Api<v1::Pod>,
    statuses: mpsc::UnboundedReceiver<NewStatus>,
}

struct NewStatus {
    pod: Arc<Pod>,
    /// The reason and the message of the condition.
    condition: Option<(&'static str, Arc<str>)>,
    /// The node on which room is being made, or that it no longer is.
    nominated: Option<Option<Arc<str>>>,
}

impl Reporter {
    /// A reporter, and the writer that somebody must run.
    pub fn new(transport: Arc<dyn Transport>, recorder: EventRecorder) -> (Self, StatusWriter) {
        let (sender, statuses) = mpsc::unbounded_channel();
        let writer = StatusWriter { pods: Api::new(transport, "kube-scheduler"), statuses };
        (Self { recorder, statuses: sender }, writer)
    }

    pub fn scheduled(&self, pod: &Pod, node: &str) {
        let message = format!("Successfully assigned {} to {node}", pod.key);
        self.event(pod, EventType::Normal, "Scheduled", "Binding", message);
    }

    /// `nominated` is the node on which room is being made for it now.
    pub fn unschedulable(&self, pod: &Arc<Pod>, message: &Arc<str>, nominated: Option<Arc<str>>) {
        self.event(pod, EventType::Warning, "FailedScheduling", "Scheduling", message.to_string());
        self.condition(pod, "Unschedulable", message, nominated);
    }

    pub fn gated(&self, pod: &Arc<Pod>, message: &Arc<str>) {
        self.condition(pod, "SchedulingGated", message, None);
    }

    /// The pod is to be bound to the node when its volumes are.
    pub fn expected(&self, pod: &Arc<Pod>, node: &Arc<str>) {
        let _ = self.statuses.send(NewStatus { pod: pod.clone(), condition: None, nominated: Some(Some(node.clone())) });
    }

    /// The pod had a node, but the binding failed.
    pub fn not_bound(&self, pod: &Arc<Pod>, why: &str) {
        let message: Arc<str> = format!("binding rejected: {why}").into();
        self.event(pod, EventType::Warning, "FailedScheduling", "Scheduling", message.to_string());
        self.condition(pod, "SchedulerError", &message, None);
    }

    /// The pod has to go, to make room for another.
    pub fn preempted(&self, victim: &Pod, by: &Pod, node: &str) {
        let message = format!("Preempted by pod {} on node {node}", by.uid);
        self.event(victim, EventType::Normal, "Preempted", "Preempting", message);
    }

    /// The room that was made for the pod goes to a more important one.
    pub fn displaced(&self, pod: &Arc<Pod>) {
        let _ = self.statuses.send(NewStatus { pod: pod.clone(), condition: None, nominated: Some(None) });
    }

    fn condition(&self, pod: &Arc<Pod>, reason: &'static str, message: &Arc<str>, nominated: Option<Arc<str>>) {
        let known = pod.condition.as_ref();
        let is_known = known.is_some_and(|known| *known.reason == *reason && *known.message == **message);
        if is_known && nominated.is_none() {
            return;
        }
        // The writer outlives all reporters, but for the end of the process.
        let condition = Some((reason, message.clone()));
        let _ = self.statuses.send(NewStatus { pod: pod.clone(), condition, nominated: nominated.map(Some) });
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

impl StatusWriter {
    /// Writes until `shutdown`, or until all reporters are gone.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { pods, statuses } = self;
        let writes = UnboundedReceiverStream::new(statuses).for_each_concurrent(WRITES_AT_ONCE, |status| {
            let pods = pods.clone();
            async move { write(&pods, status).await }
        });
        shutdown.run_until_cancelled(writes).await;
    }
}

async fn write(pods: &Api<v1::Pod>, NewStatus { pod, condition, nominated }: NewStatus) {
    // The time of the last transition is that of the status, which has been False since.
    let since = pod.condition.as_ref().and_then(|known| known.since.clone()).unwrap_or_else(|| Time(Timestamp::now()));
    // A pod of the same name that came later is another.
    let mut patch = json!({"metadata": {"uid": pod.uid}, "status": {}});
    if let Some((reason, message)) = condition {
        patch["status"]["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": reason, "message": *message,
            "lastProbeTime": null, "lastTransitionTime": since, "observedGeneration": pod.generation,
        }]);
    }
    if let Some(nominated) = nominated {
        patch["status"]["nominatedNodeName"] = json!(nominated.as_deref());
    }
    match pods.patch_view(&pod.key, Some("status"), Patch::Strategic(Bytes::from(patch.to_string()))).await {
        Ok(_) => {}
        Err(status) if status.is_not_found() || status.is_conflict() => {}
        Err(status) => tracing::debug!(pod = %pod.key, %status, "cannot write why a pod is not scheduled"),
    }
}

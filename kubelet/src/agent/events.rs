//! What users are told of a pod's life, as Event objects. With many nodes in one process nobody is told anything:
//! events would be most of the load.

use client::{EventRecorder, EventType, NewEvent};
use k8s_openapi::api::core::v1::ObjectReference;

use crate::machine::admission::Rejection;
use crate::pod::Pod;
use crate::runtime::{Action, Observation, State};

pub struct Events {
    recorder: Option<EventRecorder>,
}

impl Events {
    pub fn new(recorder: Option<EventRecorder>) -> Self {
        Self { recorder }
    }

    /// The runtime is about to do something.
    pub(super) fn acting(&self, pod: &Pod, action: &Action) {
        if let Action::Stop { container, .. } = action {
            let name = &pod.containers[*container].name;
            self.tell(pod, Some(*container), EventType::Normal, "Killing", format!("stopping container {name}"));
        }
    }

    /// The node does not take the pod.
    pub(super) fn rejected(&self, pod: &Pod, rejection: &Rejection) {
        let reason = match rejection.reason.as_str() {
            "NodePorts" => "NodePorts",
            "NodeAffinity" => "NodeAffinity",
            "OutOfcpu" => "OutOfcpu",
            "OutOfmemory" => "OutOfmemory",
            "OutOfpods" => "OutOfpods",
            _ => "Rejected",
        };
        self.tell(pod, None, EventType::Warning, reason, rejection.message.clone());
    }

    /// Tells of the attempts that have started, or that have failed to.
    pub(super) fn observed(&self, pod: &Pod, seen: &Observation, announced: &mut Vec<u32>) {
        if self.recorder.is_none() {
            return;
        }
        announced.resize(pod.containers.len(), 0);
        for (index, container) in pod.containers.iter().enumerate() {
            let Some(observed) = seen.container(index) else { continue };
            match &observed.state {
                State::NoImage { message, .. } => {
                    self.tell(pod, Some(index), EventType::Warning, "Failed", message.clone());
                }
                State::Running { .. } | State::Exited(_) if announced[index] <= observed.attempt => {
                    announced[index] = observed.attempt + 1;
                    let image = &container.image;
                    self.tell(pod, Some(index), EventType::Normal, "Pulled", format!("image {image:?} is on the node"));
                    self.tell(pod, Some(index), EventType::Normal, "Created", format!("made container {}", container.name));
                    self.tell(pod, Some(index), EventType::Normal, "Started", format!("started container {}", container.name));
                }
                _ => {}
            }
        }
    }

    fn tell(&self, pod: &Pod, container: Option<usize>, event_type: EventType, reason: &'static str, message: String) {
        let Some(recorder) = &self.recorder else { return };
        let field_path = container.map(|container| format!("spec.containers{{{}}}", pod.containers[container].name));
        let key = pod.key();
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(key.namespace.to_string()),
            name: Some(key.name.to_string()),
            uid: Some(pod.uid.to_string()),
            resource_version: Some(pod.version.to_string()),
            field_path,
        };
        recorder.record(NewEvent { regarding, event_type, reason, action: "", message });
    }
}

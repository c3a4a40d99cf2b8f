//! Binding: a scheduler, or a client that plays one, says on which node a pod runs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Binding, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::{GroupResource, Status};

use crate::validate::text;

/// Labels of the node that its pods show too.
const TOPOLOGY_LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// Binds the pod to the node that `binding` names, whose labels the caller may know. Nothing is changed where the
/// answer is an error.
pub fn bind(pod: &mut Pod, binding: &Binding, node_labels: Option<&BTreeMap<String, String>>, now: Timestamp) -> Result<(), Status> {
    let node = target_of(binding)?.to_owned();
    refuse(pod, binding, &node)?;
    let spec = pod.spec.get_or_insert_default();
    spec.node_name = Some(node);
    for (key, value) in binding.metadata.annotations.iter().flatten() {
        pod.metadata.annotations.get_or_insert_default().insert(key.clone(), value.clone());
    }
    for (key, value) in binding.metadata.labels.iter().flatten() {
        pod.metadata.labels.get_or_insert_default().insert(key.clone(), value.clone());
    }
    for (key, value) in node_labels.into_iter().flatten().filter(|(key, _)| TOPOLOGY_LABELS.contains(&key.as_str())) {
        pod.metadata.labels.get_or_insert_default().insert(key.clone(), value.clone());
    }
    let status = pod.status.get_or_insert_default();
    status.nominated_node_name = None;
    let scheduled = PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "True".to_owned(),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    };
    let conditions = status.conditions.get_or_insert_default();
    match conditions.iter_mut().find(|c| c.type_ == scheduled.type_) {
        Some(condition) => *condition = scheduled,
        None => conditions.push(scheduled),
    }
    Ok(())
}

/// The node that a binding names. Kubernetes answers bad targets with a 500 that has no reason.
pub fn target_of(binding: &Binding) -> Result<&str, Status> {
    match (text(&binding.target.kind), text(&binding.target.name)) {
        ("" | "Node", "") => Err(Status::unclassified("target.name: Required value")),
        ("" | "Node", node) => Ok(node),
        (kind, _) => Err(Status::unclassified(format!("target.kind: Unsupported value: {kind:?}"))),
    }
}

fn refuse(pod: &Pod, binding: &Binding, node: &str) -> Result<(), Status> {
    let name = text(&pod.metadata.name);
    let conflict = |why: String| Err(Status::conflict(&GroupResource::new("", "pods/binding"), name, why));
    if let Some(uid) = binding.metadata.uid.as_ref().filter(|uid| !uid.is_empty())
        && pod.metadata.uid.as_ref() != Some(uid)
    {
        let why = format!("the pod's uid is {:?}, not {uid:?}", text(&pod.metadata.uid));
        return Err(Status::conflict(&GroupResource::new("", "pods"), name, why));
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return conflict("the pod is being deleted".to_owned());
    }
    let Some(spec) = &pod.spec else { return Ok(()) };
    if !text(&spec.node_name).is_empty() {
        return conflict(format!("the pod is assigned to node {:?} already, not to {node:?}", text(&spec.node_name)));
    }
    if spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) {
        return conflict("the pod has scheduling gates".to_owned());
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec})).unwrap()
    }

    fn to(target: serde_json::Value) -> Binding {
        let metadata = json!({"name": "p", "annotations": {"placed": "yes"}});
        serde_json::from_value(json!({"metadata": metadata, "target": target})).unwrap()
    }

    #[test]
    fn a_bound_pod_shows_where_it_is() {
        let mut pod = pod(json!({"containers": []}));
        let labels = [(TOPOLOGY_LABELS[0].to_owned(), "z1".to_owned()), ("other".to_owned(), "x".to_owned())].into();
        bind(&mut pod, &to(json!({"kind": "Node", "name": "n1"})), Some(&labels), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(pod.spec.unwrap().node_name.as_deref(), Some("n1"));
        assert_eq!(pod.metadata.annotations.unwrap()["placed"], "yes");
        assert_eq!(pod.metadata.labels.unwrap().len(), 1);
        assert_eq!(pod.status.unwrap().conditions.unwrap()[0].status, "True");
    }

    #[test]
    fn bad_bindings_are_refused() {
        let node = || to(json!({"name": "n1"}));
        for (spec, binding, code) in [
            (json!({"containers": []}), to(json!({"kind": "Node"})), 500),
            (json!({"containers": []}), to(json!({"kind": "Service", "name": "n1"})), 500),
            (json!({"containers": [], "nodeName": "n1"}), node(), 409),
            (json!({"containers": [], "schedulingGates": [{"name": "a"}]}), node(), 409),
        ] {
            let status = bind(&mut pod(spec.clone()), &binding, None, Timestamp::UNIX_EPOCH).unwrap_err();
            assert_eq!(status.code, code, "{spec}");
        }
        let mut other = node();
        other.metadata.uid = Some("another".to_owned());
        let status = bind(&mut pod(json!({"containers": []})), &other, None, Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!((status.code, status.details.unwrap().kind.as_str()), (409, "pods"));
    }
}

//! Fields that Kubernetes writes as `null` where they have no value. Its types keep some optional fields without
//! `omitempty`, and clients see (and field managers come to own) the nulls; k8s-openapi leaves them out.

use serde_json::Value;
use serde_json::map::Entry;

/// The paths of a kind's null fields; `[]` stands for each element of a list.
pub(crate) fn of(group: &str, kind: &str) -> &'static [&'static str] {
    match (group, kind) {
        ("", "Pod") => POD,
        ("", "Event") => &["eventTime", "firstTimestamp", "lastTimestamp"],
        ("", "Node") => &["status.conditions[].lastHeartbeatTime", "status.conditions[].lastTransitionTime"],
        ("", "Namespace" | "ReplicationController") | ("apps", "ReplicaSet" | "DaemonSet" | "StatefulSet") => {
            &["status.conditions[].lastTransitionTime"]
        }
        ("", "PersistentVolumeClaim") => &[
            "spec.dataSource.apiGroup",
            "spec.dataSourceRef.apiGroup",
            "status.conditions[].lastProbeTime",
            "status.conditions[].lastTransitionTime",
        ],
        ("apps", "Deployment") => &["status.conditions[].lastTransitionTime", "status.conditions[].lastUpdateTime"],
        ("batch", "Job") => &["status.conditions[].lastProbeTime", "status.conditions[].lastTransitionTime"],
        ("", "LimitRange") => &["spec.limits"],
        ("discovery.k8s.io", "EndpointSlice") => &["endpoints", "ports"],
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => &["rules"],
        ("storage.k8s.io", "CSINode") => &["spec.drivers"],
        ("autoscaling", "HorizontalPodAutoscaler") => &["status.conditions[].lastTransitionTime", "status.currentMetrics"],
        _ => &[],
    }
}

const POD: &[&str] = &[
    "spec.volumes[].ephemeral.volumeClaimTemplate.spec.dataSource.apiGroup",
    "spec.volumes[].ephemeral.volumeClaimTemplate.spec.dataSourceRef.apiGroup",
    "status.conditions[].lastProbeTime",
    "status.conditions[].lastTransitionTime",
    "status.containerStatuses[].lastState.running.startedAt",
    "status.containerStatuses[].lastState.terminated.finishedAt",
    "status.containerStatuses[].lastState.terminated.startedAt",
    "status.containerStatuses[].state.running.startedAt",
    "status.containerStatuses[].state.terminated.finishedAt",
    "status.containerStatuses[].state.terminated.startedAt",
    "status.ephemeralContainerStatuses[].lastState.terminated.finishedAt",
    "status.ephemeralContainerStatuses[].lastState.terminated.startedAt",
    "status.ephemeralContainerStatuses[].state.running.startedAt",
    "status.ephemeralContainerStatuses[].state.terminated.finishedAt",
    "status.ephemeralContainerStatuses[].state.terminated.startedAt",
    "status.initContainerStatuses[].lastState.terminated.finishedAt",
    "status.initContainerStatuses[].lastState.terminated.startedAt",
    "status.initContainerStatuses[].state.running.startedAt",
    "status.initContainerStatuses[].state.terminated.finishedAt",
    "status.initContainerStatuses[].state.terminated.startedAt",
];

/// Whether an object of this JSON may lack a null: whether each name on the way to one of the paths occurs in it.
/// Mostly it has no such parts, and needs no second look.
pub(crate) fn may_lack(paths: &[&str], json: &[u8]) -> bool {
    paths.iter().any(|path| {
        let parents = path.rsplit_once('.').map_or("", |(parents, _)| parents);
        // From the innermost, which is the rarest.
        parents.rsplit('.').filter(|step| !step.is_empty()).all(|step| has_key(json, step.trim_end_matches("[]")))
    })
}

fn has_key(json: &[u8], name: &str) -> bool {
    memchr::memmem::find_iter(json, name.as_bytes()).any(|at| at > 0 && json[at - 1] == b'"' && json[at + name.len()..].starts_with(b"\":"))
}

/// Adds the nulls that `value` lacks.
pub(crate) fn fill(paths: &[&str], value: &mut Value) {
    for path in paths {
        descend(path, value, |field| {
            field.or_insert(Value::Null);
        });
    }
}

/// Makes the empty lists at the paths null, as they become by being stored.
pub(crate) fn forget_empty_lists(paths: &[&str], value: &mut Value) {
    for path in paths {
        descend(path, value, |field| {
            if let Entry::Occupied(mut entry) = field
                && entry.get().as_array().is_some_and(Vec::is_empty)
            {
                entry.insert(Value::Null);
            }
        });
    }
}

fn descend(path: &str, value: &mut Value, act: fn(Entry<'_>)) {
    let Value::Object(fields) = value else { return };
    let Some((step, rest)) = path.split_once('.') else {
        act(fields.entry(path));
        return;
    };
    match step.strip_suffix("[]") {
        Some(list) => {
            if let Some(Value::Array(items)) = fields.get_mut(list) {
                items.iter_mut().for_each(|item| descend(rest, item, act));
            }
        }
        None => {
            if let Some(inner) = fields.get_mut(step) {
                descend(rest, inner, act);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_objects_with_such_parts_may_lack_nulls() {
        let lacks = |json: &str| may_lack(POD, json.as_bytes());
        assert!(!lacks(r#"{"spec":{"volumes":[{"emptyDir":{}}]},"status":{"phase":"Pending","note":"conditions"}}"#));
        assert!(lacks(r#"{"status":{"conditions":[{}]}}"#));
        assert!(may_lack(of("rbac.authorization.k8s.io", "Role"), b"{}"), "a path without parents is there in every object");
    }

    #[test]
    fn nulls_appear_only_in_what_is_there() {
        let mut pod = json!({"status": {"conditions": [{"type": "Ready", "lastProbeTime": "t"}, {}]}});
        fill(POD, &mut pod);
        assert_eq!(
            pod,
            json!({"status": {"conditions": [
                {"type": "Ready", "lastProbeTime": "t", "lastTransitionTime": null},
                {"lastProbeTime": null, "lastTransitionTime": null},
            ]}})
        );
    }
}

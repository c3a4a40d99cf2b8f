//! Fields that Kubernetes writes as `null` where they have no value. Its types keep some optional fields without
//! `omitempty`, and clients see (and field managers come to own) the nulls; k8s-openapi leaves them out.

use machinery::text::Text;

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

/// Appends an object's JSON with the nulls that it lacks. Empty lists at the paths become null too, as they do in
/// Kubernetes by being stored.
pub(crate) fn write_filled(paths: &[&str], json: Text<'_>, out: &mut Vec<u8>) {
    if paths.is_empty() {
        out.extend_from_slice(json.as_str().as_bytes());
    } else if json.is_object() {
        write_object(paths, json, out);
    } else if json.is_list() {
        out.push(b'[');
        for (index, item) in json.items().enumerate() {
            separate(index, out);
            write_filled(paths, item, out);
        }
        out.push(b']');
    } else {
        out.extend_from_slice(json.as_str().as_bytes());
    }
}

fn write_object(paths: &[&str], object: Text<'_>, out: &mut Vec<u8>) {
    // The nulls of this object itself that have not been met.
    let mut missing: Vec<&str> = paths.iter().copied().filter(|path| !path.contains('.')).collect();
    let mut written = 0;
    out.push(b'{');
    for (name, value) in object.members() {
        separate(written, out);
        write_name(&name, out);
        let known = missing.len();
        missing.retain(|path| *path != name);
        match value.as_str() {
            "[]" if missing.len() < known => out.extend_from_slice(b"null"),
            _ => write_filled(&below(paths, &name), value, out),
        }
        written += 1;
    }
    for name in missing {
        separate(written, out);
        write_name(name, out);
        out.extend_from_slice(b"null");
        written += 1;
    }
    out.push(b'}');
}

/// The paths that go on in the field `name`, from there.
fn below<'p>(paths: &[&'p str], name: &str) -> Vec<&'p str> {
    let rest = |path: &&'p str| path.strip_prefix(name)?.trim_start_matches("[]").strip_prefix('.');
    paths.iter().filter_map(rest).collect()
}

fn separate(written: usize, out: &mut Vec<u8>) {
    if written > 0 {
        out.push(b',');
    }
}

fn write_name(name: &str, out: &mut Vec<u8>) {
    // A string is JSON, and writing to a Vec cannot fail.
    let _ = serde_json::to_writer(&mut *out, name);
    out.push(b':');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_appear_only_in_what_is_there() {
        let filled = |paths: &[&str], json: &str| {
            let mut out = Vec::new();
            write_filled(paths, Text::new(json), &mut out);
            String::from_utf8(out).unwrap_or_default()
        };
        let pod = r#"{"spec":{"x":1},"status":{"conditions":[{"type":"Ready","lastProbeTime":"t"},{}],"phase":"a\"b"}}"#;
        assert_eq!(
            filled(POD, pod),
            concat!(
                r#"{"spec":{"x":1},"status":{"conditions":[{"type":"Ready","lastProbeTime":"t","lastTransitionTime":null},"#,
                r#"{"lastProbeTime":null,"lastTransitionTime":null}],"phase":"a\"b"}}"#
            )
        );
        let slice = of("discovery.k8s.io", "EndpointSlice");
        assert_eq!(filled(slice, r#"{"endpoints":[]}"#), r#"{"endpoints":null,"ports":null}"#);
        assert_eq!(filled(slice, r#"{"endpoints":[{}],"ports":[]}"#), r#"{"endpoints":[{}],"ports":null}"#);
    }
}

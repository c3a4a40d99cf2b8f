//! Fields that Kubernetes writes as `null` where they have no value. Its types keep some optional fields without
//! `omitempty`, and clients see (and field managers come to own) the nulls; k8s-openapi leaves them out.

use machinery::tape::{Tape, Value};

use crate::conditions::NO_TIME;
use crate::object::EmptyLists;

/// The paths of a kind's null fields; `[]` stands for each element of a list, `{}` for a struct that is written even where
/// nothing else is in it.
pub(crate) fn of(group: &str, kind: &str) -> &'static [&'static str] {
    match (group, kind) {
        ("", "Pod") => POD,
        ("", "Event") => &["eventTime", "firstTimestamp", "lastTimestamp", "series.lastObservedTime"],
        ("", "Node") => &["status.conditions[].lastHeartbeatTime", "status.conditions[].lastTransitionTime", "status.images[].names"],
        ("", "Namespace" | "ReplicationController") | ("apps", "ReplicaSet" | "DaemonSet") => &["status.conditions[].lastTransitionTime"],
        ("apps", "StatefulSet") => &[
            "spec.volumeClaimTemplates[].spec.dataSource.apiGroup",
            "spec.volumeClaimTemplates[].spec.dataSourceRef.apiGroup",
            "status.conditions[].lastTransitionTime",
        ],
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => {
            &["spec.rules[].resourceRules[].namespaces", "status.conditions[].lastTransitionTime"]
        }
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration")
        | ("apiregistration.k8s.io", "APIService")
        | ("", "Service")
        | ("networking.k8s.io", "ServiceCIDR")
        | ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => &["status.conditions[].lastTransitionTime"],
        ("", "PersistentVolumeClaim") => &[
            "spec.dataSource.apiGroup",
            "spec.dataSourceRef.apiGroup",
            "status.conditions[].lastProbeTime",
            "status.conditions[].lastTransitionTime",
        ],
        ("apps", "Deployment") => &["status.conditions[].lastTransitionTime", "status.conditions[].lastUpdateTime"],
        ("batch", "Job") => &["spec.podFailurePolicy.rules", "status.conditions[].lastProbeTime", "status.conditions[].lastTransitionTime"],
        ("", "LimitRange") => &["spec{}.limits"],
        ("apiextensions.k8s.io", "CustomResourceDefinition") => &[
            "spec.conversion.webhook.conversionReviewVersions",
            "status.conditions",
            "status.conditions[].lastTransitionTime",
            "status.storedVersions",
        ],
        ("discovery.k8s.io", "EndpointSlice") => &["endpoints", "ports"],
        ("networking.k8s.io", "Ingress") => {
            &["spec.defaultBackend.resource.apiGroup", "spec.rules[].http.paths[].backend.resource.apiGroup"]
        }
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => &["rules"],
        ("", "PersistentVolume") => &["spec.azureFile.secretNamespace", "spec.scaleIO.secretRef"],
        ("resource.k8s.io", "ResourceClaim") => &["spec.devices{}.requests", "status.devices[].conditions"],
        ("resource.k8s.io", "ResourceClaimTemplate") => &["spec.spec.devices{}.requests"],
        ("storage.k8s.io", "CSINode") => &["spec.drivers", "spec.drivers[].topologyKeys"],
        ("storage.k8s.io", "VolumeAttachment") => &["status.attachError.time", "status.detachError.time"],
        ("autoscaling", "HorizontalPodAutoscaler") => &["status.conditions[].lastTransitionTime", "status.currentMetrics"],
        _ => &[],
    }
}

const POD: &[&str] = &[
    "spec.volumes[].ephemeral.volumeClaimTemplate.spec.dataSource.apiGroup",
    "spec.volumes[].ephemeral.volumeClaimTemplate.spec.dataSourceRef.apiGroup",
    "spec.volumes[].projected.sources",
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

/// Appends an object's JSON with the nulls that it lacks. Empty lists at the paths become null too where they are to be
/// forgotten, as they are in Kubernetes by being stored.
pub(crate) fn write_filled(paths: &[&str], json: &str, empty_lists: EmptyLists, out: &mut Vec<u8>) {
    let mut copy = Copy { json, copied: 0, empty_lists, out };
    if let Some(tape) = Tape::read(json) {
        copy.value(paths, tape.root());
    }
    copy.up_to(json.len());
}

/// A copy of `json`, made in as few pieces as there are changes.
struct Copy<'j, 'o> {
    json: &'j str,
    /// How much of it has been copied, or replaced.
    copied: usize,
    empty_lists: EmptyLists,
    out: &'o mut Vec<u8>,
}

impl Copy<'_, '_> {
    fn up_to(&mut self, end: usize) {
        self.out.extend_from_slice(self.json.as_bytes().get(self.copied..end).unwrap_or_default());
        self.copied = end;
    }

    fn value(&mut self, paths: &[&str], value: Value<'_>) {
        if paths.is_empty() {
        } else if value.text().is_object() {
            self.object(paths, value);
        } else {
            value.items().for_each(|item| self.value(paths, item));
        }
    }

    fn object(&mut self, paths: &[&str], object: Value<'_>) {
        // The nulls and structs of this object itself that have not been met.
        let mut missing: Vec<&str> = paths.iter().copied().filter_map(own).collect();
        for (name, value) in object.members() {
            let text = value.text();
            let at = missing.iter().position(|path| *path == name).map(|at| missing.swap_remove(at));
            let forgotten = text.as_str() == "[]" && self.empty_lists == EmptyLists::Forget;
            // A struct or a time that the type has no absence for.
            let is_absent = text.as_str() == "{}" && paths.contains(&&*name) || text.as_str().trim_matches('"') == NO_TIME;
            if at.is_some() && (forgotten || is_absent) {
                self.up_to(text.start_in(self.json));
                self.out.extend_from_slice(b"null");
                self.copied += text.as_str().len();
            } else {
                self.value(&below(paths, &name), value);
            }
        }
        if missing.is_empty() {
            return;
        }
        missing.sort_unstable();
        let object = object.text();
        self.up_to(object.start_in(self.json) + object.as_str().len() - "}".len());
        for name in missing {
            if self.out.last() != Some(&b'{') {
                self.out.push(b',');
            }
            self.out.extend_from_slice(format!("\"{name}\":").as_bytes());
            let is_struct = paths.iter().any(|path| path.strip_prefix(name).is_some_and(|rest| rest.starts_with("{}")));
            if is_struct {
                write_filled(&below(paths, name), "{}", self.empty_lists, self.out);
            } else {
                self.out.extend_from_slice(b"null");
            }
        }
    }
}

/// The field that has to be there, if a path says that of one of this object.
fn own(path: &str) -> Option<&str> {
    match path.split_once('.') {
        None => Some(path),
        Some((first, _)) => first.strip_suffix("{}"),
    }
}

/// The paths that go on in the field `name`, from there.
fn below<'p>(paths: &[&'p str], name: &str) -> Vec<&'p str> {
    let rest = |path: &&'p str| path.strip_prefix(name)?.trim_start_matches("[]").trim_start_matches("{}").strip_prefix('.');
    paths.iter().filter_map(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_appear_only_in_what_is_there() {
        let filled = |paths: &[&str], json: &str| {
            let mut out = Vec::new();
            write_filled(paths, json, EmptyLists::Forget, &mut out);
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
        let range = of("", "LimitRange");
        assert_eq!(filled(range, r#"{"kind":"LimitRange"}"#), r#"{"kind":"LimitRange","spec":{"limits":null}}"#);
        let service = of("", "Service");
        assert_eq!(
            filled(service, r#"{"status":{"conditions":[{"lastTransitionTime":"0001-01-01T00:00:00Z","type":"a"}]}}"#),
            r#"{"status":{"conditions":[{"lastTransitionTime":null,"type":"a"}]}}"#
        );
        assert_eq!(filled(range, r#"{"spec":{"limits":[{}]}}"#), r#"{"spec":{"limits":[{}]}}"#);
    }
}

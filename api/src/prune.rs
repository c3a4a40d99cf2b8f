//! Explicit zeros that Kubernetes does not keep. Its types leave empty lists, empty maps and, where a field is no
//! pointer, zero scalars out of what they write (`omitempty`), so that `nodeSelector: {}` or `hostNetwork: false` in
//! a manifest is the same as nothing, to clients and to field ownership alike. The published schema does not say which
//! scalars are pointers; the tables here do.

use machinery::schema::{Cursor, Field, Node, Scalar, Schema};
use serde_json::{Map, Value};

/// Texts that are pointers (somewhere at least): an empty one says something.
const KEPT_TEXTS: [&str; 58] = [
    "apiGroup",
    "appProtocol",
    "cachingMode",
    "completionMode",
    "currentVolumeAttributesClassName",
    "endpointsNamespace",
    "error",
    "fsGroupChangePolicy",
    "fsType",
    "gmsaCredentialSpec",
    "gmsaCredentialSpecName",
    "holderIdentity",
    "hostnameOverride",
    "ingressClassName",
    "internalTrafficPolicy",
    "ipFamilyPolicy",
    "ipMode",
    "kind",
    "loadBalancerClass",
    "localhostProfile",
    "managedBy",
    "mountPropagation",
    "namespace",
    "nodeAffinityPolicy",
    "nodeTaintsPolicy",
    "pathType",
    "podReplacementPolicy",
    "preemptionPolicy",
    "preferredHolder",
    "procMount",
    "reclaimPolicy",
    "recursiveReadOnly",
    "request",
    "resourceClaimName",
    "resourceClaimTemplateName",
    "restartPolicy",
    "runAsUserName",
    "runtimeClassName",
    "seLinuxChangePolicy",
    "secretNamespace",
    "service",
    "signerName",
    "stopSignal",
    "storageClassName",
    "storagePolicyID",
    "strategy",
    "supplementalGroupsPolicy",
    "timeZone",
    "trafficDistribution",
    "type",
    "unhealthyPodEvictionPolicy",
    "volumeAttributesClassName",
    "volumeBindingMode",
    "volumeMode",
    "volumeName",
    "operator",
    "nodeName",
    "hostname",
];
/// Lists of which an empty one says something: managed fields are to be forgotten; an autoscaler's scaling rules
/// lack policies, rather than leaving them to the default.
const KEPT_LISTS: [&str; 2] = ["managedFields", "policies"];
/// Booleans that are no pointers: false says nothing.
const DROPPED_BOOLEANS: [&str; 14] = [
    "chapAuthDiscovery",
    "chapAuthSession",
    "globalDefault",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "paused",
    "publishNotReadyAddresses",
    "readOnly",
    "sslEnabled",
    "stdin",
    "stdinOnce",
    "tty",
    "unschedulable",
];
/// Sources of volumes whose `readOnly` is a pointer after all.
const READ_ONLY_KEPT_IN: [&str; 2] = ["azureDisk", "csi"];
/// Numbers that are no pointers: zero says nothing.
const DROPPED_NUMBERS: [&str; 16] = [
    "availableReplicas",
    "count",
    "currentReplicas",
    "fullyLabeledReplicas",
    "healthCheckNodePort",
    "hostPort",
    "initialDelaySeconds",
    "minReadySeconds",
    "nodePort",
    "numberAvailable",
    "numberUnavailable",
    "observedGeneration",
    "readyReplicas",
    "unavailableReplicas",
    "updatedNumberScheduled",
    "updatedReplicas",
];

/// Removes the zeros of `value` that say nothing. What stands at one of the `nulls` paths is kept.
pub(crate) fn prune(schema: &Schema, nulls: &[&'static str], group: &str, value: &mut Value) {
    // The scalars of endpoint slices are all pointers.
    let pruner = Pruner { scalars: group != "discovery.k8s.io" };
    pruner.descend(schema.cursor(), nulls, "", value);
}

struct Pruner {
    scalars: bool,
}

impl Pruner {
    /// `kept` has the paths to keep, from here on; `parent` is the name of the field that holds `value`.
    fn descend(&self, cursor: Cursor<'_>, kept: &[&'static str], parent: &str, value: &mut Value) {
        match value {
            Value::Object(entries) => self.entries(cursor, kept, parent, entries),
            Value::Array(items) => {
                if let Some(item) = cursor.items() {
                    items.iter_mut().for_each(|value| self.descend(item, kept, parent, value));
                }
            }
            _ => {}
        }
    }

    fn entries(&self, cursor: Cursor<'_>, kept: &[&'static str], parent: &str, entries: &mut Map<String, Value>) {
        if !matches!(cursor.node(), Node::Struct { .. }) {
            if let Node::Map { .. } = cursor.node() {
                for (key, value) in entries {
                    if let Some(child) = cursor.child(key) {
                        self.descend(child, &[], "", value);
                    }
                }
            }
            return;
        }
        entries.retain(|name, value| {
            let Some((field, child)) = cursor.field(name) else { return true };
            self.descend(child, &below(kept, name), name, value);
            kept.contains(&name.as_str()) || !self.says_nothing(field, child.node(), parent, name, value)
        });
    }

    fn says_nothing(&self, field: &Field, node: &Node, parent: &str, name: &str, value: &Value) -> bool {
        if field.required || field.default.is_some() || KEPT_LISTS.contains(&name) {
            return false;
        }
        match (node, value) {
            (Node::List { .. }, Value::Array(items)) => items.is_empty(),
            (Node::Map { .. }, Value::Object(entries)) => entries.is_empty(),
            (Node::Scalar(_), _) if !self.scalars => false,
            (Node::Scalar(Scalar::String), Value::String(text)) => text.is_empty() && !KEPT_TEXTS.contains(&name),
            (Node::Scalar(Scalar::Boolean), Value::Bool(false)) => {
                DROPPED_BOOLEANS.contains(&name) && !(name == "readOnly" && READ_ONLY_KEPT_IN.contains(&parent))
            }
            (Node::Scalar(Scalar::Int32 | Scalar::Int64), number) => number == 0 && DROPPED_NUMBERS.contains(&name),
            _ => false,
        }
    }
}

/// The paths that go on below the field `name`.
fn below(paths: &[&'static str], name: &str) -> Vec<&'static str> {
    let rest = |path: &&'static str| {
        let (step, rest) = path.split_once('.')?;
        (step.trim_end_matches("[]") == name).then_some(rest)
    };
    paths.iter().filter_map(rest).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{LimitRange, Pod};
    use serde_json::json;

    use super::*;

    #[test]
    fn zeros_go_and_what_says_something_stays() {
        let mut pod = json!({
            "metadata": {"labels": {}, "annotations": {"a": ""}, "generateName": ""},
            "spec": {
                "nodeSelector": {}, "hostNetwork": false, "automountServiceAccountToken": false, "securityContext": {},
                "runtimeClassName": "", "schedulerName": "", "priority": 0, "terminationGracePeriodSeconds": 0,
                "volumes": [
                    {"name": "a", "persistentVolumeClaim": {"claimName": "c", "readOnly": false}},
                    {"name": "b", "csi": {"driver": "d", "readOnly": false}},
                    {"name": "c", "emptyDir": {}},
                ],
                "containers": [{"name": "", "args": [], "env": [{"name": "X", "value": ""}], "resources": {"limits": {}}}],
            },
        });
        prune(&Schema::of::<Pod>(), &[], "", &mut pod);
        assert_eq!(
            pod,
            json!({
                "metadata": {"annotations": {"a": ""}},
                "spec": {
                    "automountServiceAccountToken": false, "securityContext": {},
                    "runtimeClassName": "", "priority": 0, "terminationGracePeriodSeconds": 0,
                    "volumes": [
                        {"name": "a", "persistentVolumeClaim": {"claimName": "c"}},
                        {"name": "b", "csi": {"driver": "d", "readOnly": false}},
                        {"name": "c", "emptyDir": {}},
                    ],
                    "containers": [{"name": "", "env": [{"name": "X"}], "resources": {}}],
                },
            })
        );
    }

    #[test]
    fn lists_that_are_written_as_null_stay() {
        let mut range = json!({"spec": {"limits": []}});
        prune(&Schema::of::<LimitRange>(), &["spec.limits"], "", &mut range);
        assert_eq!(range, json!({"spec": {"limits": []}}));
    }
}

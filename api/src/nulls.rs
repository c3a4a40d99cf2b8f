//! Fields that Kubernetes writes as `null` where they have no value. Its types keep some optional fields without
//! `omitempty`, and clients see (and field managers come to own) the nulls; k8s-openapi leaves them out.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use machinery::text::Text;
use memchr::memmem::Finder;

use crate::conditions::NO_TIME;
use crate::object::EmptyLists;

/// The null fields of kinds, as paths; `[]` stands for each element of a list, `{}` for a struct that is written even where
/// nothing else is in it, and `?` for a text or map that is left out where it is empty.
const PATHS: &[(&str, &[&str], &[&str])] = &[
    ("", &["Pod"], POD),
    ("", &["Event"], &["eventTime", "firstTimestamp", "lastTimestamp", "series.lastObservedTime"]),
    ("", &["Node"], &["status.conditions[].lastHeartbeatTime", "status.conditions[].lastTransitionTime", "status.images[].names"]),
    ("", &["Namespace", "Service"], CONDITIONS),
    ("", &["ReplicationController"], TEMPLATE_AND_CONDITIONS),
    ("apps", &["ReplicaSet", "DaemonSet"], TEMPLATE_AND_CONDITIONS),
    ("", &["PodTemplate"], &["template.spec.imagePullSecrets[].name?"]),
    ("", &["ServiceAccount"], &["imagePullSecrets[].name?"]),
    ("batch", &["CronJob"], &["spec.jobTemplate.spec.template.spec.imagePullSecrets[].name?"]),
    ("flowcontrol.apiserver.k8s.io", &["PriorityLevelConfiguration"], CONDITIONS),
    ("apiregistration.k8s.io", &["APIService"], CONDITIONS),
    ("networking.k8s.io", &["ServiceCIDR"], CONDITIONS),
    ("admissionregistration.k8s.io", &["ValidatingAdmissionPolicy"], CONDITIONS),
    (
        "apps",
        &["StatefulSet"],
        &[
            "spec.template.spec.imagePullSecrets[].name?",
            "spec.volumeClaimTemplates[].spec.dataSource.apiGroup",
            "spec.volumeClaimTemplates[].spec.dataSourceRef.apiGroup",
            "status.conditions[].lastTransitionTime",
        ],
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        &["FlowSchema"],
        &["spec.rules[].resourceRules[].namespaces", "status.conditions[].lastTransitionTime"],
    ),
    (
        "",
        &["PersistentVolumeClaim"],
        &[
            "spec.dataSource.apiGroup",
            "spec.dataSourceRef.apiGroup",
            "status.conditions[].lastProbeTime",
            "status.conditions[].lastTransitionTime",
        ],
    ),
    (
        "apps",
        &["Deployment"],
        &["spec.template.spec.imagePullSecrets[].name?", "status.conditions[].lastTransitionTime", "status.conditions[].lastUpdateTime"],
    ),
    (
        "batch",
        &["Job"],
        &[
            "spec.podFailurePolicy.rules",
            "spec.template.spec.imagePullSecrets[].name?",
            "status.conditions[].lastProbeTime",
            "status.conditions[].lastTransitionTime",
        ],
    ),
    ("", &["LimitRange"], &["spec{}.limits"]),
    (
        "apiextensions.k8s.io",
        &["CustomResourceDefinition"],
        &[
            "spec.conversion.webhook.conversionReviewVersions",
            "status.conditions",
            "status.conditions[].lastTransitionTime",
            "status.storedVersions",
        ],
    ),
    ("discovery.k8s.io", &["EndpointSlice"], &["endpoints", "ports"]),
    ("networking.k8s.io", &["Ingress"], &["spec.defaultBackend.resource.apiGroup", "spec.rules[].http.paths[].backend.resource.apiGroup"]),
    ("rbac.authorization.k8s.io", &["Role", "ClusterRole"], &["rules"]),
    ("", &["PersistentVolume"], &["spec.azureFile.secretNamespace", "spec.scaleIO.secretRef"]),
    ("resource.k8s.io", &["ResourceClaim"], &["spec.devices{}.requests", "status.devices[].conditions"]),
    ("resource.k8s.io", &["ResourceClaimTemplate"], &["spec.spec.devices{}.requests"]),
    ("storage.k8s.io", &["CSINode"], &["spec.drivers", "spec.drivers[].topologyKeys"]),
    ("storage.k8s.io", &["VolumeAttachment"], &["status.attachError.time", "status.detachError.time"]),
    ("autoscaling", &["HorizontalPodAutoscaler"], &["status.conditions[].lastTransitionTime", "status.currentMetrics"]),
];

const CONDITIONS: &[&str] = &["status.conditions[].lastTransitionTime"];

const TEMPLATE_AND_CONDITIONS: &[&str] = &["spec.template.spec.imagePullSecrets[].name?", "status.conditions[].lastTransitionTime"];

const POD: &[&str] = &[
    "spec.imagePullSecrets[].name?",
    "spec.overhead?",
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

/// The null fields of a struct and of what is in it, as a tree.
#[derive(Debug, Default)]
pub(crate) struct Nulls {
    fields: Vec<Field>,
    /// JSON in which none of these is found lacks nothing. Empty: it may lack something whatever is in it.
    traces: Vec<Finder<'static>>,
}

#[derive(Debug)]
struct Field {
    name: &'static str,
    /// It is null where it has no value; otherwise it only leads to such fields.
    is_null: bool,
    /// It is written even where nothing else is in it.
    is_struct: bool,
    /// It is left out where it is an empty text or map.
    is_left_out: bool,
    below: Nulls,
}

/// The null fields of a kind.
pub(crate) fn of(group: &'static str, kind: &'static str) -> &'static Nulls {
    static TREES: LazyLock<HashMap<(&str, &str), Nulls>> = LazyLock::new(|| {
        let kinds = PATHS.iter().flat_map(|(group, kinds, paths)| kinds.iter().map(|kind| ((*group, *kind), Nulls::new(paths))));
        kinds.collect()
    });
    static NONE: Nulls = Nulls { fields: Vec::new(), traces: Vec::new() };
    TREES.get(&(group, kind)).unwrap_or(&NONE)
}

impl Nulls {
    fn new(paths: &[&'static str]) -> Self {
        let mut tree = Self::default();
        paths.iter().for_each(|path| tree.add(path));
        // In the order in which they are written.
        tree.sort();
        let traces: Option<BTreeSet<_>> = paths.iter().map(|path| trace(path)).collect();
        tree.traces = traces.unwrap_or_default().iter().map(|trace| Finder::new(trace).into_owned()).collect();
        tree
    }

    /// Whether an object's JSON may lack any of them.
    pub(crate) fn concern(&self, json: &[u8]) -> bool {
        !self.fields.is_empty() && (self.traces.is_empty() || self.traces.iter().any(|trace| trace.find(json).is_some()))
    }

    fn add(&mut self, path: &'static str) {
        let (step, rest) = path.split_once('.').map_or((path, None), |(step, rest)| (step, Some(rest)));
        let name = name_of(step);
        let known = self.fields.iter().position(|field| field.name == name);
        let at = known.unwrap_or_else(|| {
            self.fields.push(Field { name, is_null: false, is_struct: false, is_left_out: false, below: Self::default() });
            self.fields.len() - 1
        });
        let field = &mut self.fields[at];
        field.is_struct |= step.ends_with("{}");
        match rest {
            Some(rest) => field.below.add(rest),
            None if step.ends_with('?') => field.is_left_out = true,
            None => field.is_null = true,
        }
    }

    fn sort(&mut self) {
        self.fields.sort_by_key(|field| field.name);
        self.fields.iter_mut().for_each(|field| field.below.sort());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn find(&self, name: &str) -> Option<(usize, &Field)> {
        self.fields.iter().enumerate().find(|(_, field)| field.name == name)
    }

    /// Whether a field is null where it has no value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some_and(|(_, field)| field.is_null)
    }

    /// Those in a field.
    pub(crate) fn below(&self, name: &str) -> Option<&Self> {
        self.find(name).map(|(_, field)| &field.below)
    }
}

/// The name in a step of a path.
fn name_of(step: &str) -> &str {
    step.trim_end_matches("[]").trim_end_matches("{}").trim_end_matches('?')
}

/// What JSON has in it if anything is at the last step of a path, or lacks there; None: that cannot be told.
fn trace(path: &str) -> Option<String> {
    let mut steps = path.rsplit('.');
    let last = steps.next()?;
    let is_always_there = path.contains("{}");
    let above = name_of(steps.next()?);
    // Of what is left out, both have to be there; the longer name is the rarer.
    let name = if last.ends_with('?') && name_of(last).len() > above.len() { name_of(last) } else { above };
    (!is_always_there).then(|| format!("\"{name}\":"))
}

/// Appends an object's JSON with the nulls that it lacks. Empty lists in their place become null too where they are to be
/// forgotten, as they are in Kubernetes by being stored.
pub(crate) fn write_filled(nulls: &Nulls, json: &str, empty_lists: EmptyLists, out: &mut Vec<u8>) {
    let mut copy = Copy { json, at: 0, copied: 0, empty_lists, out };
    // Of what is no JSON, the rest is copied as it is.
    let _ = copy.value(nulls);
    copy.up_to(json.len());
}

/// A copy of `json`, made in as few pieces as there are changes. It is read once; methods that read give None where it is no JSON.
struct Copy<'j, 'o> {
    json: &'j str,
    /// How much of it has been read.
    at: usize,
    /// How much of it has been copied, or replaced.
    copied: usize,
    empty_lists: EmptyLists,
    out: &'o mut Vec<u8>,
}

impl<'j> Copy<'j, '_> {
    fn up_to(&mut self, end: usize) {
        self.out.extend_from_slice(self.json.as_bytes().get(self.copied..end).unwrap_or_default());
        self.copied = end;
    }

    fn rest(&self) -> &'j str {
        self.json.get(self.at..).unwrap_or_default()
    }

    /// Passes over a value.
    fn pass(&mut self) -> Option<&'j str> {
        let (value, _) = Text::split_first(self.rest())?;
        self.at += value.as_str().len();
        Some(value.as_str())
    }

    /// Passes over a byte if it is the next one.
    fn takes(&mut self, byte: char) -> bool {
        let is_next = self.rest().starts_with(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn value(&mut self, nulls: &Nulls) -> Option<()> {
        if !nulls.is_empty() && self.takes('{') {
            return self.members(nulls);
        }
        if !nulls.is_empty() && self.takes('[') {
            while !self.takes(']') {
                self.value(nulls)?;
                self.takes(',');
            }
            return Some(());
        }
        self.pass().map(drop)
    }

    /// Goes on behind the brace that opens an object.
    fn members(&mut self, nulls: &Nulls) -> Option<()> {
        let mut met = 0_u32;
        while !self.rest().starts_with('}') {
            let name = self.pass()?.trim_matches('"');
            if !self.takes(':') {
                return None;
            }
            match nulls.find(name) {
                None => drop(self.pass()?),
                Some((place, field)) => {
                    met |= 1 << place;
                    self.member(name, field)?;
                }
            }
            self.takes(',');
        }
        let lacks = |(place, field): &(usize, &Field)| met & (1 << place) == 0 && (field.is_null || field.is_struct);
        for (_, field) in nulls.fields.iter().enumerate().filter(lacks) {
            self.up_to(self.at);
            self.append(field);
        }
        self.at += "}".len();
        Some(())
    }

    fn member(&mut self, name: &str, field: &Field) -> Option<()> {
        let start = self.at;
        let is_hollow = ["\"\"", "{}", "[]"].iter().any(|hollow| self.rest().starts_with(hollow));
        if !is_hollow && !self.rest().starts_with('"') {
            return self.value(&field.below);
        }
        let value = self.pass()?;
        if field.is_left_out && matches!(value, "\"\"" | "{}") {
            self.leave_out(start - name.len() - "\"\":".len());
            return Some(());
        }
        let is_forgotten = field.is_null && value == "[]" && self.empty_lists == EmptyLists::Forget;
        // A struct or a time that the type has no absence for.
        let is_absent = field.is_null && value == "{}" || value.trim_matches('"') == NO_TIME;
        if (field.is_null || field.is_struct) && (is_forgotten || is_absent) {
            self.up_to(start);
            self.out.extend_from_slice(b"null");
            self.copied = self.at;
        } else if value == "{}" {
            self.at = start;
            self.value(&field.below)?;
        }
        Some(())
    }

    /// Appends a member that an object lacks.
    fn append(&mut self, field: &Field) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        self.out.extend_from_slice(format!("\"{}\":", field.name).as_bytes());
        if field.is_struct {
            write_filled(&field.below, "{}", self.empty_lists, self.out);
        } else {
            self.out.extend_from_slice(b"null");
        }
    }

    /// Leaves out a member that has been read from `start`, with a comma beside it.
    fn leave_out(&mut self, start: usize) {
        self.up_to(start);
        self.copied = self.at;
        if self.out.last() == Some(&b',') {
            self.out.pop();
        } else if self.rest().starts_with(',') {
            self.copied += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_appear_only_in_what_is_there() {
        let filled = |nulls: &Nulls, json: &str| {
            let mut out = Vec::new();
            write_filled(nulls, json, EmptyLists::Forget, &mut out);
            String::from_utf8(out).unwrap_or_default()
        };
        let pod = r#"{"spec":{"x":1},"status":{"conditions":[{"type":"Ready","lastProbeTime":"t"},{}],"phase":"a\"b"}}"#;
        assert_eq!(
            filled(of("", "Pod"), pod),
            concat!(
                r#"{"spec":{"x":1},"status":{"conditions":[{"type":"Ready","lastProbeTime":"t","lastTransitionTime":null},"#,
                r#"{"lastProbeTime":null,"lastTransitionTime":null}],"phase":"a\"b"}}"#
            )
        );
        let secrets = r#"{"spec":{"imagePullSecrets":[{"name":""},{"name":"a"}],"x":""}}"#;
        assert_eq!(filled(of("", "Pod"), secrets), r#"{"spec":{"imagePullSecrets":[{},{"name":"a"}],"x":""}}"#);
        assert_eq!(filled(&Nulls::new(&["a?"]), r#"{"a":"","b":1}"#), r#"{"b":1}"#);
        assert_eq!(filled(&Nulls::new(&["a?", "c"]), r#"{"b":1,"a":""}"#), r#"{"b":1,"c":null}"#);
        let volumes = r#"{"spec":{"volumes":[{"projected":{}},{"projected":{"sources":[]},"name":"a"}]}}"#;
        let expected = r#"{"spec":{"volumes":[{"projected":{"sources":null}},{"projected":{"sources":null},"name":"a"}]}}"#;
        assert_eq!(filled(of("", "Pod"), volumes), expected);
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

    #[test]
    fn broken_json_is_copied() {
        let pod = r#"{"spec":{"volumes":[{"projected":{}}],"overhead":{}},"status":{"conditions":[{"type":"a\"b"}]}}"#;
        for cut in 0..pod.len() {
            let mut out = Vec::new();
            write_filled(of("", "Pod"), &pod[..cut], EmptyLists::Keep, &mut out);
            assert!(out.starts_with(&pod.as_bytes()[..cut.min(20)]));
        }
    }

    #[test]
    fn what_has_no_trace_of_a_null_lacks_none() {
        let concerned = |kind, json: &str| of("", kind).concern(json.as_bytes());
        assert!(!concerned("Pod", r#"{"spec":{"containers":[{"name":"conditions"}]},"status":{}}"#));
        assert!(concerned("Pod", r#"{"spec":{},"status":{"conditions":[{}]}}"#));
        assert!(concerned("Pod", r#"{"spec":{"overhead":{}}}"#));
        // These are written wherever their kind is.
        assert!(concerned("LimitRange", "{}") && concerned("Event", "{}") && !concerned("ConfigMap", "{}"));
        for (group, kinds, _) in PATHS {
            for kind in *kinds {
                let nulls = of(group, kind);
                let mut out = Vec::new();
                write_filled(nulls, "{}", EmptyLists::Forget, &mut out);
                assert!(out == b"{}" || nulls.concern(b"{}"), "{kind}");
            }
        }
    }
}

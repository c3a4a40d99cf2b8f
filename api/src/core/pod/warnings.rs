//! What writers of pods, and of templates of pods, are warned of: things that are accepted, and that are seldom meant.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    AppArmorProfile, ContainerPort, EnvVar, NodeSelectorTerm, Pod, PodAffinityTerm, PodSpec, PodTemplateSpec, WeightedPodAffinityTerm,
};
use machinery::field::Path;
use machinery::quantity::Quantity;
use machinery::{ip, names};

use super::validation::annotations::{APP_ARMOR_PREFIX, Annotations, SECCOMP, SECCOMP_PREFIX, app_armor_field};
use super::validation::validate_app_armor;
use super::{visit, volume_warnings};
use crate::scheduling::resources::List;
use crate::validate::text;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Labels of nodes that others have replaced, and what to say of them.
const OLD_NODE_LABELS: [(&str, &str); 8] = [
    ("app.kubernetes.io/created-by", "is deprecated since v1.9"),
    ("beta.kubernetes.io/arch", "is deprecated since v1.14; use \"kubernetes.io/arch\""),
    ("beta.kubernetes.io/instance-type", "is deprecated since v1.17; use \"node.kubernetes.io/instance-type\""),
    ("beta.kubernetes.io/os", "is deprecated since v1.14; use \"kubernetes.io/os\""),
    ("failure-domain.beta.kubernetes.io/region", "is deprecated since v1.17; use \"topology.kubernetes.io/region\""),
    ("failure-domain.beta.kubernetes.io/zone", "is deprecated since v1.17; use \"topology.kubernetes.io/zone\""),
    ("node-role.kubernetes.io/master", "is deprecated; use \"node-role.kubernetes.io/control-plane\""),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "is deprecated since v1.22; use taints and tolerations"),
];

/// Annotations that do nothing any more, and what to use instead.
const OLD_ANNOTATIONS: [(&str, &str); 3] = [
    ("scheduler.alpha.kubernetes.io/critical-pod", "does nothing since v1.16; use the field priorityClassName"),
    ("security.alpha.kubernetes.io/sysctls", "does nothing since v1.11; use the field sysctls"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "does nothing since v1.11; use the field sysctls"),
];

/// Of a new pod.
pub(super) fn of_pod(pod: &Pod) -> Vec<String> {
    let mut warnings = Vec::new();
    if !names::dns1123_label(text(&pod.metadata.name), false).is_empty() {
        warnings.push("metadata.name: is the pod's host name too, for which a DNS label would be better".to_owned());
    }
    let Some(spec) = &pod.spec else { return warnings };
    let about = About { root: &Path::root(), annotations: pod.metadata.annotations.as_ref(), is_template: false };
    about.all(spec, &mut warnings);
    warnings
}

/// Of a new pod's annotations for which there are fields by now, before these are filled from them.
pub(super) fn of_annotations(pod: &Pod) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some(spec) = pod.spec.as_ref().filter(|spec| spec.os.as_ref().is_none_or(|os| os.name != "windows")) else { return warnings };
    let about = About { root: &Path::root(), annotations: pod.metadata.annotations.as_ref(), is_template: false };
    visit::containers(spec).for_each(|container| about.app_armor(spec, container, &mut warnings));
    warnings
}

/// Of a template at `path`.
pub fn warnings_of_template(path: &Path, template: &PodTemplateSpec) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some(spec) = &template.spec else { return warnings };
    let annotations = template.metadata.as_ref().and_then(|m| m.annotations.as_ref());
    About { root: path, annotations, is_template: true }.all(spec, &mut warnings);
    warnings
}

fn old_label(key: &str) -> Option<&'static str> {
    OLD_NODE_LABELS.iter().find(|(label, _)| *label == key).map(|(_, why)| *why)
}

/// Where a spec stands, and what stands beside it.
struct About<'a> {
    root: &'a Path,
    annotations: Option<&'a Annotations>,
    is_template: bool,
}

impl About<'_> {
    fn spec(&self) -> Path {
        self.root.child("spec")
    }

    fn annotation(&self, key: &str) -> Path {
        self.root.child("metadata").child("annotations").key(key)
    }

    fn all(&self, spec: &PodSpec, warnings: &mut Vec<String>) {
        self.nodes(spec, warnings);
        self.spread(spec, warnings);
        self.old_annotations(spec, warnings);
        volume_warnings::of(&self.spec(), spec, warnings);
        self.references(spec, warnings);
        self.fractions(&self.spec().child("overhead"), spec.overhead.as_ref(), warnings);
        self.containers(spec, warnings);
        self.ports(spec, warnings);
        if spec.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
            let at = self.spec().child("terminationGracePeriodSeconds");
            warnings.push(format!("{at}: must not be negative, and is taken as 1"));
        }
        self.affinity(spec, warnings);
        self.addresses(spec, warnings);
    }

    fn nodes(&self, spec: &PodSpec, warnings: &mut Vec<String>) {
        for key in spec.node_selector.iter().flat_map(|selector| selector.keys()) {
            if let Some(why) = old_label(key) {
                warnings.push(format!("{}: {why}", self.spec().child("nodeSelector").key(key)));
            }
        }
        let Some(affinity) = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref()) else { return };
        let at = || self.spec().child("affinity").child("nodeAffinity");
        let required = affinity.required_during_scheduling_ignored_during_execution.iter().flat_map(|s| &s.node_selector_terms);
        for (i, term) in required.enumerate() {
            node_term(|| at().child(REQUIRED).child("nodeSelectorTerms").index(i), term, false, warnings);
        }
        let preferred = affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        for (i, term) in preferred.enumerate() {
            node_term(|| at().child(PREFERRED).index(i).child("preference"), &term.preference, true, warnings);
        }
    }

    fn spread(&self, spec: &PodSpec, warnings: &mut Vec<String>) {
        for (i, constraint) in spec.topology_spread_constraints.iter().flatten().enumerate() {
            let at = || self.spec().child("topologySpreadConstraints").index(i);
            if let Some(why) = old_label(&constraint.topology_key) {
                warnings.push(format!("{}: {} {why}", at().child("topologyKey"), constraint.topology_key));
            }
            if constraint.label_selector.is_none() {
                warnings.push(format!("{}: without a selector no pod is matched", at().child("labelSelector")));
            }
        }
    }

    fn old_annotations(&self, spec: &PodSpec, warnings: &mut Vec<String>) {
        let Some(annotations) = self.annotations else { return };
        for (key, why) in OLD_ANNOTATIONS.iter().filter(|(key, _)| annotations.contains_key(*key)) {
            warnings.push(format!("{}: {why}", self.annotation(key)));
        }
        let context = spec.security_context.as_ref();
        if annotations.contains_key(SECCOMP) && context.is_none_or(|c| c.seccomp_profile.is_none()) {
            warnings.push(format!("{}: does nothing since v1.27; use the field seccompProfile", self.annotation(SECCOMP)));
        }
        for container in visit::containers(spec) {
            let own = container.security();
            let key = format!("{SECCOMP_PREFIX}{}", container.name());
            if annotations.contains_key(&key) && own.is_none_or(|c| c.seccomp_profile.is_none()) {
                warnings.push(format!("{}: does nothing since v1.27; use the field seccompProfile", self.annotation(&key)));
            }
            if self.is_template {
                self.app_armor(spec, container, warnings);
            }
        }
    }

    /// An annotation for what the field does not say, nor the pod's.
    fn app_armor(&self, spec: &PodSpec, container: visit::Place<'_>, warnings: &mut Vec<String>) {
        let key = format!("{APP_ARMOR_PREFIX}{}", container.name());
        let Some(annotation) = self.annotations.and_then(|annotations| annotations.get(&key)) else { return };
        if container.security().is_some_and(|own| own.app_armor_profile.is_some()) {
            return;
        }
        let is_good = |profile: &AppArmorProfile| self.is_template || validate_app_armor(&Path::root(), profile).is_empty();
        let field = app_armor_field(annotation).filter(is_good);
        let of_pod = spec.security_context.as_ref().and_then(|c| c.app_armor_profile.as_ref());
        if field.is_none() || field.as_ref() != of_pod {
            warnings.push(format!("{}: is deprecated since v1.30; use the field appArmorProfile", self.annotation(&key)));
        }
    }

    /// Aliases and secrets that are named twice, or not at all.
    fn references(&self, spec: &PodSpec, warnings: &mut Vec<String>) {
        let aliases = spec.host_aliases.as_deref().unwrap_or_default();
        for (i, alias) in aliases.iter().enumerate().filter(|(i, alias)| aliases[..*i].iter().any(|a| a.ip == alias.ip)) {
            let at = self.spec().child("hostAliases").index(i).child("ip");
            warnings.push(format!("{at}: {:?} is given before", alias.ip));
        }
        let secrets = spec.image_pull_secrets.as_deref().unwrap_or_default();
        let at = |i| self.spec().child("imagePullSecrets").index(i).child("name");
        for (i, secret) in secrets.iter().enumerate().filter(|(i, secret)| secrets[..*i].iter().any(|s| s.name == secret.name)) {
            warnings.push(format!("{}: {:?} is given before", at(i), secret.name));
        }
        for (i, _) in secrets.iter().enumerate().filter(|(_, secret)| secret.name.is_empty()) {
            warnings.push(format!("{}: is empty", at(i)));
        }
    }

    /// Bytes that are no whole ones.
    fn fractions(&self, path: &Path, list: Option<&List>, warnings: &mut Vec<String>) {
        for name in ["memory", "ephemeral-storage"] {
            let amount = list.and_then(|list| list.get(name)).map(Quantity::of);
            if let Some(amount) = amount.filter(|amount| !amount.is_integer()) {
                warnings.push(format!("{}: {amount} is no whole number of bytes", path.key(name)));
            }
        }
    }

    fn containers(&self, spec: &PodSpec, warnings: &mut Vec<String>) {
        for container in visit::containers(spec) {
            if let Some(resources) = container.resources().filter(|r| r.limits.is_some() || r.requests.is_some()) {
                let at = container.path(&self.spec()).child("resources");
                self.fractions(&at.child("limits"), resources.limits.as_ref(), warnings);
                self.fractions(&at.child("requests"), resources.requests.as_ref(), warnings);
            }
            let variables = container.env();
            for (i, variable) in hiding(variables) {
                let at = container.path(&self.spec()).child("env").index(i);
                warnings.push(format!("{at}: hides {:?} from before, which server-side apply may drop", variable.name));
            }
        }
    }

    fn ports(&self, spec: &PodSpec, warnings: &mut Vec<String>) {
        let mut before: Vec<(visit::Place<'_>, usize, &ContainerPort)> = Vec::new();
        let at = |container: visit::Place<'_>, i| container.path(&self.spec()).child("ports").index(i);
        let host_ip = |port: &ContainerPort| text(&port.host_ip).to_owned();
        for container in visit::containers(spec) {
            for (i, port) in container.ports().iter().enumerate() {
                let host = port.host_port.unwrap_or_default();
                if host == 0 && !text(&port.host_ip).is_empty() {
                    warnings.push(format!("{}: has a hostIP, and no hostPort", at(container, i)));
                }
                let same = |other: &ContainerPort| other.container_port == port.container_port && other.protocol == port.protocol;
                for (holder, j, other) in before.iter().filter(|(.., other)| same(other)) {
                    let theirs = other.host_port.unwrap_or_default();
                    let what = if host == theirs && host_ip(port) == host_ip(other) {
                        "is the same as"
                    } else if host == 0 || theirs == 0 {
                        "overlaps with"
                    } else if host == theirs && text(&port.host_ip).is_empty() != text(&other.host_ip).is_empty() {
                        "is in danger of being mixed up with"
                    } else {
                        continue;
                    };
                    warnings.push(format!("{}: {what} {}", at(container, i), at(*holder, *j)));
                }
                before.push((container, i, port));
            }
        }
        for (k, (container, i, port)) in before.iter().enumerate().filter(|(_, (.., port))| !text(&port.name).is_empty()) {
            if let Some((holder, j, _)) = before[..k].iter().find(|(.., other)| other.name == port.name) {
                let other = at(*holder, *j);
                warnings.push(format!("{}: has the name of {other}, which is found by it", at(*container, *i)));
            }
        }
    }

    fn affinity(&self, spec: &PodSpec, warnings: &mut Vec<String>) {
        let Some(affinity) = &spec.affinity else { return };
        if let Some(near) = &affinity.pod_affinity {
            let required = near.required_during_scheduling_ignored_during_execution.as_deref().unwrap_or_default();
            let preferred = near.preferred_during_scheduling_ignored_during_execution.as_deref().unwrap_or_default();
            self.pod_terms("podAffinity", required, preferred, warnings);
        }
        if let Some(apart) = &affinity.pod_anti_affinity {
            let required = apart.required_during_scheduling_ignored_during_execution.as_deref().unwrap_or_default();
            let preferred = apart.preferred_during_scheduling_ignored_during_execution.as_deref().unwrap_or_default();
            self.pod_terms("podAntiAffinity", required, preferred, warnings);
        }
    }

    fn pod_terms(&self, field: &str, required: &[PodAffinityTerm], preferred: &[WeightedPodAffinityTerm], warnings: &mut Vec<String>) {
        let at = || self.spec().child("affinity").child(field);
        let mut warn = |path: Path| warnings.push(format!("{}: without a selector no pod is matched", path.child("labelSelector")));
        for (i, _) in required.iter().enumerate().filter(|(_, term)| term.label_selector.is_none()) {
            warn(at().child(REQUIRED).index(i));
        }
        for (i, _) in preferred.iter().enumerate().filter(|(_, term)| term.pod_affinity_term.label_selector.is_none()) {
            warn(at().child(PREFERRED).index(i).child("podAffinityTerm"));
        }
    }

    fn addresses(&self, spec: &PodSpec, warnings: &mut Vec<String>) {
        let servers = spec.dns_config.iter().flat_map(|c| c.nameservers.iter().flatten()).enumerate();
        let servers = servers.map(|(i, server)| (server, "dnsConfig.nameservers", i, ""));
        let aliases = spec.host_aliases.iter().flatten().enumerate().map(|(i, alias)| (&alias.ip, "hostAliases", i, ".ip"));
        for (address, field, i, below) in servers.chain(aliases) {
            warnings.extend(address_warning(|| format!("{}{below}", self.spec().child(field).index(i)), address));
        }
    }
}

/// An address that is good, and that others write in another way.
pub(super) fn address_warning(at: impl Fn() -> String, address: &str) -> Option<String> {
    let good = ip::parse(address).ok()?.to_string();
    (good != address).then(|| format!("{}: {address:?} should be written as {good:?}", at()))
}

fn node_term(at: impl Fn() -> Path, term: &NodeSelectorTerm, checks_values: bool, warnings: &mut Vec<String>) {
    for (i, expression) in term.match_expressions.iter().flatten().enumerate() {
        let at = || at().child("matchExpressions").index(i);
        if let Some(why) = old_label(&expression.key) {
            warnings.push(format!("{}: {} {why}", at().child("key"), expression.key));
        }
        for (j, value) in expression.values.iter().flatten().enumerate().filter(|_| checks_values) {
            let wrong = names::label_value(value);
            warnings.extend(wrong.iter().map(|why| format!("{}: {value} is no value of labels: {why}", at().child("values").index(j))));
        }
    }
}

/// Variables that hide earlier ones of their name. One that refers to the earlier adds to it.
fn hiding(variables: &[EnvVar]) -> impl Iterator<Item = (usize, &EnvVar)> {
    let mut seen = BTreeSet::new();
    let adds = |variable: &EnvVar| {
        let reference = format!("$({})", variable.name);
        let value = text(&variable.value);
        variable.value_from.is_none() && value != reference && value.contains(&reference)
    };
    variables.iter().enumerate().filter(move |(_, variable)| !seen.insert(&variable.name) && !adds(variable))
}

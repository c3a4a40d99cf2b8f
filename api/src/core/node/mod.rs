//! Node: a machine that pods run on. Its status is the kubelet's to write, through the `status` subresource.

mod annotations;
mod validation;

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{DaemonEndpoint, Node, NodeStatus, NodeSystemInfo, Taint};
use machinery::field::Errors;
use machinery::objectmeta::Repeated;
use machinery::{ip, names, table};
use serde_json::{Value, json};

use crate::kind::{Column, Kind, Names, Scope, SelectableField, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};

const NOT_READY_TAINT: &str = "node.kubernetes.io/not-ready";
const ROLE_LABEL_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE_LABEL: &str = "kubernetes.io/role";

pub struct Nodes;

impl Kind for Nodes {
    type Object = Node;

    const NAMES: Names =
        Names { group: "", version: "v1", kind: "Node", plural: "nodes", singular: "node", short: &["no"], categories: &[] };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "minions";
    const SELECTABLE: &'static [&'static str] = &["spec.unschedulable"];
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Status", "Whether pods can run here."),
        Column::text("Roles", "What the node is set aside for."),
        Column::AGE,
        Column::text("Version", "The kubelet's version."),
        Column::text("Internal-IP", "The address inside the cluster.").wide(),
        Column::text("External-IP", "The address outside the cluster.").wide(),
        Column::text("OS-Image", "The operating system.").wide(),
        Column::text("Kernel-Version", "The kernel's version.").wide(),
        Column::text("Container-Runtime", "The container runtime and its version.").wide(),
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(node: &mut Node) {
        let spec = node.spec.get_or_insert_default();
        // `podCIDR` is the first of `podCIDRs`; where they disagree, the old field wins.
        let first = spec.pod_cidrs.as_ref().and_then(|all| all.first()).cloned();
        match spec.pod_cidr.clone().filter(|cidr| !cidr.is_empty()) {
            Some(cidr) if first.as_ref() != Some(&cidr) => spec.pod_cidrs = Some(vec![cidr]),
            Some(_) => {}
            None => spec.pod_cidr = first,
        }
        let status = node.status.get_or_insert_default();
        if status.allocatable.is_none() {
            status.allocatable.clone_from(&status.capacity);
        }
        status.node_info.get_or_insert_default();
        status.daemon_endpoints.get_or_insert_default().kubelet_endpoint.get_or_insert(DaemonEndpoint { port: 0 });
    }

    fn prepare_create(_cx: &Context<'_>, node: &mut Node) {
        drop_kubelet_configuration(node, None);
        // Nothing is to be placed on a node before its kubelet has said that it is ready.
        let taints = node.spec.get_or_insert_default().taints.get_or_insert_default();
        if !taints.iter().any(|t| t.key == NOT_READY_TAINT && t.effect == "NoSchedule") {
            taints.push(Taint { key: NOT_READY_TAINT.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() });
        }
    }

    fn validate_create(_cx: &Context<'_>, node: &Node) -> Errors {
        validation::check(node)
    }

    fn warnings_create(node: &Node) -> Vec<String> {
        concerns(node)
    }

    fn update() -> &'static dyn UpdateStrategy<Node> {
        &Update
    }

    fn subresources() -> Vec<Subresource<Node>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn selectable_fields(node: &Node) -> Vec<SelectableField> {
        vec![("spec.unschedulable", if unschedulable(node) { "true" } else { "false" }.into())]
    }

    fn row(node: &Node, now: Timestamp) -> Vec<Value> {
        let info = node.status.as_ref().and_then(|s| s.node_info.clone()).unwrap_or_default();
        vec![
            json!(node.metadata.name),
            json!(state(node)),
            json!(roles(node)),
            json!(table::age(&node.metadata, now)),
            json!(info.kubelet_version),
            json!(address(node, "InternalIP")),
            json!(address(node, "ExternalIP")),
            json!(or_unknown(info.os_image.clone())),
            json!(kernel(&info)),
            json!(or_unknown(info.container_runtime_version)),
        ]
    }
}

/// Kubelets took their configuration from these fields once; they are kept where they were written then.
fn drop_kubelet_configuration(node: &mut Node, old: Option<&Node>) {
    let had_source = old.and_then(|old| old.spec.as_ref()).is_some_and(|spec| spec.config_source.is_some());
    let had_config = old.and_then(status).is_some_and(|status| status.config.is_some());
    if let Some(spec) = node.spec.as_mut().filter(|_| !had_source) {
        spec.config_source = None;
    }
    if let Some(status) = node.status.as_mut().filter(|_| !had_config) {
        status.config = None;
    }
}

fn concerns(node: &Node) -> Vec<String> {
    let Some(spec) = &node.spec else { return Vec::new() };
    let mut concerns = Vec::new();
    if spec.config_source.is_some() {
        concerns.push("spec.configSource: nothing heeds this any more".to_owned());
    }
    if spec.external_id.as_ref().is_some_and(|id| !id.is_empty()) {
        concerns.push("spec.externalID is deprecated, and nothing heeds it".to_owned());
    }
    let blocks = spec.pod_cidrs.iter().flatten().enumerate().filter_map(|(i, text)| Some((i, ip::block_concern(text)?)));
    concerns.extend(blocks.map(|(i, why)| format!("spec.podCIDRs[{i}]: {why}")));
    concerns
}

fn unschedulable(node: &Node) -> bool {
    node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true)
}

fn status(node: &Node) -> Option<&NodeStatus> {
    node.status.as_ref()
}

fn or_unknown(text: String) -> String {
    if text.is_empty() { "<unknown>".to_owned() } else { text }
}

/// The kernel's version, with the architecture that it runs on.
fn kernel(info: &NodeSystemInfo) -> String {
    let version = or_unknown(info.kernel_version.clone());
    if info.architecture.is_empty() { version } else { format!("{version} ({})", info.architecture) }
}

fn state(node: &Node) -> String {
    let ready = status(node).iter().filter_map(|s| s.conditions.as_ref()).flatten().rfind(|c| c.type_ == "Ready");
    let mut text = match ready {
        Some(condition) if condition.status == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if unschedulable(node) {
        text.push_str(",SchedulingDisabled");
    }
    text
}

fn roles(node: &Node) -> String {
    let roles: BTreeSet<&str> = node
        .metadata
        .labels
        .iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix(ROLE_LABEL_PREFIX) {
            Some(role) => Some(role),
            None => (key == ROLE_LABEL).then_some(value.as_str()),
        })
        .filter(|role| !role.is_empty())
        .collect();
    if roles.is_empty() { "<none>".to_owned() } else { roles.into_iter().collect::<Vec<_>>().join(",") }
}

fn address<'a>(node: &'a Node, kind: &str) -> &'a str {
    let mut addresses = status(node).and_then(|s| s.addresses.as_deref()).unwrap_or_default().iter();
    addresses.find(|a| a.type_ == kind).map_or("<none>", |a| a.address.as_str())
}

struct Update;

impl UpdateStrategy<Node> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Node, old: &Node) {
        new.status = old.status.clone();
        drop_kubelet_configuration(new, Some(old));
    }

    fn validate(&self, _cx: &Context<'_>, new: &Node, old: &Node) -> Errors {
        let mut errors = validation::check(new);
        errors.extend(validation::check_metadata_change(new, old));
        errors.extend(validation::check_change(new, old));
        errors
    }

    fn warnings(&self, new: &Node, _old: &Node) -> Vec<String> {
        concerns(new)
    }

    /// The change comes between the rest, in [`Update::validate`].
    fn repeated_metadata(&self) -> Repeated {
        Repeated::Whole
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<Node> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Node, old: &Node) {
        new.spec = old.spec.clone();
        drop_kubelet_configuration(new, Some(old));
    }

    fn validate(&self, _cx: &Context<'_>, new: &Node, old: &Node) -> Errors {
        validation::check_change(new, old)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}

//! Node: a machine that pods run on. Its status is the kubelet's to write, through the `status` subresource.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{DaemonEndpoint, Node, NodeStatus, Taint};
use machinery::field::{Error, Errors, Path};
use machinery::{names, table};
use serde_json::{Value, json};

use crate::kind::{Column, Kind, Names, Scope, SelectableField, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate;

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
        // Nothing is to be placed on a node before its kubelet has said that it is ready.
        let taints = node.spec.get_or_insert_default().taints.get_or_insert_default();
        if !taints.iter().any(|t| t.key == NOT_READY_TAINT && t.effect == "NoSchedule") {
            taints.push(Taint { key: NOT_READY_TAINT.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() });
        }
    }

    fn validate_create(_cx: &Context<'_>, node: &Node) -> Errors {
        let mut errors = validate(node);
        errors.extend(validate_cidrs(node));
        errors
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
        let or_unknown = |text: String| if text.is_empty() { "<unknown>".to_owned() } else { text };
        vec![
            json!(node.metadata.name),
            json!(state(node)),
            json!(roles(node)),
            json!(table::age(&node.metadata, now)),
            json!(info.kubelet_version),
            json!(address(node, "InternalIP")),
            json!(address(node, "ExternalIP")),
            json!(or_unknown(info.os_image)),
            json!(or_unknown(info.kernel_version)),
            json!(or_unknown(info.container_runtime_version)),
        ]
    }
}

fn unschedulable(node: &Node) -> bool {
    node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true)
}

fn status(node: &Node) -> Option<&NodeStatus> {
    node.status.as_ref()
}

fn state(node: &Node) -> String {
    let ready = status(node).iter().filter_map(|s| s.conditions.as_ref()).flatten().find(|c| c.type_ == "Ready");
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
    }

    fn validate(&self, _cx: &Context<'_>, new: &Node, old: &Node) -> Errors {
        validate_update(new, old)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<Node> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Node, old: &Node) {
        new.spec = old.spec.clone();
    }

    fn validate(&self, _cx: &Context<'_>, new: &Node, old: &Node) -> Errors {
        validate_update(new, old)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}

fn validate(node: &Node) -> Errors {
    let mut errors = validate_taints(node);
    let capacity = Path::new("status").child("capacity");
    for (resource, amount) in status(node).iter().filter_map(|s| s.capacity.as_ref()).flatten() {
        let amount = machinery::quantity::Quantity::of(amount);
        if amount.is_negative() {
            errors.push(Error::invalid(&capacity.key(resource), amount.to_string(), "must be greater than or equal to 0"));
        }
    }
    errors
}

fn validate_taints(node: &Node) -> Errors {
    // Kubernetes reports taints below `metadata`.
    let path = Path::new("metadata").child("taints");
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (i, taint) in node.spec.iter().filter_map(|s| s.taints.as_ref()).flatten().enumerate() {
        let at = path.index(i);
        errors.extend(validate::complaints(&at.child("key"), &taint.key, names::qualified_name(&taint.key)));
        let value = taint.value.as_deref().unwrap_or_default();
        errors.extend(validate::complaints(&at.child("value"), value, names::label_value(value)));
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        errors.extend(validate::choice(&at.child("effect"), &taint.effect, &effects));
        if !seen.insert((&taint.key, &taint.effect)) {
            errors.push(Error::duplicate(&at, taint));
        }
    }
    errors
}

fn validate_cidrs(node: &Node) -> Errors {
    let path = Path::new("spec").child("podCIDRs");
    let cidrs = node.spec.as_ref().and_then(|s| s.pod_cidrs.as_deref()).unwrap_or_default();
    let mut errors = Errors::new();
    for (i, cidr) in cidrs.iter().enumerate() {
        if family(cidr).is_none() {
            errors.push(Error::invalid(&path.index(i), cidr, "must be an address, a slash and the length of its prefix"));
        }
    }
    if cidrs.len() > 2 {
        errors.push(Error::invalid(&path, cidrs, "may have one entry for each IP family"));
    } else if let [a, b] = cidrs
        && family(a).is_none_or(|of_a| family(b).is_none_or(|of_b| of_a == of_b))
    {
        errors.push(Error::invalid(&path, cidrs, "two entries must be of different IP families"));
    }
    errors
}

/// Whether a CIDR is of IPv6; None where it is no CIDR.
fn family(cidr: &str) -> Option<bool> {
    let (address, bits) = cidr.split_once('/')?;
    let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?);
    (bits <= if address.is_ipv6() { 128 } else { 32 }).then_some(address.is_ipv6())
}

fn validate_update(new: &Node, old: &Node) -> Errors {
    let mut errors = validate(new);
    let mut seen = BTreeSet::new();
    let addresses = Path::new("status").child("addresses");
    for (i, address) in status(new).iter().filter_map(|s| s.addresses.as_ref()).flatten().enumerate() {
        if !seen.insert((&address.type_, &address.address)) {
            errors.push(Error::duplicate(&addresses.index(i), address));
        }
    }
    let path = Path::new("spec");
    let (new_spec, old_spec) = (new.spec.clone().unwrap_or_default(), old.spec.clone().unwrap_or_default());
    if old_spec.pod_cidrs.as_ref().is_some_and(|c| !c.is_empty()) && new_spec.pod_cidrs != old_spec.pod_cidrs {
        errors.push(Error::forbidden(&path.child("podCIDRs"), "cannot change once it is set"));
    }
    if old_spec.provider_id.as_ref().is_some_and(|id| !id.is_empty()) && new_spec.provider_id != old_spec.provider_id {
        errors.push(Error::forbidden(&path.child("providerID"), "cannot change once it is set"));
    }
    if new_spec.external_id != old_spec.external_id {
        errors.push(Error::forbidden(&path.child("externalID"), "cannot change"));
    }
    errors
}

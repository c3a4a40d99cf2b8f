//! NetworkPolicy: who may talk to pods, and to whom they may.

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::field::{Error, Errors, Path};
use machinery::ip::Block;
use machinery::objectmeta::Repeated;
use machinery::{ip, labels, names};
use serde_json::{Value, json};

use super::GROUP;
use crate::apps::{bump_generation, selector};
use crate::columns;
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::{validate, zero};

pub struct NetworkPolicies;

impl Kind for NetworkPolicies {
    type Object = NetworkPolicy;

    const NAMES: Names = Names {
        group: GROUP,
        version: "v1",
        kind: "NetworkPolicy",
        plural: "networkpolicies",
        singular: "networkpolicy",
        short: &["netpol"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "networkpolicies";
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::text("Pod-Selector", "Which pods it is about."), Column::AGE];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(policy: &mut NetworkPolicy) {
        let spec = zero::keep(&mut policy.spec);
        zero::keep(&mut spec.pod_selector);
        zero::omit(&mut spec.ingress);
        zero::omit(&mut spec.egress);
        zero::omit(&mut spec.policy_types);
        for rule in spec.ingress.iter_mut().flatten() {
            default_rule(&mut rule.from, &mut rule.ports);
        }
        for rule in spec.egress.iter_mut().flatten() {
            default_rule(&mut rule.to, &mut rule.ports);
        }
        let egress = spec.egress.is_some();
        spec.policy_types.get_or_insert_with(|| {
            let types: &[&str] = if egress { &["Ingress", "Egress"] } else { &["Ingress"] };
            types.iter().map(|t| (*t).to_owned()).collect()
        });
    }

    fn prepare_create(_cx: &Context<'_>, policy: &mut NetworkPolicy) {
        policy.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, policy: &NetworkPolicy) -> Errors {
        check(policy)
    }

    fn warnings_create(policy: &NetworkPolicy) -> Vec<String> {
        concerns(policy)
    }

    fn update() -> &'static dyn UpdateStrategy<NetworkPolicy> {
        &Update
    }

    fn row(policy: &NetworkPolicy, now: Timestamp) -> Vec<Value> {
        let selected = policy.spec.as_ref().and_then(|s| s.pod_selector.as_ref());
        vec![columns::name(&policy.metadata), json!(selector::cell(selected)), columns::age(&policy.metadata, now)]
    }
}

fn default_rule(peers: &mut Option<Vec<NetworkPolicyPeer>>, ports: &mut Option<Vec<NetworkPolicyPort>>) {
    zero::omit(peers);
    zero::omit(ports);
    for port in ports.iter_mut().flatten() {
        port.protocol.get_or_insert_with(|| "TCP".to_owned());
    }
    for block in peers.iter_mut().flatten().filter_map(|peer| peer.ip_block.as_mut()) {
        zero::omit(&mut block.except);
    }
}

struct Update;

impl UpdateStrategy<NetworkPolicy> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut NetworkPolicy, old: &NetworkPolicy) {
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &NetworkPolicy, _old: &NetworkPolicy) -> Errors {
        check(new)
    }

    fn warnings(&self, new: &NetworkPolicy, _old: &NetworkPolicy) -> Vec<String> {
        concerns(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }
}

fn concerns(policy: &NetworkPolicy) -> Vec<String> {
    let Some(spec) = &policy.spec else { return Vec::new() };
    let ingress = spec.ingress.iter().flatten().enumerate().map(|(i, rule)| (format!("spec.ingress[{i}].from"), &rule.from));
    let egress = spec.egress.iter().flatten().enumerate().map(|(i, rule)| (format!("spec.egress[{i}].to"), &rule.to));
    let mut concerns = Vec::new();
    for (path, peers) in ingress.chain(egress) {
        for (i, block) in peers.iter().flatten().enumerate().filter_map(|(i, peer)| Some((i, peer.ip_block.as_ref()?))) {
            let texts = [&block.cidr].into_iter().chain(block.except.iter().flatten());
            concerns.extend(texts.filter_map(|text| ip::block_concern(text)).map(|why| format!("{path}[{i}].ipBlock: {why}")));
        }
    }
    concerns
}

fn check(policy: &NetworkPolicy) -> Errors {
    let none = NetworkPolicySpec::default();
    let spec = policy.spec.as_ref().unwrap_or(&none);
    let path = Path::new("spec");
    let mut errors = Errors::new();
    if let Some(selector) = &spec.pod_selector {
        errors.extend(labels::validate(selector, &path.child("podSelector")));
    }
    for (i, rule) in spec.ingress.iter().flatten().enumerate() {
        let path = path.child("ingress").index(i);
        errors.extend(check_rule(&path, "from", rule.from.as_deref(), rule.ports.as_deref()));
    }
    for (i, rule) in spec.egress.iter().flatten().enumerate() {
        let path = path.child("egress").index(i);
        errors.extend(check_rule(&path, "to", rule.to.as_deref(), rule.ports.as_deref()));
    }
    let types = spec.policy_types.as_deref().unwrap_or_default();
    let path = path.child("policyTypes");
    if types.len() > 2 {
        errors.push(Error::invalid(&path, types, "may not specify more than two types"));
        return errors;
    }
    for (i, kind) in types.iter().enumerate() {
        errors.extend(validate::supported_value(&path.index(i), kind, &["Egress", "Ingress"]));
    }
    errors
}

fn check_rule(path: &Path, peers_name: &str, peers: Option<&[NetworkPolicyPeer]>, ports: Option<&[NetworkPolicyPort]>) -> Errors {
    let mut errors = Errors::new();
    for (i, port) in ports.into_iter().flatten().enumerate() {
        errors.extend(check_port(&path.child("ports").index(i), port));
    }
    for (i, peer) in peers.into_iter().flatten().enumerate() {
        errors.extend(check_peer(&path.child(peers_name).index(i), peer));
    }
    errors
}

fn check_port(path: &Path, port: &NetworkPolicyPort) -> Errors {
    let mut errors = Errors::new();
    if let Some(protocol) = &port.protocol {
        errors.extend(validate::supported_value(&path.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]));
    }
    let number = |field: &Path, number: i32| -> Errors {
        names::port_number(number).into_iter().map(|why| Error::invalid(field, number, why)).collect()
    };
    let end_path = path.child("endPort");
    match (&port.port, port.end_port) {
        (Some(IntOrString::Int(first)), end) => {
            errors.extend(number(&path.child("port"), *first));
            if let Some(end) = end {
                if end < *first {
                    errors.push(Error::invalid(&end_path, end, "must be greater than or equal to `port`"));
                }
                errors.extend(number(&end_path, end));
            }
        }
        (Some(IntOrString::String(name)), end) => {
            if let Some(end) = end {
                errors.push(Error::invalid(&end_path, end, "may not be specified when `port` is not a number"));
            }
            errors.extend(validate::complaints(&path.child("port"), name, names::port_name(name)));
        }
        (None, Some(end)) => errors.push(Error::invalid(&end_path, end, "may not be specified without `port`")),
        (None, None) => {}
    }
    errors
}

fn check_peer(path: &Path, peer: &NetworkPolicyPeer) -> Errors {
    let mut errors = Errors::new();
    for (name, selector) in [("podSelector", &peer.pod_selector), ("namespaceSelector", &peer.namespace_selector)] {
        if let Some(selector) = selector {
            errors.extend(labels::validate(selector, &path.child(name)));
        }
    }
    if let Some(block) = &peer.ip_block {
        errors.extend(check_block(&path.child("ipBlock"), block));
    }
    let selected = peer.pod_selector.is_some() || peer.namespace_selector.is_some();
    match (selected, peer.ip_block.is_some()) {
        (false, false) => errors.push(Error::required(path, "must specify a peer")),
        (true, true) => errors.push(Error::forbidden(path, "may not specify both ipBlock and another peer")),
        _ => {}
    }
    errors
}

fn check_block(path: &Path, block: &IPBlock) -> Errors {
    let cidr_path = path.child("cidr");
    if block.cidr.is_empty() {
        return vec![Error::required(&cidr_path, "")];
    }
    let mut errors = validate::complaints(&cidr_path, &block.cidr, ip::block(&block.cidr));
    let Some(whole) = Block::parse_loosely(&block.cidr) else { return errors };
    for (i, except) in block.except.iter().flatten().enumerate() {
        let path = path.child("except").index(i);
        errors.extend(validate::complaints(&path, except, ip::block(except)));
        let Some(part) = Block::parse_loosely(except) else { continue };
        if !whole.contains(part.address()) || whole.prefix_bits() >= part.prefix_bits() {
            errors.push(Error::invalid(&path, except, "must be a strict subset of `cidr`"));
        }
    }
    errors
}

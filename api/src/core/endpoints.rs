//! Endpoints: the addresses behind a Service, as they were kept before EndpointSlices.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, Endpoints};
use machinery::field::{Error, Errors, Path};
use machinery::{ip, names};
use serde_json::{Value, json};

use super::service::check_endpoint_address;
use crate::columns::{self, NONE};
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::{validate, zero};

/// How many endpoints a cell shows.
const SHOWN: usize = 3;

pub struct EndpointsKind;

impl Kind for EndpointsKind {
    type Object = Endpoints;

    const NAMES: Names =
        Names { group: "", version: "v1", kind: "Endpoints", plural: "endpoints", singular: "endpoints", short: &["ep"], categories: &[] };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "services/endpoints";
    const CREATE_ON_UPDATE: bool = true;
    const DEPRECATION: Option<&'static str> = Some("v1 Endpoints is deprecated since 1.33; use discovery.k8s.io/v1 EndpointSlice");
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::text("Endpoints", "The ready addresses, with ports."), Column::AGE];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(endpoints: &mut Endpoints) {
        zero::omit(&mut endpoints.subsets);
        for subset in endpoints.subsets.iter_mut().flatten() {
            zero::omit(&mut subset.addresses);
            zero::omit(&mut subset.not_ready_addresses);
            zero::omit(&mut subset.ports);
            for address in subset.addresses.iter_mut().flatten().chain(subset.not_ready_addresses.iter_mut().flatten()) {
                zero::omit(&mut address.hostname);
            }
            for port in subset.ports.iter_mut().flatten() {
                zero::omit(&mut port.name);
                zero::fill(&mut port.protocol, "TCP");
            }
        }
    }

    fn validate_create(_cx: &Context<'_>, endpoints: &Endpoints) -> Errors {
        check(endpoints)
    }

    fn warnings_create(endpoints: &Endpoints) -> Vec<String> {
        concerns(endpoints)
    }

    fn update() -> &'static dyn UpdateStrategy<Endpoints> {
        &Update
    }

    fn row(endpoints: &Endpoints, now: Timestamp) -> Vec<Value> {
        vec![columns::name(&endpoints.metadata), json!(shown(endpoints)), columns::age(&endpoints.metadata, now)]
    }
}

fn shown(endpoints: &Endpoints) -> String {
    let subsets = endpoints.subsets.as_deref().unwrap_or_default();
    if subsets.is_empty() {
        return NONE.to_owned();
    }
    let mut all = Vec::new();
    for subset in subsets {
        let addresses = subset.addresses.as_deref().unwrap_or_default();
        match subset.ports.as_deref().unwrap_or_default() {
            // A headless Service may have no ports.
            [] => all.extend(addresses.iter().map(|address| address.ip.clone())),
            ports => all.extend(ports.iter().flat_map(|port| addresses.iter().map(|address| host_and_port(&address.ip, port.port)))),
        }
    }
    columns::first_few(&all, SHOWN)
}

fn host_and_port(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

struct Update;

impl UpdateStrategy<Endpoints> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut Endpoints, _old: &Endpoints) {}

    /// What was accepted once stays so, until it is changed.
    fn validate(&self, _cx: &Context<'_>, new: &Endpoints, old: &Endpoints) -> Errors {
        if new.subsets == old.subsets { Errors::new() } else { check(new) }
    }

    fn warnings(&self, new: &Endpoints, _old: &Endpoints) -> Vec<String> {
        concerns(new)
    }
}

/// What is odd about the addresses, unless the controller wrote them.
fn concerns(endpoints: &Endpoints) -> Vec<String> {
    let mut concerns = Vec::new();
    let manager = endpoints.metadata.labels.as_ref().and_then(|labels| labels.get("endpoints.kubernetes.io/managed-by"));
    if manager.is_some_and(|manager| manager == "endpoint-controller") {
        return concerns;
    }
    for (i, subset) in endpoints.subsets.iter().flatten().enumerate() {
        for (name, list) in [("addresses", &subset.addresses), ("notReadyAddresses", &subset.not_ready_addresses)] {
            for (j, address) in list.iter().flatten().enumerate() {
                concerns.extend(ip::address_concern(&address.ip).map(|why| format!("subsets[{i}].{name}[{j}].ip: {why}")));
            }
        }
    }
    concerns
}

fn check(endpoints: &Endpoints) -> Errors {
    let mut errors = Errors::new();
    for (i, subset) in endpoints.subsets.iter().flatten().enumerate() {
        let path = Path::new("subsets").index(i);
        if subset.addresses.is_none() && subset.not_ready_addresses.is_none() {
            errors.push(Error::required(&path, "must have `addresses` or `notReadyAddresses`"));
        }
        for (name, list) in [("addresses", &subset.addresses), ("notReadyAddresses", &subset.not_ready_addresses)] {
            for (j, address) in list.iter().flatten().enumerate() {
                errors.extend(check_address(&path.child(name).index(j), address));
            }
        }
        let ports = subset.ports.as_deref().unwrap_or_default();
        for (j, port) in ports.iter().enumerate() {
            errors.extend(check_port(&path.child("ports").index(j), port, ports.len() > 1));
        }
    }
    errors
}

fn check_address(path: &Path, address: &EndpointAddress) -> Errors {
    let mut errors = validate::complaints(&path.child("ip"), &address.ip, ip::address(&address.ip));
    if let Some(host) = &address.hostname {
        errors.extend(validate::complaints(&path.child("hostname"), host, names::dns1123_label(host, false)));
    }
    if let Some(node) = &address.node_name {
        errors.extend(validate::complaints(&path.child("nodeName"), node, names::dns1123_subdomain(node, false)));
    }
    errors.extend(check_endpoint_address(&path.child("ip"), &address.ip));
    errors
}

fn check_port(path: &Path, port: &EndpointPort, named: bool) -> Errors {
    let mut errors = Errors::new();
    match port.name.as_deref() {
        Some(name) => errors.extend(validate::complaints(&path.child("name"), name, names::dns1123_label(name, false))),
        None if named => errors.push(Error::required(&path.child("name"), "")),
        None => {}
    }
    let wrong = names::port_number(port.port);
    errors.extend(wrong.into_iter().map(|why| Error::invalid(&path.child("port"), port.port, why)));
    errors.extend(validate::one_of(&path.child("protocol"), port.protocol.as_deref(), &["SCTP", "TCP", "UDP"]));
    if let Some(protocol) = &port.app_protocol {
        errors.extend(validate::complaints(&path.child("appProtocol"), protocol, names::qualified_name(protocol)));
    }
    errors
}

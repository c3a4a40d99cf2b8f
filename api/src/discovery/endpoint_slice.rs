//! EndpointSlice: some of the addresses behind a Service, of one kind and with one set of ports.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use machinery::field::{Error, Errors, Path};
use machinery::objectmeta::Repeated;
use machinery::{ip, names};
use serde_json::{Value, json};

use crate::apps::bump_generation;
use crate::columns;
use crate::core::service::check_endpoint_address;
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::{validate, zero};

const MOST_ENDPOINTS: usize = 1000;
const MOST_ADDRESSES: usize = 100;
const MOST_PORTS: usize = 20_000;
const MOST_TOPOLOGY_LABELS: usize = 16;
const MOST_HINTS: usize = 8;
/// How many ports and addresses a cell shows.
const SHOWN: usize = 3;
const HOST_LABEL: &str = "kubernetes.io/hostname";

pub struct EndpointSlices;

impl Kind for EndpointSlices {
    type Object = EndpointSlice;

    const NAMES: Names = Names {
        group: "discovery.k8s.io",
        version: "v1",
        kind: "EndpointSlice",
        plural: "endpointslices",
        singular: "endpointslice",
        short: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "endpointslices";
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("AddressType", "What the addresses are."),
        Column::text("Ports", "The ports that each address serves."),
        Column::text("Endpoints", "The addresses."),
        Column::AGE,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(slice: &mut EndpointSlice) {
        for endpoint in slice.endpoints.iter_mut().flatten() {
            zero::keep(&mut endpoint.conditions);
            zero::omit(&mut endpoint.deprecated_topology);
            if let Some(hints) = &mut endpoint.hints {
                zero::omit(&mut hints.for_zones);
                zero::omit(&mut hints.for_nodes);
            }
        }
        for port in slice.ports.iter_mut().flatten() {
            port.name.get_or_insert_default();
            port.protocol.get_or_insert_with(|| "TCP".to_owned());
        }
    }

    fn prepare_create(_cx: &Context<'_>, slice: &mut EndpointSlice) {
        slice.metadata.generation = Some(1);
        drop_topology(slice, None);
    }

    fn validate_create(_cx: &Context<'_>, slice: &EndpointSlice) -> Errors {
        check(slice)
    }

    fn warnings_create(slice: &EndpointSlice) -> Vec<String> {
        let mut warnings = concerns(slice);
        if slice.address_type == "FQDN" {
            warnings.push("addressType: FQDN endpoints are deprecated".to_owned());
        }
        warnings
    }

    fn update() -> &'static dyn UpdateStrategy<EndpointSlice> {
        &Update
    }

    fn row(slice: &EndpointSlice, now: Timestamp) -> Vec<Value> {
        let port = |port: &EndpointPort| {
            port.port.map(|number| number.to_string()).or_else(|| port.name.clone()).unwrap_or_else(|| "*".to_owned())
        };
        let ports: Vec<String> = slice.ports.iter().flatten().map(port).collect();
        let addresses: Vec<String> = slice.endpoints.iter().flatten().flat_map(|endpoint| endpoint.addresses.clone()).collect();
        let cell =
            |all: &[String]| Some(columns::first_few(all, SHOWN)).filter(|text| !text.is_empty()).unwrap_or_else(|| "<unset>".into());
        vec![
            columns::name(&slice.metadata),
            json!(slice.address_type),
            json!(cell(&ports)),
            json!(cell(&addresses)),
            columns::age(&slice.metadata, now),
        ]
    }
}

/// `zone` and `nodeName` took the topology's place; only slices from before still have it. The node's name moves there.
fn drop_topology(slice: &mut EndpointSlice, old: Option<&EndpointSlice>) {
    let node_of = |endpoint: &Endpoint| endpoint.deprecated_topology.as_ref().and_then(|t| t.get(HOST_LABEL)).cloned();
    let known: Vec<String> = old.iter().flat_map(|old| old.endpoints.iter().flatten()).filter_map(node_of).collect();
    for endpoint in slice.endpoints.iter_mut().flatten() {
        let node = node_of(endpoint).filter(|node| known.contains(node) && names::dns1123_subdomain(node, false).is_empty());
        endpoint.node_name = endpoint.node_name.take().or(node);
        endpoint.deprecated_topology = None;
    }
}

struct Update;

impl UpdateStrategy<EndpointSlice> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut EndpointSlice, old: &EndpointSlice) {
        // Labels count: consumers pick slices by them. A topology counts too, although it is dropped.
        let same = new.endpoints == old.endpoints && new.ports == old.ports && new.address_type == old.address_type;
        if !same || new.metadata.labels != old.metadata.labels {
            bump_generation(&mut new.metadata, &old.metadata);
        }
        if new.endpoints != old.endpoints {
            drop_topology(new, Some(old));
        }
    }

    /// Endpoints that were accepted once stay so, until they are changed.
    fn validate(&self, _cx: &Context<'_>, new: &EndpointSlice, old: &EndpointSlice) -> Errors {
        let mut errors = check_but_endpoints(new);
        if new.endpoints != old.endpoints {
            errors.extend(check_endpoints(new));
        }
        errors.extend(validate::immutable(&Path::new("addressType"), &new.address_type, &old.address_type));
        errors
    }

    fn warnings(&self, new: &EndpointSlice, _old: &EndpointSlice) -> Vec<String> {
        concerns(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Whole
    }
}

/// What is odd about the addresses, unless a controller of Kubernetes' own wrote them.
fn concerns(slice: &EndpointSlice) -> Vec<String> {
    const CONTROLLERS: [&str; 2] = ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"];
    let mut concerns = Vec::new();
    let manager = slice.metadata.labels.as_ref().and_then(|labels| labels.get("endpointslice.kubernetes.io/managed-by"));
    if manager.is_some_and(|manager| CONTROLLERS.contains(&manager.as_str())) {
        return concerns;
    }
    for (i, endpoint) in slice.endpoints.iter().flatten().enumerate() {
        let addresses = endpoint.addresses.iter().enumerate().filter_map(|(j, address)| Some((j, ip::address_concern(address)?)));
        concerns.extend(addresses.map(|(j, why)| format!("endpoints[{i}].addresses[{j}]: {why}")));
    }
    concerns
}

fn check(slice: &EndpointSlice) -> Errors {
    let mut errors = check_but_endpoints(slice);
    errors.extend(check_endpoints(slice));
    errors
}

fn check_but_endpoints(slice: &EndpointSlice) -> Errors {
    let mut errors = validate::one_of(&Path::new("addressType"), Some(&slice.address_type), &["FQDN", "IPv4", "IPv6"]);
    errors.extend(check_ports(&Path::new("ports"), slice.ports.as_deref().unwrap_or_default()));
    errors
}

fn check_endpoints(slice: &EndpointSlice) -> Errors {
    let path = Path::new("endpoints");
    let endpoints = slice.endpoints.as_deref().unwrap_or_default();
    if endpoints.len() > MOST_ENDPOINTS {
        return vec![Error::too_many(&path, endpoints.len(), MOST_ENDPOINTS)];
    }
    let each = endpoints.iter().enumerate();
    each.flat_map(|(i, endpoint)| check_endpoint(&path.index(i), endpoint, &slice.address_type)).collect()
}

fn check_ports(path: &Path, ports: &[EndpointPort]) -> Errors {
    if ports.len() > MOST_PORTS {
        return vec![Error::too_many(path, ports.len(), MOST_PORTS)];
    }
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = port.name.as_deref().unwrap_or_default();
        let name_path = path.child("name");
        if !name.is_empty() {
            errors.extend(validate::complaints(&name_path, name, names::dns1123_label(name, false)));
        }
        if !seen.insert(name) {
            errors.push(Error::duplicate(&name_path, name));
        }
        let protocol = port.protocol.as_deref().unwrap_or_default();
        errors.extend(validate::supported_value(&path.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]));
        if let Some(protocol) = &port.app_protocol {
            errors.extend(validate::complaints(&path.child("appProtocol"), protocol, names::qualified_name(protocol)));
        }
    }
    errors
}

fn check_endpoint(path: &Path, endpoint: &Endpoint, address_type: &str) -> Errors {
    let mut errors = Errors::new();
    let addresses = path.child("addresses");
    if endpoint.addresses.is_empty() {
        errors.push(Error::required(&addresses, "must have one at least"));
    } else if endpoint.addresses.len() > MOST_ADDRESSES {
        errors.push(Error::too_many(&addresses, endpoint.addresses.len(), MOST_ADDRESSES));
    }
    for (i, address) in endpoint.addresses.iter().enumerate() {
        errors.extend(check_address(&addresses, i, address, address_type));
    }
    if let Some(node) = &endpoint.node_name {
        errors.extend(validate::complaints(&path.child("nodeName"), node, names::dns1123_subdomain(node, false)));
    }
    if let Some(topology) = &endpoint.deprecated_topology {
        let path = path.child("deprecatedTopology");
        if topology.len() > MOST_TOPOLOGY_LABELS {
            errors.push(Error::too_many(&path, topology.len(), MOST_TOPOLOGY_LABELS));
        }
        errors.extend(validate::labels(&path, Some(topology)));
    }
    if let Some(host) = &endpoint.hostname {
        errors.extend(validate::complaints(&path.child("hostname"), host, names::dns1123_label(host, false)));
    }
    let hints = endpoint.hints.as_ref();
    let zones = hints.iter().flat_map(|h| h.for_zones.iter().flatten()).map(|zone| zone.name.as_str());
    errors.extend(check_hints(&path.child("hints").child("forZones"), zones, names::label_value));
    let nodes = hints.iter().flat_map(|h| h.for_nodes.iter().flatten()).map(|node| node.name.as_str());
    errors.extend(check_hints(&path.child("hints").child("forNodes"), nodes, |name| names::dns1123_subdomain(name, false)));
    errors
}

fn check_address(path: &Path, index: usize, text: &str, address_type: &str) -> Errors {
    let at = path.index(index);
    match address_type {
        "IPv4" | "IPv6" => {
            let wrong = if address_type == "IPv4" { ip::address(text) } else { ip::canonical_address(text) };
            if !wrong.is_empty() {
                return validate::complaints(&at, text, wrong);
            }
            let mut errors = Errors::new();
            // An address of the wrong family is reported at the list.
            if ip::parse(text).is_ok_and(|address| address.is_ipv4() != (address_type == "IPv4")) {
                errors.push(Error::invalid(path, text, format!("must be an {address_type} address")));
            }
            errors.extend(check_endpoint_address(&at, text));
            errors
        }
        "FQDN" => check_domain(&at, text),
        _ => Errors::new(),
    }
}

fn check_domain(path: &Path, text: &str) -> Errors {
    if text.is_empty() {
        return vec![Error::required(path, "")];
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let wrong = names::dns1123_subdomain(name, false);
    if !wrong.is_empty() {
        return validate::complaints(path, text, wrong);
    }
    if !name.contains('.') {
        return vec![Error::invalid(path, text, "must have two labels at least")];
    }
    name.split('.').flat_map(|label| validate::complaints(path, label, names::dns1123_label(label, false))).collect()
}

fn check_hints<'a>(path: &Path, hints: impl Iterator<Item = &'a str>, check: impl Fn(&str) -> Vec<String>) -> Errors {
    let hints: Vec<&str> = hints.collect();
    if hints.len() > MOST_HINTS {
        return vec![Error::too_many(path, hints.len(), MOST_HINTS)];
    }
    let mut errors = Errors::new();
    for (i, hint) in hints.iter().enumerate() {
        let path = path.index(i).child("name");
        if hints[..i].contains(hint) {
            errors.push(Error::duplicate(&path, *hint));
        }
        errors.extend(validate::complaints(&path, hint, check(hint)));
    }
    errors
}

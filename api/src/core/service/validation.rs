//! What may be wrong with a Service, as an object and as an update.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec, SessionAffinityConfig};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::field::{Error, Errors, Path};
use machinery::{ip, names};

use super::allocation::Family;
use super::{HEADLESS, cluster_ips, has_address, has_health_check, is_external, is_headless, kind, ports};
use crate::validate;

pub(super) const HINTS_ANNOTATION: &str = "service.kubernetes.io/topology-aware-hints";
const MODE_ANNOTATION: &str = "service.kubernetes.io/topology-mode";
pub(super) const TRAFFIC_POLICIES: [&str; 2] = ["Cluster", "Local"];
const MOST_AFFINITY_SECONDS: i32 = 86_400;
const SOURCE_RANGES_ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// Everything wrong with a Service. Addresses and ranges that were accepted once, in `old`, stay so.
pub(super) fn check(service: &Service, old: Option<&Service>) -> Errors {
    let none = ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&none);
    let old_spec = old.and_then(|old| old.spec.as_ref());
    let path = Path::new("spec");
    let mut errors = check_topology_annotations(service);
    if ports(spec).is_empty() && !is_headless(spec) && kind(spec) != "ExternalName" {
        errors.push(Error::required(&path.child("ports"), ""));
    }
    errors.extend(check_type(&path, spec));
    let mut seen = BTreeSet::new();
    for (i, port) in ports(spec).iter().enumerate() {
        errors.extend(check_port(&path.child("ports").index(i), port, ports(spec).len() > 1, &mut seen));
    }
    errors.extend(validate::labels(&path.child("selector"), spec.selector.as_ref()));
    errors.extend(check_affinity(&path, spec));
    if kind(spec) != "ExternalName" {
        errors.extend(check_addresses(spec, old_spec));
    }
    let known = old_spec.and_then(|old| old.external_ips.as_deref()).unwrap_or_default();
    for (i, address) in spec.external_ips.iter().flatten().enumerate() {
        let path = path.child("externalIPs").index(i);
        let wrong = if known.contains(address) { Vec::new() } else { ip::address(address) };
        if wrong.is_empty() {
            errors.extend(check_endpoint_address(&path, address));
        } else {
            errors.extend(validate::complaints(&path, address, wrong));
        }
    }
    let types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    errors.extend(validate::one_of(&path.child("type"), Some(kind(spec)), &types));
    errors.extend(check_repeated_ports(&path.child("ports"), spec));
    errors.extend(check_load_balancer(&path, service, old));
    errors.extend(check_traffic(&path, spec));
    errors
}

/// The newer name of the annotation has to say what the older one does.
fn check_topology_annotations(service: &Service) -> Errors {
    let annotation = |name: &str| service.metadata.annotations.as_ref().and_then(|all| all.get(name));
    match (annotation(HINTS_ANNOTATION), annotation(MODE_ANNOTATION)) {
        (Some(hints), Some(mode)) if hints != mode => {
            let path = Path::new("metadata").child("annotations").key(MODE_ANNOTATION);
            vec![Error::invalid(&path, mode, format!("must match the annotation {HINTS_ANNOTATION}"))]
        }
        _ => Errors::new(),
    }
}

fn check_type(path: &Path, spec: &ServiceSpec) -> Errors {
    match kind(spec) {
        "LoadBalancer" | "NodePort" if is_headless(spec) => {
            let why = format!("may not be 'None' for {} services", kind(spec));
            vec![Error::invalid(&path.child("clusterIPs").index(0), HEADLESS, why)]
        }
        "ExternalName" => check_external_name(path, spec),
        _ => Errors::new(),
    }
}

fn check_external_name(path: &Path, spec: &ServiceSpec) -> Errors {
    let mut errors = Errors::new();
    let given = [
        ("clusterIPs", !cluster_ips(spec).is_empty()),
        ("ipFamilies", spec.ip_families.is_some()),
        ("ipFamilyPolicy", spec.ip_family_policy.is_some()),
    ];
    for (name, _) in given.iter().filter(|(_, given)| *given) {
        errors.push(Error::forbidden(&path.child(name), "may not be set for ExternalName services"));
    }
    let name = spec.external_name.as_deref().unwrap_or_default();
    let name = name.strip_suffix('.').unwrap_or(name);
    let path = path.child("externalName");
    if name.is_empty() {
        errors.push(Error::required(&path, ""));
    } else {
        errors.extend(validate::complaints(&path, name, names::dns1123_subdomain(name, false)));
    }
    errors
}

fn check_port<'a>(path: &Path, port: &'a ServicePort, named: bool, seen: &mut BTreeSet<&'a str>) -> Errors {
    let mut errors = Errors::new();
    let name = port.name.as_deref().unwrap_or_default();
    let name_path = path.child("name");
    if name.is_empty() && named {
        errors.push(Error::required(&name_path, ""));
    } else if !name.is_empty() {
        errors.extend(validate::complaints(&name_path, name, names::dns1123_label(name, false)));
        if !seen.insert(name) {
            errors.push(Error::duplicate(&name_path, name));
        }
    }
    let number = |field: &str, number: i32| -> Errors {
        names::port_number(number).into_iter().map(|why| Error::invalid(&path.child(field), number, why)).collect()
    };
    errors.extend(number("port", port.port));
    errors.extend(validate::one_of(&path.child("protocol"), port.protocol.as_deref(), &["SCTP", "TCP", "UDP"]));
    match &port.target_port {
        Some(IntOrString::Int(target)) => errors.extend(number("targetPort", *target)),
        Some(IntOrString::String(target)) => {
            errors.extend(validate::complaints(&path.child("targetPort"), target, names::port_name(target)));
        }
        None => {}
    }
    if let Some(protocol) = &port.app_protocol {
        errors.extend(validate::complaints(&path.child("appProtocol"), protocol, names::qualified_name(protocol)));
    }
    errors
}

fn check_affinity(path: &Path, spec: &ServiceSpec) -> Errors {
    let affinity = spec.session_affinity.as_deref();
    let mut errors = validate::one_of(&path.child("sessionAffinity"), affinity, &["ClientIP", "None"]);
    let path = path.child("sessionAffinityConfig");
    match (affinity, &spec.session_affinity_config) {
        (Some("ClientIP"), config) => errors.extend(check_client_affinity(&path, config.as_ref())),
        (Some("None"), Some(_)) => errors.push(Error::forbidden(&path, "may only be set when `sessionAffinity` is 'ClientIP'")),
        _ => {}
    }
    errors
}

fn check_client_affinity(path: &Path, config: Option<&SessionAffinityConfig>) -> Errors {
    let path = path.child("clientIP").child("timeoutSeconds");
    match config.and_then(|c| c.client_ip.as_ref()).and_then(|c| c.timeout_seconds) {
        None => vec![Error::required(&path, "")],
        Some(seconds) if !(1..=MOST_AFFINITY_SECONDS).contains(&seconds) => {
            vec![Error::invalid(&path, seconds, format!("must be between 1 and {MOST_AFFINITY_SECONDS}"))]
        }
        Some(_) => Errors::new(),
    }
}

/// The cluster IPs, families and policy, each and against each other.
pub(super) fn check_addresses(spec: &ServiceSpec, old: Option<&ServiceSpec>) -> Errors {
    let path = Path::new("spec");
    let ips_path = path.child("clusterIPs");
    let ips = cluster_ips(spec);
    let mut errors = Errors::new();
    match (spec.cluster_ip.as_deref(), ips.first()) {
        (Some(_), None) => errors.push(Error::required(&ips_path, "")),
        (Some(ip), Some(first)) if ip != first => errors.push(Error::invalid(&ips_path, ips, "first value must match `clusterIP`")),
        (None, Some(_)) => errors.push(Error::invalid(&ips_path, ips, "must be empty when `clusterIP` is not specified")),
        _ => {}
    }
    let families: Vec<&str> = spec.ip_families.iter().flatten().map(String::as_str).collect();
    for (i, family) in families.iter().enumerate() {
        let path = path.child("ipFamilies").index(i);
        errors.extend(validate::supported_value(&path, family, &["IPv4", "IPv6"]));
        if families[..i].contains(family) {
            errors.push(Error::duplicate(&path, *family));
        }
    }
    if let Some(policy) = &spec.ip_family_policy {
        let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
        errors.extend(validate::supported_value(&path.child("ipFamilyPolicy"), policy, &policies));
    }
    let known = old.map(cluster_ips).unwrap_or_default();
    let mut malformed = Errors::new();
    for (i, text) in ips.iter().enumerate() {
        if i == 0 && text == HEADLESS {
            if ips.len() > 1 {
                malformed.push(Error::invalid(&ips_path, ips, "'None' must be the first and only value"));
            }
            continue;
        }
        if !known.contains(text) {
            malformed.extend(validate::complaints(&ips_path.index(i), text, ip::address(text)));
        }
    }
    let is_malformed = !malformed.is_empty();
    errors.extend(malformed);
    if ips.len() > 2 {
        errors.push(Error::invalid(&ips_path, ips, "may only hold up to 2 values"));
    }
    if is_malformed {
        return errors;
    }
    let of: Vec<Option<Family>> = ips.iter().map(|ip| Family::of_text(ip)).collect();
    if of.len() > 1 && of.iter().all(|family| *family == of[0]) {
        errors.push(Error::invalid(&ips_path, ips, "may specify no more than one IP for each IP family"));
    }
    if !is_headless(spec) {
        for (i, (ip, (of, family))) in ips.iter().zip(of.iter().zip(&families)).enumerate() {
            let is_wrong = |of: Family| Family::named(family).is_some_and(|family| family != of);
            if of.is_some_and(is_wrong) {
                errors.push(Error::invalid(&ips_path.index(i), ip, format!("expected an {family} address, as `ipFamilies[{i}]` says")));
            }
        }
    }
    errors
}

/// An address that traffic can be sent to: not one that means this machine or this link only. Whether its text is in
/// a standard form is another question, and asked apart.
pub(crate) fn check_endpoint_address(path: &Path, text: &str) -> Errors {
    match ip::parse_loosely(text) {
        None => vec![Error::invalid(path, text, "must be an IP address")],
        Some(address) => special(address).map(|what| Error::invalid(path, text, format!("may not be {what}"))).into_iter().collect(),
    }
}

fn special(address: IpAddr) -> Option<&'static str> {
    let (link_local, link_multicast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
    };
    if address.is_unspecified() {
        Some("unspecified")
    } else if address.is_loopback() {
        Some("in the loopback range")
    } else if link_local {
        Some("in the link-local range")
    } else if link_multicast {
        Some("in the link-local multicast range")
    } else {
        None
    }
}

fn check_repeated_ports(path: &Path, spec: &ServiceSpec) -> Errors {
    let mut errors = Errors::new();
    let all = ports(spec);
    let node_port = |i: usize| path.index(i).child("nodePort");
    if kind(spec) == "ClusterIP" {
        for (i, _) in all.iter().enumerate().filter(|(_, port)| port.node_port.is_some()) {
            errors.push(Error::forbidden(&node_port(i), "may not be used when `type` is 'ClusterIP'"));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, port) in all.iter().enumerate() {
        if let Some(number) = port.node_port
            && !seen.insert((&port.protocol, number))
        {
            errors.push(Error::duplicate(&node_port(i), number));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, port) in all.iter().enumerate() {
        if !seen.insert((&port.protocol, port.port)) {
            errors.push(Error::duplicate(&path.index(i), port));
        }
    }
    errors
}

const BALANCED_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";

fn check_load_balancer(path: &Path, service: &Service, old: Option<&Service>) -> Errors {
    let none = ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&none);
    let mut errors = check_source_ranges(path, service, spec, old);
    let allocate = path.child("allocateLoadBalancerNodePorts");
    match spec.allocate_load_balancer_node_ports {
        Some(_) if kind(spec) != "LoadBalancer" => errors.push(Error::forbidden(&allocate, BALANCED_ONLY)),
        None if kind(spec) == "LoadBalancer" => errors.push(Error::required(&allocate, "")),
        _ => {}
    }
    errors.extend(check_class(path, spec));
    errors
}

fn check_class(path: &Path, spec: &ServiceSpec) -> Errors {
    let path = path.child("loadBalancerClass");
    match &spec.load_balancer_class {
        None => Errors::new(),
        Some(class) if kind(spec) == "LoadBalancer" => validate::complaints(&path, class, names::qualified_name(class)),
        Some(_) => vec![Error::forbidden(&path, BALANCED_ONLY)],
    }
}

/// The field, or the annotation that came before it. The field's name in errors has a capital.
fn check_source_ranges(path: &Path, service: &Service, spec: &ServiceSpec, old: Option<&Service>) -> Errors {
    let annotation = |service: &Service| service.metadata.annotations.as_ref().and_then(|a| a.get(SOURCE_RANGES_ANNOTATION)).cloned();
    let forbidden = |path: &Path| (kind(spec) != "LoadBalancer").then(|| Error::forbidden(path, BALANCED_ONLY));
    let mut errors = Errors::new();
    let ranges = spec.load_balancer_source_ranges.as_deref().unwrap_or_default();
    if !ranges.is_empty() {
        let path = path.child("LoadBalancerSourceRanges");
        errors.extend(forbidden(&path));
        let known = old.and_then(|old| old.spec.as_ref()).and_then(|old| old.load_balancer_source_ranges.as_deref()).unwrap_or_default();
        for (i, range) in ranges.iter().map(|range| range.trim()).enumerate() {
            if !known.iter().any(|known| known.trim() == range) {
                errors.extend(validate::complaints(&path.index(i), range, ip::block(range)));
            }
        }
    } else if let Some(ranges) = annotation(service) {
        let path = Path::new("metadata").child("annotations").key(SOURCE_RANGES_ANNOTATION);
        errors.extend(forbidden(&path));
        let is_known = old.and_then(annotation).is_some_and(|known| known == ranges);
        if !is_known && !ranges.trim().is_empty() {
            errors.extend(ranges.split(',').flat_map(|range| validate::complaints(&path, range, ip::block(range.trim()))));
        }
    }
    errors
}

fn check_traffic(path: &Path, spec: &ServiceSpec) -> Errors {
    let mut errors = Errors::new();
    let external = path.child("externalTrafficPolicy");
    match spec.external_traffic_policy.as_deref() {
        Some(policy) if !is_external(spec) => {
            errors.push(Error::invalid(&external, policy, "may only be set for services that are reached from outside"));
        }
        policy if is_external(spec) => errors.extend(validate::one_of(&external, policy, &TRAFFIC_POLICIES)),
        _ => {}
    }
    let health = path.child("healthCheckNodePort");
    match spec.health_check_node_port {
        Some(port) if !has_health_check(spec) => {
            let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.push(Error::invalid(&health, port, why));
        }
        Some(port) => errors.extend(names::port_number(port).into_iter().map(|why| Error::invalid(&health, port, why))),
        None if has_health_check(spec) => errors.push(Error::required(&health, "")),
        None => {}
    }
    let internal = path.child("internalTrafficPolicy");
    match spec.internal_traffic_policy.as_deref() {
        None if has_address(spec) => errors.push(Error::required(&internal, "")),
        None => {}
        Some(policy) => errors.extend(validate::supported_value(&internal, policy, &TRAFFIC_POLICIES)),
    }
    if let Some(distribution) = &spec.traffic_distribution {
        let known = ["PreferClose", "PreferSameNode", "PreferSameZone"];
        errors.extend(validate::supported_value(&path.child("trafficDistribution"), distribution, &known));
    }
    errors
}

pub(super) fn check_update(new_service: &Service, old_service: &Service) -> Errors {
    let none = ServiceSpec::default();
    let (new, old) = (new_service.spec.as_ref().unwrap_or(&none), old_service.spec.as_ref().unwrap_or(&none));
    let path = Path::new("spec");
    let mut errors = check_primary_stays(&path, new, old, "clusterIPs", cluster_ips);
    errors.extend(check_primary_stays(&path, new, old, "ipFamilies", |spec| spec.ip_families.as_deref().unwrap_or_default()));
    if kind(new) == "LoadBalancer" && kind(old) == "LoadBalancer" && new.load_balancer_class != old.load_balancer_class {
        let class = &new.load_balancer_class;
        errors.push(Error::invalid(&path.child("loadBalancerClass"), class, "may not change once set"));
    }
    // Kubernetes checks the class by itself here as well, and reports it twice.
    errors.extend(check_class(&path, new));
    if has_health_check(new) && has_health_check(old) && new.health_check_node_port != old.health_check_node_port {
        errors.push(Error::forbidden(&path.child("healthCheckNodePort"), "field is immutable"));
    }
    errors.extend(check(new_service, Some(old_service)));
    errors
}

/// A second address or family may come and go; the first stays as long as the Service has any.
fn check_primary_stays(path: &Path, new: &ServiceSpec, old: &ServiceSpec, name: &str, list: impl Fn(&ServiceSpec) -> &[String]) -> Errors {
    const CHANGED: &str = "may not change once set";
    let external_name = kind(new) == "ExternalName" || kind(old) == "ExternalName";
    let of_families = name == "ipFamilies";
    // Families of what is or was headless may change.
    let free = if of_families { is_headless(new) || is_headless(old) } else { is_headless(new) && is_headless(old) };
    if external_name || free {
        return Errors::new();
    }
    let field = path.child(name);
    let (was, is) = (list(old), list(new));
    if was.len() == is.len() {
        let changed = is.iter().zip(was).enumerate().filter(|(_, (is, was))| is != was);
        return changed.map(|(i, _)| Error::invalid(&field.index(if of_families { 0 } else { i }), is, CHANGED)).collect();
    }
    let mut errors = Errors::new();
    match (was.first(), is.first()) {
        (Some(_), None) => errors.push(Error::invalid(&field.index(0), is, "the first may not be unset")),
        (Some(was), Some(first)) if was != first => errors.push(Error::invalid(&field.index(0), is, CHANGED)),
        _ => {}
    }
    if was.len() > is.len() && is.len() == 1 && new.ip_family_policy.as_deref() != Some("SingleStack") {
        let why = format!("must be 'SingleStack' to release the second of `{name}`");
        errors.push(Error::invalid(&path.child("ipFamilyPolicy"), &new.ip_family_policy, why));
    }
    errors
}

//! What the writer of a Service is warned of: fields that nothing heeds for its type, old ways, and odd addresses.

use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use machinery::ip;

use super::validation::HINTS_ANNOTATION;
use super::{cluster_ips, is_headless, kind};

pub(super) fn of(service: &Service) -> Vec<String> {
    let mut warnings = Vec::new();
    if service.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(HINTS_ANNOTATION)) {
        warnings.push(format!("annotation {HINTS_ANNOTATION} is deprecated; use service.kubernetes.io/topology-mode instead"));
    }
    let Some(spec) = &service.spec else { return warnings };
    let headless = kind(spec) == "ClusterIP" && is_headless(spec);
    if headless {
        warnings.extend(ignored_by_headless(spec));
    } else {
        warnings.extend(concerns("clusterIPs", cluster_ips(spec)));
    }
    let external = spec.external_ips.as_deref().unwrap_or_default();
    warnings.extend(concerns("externalIPs", external));
    let is_name = kind(spec) == "ExternalName";
    if !external.is_empty() && !headless && !is_name {
        warnings.push("spec.externalIPs is deprecated, and some clusters may not implement it any more".to_owned());
    }
    let balancer = spec.load_balancer_ip.as_deref().and_then(ip::address_concern);
    warnings.extend(balancer.map(|why| format!("spec.loadBalancerIP: {why}")));
    let ranges = spec.load_balancer_source_ranges.iter().flatten().enumerate();
    let ranges = ranges.filter_map(|(i, range)| Some((i, ip::block_concern(range)?)));
    warnings.extend(ranges.map(|(i, why)| format!("spec.loadBalancerSourceRanges[{i}]: {why}")));
    if is_name && !external.is_empty() {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if !is_name && spec.external_name.is_some() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec.traffic_distribution.as_deref() == Some("PreferClose") {
        warnings.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned());
    }
    warnings
}

fn ignored_by_headless(spec: &ServiceSpec) -> impl Iterator<Item = String> {
    let fields = [
        ("loadBalancerIP", spec.load_balancer_ip.is_some()),
        ("externalIPs", spec.external_ips.is_some()),
        ("sessionAffinity", spec.session_affinity.as_deref() != Some("None")),
    ];
    fields.into_iter().filter(|(_, given)| *given).map(|(field, _)| format!("spec.{field} is ignored for headless Services"))
}

fn concerns(field: &str, addresses: &[String]) -> Vec<String> {
    let each = addresses.iter().enumerate().filter_map(|(i, text)| Some((i, ip::address_concern(text)?)));
    each.map(|(i, why)| format!("spec.{field}[{i}]: {why}")).collect()
}

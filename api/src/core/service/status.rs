//! Validation of what load balancers report about a Service.

use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service};
use machinery::field::{Error, Errors, Path};
use machinery::{ip, names};

use super::kind;
use crate::validate;

fn balanced(service: &Service) -> &[LoadBalancerIngress] {
    let balancer = service.status.as_ref().and_then(|s| s.load_balancer.as_ref());
    balancer.and_then(|b| b.ingress.as_deref()).unwrap_or_default()
}

/// What is wrong with it. Addresses that were accepted once stay so.
pub(super) fn check(service: &Service, old: &Service) -> Errors {
    let ingress = balanced(service);
    let path = Path::new("status").child("loadBalancer").child("ingress");
    if !ingress.is_empty() && service.spec.as_ref().is_none_or(|spec| kind(spec) != "LoadBalancer") {
        return vec![Error::forbidden(&path, "may only be used when `spec.type` is 'LoadBalancer'")];
    }
    ingress.iter().enumerate().flat_map(|(i, ingress)| check_ingress(&path.index(i), ingress, balanced(old))).collect()
}

pub(super) fn concerns(service: &Service) -> Vec<String> {
    let addresses = balanced(service).iter().enumerate();
    let concerns = addresses.filter_map(|(i, ingress)| Some((i, ip::address_concern(ingress.ip.as_deref()?)?)));
    concerns.map(|(i, why)| format!("status.loadBalancer.ingress[{i}]: {why}")).collect()
}

fn check_ingress(path: &Path, ingress: &LoadBalancerIngress, old: &[LoadBalancerIngress]) -> Errors {
    let mut errors = Errors::new();
    let address = ingress.ip.as_deref().unwrap_or_default();
    if !address.is_empty() && old.iter().all(|old| old.ip.as_deref() != Some(address)) {
        errors.extend(validate::complaints(&path.child("ip"), address, ip::address(address)));
    }
    let mode_path = path.child("ipMode");
    match ingress.ip_mode.as_deref() {
        Some(_) if address.is_empty() => errors.push(Error::forbidden(&mode_path, "may not be used when `ip` is not set")),
        Some(mode) => errors.extend(validate::supported_value(&mode_path, mode, &["Proxy", "VIP"])),
        None if !address.is_empty() => errors.push(Error::required(&mode_path, "when `ip` is set")),
        None => {}
    }
    let host = ingress.hostname.as_deref().unwrap_or_default();
    if !host.is_empty() {
        let path = path.child("hostname");
        errors.extend(validate::complaints(&path, host, names::dns1123_subdomain(host, false)));
        if ip::parse_loosely(host).is_some() {
            errors.push(Error::invalid(&path, host, "must be a DNS name, not an IP address"));
        }
    }
    errors
}

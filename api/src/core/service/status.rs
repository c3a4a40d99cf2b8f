//! Validation of what load balancers report about a Service.

use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service};
use machinery::field::{Error, Errors, Path};
use machinery::{ip, names};

use super::kind;
use crate::validate;

pub(super) fn check(service: &Service) -> Errors {
    let balancer = service.status.as_ref().and_then(|s| s.load_balancer.as_ref());
    let ingress = balancer.and_then(|b| b.ingress.as_deref()).unwrap_or_default();
    let path = Path::new("status").child("loadBalancer").child("ingress");
    if !ingress.is_empty() && service.spec.as_ref().is_none_or(|spec| kind(spec) != "LoadBalancer") {
        return vec![Error::forbidden(&path, "may only be used when `spec.type` is 'LoadBalancer'")];
    }
    ingress.iter().enumerate().flat_map(|(i, ingress)| check_ingress(&path.index(i), ingress)).collect()
}

fn check_ingress(path: &Path, ingress: &LoadBalancerIngress) -> Errors {
    let mut errors = Errors::new();
    let address = ingress.ip.as_deref().unwrap_or_default();
    if !address.is_empty() {
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
        if ip::parse(host).is_ok() {
            errors.push(Error::invalid(&path, host, "must be a DNS name, not an IP address"));
        }
    }
    errors
}

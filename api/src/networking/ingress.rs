//! Ingress: how requests from outside reach Services, by host and path.

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, Ingress, IngressBackend, IngressLoadBalancerIngress, IngressLoadBalancerStatus, IngressSpec, IngressStatus,
};
use machinery::field::{Error, Errors, Path};
use machinery::objectmeta::Repeated;
use machinery::{ip, names};
use serde_json::{Map, Value, json};

use super::{GROUP, check_reference};
use crate::apps::bump_generation;
use crate::columns::{self, NONE};
use crate::kind::{Column, Kind, Mark, Names, Scope, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::{validate, zero};

/// Names the class, as it was done before the field.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// How many hosts a cell shows.
const SHOWN: usize = 3;

pub struct Ingresses;

impl Kind for Ingresses {
    type Object = Ingress;

    const NAMES: Names =
        Names { group: GROUP, version: "v1", kind: "Ingress", plural: "ingresses", singular: "ingress", short: &["ing"], categories: &[] };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "ingress";
    const MARK: Option<Mark> = Some(mark_path_types);
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Class", "Who implements it."),
        Column::text("Hosts", "The hosts that it answers for."),
        Column::text("Address", "Where it can be reached."),
        Column::text("Ports", "The ports that it answers at."),
        Column::AGE,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(ingress: &mut Ingress) {
        let spec = zero::keep(&mut ingress.spec);
        zero::omit(&mut spec.rules);
        zero::omit(&mut spec.tls);
        for rule in spec.rules.iter_mut().flatten() {
            zero::omit(&mut rule.host);
            for path in rule.http.iter_mut().flat_map(|http| &mut http.paths) {
                zero::omit(&mut path.path);
                normalize_backend(&mut path.backend);
            }
        }
        spec.default_backend.iter_mut().for_each(normalize_backend);
        for tls in spec.tls.iter_mut().flatten() {
            zero::omit(&mut tls.hosts);
            zero::omit(&mut tls.secret_name);
        }
        let balancer = zero::keep(&mut zero::keep(&mut ingress.status).load_balancer);
        zero::omit(&mut balancer.ingress);
        for point in balancer.ingress.iter_mut().flatten() {
            zero::omit(&mut point.ip);
            zero::omit(&mut point.hostname);
            zero::omit(&mut point.ports);
        }
    }

    fn prepare_create(_cx: &Context<'_>, ingress: &mut Ingress) {
        ingress.status = Some(IngressStatus { load_balancer: Some(IngressLoadBalancerStatus::default()) });
        ingress.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, ingress: &Ingress) -> Errors {
        let mut errors = check(ingress);
        let class = ingress.spec.as_ref().and_then(|s| s.ingress_class_name.as_ref());
        let annotation = ingress.metadata.annotations.as_ref().and_then(|a| a.get(CLASS_ANNOTATION));
        if let (Some(class), Some(annotation)) = (class, annotation)
            && class != annotation
        {
            let path = Path::new("annotations").child(CLASS_ANNOTATION);
            errors.push(Error::invalid(&path, annotation, "must match `ingressClassName` when both are specified"));
        }
        errors
    }

    fn warnings_create(ingress: &Ingress) -> Vec<String> {
        let annotated = ingress.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(CLASS_ANNOTATION));
        if annotated && ingress.spec.as_ref().is_none_or(|s| s.ingress_class_name.is_none()) {
            return vec![format!("annotation {CLASS_ANNOTATION:?} is deprecated; use spec.ingressClassName instead")];
        }
        Vec::new()
    }

    fn update() -> &'static dyn UpdateStrategy<Ingress> {
        &Update
    }

    fn subresources() -> Vec<Subresource<Ingress>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn row(ingress: &Ingress, now: Timestamp) -> Vec<Value> {
        let none = IngressSpec::default();
        let spec = ingress.spec.as_ref().unwrap_or(&none);
        let addresses = balanced(ingress).filter_map(|a| a.ip.as_deref().or(a.hostname.as_deref()));
        vec![
            columns::name(&ingress.metadata),
            json!(spec.ingress_class_name.as_deref().unwrap_or(NONE)),
            json!(hosts(spec)),
            json!(columns::addresses(addresses)),
            json!(if spec.tls.is_some() { "80, 443" } else { "80" }),
            columns::age(&ingress.metadata, now),
        ]
    }
}

fn mark_path_types(object: &mut Map<String, Value>) {
    let rules = object.get_mut("spec").and_then(|spec| spec.get_mut("rules")?.as_array_mut());
    for rule in rules.into_iter().flatten() {
        let paths = rule.get_mut("http").and_then(|http| http.get_mut("paths")?.as_array_mut());
        paths.into_iter().flatten().for_each(|path| validate::mark_empty(path.get_mut("pathType")));
    }
}

/// The first hosts. Once there are enough of them, it is rules that count as more, whether they have hosts or not.
fn hosts(spec: &IngressSpec) -> String {
    let rules = spec.rules.as_deref().unwrap_or_default();
    let mut shown = Vec::new();
    for rule in rules {
        if shown.len() == SHOWN {
            return format!("{} + {} more...", shown.join(","), rules.len() - SHOWN);
        }
        shown.extend(rule.host.as_deref());
    }
    if shown.is_empty() { "*".to_owned() } else { shown.join(",") }
}

fn balanced(ingress: &Ingress) -> impl Iterator<Item = &IngressLoadBalancerIngress> {
    let balancer = ingress.status.as_ref().and_then(|s| s.load_balancer.as_ref());
    balancer.into_iter().flat_map(|b| b.ingress.iter().flatten())
}

fn normalize_backend(backend: &mut IngressBackend) {
    if let Some(service) = &mut backend.service {
        let port = zero::keep(&mut service.port);
        zero::omit(&mut port.name);
        zero::omit(&mut port.number);
    }
}

struct Update;

impl UpdateStrategy<Ingress> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Ingress, old: &Ingress) {
        new.status.clone_from(&old.status);
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &Ingress, _old: &Ingress) -> Errors {
        check(new)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<Ingress> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Ingress, old: &Ingress) {
        new.spec.clone_from(&old.spec);
    }

    fn validate(&self, _cx: &Context<'_>, new: &Ingress, old: &Ingress) -> Errors {
        let path = Path::new("status").child("loadBalancer").child("ingress");
        let is_known = |address: &str| balanced(old).any(|point| point.ip.as_deref() == Some(address));
        let mut errors = Errors::new();
        for (i, point) in balanced(new).enumerate() {
            let path = path.index(i);
            if let Some(address) = point.ip.as_deref().filter(|a| !a.is_empty() && !is_known(a)) {
                errors.extend(validate::complaints(&path.child("ip"), address, ip::address(address)));
            }
            if let Some(host) = point.hostname.as_deref().filter(|h| !h.is_empty()) {
                errors.extend(check_balancer_host(&path.child("hostname"), host));
            }
        }
        errors
    }

    fn warnings(&self, new: &Ingress, _old: &Ingress) -> Vec<String> {
        let addresses = balanced(new).enumerate().filter_map(|(i, point)| Some((i, ip::address_concern(point.ip.as_deref()?)?)));
        addresses.map(|(i, why)| format!("status.loadBalancer.ingress[{i}]: {why}")).collect()
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}

fn check(ingress: &Ingress) -> Errors {
    let none = IngressSpec::default();
    let spec = ingress.spec.as_ref().unwrap_or(&none);
    let path = Path::new("spec");
    let mut errors = Errors::new();
    if spec.rules.is_none() && spec.default_backend.is_none() {
        errors.push(Error::invalid(&path, &spec.rules, "either `defaultBackend` or `rules` must be specified"));
    }
    if let Some(backend) = &spec.default_backend {
        errors.extend(check_backend(&path.child("defaultBackend"), backend));
    }
    for (i, rule) in spec.rules.iter().flatten().enumerate() {
        let path = path.child("rules").index(i);
        if let Some(host) = &rule.host {
            errors.extend(check_host(&path.child("host"), host));
        }
        let Some(http) = &rule.http else { continue };
        let path = path.child("http").child("paths");
        if http.paths.is_empty() {
            errors.push(Error::required(&path, ""));
        }
        errors.extend(http.paths.iter().enumerate().flat_map(|(j, each)| check_path(&path.index(j), each)));
    }
    errors.extend(check_tls(&path.child("tls"), spec));
    if let Some(class) = &spec.ingress_class_name {
        errors.extend(validate::complaints(&path.child("ingressClassName"), class, names::dns1123_subdomain(class, false)));
    }
    errors
}

fn check_tls(path: &Path, spec: &IngressSpec) -> Errors {
    let mut errors = Errors::new();
    for (i, tls) in spec.tls.iter().flatten().enumerate() {
        for (j, host) in tls.hosts.iter().flatten().enumerate() {
            errors.extend(validate::complaints(&path.index(i).child("hosts").index(j), host, wrong_host(host)));
        }
        if let Some(secret) = &tls.secret_name {
            let path = path.index(i).child("secretName");
            errors.extend(validate::complaints(&path, secret, names::dns1123_subdomain(secret, false)));
        }
    }
    errors
}

fn check_host(path: &Path, host: &str) -> Errors {
    let mut errors = check_no_address(path, host);
    errors.extend(validate::complaints(path, host, wrong_host(host)));
    errors
}

/// The same in the status, where there are no wildcards.
fn check_balancer_host(path: &Path, host: &str) -> Errors {
    let mut errors = validate::complaints(path, host, names::dns1123_subdomain(host, false));
    errors.extend(check_no_address(path, host));
    errors
}

fn check_no_address(path: &Path, host: &str) -> Errors {
    let address = ip::parse_loosely(host).map(|_| Error::invalid(path, host, "must be a DNS name, not an IP address"));
    address.into_iter().collect()
}

/// A DNS name, of which the first label may be `*`.
fn wrong_host(host: &str) -> Vec<String> {
    if !host.contains('*') {
        return names::dns1123_subdomain(host, false);
    }
    match host.strip_prefix("*.").map(|rest| names::dns1123_subdomain(rest, false)) {
        Some(wrong) if wrong.is_empty() => wrong,
        _ => vec!["a wildcard must be the first label of a DNS name, as in *.example.com".to_owned()],
    }
}

fn check_path(path: &Path, rule: &HTTPIngressPath) -> Errors {
    const SEQUENCES: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
    const ENDS: [&str; 2] = ["/..", "/."];
    let mut errors = Errors::new();
    let text = rule.path.as_deref().unwrap_or_default();
    let text_path = path.child("path");
    let absolute = text.starts_with('/');
    match validate::marked(&rule.path_type) {
        None => return vec![Error::required(&path.child("pathType"), "")],
        Some("Exact" | "Prefix") => {
            if !absolute {
                errors.push(Error::invalid(&text_path, text, "must be an absolute path"));
            }
            for bad in SEQUENCES.iter().filter(|bad| text.contains(**bad)) {
                errors.push(Error::invalid(&text_path, text, format!("must not contain {bad:?}")));
            }
            for bad in ENDS.iter().filter(|bad| text.ends_with(**bad)) {
                errors.push(Error::invalid(&text_path, text, format!("cannot end with {bad:?}")));
            }
        }
        Some("ImplementationSpecific") if !text.is_empty() && !absolute => {
            errors.push(Error::invalid(&text_path, text, "must be an absolute path"));
        }
        Some("ImplementationSpecific") => {}
        Some(other) => errors.push(Error::not_supported(&path.child("pathType"), other, &["Exact", "ImplementationSpecific", "Prefix"])),
    }
    errors.extend(check_backend(&path.child("backend"), &rule.backend));
    errors
}

fn check_backend(path: &Path, backend: &IngressBackend) -> Errors {
    match (&backend.resource, &backend.service) {
        (Some(_), Some(_)) => vec![Error::invalid(path, "", "cannot set both resource and service backends")],
        (None, None) => vec![Error::invalid(path, "", "resource or service backend is required")],
        (Some(resource), None) => check_reference(&path.child("resource"), resource.api_group.as_deref(), &resource.kind, &resource.name),
        (None, Some(service)) => {
            let mut errors = Errors::new();
            let service_path = path.child("service");
            let name = service_path.child("name");
            if service.name.is_empty() {
                errors.push(Error::required(&name, ""));
            } else {
                errors.extend(validate::complaints(&name, &service.name, names::dns1123_label(&service.name, false)));
            }
            let port = service.port.as_ref();
            match (port.and_then(|p| p.name.as_deref()), port.and_then(|p| p.number)) {
                (Some(_), Some(_)) => errors.push(Error::invalid(path, "", "cannot set both port name and port number")),
                (Some(name), None) => {
                    errors.extend(validate::complaints(&service_path.child("port").child("name"), name, names::port_name(name)));
                }
                (None, Some(number)) => {
                    let path = service_path.child("port").child("number");
                    errors.extend(names::port_number(number).into_iter().map(|why| Error::invalid(&path, number, why)));
                }
                (None, None) => errors.push(Error::required(path, "port name or number is required")),
            }
            errors
        }
    }
}

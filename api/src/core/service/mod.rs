//! Service: one address and name for a set of pods. Its addresses and node ports come from shared ranges; the API
//! server allocates them, as [`allocation`] says, between defaulting and the strategies of this file.

pub mod allocation;
mod families;
mod status;
mod validation;
mod warnings;

pub(crate) use validation::check_endpoint_address;

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{LoadBalancerStatus, Service, ServicePort, ServiceSpec, ServiceStatus};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::field::Errors;
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use crate::columns::{self, NONE};
use crate::kind::{Column, Kind, Mark, Names, Scope, SelectableField, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::{conditions, zero};

/// What `clusterIP` says where there is to be none.
pub const HEADLESS: &str = "None";

/// Three hours, for how long a client sticks to its pod.
const AFFINITY_SECONDS: i32 = 10_800;

pub struct Services;

impl Kind for Services {
    type Object = Service;

    const NAMES: Names =
        Names { group: "", version: "v1", kind: "Service", plural: "services", singular: "service", short: &["svc"], categories: &["all"] };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "services/specs";
    const MARK: Option<Mark> = Some(conditions::mark_missing_times);
    const CREATE_ON_UPDATE: bool = true;
    const DELETE_RETURNS_OBJECT: bool = true;
    const SELECTABLE: &'static [&'static str] = &["spec.clusterIP", "spec.type"];
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Type", "How the Service can be reached."),
        Column::text("Cluster-IP", "Its address within the cluster."),
        Column::text("External-IP", "Its addresses from outside."),
        Column::text("Port(s)", "Its ports, with their node ports."),
        Column::AGE,
        columns::SELECTOR,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_label(name, prefix)
    }

    fn default(service: &mut Service) {
        let spec = zero::keep(&mut service.spec);
        default_spec(spec);
        let balancer = zero::keep(&mut zero::keep(&mut service.status).load_balancer);
        zero::omit(&mut balancer.ingress);
        for ingress in balancer.ingress.iter_mut().flatten() {
            zero::omit(&mut ingress.ip);
            zero::omit(&mut ingress.hostname);
            zero::omit(&mut ingress.ports);
            if spec.type_.as_deref() == Some("LoadBalancer") && ingress.ip.is_some() {
                ingress.ip_mode.get_or_insert_with(|| "VIP".to_owned());
            }
        }
    }

    fn drop_unkept(service: &mut Service) {
        // Such a Service has no use for it, and shows none; but one that is wrong is refused still.
        if let Some(spec) = service.spec.as_mut().filter(|spec| kind(spec) == "ExternalName") {
            spec.internal_traffic_policy.take_if(|policy| validation::TRAFFIC_POLICIES.contains(&policy.as_str()));
        }
    }

    fn prepare_create(_cx: &Context<'_>, service: &mut Service) {
        service.status = Some(ServiceStatus { load_balancer: Some(LoadBalancerStatus::default()), conditions: None });
    }

    fn validate_create(_cx: &Context<'_>, service: &Service) -> Errors {
        validation::check(service, None)
    }

    fn warnings_create(service: &Service) -> Vec<String> {
        warnings::of(service)
    }

    fn update() -> &'static dyn UpdateStrategy<Service> {
        &Update
    }

    fn subresources() -> Vec<Subresource<Service>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn selectable_fields(service: &Service) -> Vec<SelectableField> {
        let spec = service.spec.as_ref();
        let text = |value: Option<&String>| Cow::Owned(value.cloned().unwrap_or_default());
        vec![("spec.clusterIP", text(spec.and_then(|s| s.cluster_ip.as_ref()))), ("spec.type", text(spec.and_then(|s| s.type_.as_ref())))]
    }

    fn row(service: &Service, now: Timestamp) -> Vec<Value> {
        let none = ServiceSpec::default();
        let spec = service.spec.as_ref().unwrap_or(&none);
        let selector: Vec<String> = spec.selector.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
        vec![
            columns::name(&service.metadata),
            json!(kind(spec)),
            json!(cluster_ips(spec).first().map_or(NONE, String::as_str)),
            json!(external_ips(service, spec)),
            json!(columns::or_none(ports(spec).iter().map(port_text).collect::<Vec<_>>().join(","))),
            columns::age(&service.metadata, now),
            json!(columns::or_none(selector.join(","))),
        ]
    }
}

fn default_spec(spec: &mut ServiceSpec) {
    zero::omit(&mut spec.cluster_ip);
    zero::omit(&mut spec.cluster_ips);
    zero::omit(&mut spec.external_ips);
    zero::omit(&mut spec.external_name);
    zero::omit(&mut spec.external_traffic_policy);
    zero::omit(&mut spec.health_check_node_port);
    zero::omit(&mut spec.ip_families);
    zero::omit(&mut spec.load_balancer_ip);
    zero::omit(&mut spec.load_balancer_source_ranges);
    zero::omit(&mut spec.ports);
    zero::omit(&mut spec.publish_not_ready_addresses);
    zero::omit(&mut spec.selector);
    zero::fill(&mut spec.type_, "ClusterIP");
    zero::fill(&mut spec.session_affinity, "None");
    match spec.session_affinity.as_deref() {
        Some("None") => spec.session_affinity_config = None,
        Some("ClientIP") => {
            let client = zero::keep(&mut zero::keep(&mut spec.session_affinity_config).client_ip);
            client.timeout_seconds.get_or_insert(AFFINITY_SECONDS);
        }
        _ => {}
    }
    spec.ports.iter_mut().flatten().for_each(default_port);
    if is_external(spec) {
        zero::fill(&mut spec.external_traffic_policy, "Cluster");
    }
    if has_address(spec) {
        spec.internal_traffic_policy.get_or_insert_with(|| "Cluster".to_owned());
    }
    if kind(spec) == "LoadBalancer" {
        spec.allocate_load_balancer_node_ports.get_or_insert(true);
    }
}

fn default_port(port: &mut ServicePort) {
    zero::omit(&mut port.name);
    zero::omit(&mut port.node_port);
    zero::fill(&mut port.protocol, "TCP");
    let unset = match &port.target_port {
        None | Some(IntOrString::Int(0)) => true,
        Some(IntOrString::String(name)) => name.is_empty(),
        Some(IntOrString::Int(_)) => false,
    };
    if unset {
        port.target_port = Some(IntOrString::Int(port.port));
    }
}

fn kind(spec: &ServiceSpec) -> &str {
    spec.type_.as_deref().unwrap_or_default()
}

fn ports(spec: &ServiceSpec) -> &[ServicePort] {
    spec.ports.as_deref().unwrap_or_default()
}

fn cluster_ips(spec: &ServiceSpec) -> &[String] {
    spec.cluster_ips.as_deref().unwrap_or_default()
}

fn is_headless(spec: &ServiceSpec) -> bool {
    matches!(cluster_ips(spec), [only] if only == HEADLESS)
}

/// Whether the type is one that has cluster IPs; one that nobody knows counts, until validation refuses it.
fn needs_address(spec: &ServiceSpec) -> bool {
    !matches!(kind(spec), "" | "ExternalName")
}

/// Whether the type is one of those that have cluster IPs.
fn has_address(spec: &ServiceSpec) -> bool {
    matches!(kind(spec), "ClusterIP" | "NodePort" | "LoadBalancer")
}

/// Whether it can be reached from outside the cluster.
fn is_external(spec: &ServiceSpec) -> bool {
    let by_address = kind(spec) == "ClusterIP" && spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty());
    matches!(kind(spec), "NodePort" | "LoadBalancer") || by_address
}

/// Whether the type is one whose ports may have a port on each node.
fn may_have_node_ports(spec: &ServiceSpec) -> bool {
    matches!(kind(spec), "NodePort" | "LoadBalancer")
}

/// Whether its ports get a port on each node.
fn has_node_ports(spec: &ServiceSpec) -> bool {
    match kind(spec) {
        "NodePort" => true,
        "LoadBalancer" => spec.allocate_load_balancer_node_ports != Some(false),
        _ => false,
    }
}

/// Whether load balancers ask each node if it has pods of the Service.
fn has_health_check(spec: &ServiceSpec) -> bool {
    kind(spec) == "LoadBalancer" && spec.external_traffic_policy.as_deref() == Some("Local")
}

fn port_text(port: &ServicePort) -> String {
    let protocol = port.protocol.as_deref().unwrap_or_default();
    match port.node_port {
        Some(node_port) if node_port > 0 => format!("{}:{node_port}/{protocol}", port.port),
        _ => format!("{}/{protocol}", port.port),
    }
}

fn external_ips(service: &Service, spec: &ServiceSpec) -> String {
    let external = spec.external_ips.as_deref().unwrap_or_default();
    match kind(spec) {
        "ClusterIP" | "NodePort" => columns::or_none(external.join(",")),
        "LoadBalancer" => {
            let balancer = service.status.as_ref().and_then(|s| s.load_balancer.as_ref());
            let ingress = balancer.and_then(|b| b.ingress.as_deref()).unwrap_or_default();
            let balanced = columns::addresses(ingress.iter().filter_map(|i| i.ip.as_deref().or(i.hostname.as_deref())));
            let all: Vec<&str> =
                [balanced.as_str()].into_iter().filter(|text| !text.is_empty()).chain(external.iter().map(String::as_str)).collect();
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => spec.external_name.clone().unwrap_or_default(),
        _ => "<unknown>".to_owned(),
    }
}

struct Update;

impl UpdateStrategy<Service> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Service, old: &Service) {
        new.status.clone_from(&old.status);
        if let (Some(new), Some(old)) = (&mut new.spec, &old.spec) {
            drop_what_the_type_lost(new, old);
        }
        if new.spec.as_ref().is_none_or(|spec| kind(spec) != "LoadBalancer")
            && let Some(status) = &mut new.status
        {
            status.load_balancer = Some(LoadBalancerStatus::default());
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &Service, old: &Service) -> Errors {
        validation::check_update(new, old)
    }

    fn warnings(&self, new: &Service, _old: &Service) -> Vec<String> {
        warnings::of(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

/// A patch of the type alone has to do: what only the old type has goes, unless the writer changed it as well.
fn drop_what_the_type_lost(new: &mut ServiceSpec, old: &ServiceSpec) {
    if needs_address(old) && !needs_address(new) {
        if new.cluster_ip == old.cluster_ip && new.cluster_ips == old.cluster_ips {
            (new.cluster_ip, new.cluster_ips) = (None, None);
        }
        clear_if_same(&mut new.ip_families, &old.ip_families);
        clear_if_same(&mut new.ip_family_policy, &old.ip_family_policy);
    }
    if may_have_node_ports(old) && !may_have_node_ports(new) {
        let had = |port: &ServicePort| ports(old).iter().any(|before| before.node_port == port.node_port);
        // Ports may come, go and change, as long as no node port is new.
        if ports(new).iter().all(|port| port.node_port.is_none() || had(port)) {
            new.ports.iter_mut().flatten().for_each(|port| port.node_port = None);
        }
    }
    if has_health_check(old) && !has_health_check(new) {
        clear_if_same(&mut new.health_check_node_port, &old.health_check_node_port);
    }
    if kind(old) == "LoadBalancer" && kind(new) != "LoadBalancer" {
        clear_if_same(&mut new.allocate_load_balancer_node_ports, &old.allocate_load_balancer_node_ports);
        clear_if_same(&mut new.load_balancer_class, &old.load_balancer_class);
    }
    if is_external(old) && !is_external(new) {
        clear_if_same(&mut new.external_traffic_policy, &old.external_traffic_policy);
    }
}

fn clear_if_same<T: PartialEq>(new: &mut Option<T>, old: &Option<T>) {
    if new == old {
        *new = None;
    }
}

struct Status;

impl UpdateStrategy<Service> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Service, old: &Service) {
        new.spec.clone_from(&old.spec);
    }

    fn validate(&self, _cx: &Context<'_>, new: &Service, old: &Service) -> Errors {
        status::check(new, old)
    }

    fn warnings(&self, new: &Service, _old: &Service) -> Vec<String> {
        status::concerns(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}

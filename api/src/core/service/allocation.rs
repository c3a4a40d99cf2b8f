//! What a write of a Service takes from and gives back to the ranges of cluster IPs and node ports. [`plan`] says
//! it, as a function of the old and the new object; the API server owns the ranges, and writes what it got back
//! into the object with [`AddressRequest::grant`] and [`PortRequest::grant`].

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use machinery::field::{Error, Errors, Path};
use machinery::ip;

use super::{HEADLESS, cluster_ips, families, has_health_check, has_node_ports, is_headless, needs_address, ports};
use crate::zero;

/// A family of IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// The name in `ipFamilies`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::V4, Self::V6].into_iter().find(|family| family.name() == name)
    }

    pub(super) fn of_text(address: &str) -> Option<Self> {
        ip::parse(address).ok().map(Self::of)
    }
}

/// What is to be taken before a write, and given back after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub addresses: Vec<AddressRequest>,
    pub ports: Vec<PortRequest>,
    /// To be given back once the write stands.
    pub released_addresses: Vec<IpAddr>,
    pub released_ports: Vec<i32>,
}

/// A cluster IP that the Service needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRequest {
    /// The place in `clusterIPs`.
    pub index: usize,
    pub family: Family,
    /// This one, or any.
    pub wanted: Option<IpAddr>,
}

/// A node port that the Service needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRequest {
    pub place: PortPlace,
    /// This one, or any.
    pub wanted: Option<i32>,
}

/// Where a node port goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortPlace {
    /// These elements of `ports`, the first of which errors name: one number serves several protocols.
    Ports(Vec<usize>),
    HealthCheck,
}

/// Completes the linked fields of the new object and says what it needs. `available` has the cluster's families,
/// the preferred one first. Fails where the fields contradict each other or the cluster.
pub fn plan(new: &mut Service, old: Option<&Service>, available: &[Family]) -> Result<Plan, Errors> {
    let old_spec = old.and_then(|old| old.spec.as_ref());
    let spec = zero::keep(&mut new.spec);
    if let Some(old) = old_spec {
        families::keep_allocated(spec, old);
    }
    families::link_addresses(spec, old_spec);
    families::settle(new, old, available)?;
    let none = ServiceSpec::default();
    let spec = new.spec.as_ref().unwrap_or(&none);
    let mut plan = Plan::default();
    plan_addresses(spec, old_spec, &mut plan);
    plan_ports(spec, old_spec, &mut plan);
    plan_health_check(spec, old_spec, &mut plan);
    Ok(plan)
}

/// What a Service gives back when it is deleted.
pub fn release(service: &Service) -> Plan {
    let none = ServiceSpec::default();
    let mut plan = Plan::default();
    let spec = service.spec.as_ref();
    plan_addresses(&none, spec, &mut plan);
    plan_ports(&none, spec, &mut plan);
    plan_health_check(&none, spec, &mut plan);
    plan
}

fn addresses(spec: &ServiceSpec) -> Vec<IpAddr> {
    if !needs_address(spec) {
        return Vec::new();
    }
    cluster_ips(spec).iter().filter(|ip| *ip != HEADLESS).filter_map(|ip| ip::parse(ip).ok()).collect()
}

fn plan_addresses(new: &ServiceSpec, old: Option<&ServiceSpec>, plan: &mut Plan) {
    let held = old.map(addresses).unwrap_or_default();
    let kept = addresses(new);
    // The primary address of a Service stays; validation refuses a change, which must not release it then.
    let primary_stays = needs_address(new) && !is_headless(new);
    let gone = held.iter().skip(usize::from(primary_stays)).filter(|ip| !kept.contains(ip));
    plan.released_addresses = gone.copied().collect();
    if !primary_stays {
        return;
    }
    for (index, family) in new.ip_families.iter().flatten().enumerate() {
        let Some(family) = Family::named(family) else { continue };
        let wanted = cluster_ips(new).get(index).and_then(|text| ip::parse(text).ok());
        let has_it = wanted.is_some_and(|ip| held.contains(&ip));
        let refused = index == 0 && !held.is_empty();
        if !has_it && !refused {
            plan.addresses.push(AddressRequest { index, family, wanted });
        }
    }
}

fn plan_ports(new: &ServiceSpec, old: Option<&ServiceSpec>, plan: &mut Plan) {
    let held: Vec<i32> = old.filter(|old| has_node_ports_or_some(old)).map(node_ports).unwrap_or_default();
    let needed = has_node_ports_or_some(new);
    let kept = if needed { node_ports(new) } else { Vec::new() };
    plan.released_ports.extend(held.iter().filter(|port| !kept.contains(port)));
    if !needed {
        return;
    }
    plan.ports.extend(match old {
        None => first_ports(new),
        Some(_) => more_ports(new, &held),
    });
}

/// The node ports of a new Service: one number serves the same port under several protocols.
fn first_ports(new: &ServiceSpec) -> Vec<PortRequest> {
    let mut requests: Vec<(i32, PortRequest)> = Vec::new();
    for (index, port) in ports(new).iter().enumerate() {
        if port.node_port.is_none() && !has_node_ports(new) {
            continue;
        }
        let shared = requests.iter_mut().find(|(number, _)| *number == port.port).map(|(_, request)| request);
        match shared {
            Some(PortRequest { place: PortPlace::Ports(places), wanted }) if port.node_port.is_none() || port.node_port == *wanted => {
                places.push(index);
            }
            Some(_) => requests.push((port.port, PortRequest { place: PortPlace::Ports(vec![index]), wanted: port.node_port })),
            None => {
                let wanted = ports(new).iter().filter(|other| other.port == port.port).find_map(|other| other.node_port);
                requests.push((port.port, PortRequest { place: PortPlace::Ports(vec![index]), wanted }));
            }
        }
    }
    requests.into_iter().map(|(_, request)| request).collect()
}

/// The node ports that a changed Service does not hold: those that it names, each once, and one for each other port.
fn more_ports(new: &ServiceSpec, held: &[i32]) -> Vec<PortRequest> {
    let mut requests: Vec<PortRequest> = Vec::new();
    for (index, port) in ports(new).iter().enumerate() {
        let is_known = |number: i32| held.contains(&number) || requests.iter().any(|request| request.wanted == Some(number));
        let is_needed = port.node_port.map_or(has_node_ports(new), |number| !is_known(number));
        if is_needed {
            requests.push(PortRequest { place: PortPlace::Ports(vec![index]), wanted: port.node_port });
        }
    }
    requests
}

/// A load balancer without node ports of its own may still name some.
fn has_node_ports_or_some(spec: &ServiceSpec) -> bool {
    has_node_ports(spec) || (super::kind(spec) == "LoadBalancer" && !node_ports(spec).is_empty())
}

fn node_ports(spec: &ServiceSpec) -> Vec<i32> {
    let mut numbers: Vec<i32> = ports(spec).iter().filter_map(|port| port.node_port).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn plan_health_check(new: &ServiceSpec, old: Option<&ServiceSpec>, plan: &mut Plan) {
    let had = old.is_some_and(has_health_check);
    match (had, has_health_check(new)) {
        (false, true) => plan.ports.push(PortRequest { place: PortPlace::HealthCheck, wanted: new.health_check_node_port }),
        (true, false) => plan.released_ports.extend(old.and_then(|old| old.health_check_node_port)),
        _ => {}
    }
}

impl AddressRequest {
    /// Writes the address that was taken.
    pub fn grant(&self, service: &mut Service, address: IpAddr) {
        let spec = zero::keep(&mut service.spec);
        let text = address.to_string();
        if self.index == 0 {
            spec.cluster_ip = Some(text.clone());
        }
        let ips = zero::keep(&mut spec.cluster_ips);
        match ips.get_mut(self.index) {
            Some(ip) => *ip = text,
            None => ips.push(text),
        }
    }

    /// The error for an address that cannot be had.
    pub fn refuse(&self, why: &str) -> Error {
        let path = Path::new("spec").child("clusterIPs");
        let wanted = self.wanted.map(|ip| vec![ip.to_string()]).unwrap_or_default();
        Error::invalid(&path, &wanted, format!("failed to allocate IP {}: {why}", wanted.concat()))
    }
}

impl PortRequest {
    /// Writes the port that was taken.
    pub fn grant(&self, service: &mut Service, port: i32) {
        let spec = zero::keep(&mut service.spec);
        match &self.place {
            PortPlace::HealthCheck => spec.health_check_node_port = Some(port),
            PortPlace::Ports(places) => {
                for (index, element) in spec.ports.iter_mut().flatten().enumerate() {
                    if places.contains(&index) {
                        element.node_port = Some(port);
                    }
                }
            }
        }
    }

    /// The error for a port that cannot be had, if a field is to blame: a health check's is not, for Kubernetes.
    pub fn refuse(&self, why: &str) -> Option<Error> {
        let PortPlace::Ports(places) = &self.place else { return None };
        let path = Path::new("spec").child("ports").index(places.first().copied().unwrap_or(0)).child("nodePort");
        self.wanted.map(|wanted| Error::invalid(&path, wanted, why))
    }
}

//! Where a request goes: a pod's node, a node's kubelet, a pod's own address, or one of a service's endpoints.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service, ServicePort};
use machinery::{GroupResource, Status, status};

use super::Security;
use crate::admission::World;

/// The port of a kubelet that does not say.
const KUBELET_PORT: u16 = 10250;

/// A server to pass a request on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    pub security: Security,
    pub host: String,
    pub port: u16,
    /// Nothing can listen there: the address is made up.
    pub is_simulated: bool,
}

impl Destination {
    /// `host:port`, as in a `Host` header.
    pub fn authority(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }
}

/// The kubelet of a node.
///
/// # Errors
/// 404 for a node that is not there, 500 for one without an address of a wanted type.
pub fn kubelet(world: &World, name: &str, address_types: &[String]) -> status::Result<Destination> {
    let node = world.object::<Node>("", "nodes", "", name).ok_or_else(|| Status::not_found(&GroupResource::new("", "nodes"), name))?;
    let status = node.status.unwrap_or_default();
    let addresses = status.addresses.unwrap_or_default();
    let preferred = address_types.iter().find_map(|wanted| addresses.iter().find(|address| address.type_ == *wanted));
    let address =
        preferred.ok_or_else(|| Status::unclassified(format!("node {name} has no address of the types {}", address_types.join(", "))))?;
    let port = status.daemon_endpoints.and_then(|endpoints| endpoints.kubelet_endpoint).map_or(0, |endpoint| endpoint.port);
    let port = u16::try_from(port).ok().filter(|port| *port != 0).unwrap_or(KUBELET_PORT);
    Ok(Destination { security: Security::Kubelet, host: address.address.clone(), port, is_simulated: false })
}

/// What a proxy request names: `name`, `name:port`, `scheme:name:port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    pub https: bool,
    pub name: &'a str,
    /// Number or name; empty where none is given.
    pub port: &'a str,
}

impl<'a> Named<'a> {
    /// # Errors
    /// 400.
    pub fn parse(text: &'a str) -> status::Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => ("?", "", ""),
        };
        if name.is_empty() || !matches!(scheme, "" | "http" | "https") {
            return Err(Status::bad_request(format!("{text:?} is not of the form name, name:port or scheme:name:port")));
        }
        Ok(Self { https: scheme == "https", name, port })
    }

    fn security(&self) -> Security {
        if self.https { Security::Any } else { Security::Plain }
    }

    /// The port by number.
    fn number(&self, text: &str) -> status::Result<u16> {
        text.parse().ok().filter(|port| *port != 0).ok_or_else(|| Status::bad_request(format!("{text:?} is no port")))
    }
}

/// A node, for `nodes/proxy`: its kubelet, or another port of its host.
///
/// # Errors
/// As for [`kubelet`]; and 400 for an address that requests are not passed on to.
pub fn node(world: &World, named: &Named<'_>, address_types: &[String]) -> status::Result<Destination> {
    let kubelet = kubelet(world, named.name, address_types)?;
    if named.port.is_empty() || named.port == kubelet.port.to_string() {
        return Ok(kubelet);
    }
    let is_allowed = match kubelet.host.parse::<IpAddr>() {
        Ok(address) => is_proxyable(address),
        // The names of this host's own loopback; others are resolved when the connection is made.
        Err(_) => kubelet.host != "localhost",
    };
    if !is_allowed {
        return Err(Status::bad_request("address not allowed"));
    }
    Ok(Destination { security: named.security(), port: named.number(named.port)?, ..kubelet })
}

/// A pod, for `pods/proxy`: by its own address, at the port that is named or the first that its containers name.
///
/// # Errors
/// 404 for a pod that is not there, 400 for one without an address that requests are passed on to.
pub fn pod(world: &World, namespace: &str, named: &Named<'_>) -> status::Result<Destination> {
    let pod = find_pod(world, namespace, named.name)?;
    let spec = pod.spec.unwrap_or_default();
    let address = pod.status.and_then(|status| status.pod_ip).unwrap_or_default();
    let address: Option<IpAddr> = address.parse().ok();
    let address = address
        .filter(|address| is_proxyable(*address))
        .ok_or_else(|| Status::bad_request(format!("pod {} has no address to send requests to", named.name)))?;
    let declared = || spec.containers.iter().flat_map(|container| container.ports.iter().flatten()).map(|port| port.container_port).next();
    let port = match (named.port, declared()) {
        ("", Some(port)) => u16::try_from(port).unwrap_or_default(),
        ("", None) if named.https => 443,
        ("", None) => 80,
        (given, _) => named.number(given)?,
    };
    let is_simulated = is_simulated(world, spec.node_name.as_deref().unwrap_or_default());
    Ok(Destination { security: named.security(), host: address.to_string(), port, is_simulated })
}

/// A service, for `services/proxy`: one of its endpoints that are ready.
///
/// # Errors
/// 404 for a service that is not there or has no Endpoints, 503 for a port that it does not have and where nothing is ready.
pub fn service(world: &World, namespace: &str, named: &Named<'_>) -> status::Result<Destination> {
    let not_found = || Status::not_found(&GroupResource::new("", "services"), named.name);
    let service = world.object::<Service>("", "services", namespace, named.name).ok_or_else(not_found)?;
    let spec = service.spec.unwrap_or_default();
    let ports = spec.ports.unwrap_or_default();
    let name = port_name(&ports, named)?;
    let none = || Status::unavailable(format!("no endpoints available for service {:?}", named.name));
    let endpoints = world.object::<Endpoints>("", "endpoints", namespace, named.name).ok_or_else(not_found)?;
    let mut candidates = Vec::new();
    for subset in endpoints.subsets.iter().flatten() {
        let port = subset.ports.iter().flatten().find(|port| port.name.as_deref().unwrap_or_default() == name);
        let Some(port) = port.and_then(|port| u16::try_from(port.port).ok()) else { continue };
        for address in subset.addresses.iter().flatten() {
            if address.ip.parse().is_ok_and(is_proxyable) {
                candidates.push((address, port));
            }
        }
    }
    if candidates.is_empty() {
        return Err(none());
    }
    let (address, port) = candidates[rand::random_range(0..candidates.len())];
    let is_simulated = is_simulated(world, address.node_name.as_deref().unwrap_or_default());
    Ok(Destination { security: named.security(), host: address.ip.clone(), port, is_simulated })
}

/// The name of the port that is meant: endpoints know the service's ports by their names only.
fn port_name<'p>(ports: &'p [ServicePort], named: &Named<'p>) -> status::Result<&'p str> {
    let Ok(number) = named.port.parse::<i32>() else { return Ok(named.port) };
    let found = ports.iter().find(|port| port.port == number);
    let found = found.ok_or_else(|| Status::unavailable(format!("no service port {number} found for service {:?}", named.name)))?;
    Ok(found.name.as_deref().unwrap_or_default())
}

/// A pod, as its log has it.
///
/// # Errors
/// 404.
pub fn find_pod(world: &World, namespace: &str, name: &str) -> status::Result<Pod> {
    world.object::<Pod>("", "pods", namespace, name).ok_or_else(|| Status::not_found(&GroupResource::new("", "pods"), name))
}

/// Callers may not reach this server's own host through it.
fn is_proxyable(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => {
            address.is_unicast_link_local() || address.to_ipv4_mapped().is_some_and(|mapped| !is_proxyable(mapped.into()))
        }
    };
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || is_link_local)
}

/// Whether a node's pods are played only. Their addresses are in no network: whatever answers there is somebody else.
fn is_simulated(world: &World, node: &str) -> bool {
    let node = world.object::<Node>("", "nodes", "", node);
    let version = node.and_then(|node| node.status).and_then(|status| status.node_info).map(|info| info.container_runtime_version);
    version.is_some_and(|version| version.starts_with("simulated://"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_come_with_scheme_and_port() {
        let parsed = |text| Named::parse(text).map(|named| (named.https, named.name, named.port)).map_err(|status| status.code);
        assert_eq!(parsed("web"), Ok((false, "web", "")));
        assert_eq!(parsed("web:80"), Ok((false, "web", "80")));
        assert_eq!(parsed("https:web:"), Ok((true, "web", "")));
        assert_eq!(parsed("http:web:metrics"), Ok((false, "web", "metrics")));
        for wrong in ["", ":80", "ftp:web:21", "a:b:c:d"] {
            assert_eq!(parsed(wrong), Err(400), "{wrong}");
        }
    }

    #[test]
    fn addresses_of_the_servers_own_host_are_not_for_callers() {
        for text in ["127.0.0.1", "::1", "169.254.169.254", "0.0.0.0", "fe80::1", "::ffff:127.0.0.1", "224.0.0.1"] {
            assert!(!is_proxyable(text.parse().unwrap()), "{text}");
        }
        assert!(is_proxyable("10.244.0.7".parse().unwrap()) && is_proxyable("fd00::7".parse().unwrap()));
    }
}

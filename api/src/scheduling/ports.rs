//! Host ports: two pods on one node cannot hold the same one.

use k8s_openapi::api::core::v1::PodSpec;

use super::resources::is_sidecar;

const ANY_ADDRESS: &str = "0.0.0.0";

/// A port of the node that a pod takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// `0.0.0.0` stands for every address.
    pub address: String,
    pub protocol: String,
    pub port: i32,
}

impl HostPort {
    /// Whether both cannot be had on one node.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address == other.address || self.address == ANY_ADDRESS || other.address == ANY_ADDRESS)
    }
}

/// The host ports of the pod's containers and sidecars.
pub fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|c| is_sidecar(c));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let given = |text: &Option<String>, or: &str| text.clone().filter(|t| !t.is_empty()).unwrap_or(or.to_owned());
            Some(HostPort {
                address: given(&port.host_ip, ANY_ADDRESS),
                protocol: given(&port.protocol, "TCP"),
                port: port.host_port.filter(|port| *port > 0)?,
            })
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn conflicts() {
        let spec: PodSpec = serde_json::from_value(serde_json::json!({"containers": [{"name": "a", "ports": [
            {"containerPort": 80}, {"containerPort": 80, "hostPort": 80},
            {"containerPort": 53, "hostPort": 80, "protocol": "UDP"},
            {"containerPort": 80, "hostPort": 80, "hostIP": "10.0.0.1"},
            {"containerPort": 80, "hostPort": 80, "hostIP": "10.0.0.2"},
        ]}]}))
        .unwrap();
        let [any, udp, one, two] = &host_ports(&spec)[..] else { panic!("four host ports") };
        assert!(any.conflicts(one) && two.conflicts(any) && one.conflicts(one));
        assert!(!any.conflicts(udp) && !one.conflicts(two));
    }
}

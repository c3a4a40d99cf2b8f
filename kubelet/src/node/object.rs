//! The Node object as its kubelet registers and reports it. What others put there stays: labels, taints and
//! resources that the kubelet does not own.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use api::scheduling::resources::Resources;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus, NodeSystemInfo, Taint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::machine::admission::NodeFacts;
use crate::machine::status::time;

/// The Kubernetes version whose kubelet this one stands for.
const KUBELET_VERSION: &str = "v1.36.0";

/// What the API server asks of a node before it lets pods there be resized in these ways.
const DECLARED_FEATURES: [&str; 2] = ["InPlacePodLevelResourcesVerticalScaling", "InPlacePodVerticalScalingInitContainers"];

const ARCHITECTURE: &str = match std::env::consts::ARCH.as_bytes() {
    b"x86_64" => "amd64",
    b"aarch64" => "arm64",
    _ => std::env::consts::ARCH,
};

/// What a kubelet knows of its node.
#[derive(Clone, Debug)]
pub struct Description {
    pub name: Arc<str>,
    pub address: String,
    pub pod_cidr: Option<String>,
    pub common: Arc<Common>,
}

/// What all nodes of a process have in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// Besides the well-known ones.
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
    pub capacity: BTreeMap<String, Quantity>,
    /// What is kept back for the system, by resource.
    pub reserved: Resources,
    pub port: u16,
    /// The address of the process, if it is not the node's own, as of nodes that are simulated.
    pub reached_at: Option<IpAddr>,
}

/// The conditions in the order in which a kubelet reports them: type, status, reason, message.
const CONDITIONS: [(&str, &str, &str, &str); 4] = [
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "there is memory enough"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "there is disk space enough"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "there are process numbers enough"),
    ("Ready", "True", "KubeletReady", "the kubelet is ready to run pods"),
];

impl Description {
    /// The object to register.
    pub fn object(&self, now: Timestamp) -> Node {
        let spec = NodeSpec {
            pod_cidr: self.pod_cidr.clone(),
            pod_cidrs: self.pod_cidr.clone().map(|cidr| vec![cidr]),
            taints: (!self.common.taints.is_empty()).then(|| self.common.taints.clone()),
            unschedulable: self.common.unschedulable.then_some(true),
            ..NodeSpec::default()
        };
        let metadata = ObjectMeta {
            name: Some(self.name.to_string()),
            labels: Some(self.all_labels()),
            annotations: Some(BTreeMap::from([("volumes.kubernetes.io/controller-managed-attach-detach".into(), "true".into())])),
            ..ObjectMeta::default()
        };
        let mut node = Node { metadata, spec: Some(spec), status: None };
        self.report(&mut node, now);
        node
    }

    /// The labels that a kubelet gives its node.
    pub fn all_labels(&self) -> BTreeMap<String, String> {
        let name = self.name.to_string();
        let known = [
            ("kubernetes.io/hostname", name.as_str()),
            ("kubernetes.io/os", std::env::consts::OS),
            ("kubernetes.io/arch", ARCHITECTURE),
            ("beta.kubernetes.io/os", std::env::consts::OS),
            ("beta.kubernetes.io/arch", ARCHITECTURE),
        ];
        let known = known.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned()));
        known.chain(self.common.labels.clone()).collect()
    }

    /// Puts the kubelet's view into the status of a node.
    pub fn report(&self, node: &mut Node, now: Timestamp) {
        let status = node.status.get_or_insert_default();
        let capacity = status.capacity.get_or_insert_default();
        let mut allocatable = status.allocatable.take().unwrap_or_default();
        for (resource, amount) in &self.common.capacity {
            capacity.insert(resource.clone(), amount.clone());
            allocatable.insert(resource.clone(), self.allocatable(resource, amount));
        }
        // A resource that somebody else announces is all there for pods.
        for (resource, amount) in capacity.iter() {
            allocatable.entry(resource.clone()).or_insert_with(|| amount.clone());
        }
        status.allocatable = Some(allocatable);
        status.addresses = Some(self.addresses());
        status.daemon_endpoints = Some(NodeDaemonEndpoints { kubelet_endpoint: Some(DaemonEndpoint { port: self.common.port.into() }) });
        status.node_info = Some(self.system_info());
        status.declared_features = Some(DECLARED_FEATURES.map(str::to_owned).into());
        report_conditions(status, now);
    }

    fn allocatable(&self, resource: &str, amount: &Quantity) -> Quantity {
        let reserved = self.common.reserved.amount(resource);
        if reserved == 0 {
            return amount.clone();
        }
        let mut all = Resources::of_list(&BTreeMap::from([(resource.to_owned(), amount.clone())]));
        let left = (all.amount(resource) - reserved).max(0);
        *all.amount_mut(resource) = left;
        Quantity(if resource == "cpu" { format!("{left}m") } else { left.to_string() })
    }

    fn addresses(&self) -> Vec<NodeAddress> {
        vec![
            NodeAddress { type_: "InternalIP".into(), address: self.address.clone() },
            // The API server looks for this one first.
            NodeAddress {
                type_: "Hostname".into(),
                address: self.common.reached_at.map_or_else(|| self.name.to_string(), |ip| ip.to_string()),
            },
        ]
    }

    fn system_info(&self) -> NodeSystemInfo {
        let id = crate::digest(&self.name);
        NodeSystemInfo {
            machine_id: id[..32].to_owned(),
            system_uuid: uuid_of(&id[..32]),
            boot_id: uuid_of(&id[32..]),
            kernel_version: read_line("/proc/sys/kernel/osrelease").unwrap_or_default(),
            os_image: os_image(),
            container_runtime_version: concat!("simulated://", env!("CARGO_PKG_VERSION")).to_owned(),
            kubelet_version: KUBELET_VERSION.to_owned(),
            kube_proxy_version: String::new(),
            operating_system: std::env::consts::OS.to_owned(),
            architecture: ARCHITECTURE.to_owned(),
            swap: None,
        }
    }

    /// What of the object the kubelet works with.
    pub fn facts(&self, node: &Node) -> NodeFacts {
        let status = node.status.as_ref();
        let condition = |wanted: &str| status.and_then(|s| s.conditions.as_ref()).and_then(|all| all.iter().find(|c| c.type_ == wanted));
        let conditions_stand = CONDITIONS.iter().all(|(name, value, ..)| condition(name).is_some_and(|c| c.status == *value));
        let capacity = status.and_then(|status| status.capacity.as_ref());
        NodeFacts {
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default(),
            allocatable: Resources::allocatable(node),
            pod_cidr: node.spec.as_ref().and_then(|spec| spec.pod_cidr.clone()),
            as_reported: conditions_stand && self.common.capacity.keys().all(|resource| capacity.is_some_and(|c| c.contains_key(resource))),
        }
    }
}

fn report_conditions(status: &mut NodeStatus, now: Timestamp) {
    let conditions = status.conditions.get_or_insert_default();
    for (name, value, reason, message) in CONDITIONS {
        let before = conditions.iter().position(|condition| condition.type_ == name);
        let since = before.map(|at| &conditions[at]).filter(|c| c.status == value).and_then(|c| c.last_transition_time.clone());
        let condition = NodeCondition {
            type_: name.to_owned(),
            status: value.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: Some(time(now)),
            last_transition_time: Some(since.unwrap_or_else(|| time(now))),
        };
        match before {
            Some(at) => conditions[at] = condition,
            None => conditions.push(condition),
        }
    }
}

/// 32 hexadecimal digits with the dashes of a UUID.
fn uuid_of(digits: &str) -> String {
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

fn read_line(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}

fn os_image() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn description() -> Description {
        let capacity = [("cpu", "8"), ("memory", "32Gi"), ("pods", "110")];
        Description {
            name: "n1".into(),
            address: "172.16.0.1".into(),
            pod_cidr: None,
            common: Arc::new(Common {
                labels: BTreeMap::new(),
                taints: Vec::new(),
                unschedulable: false,
                capacity: capacity.into_iter().map(|(resource, amount)| (resource.to_owned(), Quantity(amount.to_owned()))).collect(),
                reserved: Resources { cpu_milli: 500, ..Resources::default() },
                port: 10250,
                reached_at: None,
            }),
        }
    }

    #[test]
    fn resources_of_others_are_left_alone() {
        let mut node = description().object(Timestamp::UNIX_EPOCH);
        let status = node.status.as_mut().unwrap();
        status.capacity.as_mut().unwrap().insert("example.com/gpu".into(), Quantity("4".into()));
        description().report(&mut node, Timestamp::UNIX_EPOCH);
        let status = node.status.as_ref().unwrap();
        assert_eq!(status.capacity.as_ref().unwrap()["example.com/gpu"].0, "4");
        assert_eq!(status.allocatable.as_ref().unwrap()["example.com/gpu"].0, "4");
        assert_eq!(status.allocatable.as_ref().unwrap()["cpu"].0, "7500m");
        assert!(description().facts(&node).as_reported);
    }

    #[test]
    fn a_report_keeps_the_times_of_what_did_not_change() {
        let mut node = description().object(Timestamp::UNIX_EPOCH);
        node.status.as_mut().unwrap().conditions.as_mut().unwrap()[3].status = "Unknown".into();
        assert!(!description().facts(&node).as_reported);
        let later = Timestamp::from_second(1000).unwrap();
        description().report(&mut node, later);
        let conditions = node.status.unwrap().conditions.unwrap();
        assert_eq!(conditions[0].last_transition_time, Some(time(Timestamp::UNIX_EPOCH)));
        assert_eq!(conditions[0].last_heartbeat_time, Some(time(later)));
        assert_eq!(conditions[3].last_transition_time, Some(time(later)));
    }
}

//! The kubelet's arguments and options. [`Args`] is the command line of a process of its own; [`Options`] is what
//! [`run`](crate::run) takes, also within another process.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::runtime::Metrics;
use ::runtime::args::{ClientArgs, LogArgs, ServingArgs, duration};
use api::scheduling::resources::Resources;
use clap::Parser;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::Clock;
use crate::node::heartbeat::Rhythm;
use crate::node::object::{Common, Description};
use crate::simulated::addresses::Addresses;

/// The port that a node announces for its kubelet.
const PORT: u16 = 10250;

/// Runs a node agent: registers its node with the API server and runs the pods that are bound to it.
#[derive(Parser, Clone, Debug)]
#[command(name = "kybern-kubelet", version)]
pub struct Args {
    #[command(flatten)]
    pub client: ClientArgs,

    #[command(flatten)]
    pub logs: LogArgs,

    /// The node's name; the host's where it is not given
    #[arg(long, value_name = "NAME")]
    pub hostname_override: Option<String>,

    /// Simulate so many nodes, named <hostname>-1, <hostname>-2 and so on, in this one process; it then calls as
    /// kybern:simulated-nodes, since a node's own credentials are good for that node only
    #[arg(long, value_name = "COUNT")]
    pub simulated_nodes: Option<usize>,

    /// The node's address; made up for simulated nodes where it is not given
    #[arg(long, value_name = "IP")]
    pub node_ip: Option<IpAddr>,

    /// Labels for the node: key=value,...
    #[arg(long, value_name = "LABELS", value_parser = pairs, default_value = "")]
    pub node_labels: Pairs,

    /// Taints for the node when it is registered: key=value:effect,...
    #[arg(long, value_name = "TAINTS", value_parser = taint, value_delimiter = ',')]
    pub register_with_taints: Vec<Taint>,

    /// Register the node as one that takes no pods
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1, default_value_t = true, default_missing_value = "true")]
    pub register_schedulable: bool,

    /// What the node has: resource=amount,... (simulated nodes)
    #[arg(long, value_name = "RESOURCES", value_parser = pairs, default_value = "cpu=8,memory=32Gi,ephemeral-storage=100Gi")]
    pub capacity: Pairs,

    /// How many pods the node takes
    #[arg(long, value_name = "COUNT", default_value_t = 110)]
    pub max_pods: u32,

    /// What is kept back for the system: resource=amount,...
    #[arg(long, value_name = "RESOURCES", value_parser = pairs, default_value = "")]
    pub system_reserved: Pairs,

    /// What is kept back for Kubernetes' own components: resource=amount,...
    #[arg(long, value_name = "RESOURCES", value_parser = pairs, default_value = "")]
    pub kube_reserved: Pairs,

    /// The range for pods' addresses, where the cluster gives the node none
    #[arg(long, value_name = "CIDR")]
    pub pod_cidr: Option<String>,

    /// How often the node's status is looked at, which is a quarter of how long its lease holds
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10s")]
    pub node_status_update_frequency: Duration,

    /// How often the node's status is written though it has not changed
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m")]
    pub node_status_report_frequency: Duration,

    /// The address on which health and metrics are served
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub address: IpAddr,

    /// The port over TLS at which the API server reaches this node's containers, which the node announces; health and
    /// metrics are served there too; 0 for any that is free
    #[arg(long, value_name = "PORT", default_value_t = PORT)]
    pub port: u16,

    /// The port for health without TLS, on a loopback address; 0 for none
    #[arg(long, value_name = "PORT", default_value_t = 10248)]
    pub healthz_port: u16,

    /// The certificate of the port, with its chain; without one, a self-signed one is made
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,

    /// The certificate's key
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,

    /// The authority of clients' certificates: the API server needs one, and so does whoever wants to see metrics
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
}

/// Names and values.
pub type Pairs = BTreeMap<String, String>;

/// What [`run`](crate::run) needs to know.
#[derive(Clone)]
pub struct Options {
    pub nodes: Vec<String>,
    pub address: Option<IpAddr>,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
    pub capacity: BTreeMap<String, Quantity>,
    pub reserved: Resources,
    pub pod_cidr: Option<String>,
    pub port: u16,
    /// The address at which this process is reached, if that is not the nodes' own.
    pub reached_at: Option<IpAddr>,
    pub rhythm: Rhythm,
    /// Whether users are told of pods' lives by Event objects; never where one process has very many nodes.
    pub record_events: bool,
    pub metrics: Metrics,
    pub clock: Clock,
}

impl Options {
    /// Simulated nodes of these names, with everything as a kubelet has it by default.
    pub fn simulated(nodes: impl IntoIterator<Item = String>) -> Self {
        let capacity = [("cpu", "8"), ("memory", "32Gi"), ("ephemeral-storage", "100Gi"), ("pods", "110")];
        Self {
            nodes: nodes.into_iter().collect(),
            address: None,
            labels: BTreeMap::new(),
            taints: Vec::new(),
            unschedulable: false,
            capacity: quantities(capacity.into_iter()),
            reserved: Resources::default(),
            pod_cidr: None,
            port: PORT,
            reached_at: None,
            rhythm: rhythm(Duration::from_secs(10), Duration::from_secs(300)),
            record_events: true,
            metrics: Metrics::default(),
            clock: Arc::new(Timestamp::now),
        }
    }

    /// The nodes, with an address each.
    pub(crate) fn describe(&self, addresses: &mut Addresses) -> Vec<Description> {
        let many = self.nodes.len() > 1;
        let common = Arc::new(Common {
            labels: self.labels.clone(),
            taints: self.taints.clone(),
            unschedulable: self.unschedulable,
            capacity: self.capacity.clone(),
            reserved: self.reserved.clone(),
            port: self.port,
            reached_at: self.reached_at,
        });
        let describe = |(number, name): (usize, &String)| {
            let name: Arc<str> = name.as_str().into();
            addresses.add_node(name.clone(), u32::try_from(number).ok().filter(|_| many));
            let given = self.address.filter(|_| !many).map(|address| address.to_string());
            Description {
                address: given.unwrap_or_else(|| addresses.of_node(&name).to_string()),
                name,
                pod_cidr: self.pod_cidr.clone().filter(|_| !many),
                common: common.clone(),
            }
        };
        self.nodes.iter().enumerate().map(describe).collect()
    }
}

impl Args {
    /// The options of these arguments.
    ///
    /// # Errors
    /// A host whose name cannot be found out.
    pub fn options(&self) -> std::io::Result<Options> {
        let name = match &self.hostname_override {
            Some(name) => name.clone(),
            None => std::fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_lowercase(),
        };
        let nodes = match self.simulated_nodes {
            Some(count) => (1..=count).map(|number| format!("{name}-{number}")).collect(),
            None => vec![name],
        };
        let pods = self.max_pods.to_string();
        let capacity = self.capacity.iter().map(|(resource, amount)| (resource.as_str(), amount.as_str()));
        let mut reserved = Resources::of_list(&quantities(borrowed(&self.system_reserved)));
        reserved.add(&Resources::of_list(&quantities(borrowed(&self.kube_reserved))));
        Ok(Options {
            address: self.node_ip,
            labels: self.node_labels.clone(),
            taints: self.register_with_taints.clone(),
            unschedulable: !self.register_schedulable,
            capacity: quantities(capacity.chain([("pods", pods.as_str())])),
            reserved,
            pod_cidr: self.pod_cidr.clone(),
            port: self.port,
            rhythm: rhythm(self.node_status_update_frequency, self.node_status_report_frequency),
            ..Options::simulated(nodes)
        })
    }

    /// Where health and metrics are served.
    pub fn serving(&self) -> ServingArgs {
        ServingArgs {
            bind_address: self.address,
            secure_port: Some(self.port),
            tls_cert_file: self.tls_cert_file.clone(),
            tls_private_key_file: self.tls_private_key_file.clone(),
            client_ca_file: self.client_ca_file.clone(),
        }
    }
}

fn rhythm(lease: Duration, status: Duration) -> Rhythm {
    Rhythm { lease_duration: lease * 4, lease, status }
}

fn borrowed(pairs: &Pairs) -> impl Iterator<Item = (&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

fn quantities<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, Quantity> {
    pairs.map(|(resource, amount)| (resource.to_owned(), Quantity(amount.to_owned()))).collect()
}

fn pairs(text: &str) -> Result<Pairs, String> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is not of the form name=value"))?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    text.split(',').filter(|pair| !pair.is_empty()).map(pair).collect()
}

fn taint(text: &str) -> Result<Taint, String> {
    let (key, effect) = text.rsplit_once(':').ok_or_else(|| format!("{text:?} is not of the form key=value:effect"))?;
    let (key, value) = key.split_once('=').map_or((key, None), |(key, value)| (key, Some(value)));
    if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
        return Err(format!("{effect:?} is not the effect of a taint"));
    }
    Ok(Taint { key: key.to_owned(), value: value.map(str::to_owned), effect: effect.to_owned(), time_added: None })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn arguments_make_options() {
        let args = [
            "kybern-kubelet",
            "--hostname-override=n1",
            "--node-labels=zone=a,disk=ssd",
            "--register-with-taints=dedicated=db:NoSchedule,gpu:NoExecute",
            "--system-reserved=cpu=500m",
            "--max-pods=20",
        ];
        let options = Args::parse_from(args).options().unwrap();
        assert_eq!(options.nodes, ["n1"]);
        assert_eq!(options.labels["disk"], "ssd");
        assert_eq!((options.taints.len(), &*options.taints[1].effect), (2, "NoExecute"));
        assert_eq!(options.reserved.cpu_milli, 500);
        assert_eq!(options.capacity["pods"].0, "20");
        assert!(Args::try_parse_from(["kybern-kubelet", "--register-with-taints=a:Never"]).is_err());
    }
}

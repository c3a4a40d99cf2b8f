//! [`ApiServer`]: what serves the API, below its doors. Its verbs stand in [`crate::verbs`], one file each.

use std::sync::Arc;
use std::time::Duration;

use api::Registry;
use machinery::Status;
use storage::Store;

/// What an operator may choose of the serving core.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where objects live in the store, without slashes at the ends.
    pub prefix: String,
    /// Cluster IPs are allocated from this range.
    pub service_cluster_ip_range: String,
    /// Node ports are allocated from this range, both ends included.
    pub service_node_port_range: (u16, u16),
    /// How often history older than the previous round is forgotten. Zero: never.
    pub compaction_interval: Duration,
    /// How long events live.
    pub event_ttl: Duration,
    /// The address at which the API server itself is reached: the endpoint of `default/kubernetes`.
    pub advertise_address: Option<std::net::IpAddr>,
    pub secure_port: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: "registry".into(),
            service_cluster_ip_range: "10.96.0.0/12".into(),
            service_node_port_range: (30_000, 32_767),
            compaction_interval: Duration::from_secs(300),
            event_ttl: Duration::from_secs(3_600),
            advertise_address: None,
            secure_port: 6443,
        }
    }
}

/// The serving core: verbs over logs over a store.
pub struct ApiServer {
    registry: Registry,
    #[allow(dead_code, reason = "the verbs' bodies follow")]
    store: Arc<dyn Store>,
    #[allow(dead_code, reason = "the verbs' bodies follow")]
    options: Options,
}

impl ApiServer {
    /// Reads what the store holds and begins to follow it. Background work ends when the last handle is dropped.
    pub async fn start(store: Arc<dyn Store>, registry: Registry, options: Options) -> Result<Arc<Self>, Status> {
        Ok(Arc::new(Self { registry, store, options }))
    }

    /// Where clients reach this server: `address:port`.
    pub fn advertised_address(&self) -> String {
        let address = self.options.advertise_address.unwrap_or(std::net::Ipv4Addr::LOCALHOST.into());
        std::net::SocketAddr::new(address, self.options.secure_port).to_string()
    }

    /// The resources that are served.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

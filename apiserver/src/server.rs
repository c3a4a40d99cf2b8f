//! [`ApiServer`]: what serves the API, below its doors. Its verbs stand in [`crate::verbs`], one file each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Object, Registry, Resource, ResourceRef};
use arc_swap::{ArcSwap, Guard};
use hashbrown::HashMap;
use machinery::Status;
use storage::Store;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::admission::resource_quota::charge::Cashier;
use crate::admission::{self, World};
use crate::allocation::{self, Allocation};
use crate::audit::Audit;
use crate::auth::{Access, Authenticator, Mode, token_tracking};
use crate::availability;
use crate::connect::{Connector, KubeletAccess};
use crate::definitions::{self, Definitions};
use crate::flow_control::dangling;
use crate::identity;
use crate::leases::Leases;
use crate::log::{Bounds, Feed, Log};
use crate::served::Served;
use crate::type_checking;

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
    /// Who is known here, and by what.
    pub authenticator: Arc<Authenticator>,
    /// By what it is decided who may do what.
    pub authorization: Vec<Mode>,
    /// What aggregated servers need to know their callers: the data of a ConfigMap that is made for them.
    pub extension_authentication: BTreeMap<String, String>,
    /// How kubelets are reached.
    pub kubelets: KubeletAccess,
    /// None: nothing is recorded.
    pub audit: Option<Arc<Audit>>,
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
            authenticator: Arc::default(),
            authorization: Mode::USUAL.to_vec(),
            extension_authentication: BTreeMap::new(),
            kubelets: KubeletAccess::default(),
            audit: None,
        }
    }
}

/// How often logs are looked through for what is too old to keep.
const TRIM_EVERY: Duration = Duration::from_secs(5);

/// The serving core: verbs over logs over a store.
pub struct ApiServer {
    served: ArcSwap<Served>,
    options: Options,
    pub(crate) feed: Arc<Feed>,
    /// Of built-in resources, by where they are stored.
    logs: HashMap<String, Arc<Log>>,
    world: World,
    access: Arc<Access>,
    pub(crate) admission: admission::Chain,
    pub(crate) allocation: Allocation,
    pub(crate) leases: Leases,
    pub(crate) cashier: Cashier,
    pub(crate) definitions: Definitions,
    connector: Connector,
    /// Ends background work when the server goes.
    _stop: DropGuard,
}

impl ApiServer {
    /// Reads what the store holds and begins to follow it. Background work ends when the last handle is dropped.
    pub async fn start(store: Arc<dyn Store>, registry: Registry, options: Options) -> Result<Arc<Self>, Status> {
        let stop = CancellationToken::new();
        let feed = Arc::new(Feed::new(store, &options.prefix, Bounds::default(), stop.clone()));
        // The stored version's own resource comes first, since the log is in that version.
        let (stored, converted): (Vec<ResourceRef>, Vec<_>) = registry.all().iter().cloned().partition(|r| r.stored_kind() == r.kind());
        let logs: HashMap<_, _> = stored.into_iter().chain(converted).map(|r| (r.stored_under().to_owned(), feed.open(r))).collect();
        feed.load().await?;
        let world = World::new(logs.values().cloned());
        let taken = allocation::Logs {
            services: world.log("", "services").cloned(),
            service_cidrs: world.log("networking.k8s.io", "servicecidrs").cloned(),
            ip_addresses: world.log("networking.k8s.io", "ipaddresses").cloned(),
        };
        let allocation = Allocation::new(&options.service_cluster_ip_range, options.service_node_port_range, feed.clone(), taken)
            .map_err(|why| Status::internal(format!("service addresses of {:?}: {why}", options.service_cluster_ip_range)))?;
        tokio::spawn(feed.clone().run());
        tokio::spawn(upkeep(feed.clone(), options.compaction_interval));
        let server = Arc::new(Self {
            access: Arc::new(Access::new(&world, options.authorization.clone())),
            connector: Connector::new(options.kubelets.clone()),
            world,
            served: ArcSwap::from_pointee(Served::new(registry, None)),
            options,
            feed,
            logs,
            admission: admission::Chain::default(),
            allocation,
            leases: Leases::default(),
            cashier: Cashier::default(),
            definitions: Definitions::default(),
            _stop: stop.drop_guard(),
        });
        server.bootstrap().await?;
        server.follow_definitions().await?;
        tokio::spawn(definitions::keep_served(Arc::downgrade(&server), server.feed.watches().clone()));
        tokio::spawn(allocation::addresses::keep_repaired(Arc::downgrade(&server), server.feed.stop().clone()));
        tokio::spawn(identity::keep(Arc::downgrade(&server), server.feed.watches().clone()));
        tokio::spawn(token_tracking::keep_since(Arc::downgrade(&server), server.feed.watches().clone()));
        tokio::spawn(type_checking::keep_checked(Arc::downgrade(&server), server.feed.watches().clone()));
        tokio::spawn(availability::keep_told(Arc::downgrade(&server), server.feed.watches().clone()));
        tokio::spawn(dangling::keep_told(Arc::downgrade(&server), server.feed.watches().clone()));
        Ok(server)
    }

    /// Ends every watch in good order. Other requests are served as before.
    pub fn end_watches(&self) {
        self.feed.watches().cancel();
    }

    /// Ends every watch and stops following the store. Requests that wait for the log fail from here on.
    pub fn stop(&self) {
        self.feed.stop().cancel();
    }

    /// Where clients reach this server: `address:port`.
    pub fn advertised_address(&self) -> String {
        let address = self.options.advertise_address.unwrap_or(std::net::Ipv4Addr::LOCALHOST.into());
        std::net::SocketAddr::new(address, self.options.secure_port).to_string()
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// What is served now. Takes no lock.
    pub fn served(&self) -> Guard<Arc<Served>> {
        self.served.load()
    }

    /// Serves this from now on.
    pub(crate) fn serve(&self, served: Served) {
        served.openapi().adopt(self.served().openapi());
        self.served.store(Arc::new(served));
    }

    /// The logs, as admission reads them.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Who is known here, and by what.
    pub fn authenticator(&self) -> &Authenticator {
        &self.options.authenticator
    }

    /// The way to nodes, pods and services.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Who may do what.
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// The log that holds a resource's objects.
    pub(crate) fn log(&self, resource: &dyn Resource) -> Result<Arc<Log>, Status> {
        if let Some(why) = resource.unreachable() {
            return Err(Status::internal(why));
        }
        let built_in = self.logs.get(resource.stored_under()).cloned();
        built_in.or_else(|| self.served().log(resource).cloned()).ok_or_else(Status::path_not_found)
    }

    /// How long an object lives, if it vanishes by itself.
    pub(crate) fn time_to_live(&self, resource: &dyn Resource, object: &dyn Object) -> Option<Duration> {
        // The kinds know that events expire; how soon is the operator's choice.
        resource.time_to_live(object).map(|_| self.options.event_ttl)
    }
}

/// Trims the logs, and lets the store forget what is older than the round before last.
async fn upkeep(feed: Arc<Feed>, compact_every: Duration) {
    let stop = feed.stop().clone();
    let work = async {
        let mut trim = tokio::time::interval(TRIM_EVERY);
        let mut compact = tokio::time::interval(compact_every.max(Duration::from_secs(1)));
        let mut previous = None;
        loop {
            tokio::select! {
                _ = trim.tick() => feed.trim(),
                _ = compact.tick(), if !compact_every.is_zero() => {
                    if let Some(version) = previous.replace(feed.position())
                        && let Err(error) = feed.compact(version).await
                    {
                        tracing::warn!(%error, "compacting the store");
                    }
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

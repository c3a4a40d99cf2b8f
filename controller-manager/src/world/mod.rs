//! [`World`]: what the informers know, as controllers read it: one table per kind, indexed, shared by all
//! controllers, and one graph of owners over everything. It is a plain value, so that a test builds one in memory.
//!
//! Deciding borrows the world for the moment that it takes; nothing in here waits.

mod config_map;
mod graph;
mod node;
mod noticed;
mod pod;
mod row;
mod secret;
mod table;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{
    Endpoints, Namespace, PersistentVolume, PersistentVolumeClaim, ReplicationController, ResourceQuota, Service, ServiceAccount, Taint,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceClaimTemplate};
use k8s_openapi::api::storage::v1::{StorageClass, VolumeAttributesClass};
use machinery::{GroupVersionResource, NamespacedName};

pub use config_map::ConfigMapRow;
pub use graph::{Contents, Entry, Graph, ResourceId, ResourceInfo};
pub use node::{Condition, LeaseRow, NodeRow, TTL_ANNOTATION};
use noticed::Noticed;
pub use pod::{DeviceClaims, NamedPort, Outcome, Phase, PodRow};
pub use row::{AnyRow, Header, Interner, Labels, Only, Row, Whole};
pub use secret::SecretRow;
pub use table::Table;

/// Declares the tables of the world, and with them [`Kind`], [`Change`] and the look-ups between them.
macro_rules! tables {
    ($($(#[$doc:meta])* $field:ident: $kind:ident($row:ty);)*) => {
        /// The kinds that have a table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($kind,)*
        }

        impl Kind {
            pub const ALL: &[Kind] = &[$(Kind::$kind,)*];
        }

        /// A change of one object that has a table.
        #[derive(Clone, Copy)]
        pub enum Change<'a> {
            $($kind(Delta<'a, $row>),)*
        }

        impl Change<'_> {
            /// The metadata of the object, in its newest state.
            pub fn header(&self) -> &Header {
                match self {
                    $(Change::$kind(delta) => Row::header(&**delta.newest()),)*
                }
            }
        }

        #[derive(Default)]
        pub struct World {
            $($(#[$doc])* pub $field: Table<$row>,)*
            pub graph: Graph,
            failures: HashMap<(&'static str, NamespacedName), Failure>,
            departed: Departed,
            noticed: Noticed,
        }

        $(
            impl Tabled for $row {
                const KIND: Kind = Kind::$kind;

                fn table(world: &World) -> &Table<Self> {
                    &world.$field
                }

                fn table_mut(world: &mut World) -> &mut Table<Self> {
                    &mut world.$field
                }

                fn change(delta: Delta<'_, Self>) -> Change<'_> {
                    Change::$kind(delta)
                }
            }
        )*

        impl Kind {
            /// The group and the plural name of the resource that serves this kind.
            pub fn resource(self) -> (&'static str, &'static str) {
                match self {
                    $(Kind::$kind => (<$row as Row>::Source::GROUP, <$row as Row>::Source::URL_PATH_SEGMENT),)*
                }
            }

            /// The kind that a resource serves, if it has a table.
            pub fn of(resource: &GroupVersionResource) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| {
                    let (group, plural) = kind.resource();
                    resource.group == group && resource.resource == plural
                })
            }

            /// Calls the visitor with the row type of this kind.
            pub fn visit<V: RowVisitor>(self, visitor: &mut V) {
                match self {
                    $(Kind::$kind => visitor.visit::<$row>(),)*
                }
            }
        }
    };
}

tables! {
    pods: Pod(PodRow);
    nodes: Node(NodeRow);
    /// The nodes' heartbeats.
    leases: Lease(LeaseRow);
    namespaces: Namespace(Whole<Namespace>);
    service_accounts: ServiceAccount(Only<ServiceAccount>);
    config_maps: ConfigMap(ConfigMapRow);
    secrets: Secret(SecretRow);
    services: Service(Whole<Service>);
    endpoints: Endpoints(Whole<Endpoints>);
    endpoint_slices: EndpointSlice(Whole<EndpointSlice>);
    replica_sets: ReplicaSet(Whole<ReplicaSet>);
    replication_controllers: ReplicationController(Whole<ReplicationController>);
    deployments: Deployment(Whole<Deployment>);
    daemon_sets: DaemonSet(Whole<DaemonSet>);
    stateful_sets: StatefulSet(Whole<StatefulSet>);
    controller_revisions: ControllerRevision(Whole<ControllerRevision>);
    /// Persistent volume claims.
    claims: PersistentVolumeClaim(Whole<PersistentVolumeClaim>);
    volumes: PersistentVolume(Whole<PersistentVolume>);
    storage_classes: StorageClass(Whole<StorageClass>);
    volume_attributes_classes: VolumeAttributesClass(Whole<VolumeAttributesClass>);
    service_cidrs: ServiceCIDR(Whole<ServiceCIDR>);
    ip_addresses: IPAddress(Only<IPAddress>);
    jobs: Job(Whole<Job>);
    cron_jobs: CronJob(Whole<CronJob>);
    budgets: PodDisruptionBudget(Whole<PodDisruptionBudget>);
    quotas: ResourceQuota(Whole<ResourceQuota>);
    device_classes: DeviceClass(Whole<DeviceClass>);
    resource_claims: ResourceClaim(Whole<ResourceClaim>);
    resource_claim_templates: ResourceClaimTemplate(Whole<ResourceClaimTemplate>);
    cluster_roles: ClusterRole(Whole<ClusterRole>);
    signing_requests: CertificateSigningRequest(Whole<CertificateSigningRequest>);
}

/// A row that has a table.
pub trait Tabled: Row {
    const KIND: Kind;

    fn table(world: &World) -> &Table<Self>;
    fn table_mut(world: &mut World) -> &mut Table<Self>;
    fn change(delta: Delta<'_, Self>) -> Change<'_>;
}

/// Something to do for the row type of a kind that is known at run time.
pub trait RowVisitor {
    fn visit<T: Tabled>(&mut self);
}

/// An object before and after a change.
pub enum Delta<'a, T> {
    Added(&'a Arc<T>),
    Changed { old: &'a Arc<T>, new: &'a Arc<T> },
    Removed(&'a Arc<T>),
}

impl<T> Clone for Delta<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Delta<'_, T> {}

impl<'a, T> Delta<'a, T> {
    pub fn before(&self) -> Option<&'a Arc<T>> {
        match self {
            Self::Added(_) => None,
            Self::Changed { old, .. } | Self::Removed(old) => Some(old),
        }
    }

    pub fn after(&self) -> Option<&'a Arc<T>> {
        match self {
            Self::Added(new) | Self::Changed { new, .. } => Some(new),
            Self::Removed(_) => None,
        }
    }

    /// The object in its newest state; for a removed one that is its last.
    pub fn newest(&self) -> &'a Arc<T> {
        match self {
            Self::Added(row) | Self::Changed { new: row, .. } | Self::Removed(row) => row,
        }
    }

    /// Both states, the older first.
    pub fn states(&self) -> impl Iterator<Item = &'a Arc<T>> {
        self.before().into_iter().chain(self.after())
    }
}

/// What the last plan for a key failed with. A controller shows it as a condition; the executor clears it with the
/// next plan that succeeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The event reason of the write that failed, such as `FailedCreate`.
    pub reason: &'static str,
    pub message: String,
}

impl World {
    /// An empty world that knows these resources.
    pub fn new(resources: Vec<ResourceInfo>) -> Self {
        Self { graph: Graph::new(resources), ..Self::default() }
    }

    /// Puts an object, new or changed. Returns its former state; None too where this state is not newer.
    pub fn put<T: Tabled>(&mut self, row: Arc<T>) -> Option<Arc<T>> {
        if let Some(id) = self.graph.id_of::<T>() {
            self.graph.put(id, row.clone());
        }
        let any: &dyn std::any::Any = &*row;
        if let Some(node) = any.downcast_ref::<NodeRow>() {
            self.noticed.node(self.nodes.get(&node.key).map(|old| &**old), node);
        } else if let Some(lease) = any.downcast_ref::<LeaseRow>() {
            self.noticed.lease(self.leases.get(&Row::header(lease).key).map(|old| &**old), lease);
        }
        T::table_mut(self).put(row)
    }

    pub fn remove<T: Tabled>(&mut self, key: &NamespacedName) -> Option<Arc<T>> {
        let old = T::table_mut(self).remove(key)?;
        self.graph.remove(&old.header().uid);
        match T::KIND {
            Kind::Pod => self.departed.note(key),
            Kind::Node => self.noticed.node_gone(&key.name),
            _ => {}
        }
        Some(old)
    }

    /// Puts or removes the metadata of an object whose kind has no table.
    pub fn put_untabled(&mut self, id: ResourceId, old_uid: Option<&str>, new: Option<Arc<dyn AnyRow>>) {
        match (old_uid, new) {
            (_, Some(row)) => self.graph.put(id, row),
            (Some(uid), None) => self.graph.remove(uid),
            (None, None) => {}
        }
    }

    /// Whether a pod of this name exists, or did until recently: names of pods are not used twice in a row, since
    /// somebody may be waiting for the former one to go.
    pub fn pod_name_taken(&self, namespace: &str, name: &str) -> bool {
        self.pods.find(namespace, name).is_some() || self.departed.contains(namespace, name)
    }

    /// Sets the time by which what comes in from now on is noticed.
    pub fn look_at(&mut self, now: Timestamp) {
        self.noticed.now = now;
    }

    /// When the node last gave a sign of life, by this process's clock and not by the node's.
    pub fn heartbeat(&self, node: &str) -> Option<Timestamp> {
        self.noticed.heartbeat(node)
    }

    /// Since when a node has a taint: as the taint says, or as it was first seen.
    pub fn tainted_since(&self, node: &str, taint: &Taint) -> Option<Timestamp> {
        taint.time_added.as_ref().map(|time| time.0).or_else(|| self.noticed.tainted_since(node, taint))
    }

    /// When a node that is no more was removed; None if that was not seen.
    pub fn node_gone_since(&self, node: &str) -> Option<Timestamp> {
        self.noticed.gone_since(node)
    }

    pub fn failure(&self, controller: &'static str, key: &NamespacedName) -> Option<&Failure> {
        self.failures.get(&(controller, key.clone()))
    }

    pub fn set_failure(&mut self, controller: &'static str, key: &NamespacedName, failure: Option<Failure>) {
        match failure {
            Some(failure) => {
                self.failures.insert((controller, key.clone()), failure);
            }
            None => {
                self.failures.remove(&(controller, key.clone()));
            }
        }
    }
}

/// Hashes of the names of pods that went lately.
#[derive(Default)]
struct Departed {
    order: VecDeque<u64>,
    names: HashSet<u64>,
}

impl Departed {
    const MOST: usize = 16 * 1024;

    fn note(&mut self, key: &NamespacedName) {
        let name = crate::naming::hash(&[&key.namespace, &key.name]);
        if self.names.insert(name) {
            self.order.push_back(name);
        }
        if self.order.len() > Self::MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(&oldest);
        }
    }

    fn contains(&self, namespace: &str, name: &str) -> bool {
        self.names.contains(&crate::naming::hash(&[namespace, name]))
    }
}

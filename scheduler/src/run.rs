//! Putting it together: informers, the scheduler, its loop, and those who carry decisions out.

use std::sync::Arc;

use client::{EventRecorder, Informer, Selection, Transport};
use k8s_openapi::api::core::v1;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::{CSIDriver, CSIStorageCapacity, StorageClass};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::budget::Budget;
use crate::driver::Driver;
use crate::metrics::Metrics;
use crate::node::NodeInfo;
use crate::options::Options;
use crate::plugins::{DefaultBinder, default_profile};
use crate::pod::{Labels, Pods};
use crate::preempt::Evictor;
use crate::report::Reporter;
use crate::scheduler::{Event, Scheduler};
use crate::volume::{Claim, Class, Room, Volume, publishes_capacity};
use crate::volume_binder::VolumeBinder;

/// Pods that have ended take nothing of their nodes any more.
const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// Schedules until `shutdown`. Returns when the bindings that were under way are done.
pub async fn run(transport: Arc<dyn Transport>, options: Options, metrics: runtime::Metrics, shutdown: CancellationToken) {
    let (sender, events) = mpsc::unbounded_channel();
    // Nodes first, so that pods find theirs.
    let nodes = nodes(transport.clone(), sender.clone());
    let namespaces = namespaces(transport.clone(), sender.clone());
    let budgets = budgets(transport.clone(), sender.clone());
    let volumes = volumes(transport.clone(), sender.clone());
    let claims = claims(transport.clone(), sender.clone());
    let classes = classes(transport.clone(), sender.clone());
    let drivers = drivers(transport.clone(), sender.clone());
    let rooms = rooms(transport.clone(), sender.clone());
    let pods = pods(transport.clone(), sender);
    let (nodes_store, namespaces_store, pods_store) = (nodes.store(), namespaces.store(), pods.store());
    let (volumes_store, claims_store) = (volumes.store(), claims.store());
    let (classes_store, drivers_store, rooms_store) = (classes.store(), drivers.store(), rooms.store());
    let mut following = JoinSet::new();
    following.spawn(nodes.run(shutdown.clone()));
    following.spawn(namespaces.run(shutdown.clone()));
    following.spawn(budgets.run(shutdown.clone()));
    following.spawn(volumes.run(shutdown.clone()));
    following.spawn(claims.run(shutdown.clone()));
    following.spawn(classes.run(shutdown.clone()));
    following.spawn(drivers.run(shutdown.clone()));
    following.spawn(rooms.run(shutdown.clone()));
    following.spawn(pods.run(shutdown.clone()));
    let synced = async {
        nodes_store.synced().await;
        namespaces_store.synced().await;
        volumes_store.synced().await;
        claims_store.synced().await;
        classes_store.synced().await;
        drivers_store.synced().await;
        rooms_store.synced().await;
        pods_store.synced().await;
    };
    if shutdown.run_until_cancelled(synced).await.is_some() {
        let (recorder, writer) = EventRecorder::new(transport.clone(), options.scheduler_name.clone(), "");
        let (reporter, statuses) = Reporter::new(transport.clone(), recorder);
        let mut writing = JoinSet::new();
        writing.spawn(writer.run(shutdown.clone()));
        writing.spawn(statuses.run(shutdown.clone()));
        let random = options.seed.map_or_else(SmallRng::from_os_rng, SmallRng::seed_from_u64);
        let patience = options.pod_max_in_unschedulable_pods_duration;
        let scheduler = Scheduler::new(options.scheduler_name.as_str(), default_profile(), patience, random);
        let evictor = Evictor::new(transport.clone());
        let volume_binder = VolumeBinder::new(transport.clone());
        let binder = Arc::new(DefaultBinder::new(transport));
        let metrics = Metrics::new(&options.scheduler_name, &metrics);
        Driver::new(scheduler, events, binder, volume_binder, reporter, evictor, metrics).run(shutdown).await;
        writing.join_all().await;
    }
    following.join_all().await;
}

fn nodes(transport: Arc<dyn Transport>, events: mpsc::UnboundedSender<Event>) -> Informer<v1::Node, Arc<NodeInfo>> {
    let mut nodes = Informer::new(transport, Selection::all(), |node: Arc<v1::Node>| Arc::new(NodeInfo::of(&node)));
    nodes.on_change(move |change| {
        // A heartbeat.
        if change.old.is_some() && change.old == change.new {
            return;
        }
        // The receiver is gone at the end only.
        let _ = events.send(Event::Node { name: change.key.name.clone(), new: change.new.clone() });
    });
    nodes
}

fn namespaces(transport: Arc<dyn Transport>, events: mpsc::UnboundedSender<Event>) -> Informer<v1::Namespace, Arc<Labels>> {
    let project = |namespace: Arc<v1::Namespace>| Arc::new(namespace.metadata.labels.iter().flatten().collect());
    let mut namespaces = Informer::new(transport, Selection::all(), project);
    namespaces.on_change(move |change| {
        if change.old.is_some() && change.old == change.new {
            return;
        }
        let _ = events.send(Event::Namespace { name: change.key.name.clone(), new: change.new.as_deref().cloned() });
    });
    namespaces
}

fn budgets(transport: Arc<dyn Transport>, events: mpsc::UnboundedSender<Event>) -> Informer<PodDisruptionBudget, Arc<Budget>> {
    let project = |budget: Arc<PodDisruptionBudget>| Arc::new(Budget::of(&budget));
    let mut budgets = Informer::new(transport, Selection::all(), project);
    budgets.on_change(move |change| {
        let _ = events.send(Event::Budget { key: change.key.clone(), new: change.new.as_deref().cloned() });
    });
    budgets
}

fn volumes(transport: Arc<dyn Transport>, events: mpsc::UnboundedSender<Event>) -> Informer<v1::PersistentVolume, Arc<Volume>> {
    let project = |volume: Arc<v1::PersistentVolume>| Arc::new(Volume::of(&volume));
    let mut volumes = Informer::new(transport, Selection::all(), project);
    volumes.on_change(move |change| {
        if change.old != change.new {
            let _ = events.send(Event::Volume { name: change.key.name.clone(), new: change.new.clone() });
        }
    });
    volumes
}

fn claims(transport: Arc<dyn Transport>, events: mpsc::UnboundedSender<Event>) -> Informer<v1::PersistentVolumeClaim, Arc<Claim>> {
    let project = |claim: Arc<v1::PersistentVolumeClaim>| Arc::new(Claim::of(&claim));
    let mut claims = Informer::new(transport, Selection::all(), project);
    claims.on_change(move |change| {
        if change.old != change.new {
            let _ = events.send(Event::Claim { key: change.key.clone(), new: change.new.clone() });
        }
    });
    claims
}

fn classes(transport: Arc<dyn Transport>, events: mpsc::UnboundedSender<Event>) -> Informer<StorageClass, Arc<Class>> {
    let project = |class: Arc<StorageClass>| Arc::new(Class::of(&class));
    let mut classes = Informer::new(transport, Selection::all(), project);
    classes.on_change(move |change| {
        if change.old != change.new {
            let _ = events.send(Event::Class { name: change.key.name.clone(), new: change.new.clone() });
        }
    });
    classes
}

fn drivers(transport: Arc<dyn Transport>, events: mpsc::UnboundedSender<Event>) -> Informer<CSIDriver, bool> {
    let mut drivers = Informer::new(transport, Selection::all(), |driver: Arc<CSIDriver>| publishes_capacity(&driver));
    drivers.on_change(move |change| {
        if change.old != change.new {
            let _ = events.send(Event::StorageDriver { name: change.key.name.clone(), new: change.new });
        }
    });
    drivers
}

fn rooms(transport: Arc<dyn Transport>, events: mpsc::UnboundedSender<Event>) -> Informer<CSIStorageCapacity, Arc<Room>> {
    let project = |capacity: Arc<CSIStorageCapacity>| Arc::new(Room::of(&capacity));
    let mut rooms = Informer::new(transport, Selection::all(), project);
    rooms.on_change(move |change| {
        if change.old != change.new {
            let _ = events.send(Event::Room { key: change.key.clone(), new: change.new.clone() });
        }
    });
    rooms
}

fn pods(transport: Arc<dyn Transport>, events: mpsc::UnboundedSender<Event>) -> Informer<v1::Pod, Arc<crate::pod::Pod>> {
    let pods = Pods::default();
    let mut informer = Informer::new(transport, Selection::all().fields(NOT_ENDED), move |pod: Arc<v1::Pod>| Arc::new(pods.project(&pod)));
    informer.on_change(move |change| {
        if change.old.is_some() && change.old == change.new {
            return;
        }
        let _ = events.send(Event::Pod { key: change.key.clone(), new: change.new.clone() });
    });
    informer
}

//! The service: informers, heartbeats, the agent and the event recorder of a process, put together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::runtime::server::Server;
use ::runtime::shutdown::Died;
use ::runtime::{CancellationToken, Health, Metrics, Tasks};
use client::{Backoff, EventRecorder, Informer, Selection, Store, Transport, WorkQueue};
use k8s_openapi::api::core::v1::{Node, Pod as ApiPod};

use crate::agent::writer::Writer;
use crate::agent::{Agent, Events, Figures, PodRef, World};
use crate::machine::admission::NodeFacts;
use crate::node::heartbeat::{self, Beat, Heartbeats};
use crate::node::object::Description;
use crate::options::Options;
use crate::pod::{Pod, Templates};
use crate::runtime::Runtime as _;
use crate::server::{self, Served};
use crate::simulated::Simulated;
use crate::simulated::addresses::Addresses;

/// With more nodes than this in one process, no events are recorded.
const MOST_NODES_WITH_EVENTS: usize = 32;

/// Waiting times after writes that failed.
const WRITE_BACKOFF: Backoff = Backoff { first: std::time::Duration::from_millis(10), longest: std::time::Duration::from_secs(30) };

/// Connections to the kubelet's port at once.
const MOST_CONNECTIONS: usize = 2_048;

/// The port of a kubelet, and what is served on it besides its pods.
pub struct Serving {
    pub server: Server,
    pub health: Health,
    pub metrics: Metrics,
}

/// Runs the kubelet of the options' nodes until `shutdown`.
///
/// # Errors
/// A part of it died.
pub async fn run(
    transport: Arc<dyn Transport>,
    mut options: Options,
    serving: Option<Serving>,
    shutdown: CancellationToken,
) -> Result<(), Died> {
    if let Some(address) = serving.as_ref().and_then(|serving| serving.server.address().ok()) {
        options.port = address.port();
        // On all addresses, it is the node's name by which others reach it.
        options.reached_at = Some(address.ip()).filter(|ip| !ip.is_unspecified());
    }
    let mut addresses = Addresses::default();
    let descriptions: Arc<[Description]> = options.describe(&mut addresses).into();
    let hosts: HashMap<Arc<str>, String> = descriptions.iter().map(|node| (node.name.clone(), node.address.clone())).collect();
    let mut tasks = Tasks::new(shutdown.clone());

    let beats = heartbeat::queue();
    let nodes = watch_nodes(&transport, &descriptions, &beats, &mut tasks, &shutdown);
    let heartbeats = Heartbeats::new(transport.clone(), descriptions.clone(), nodes.clone(), beats, options.rhythm, options.clock.clone());
    tasks.critical("heartbeats", heartbeats.run(shutdown.clone()));

    let queue = WorkQueue::new(WRITE_BACKOFF);
    let pods = watch_pods(&transport, &descriptions, &queue, &mut tasks, &shutdown);
    let recorder = (options.record_events && descriptions.len() <= MOST_NODES_WITH_EVENTS).then(|| {
        let host = if descriptions.len() == 1 { descriptions[0].name.to_string() } else { String::new() };
        let (recorder, writer) = EventRecorder::new(transport.clone(), "kubelet", host);
        tasks.critical("events", writer.run(shutdown.clone()));
        recorder
    });
    let runtime = Simulated::new(addresses, options.clock.clone());
    if let Some(Serving { server, health, metrics }) = serving {
        let routes = server::routes(Served::new(pods.clone(), runtime.access(), options.clock.clone()));
        tasks.critical("server", server.with_routes(routes, MOST_CONNECTIONS).serve(health, metrics, shutdown.clone()));
    }
    let world = World { pods, nodes, hosts };
    let tell = (Events::new(recorder), Figures::new(&options.metrics));
    let agent = Agent::new(world, queue, runtime, Writer::new(transport), tell, options.clock);
    tasks.critical("agent", agent.run(shutdown));
    tasks.wait().await
}

fn watch_nodes(
    transport: &Arc<dyn Transport>,
    descriptions: &Arc<[Description]>,
    beats: &WorkQueue<Beat>,
    tasks: &mut Tasks,
    shutdown: &CancellationToken,
) -> Store<Arc<NodeFacts>> {
    let selection = match &**descriptions {
        [node] => Selection::all().fields(format!("metadata.name={}", node.name)),
        _ => Selection::all(),
    };
    let numbers: HashMap<Arc<str>, usize> = descriptions.iter().enumerate().map(|(number, node)| (node.name.clone(), number)).collect();
    let numbers = Arc::new(numbers);
    let (known, all) = (numbers.clone(), descriptions.clone());
    let mut informer = Informer::new(transport.clone(), selection, move |node: Arc<Node>| {
        let number = node.metadata.name.as_deref().and_then(|name| known.get(name));
        Arc::new(number.map(|number| all[*number].facts(&node)).unwrap_or_default())
    });
    let beats = beats.clone();
    informer.on_change(move |change| {
        if let (Some(facts), Some(number)) = (&change.new, numbers.get(&change.key.name))
            && !facts.as_reported
        {
            beats.add(Beat::Status(*number));
        }
    });
    let store = informer.store();
    tasks.critical("nodes", informer.run(shutdown.clone()));
    store
}

fn watch_pods(
    transport: &Arc<dyn Transport>,
    descriptions: &Arc<[Description]>,
    queue: &WorkQueue<PodRef>,
    tasks: &mut Tasks,
    shutdown: &CancellationToken,
) -> Store<Option<Arc<Pod>>> {
    let selection = match &**descriptions {
        [node] => Selection::all().fields(format!("spec.nodeName={}", node.name)),
        _ => Selection::all().fields("spec.nodeName!="),
    };
    let own: std::collections::HashSet<Arc<str>> = descriptions.iter().map(|node| node.name.clone()).collect();
    // Only pods of the first synchronization can have run here before.
    let first = Arc::new(AtomicBool::new(true));
    let with_history = first.clone();
    let templates = Templates::default();
    let mut informer = Informer::new(transport.clone(), selection, move |pod: Arc<ApiPod>| {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        own.contains(node).then(|| Arc::new(Pod::of(&pod, with_history.load(Ordering::Relaxed), &templates)))
    });
    let queue = queue.clone();
    informer.on_change(move |change| {
        first.store(false, Ordering::Relaxed);
        for pod in [&change.old, &change.new].into_iter().flatten().flatten() {
            queue.add(PodRef::of(&change.key, pod));
        }
    });
    let store = informer.store();
    tasks.critical("pods", informer.run(shutdown.clone()));
    store
}

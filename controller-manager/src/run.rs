//! Putting it together: informers, world, queues, executor.

use std::sync::Arc;

use api::Registry;
use api::kind::Scope;
use client::{Backoff, EventRecorder, Transport, WorkQueue};
use machinery::GroupVersionResource;
use tokio_util::sync::CancellationToken;

use crate::controllers::set::controllers;
use crate::executor::{Executor, Metrics};
use crate::feed::{Feed, Subscriber};
use crate::options::Options;
use crate::world::{ResourceInfo, World};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the root certificate {path}")]
    RootCa { path: String, source: std::io::Error },
}

/// Runs the controllers until `shutdown`. Returns when what was under way has ended.
///
/// # Errors
/// A root certificate that cannot be read.
pub async fn run(
    transport: Arc<dyn Transport>,
    options: Options,
    metrics: runtime::Metrics,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let root_ca = match (&options.root_ca, &options.root_ca_file) {
        (Some(bundle), _) => Some(bundle.clone()),
        (None, Some(path)) => {
            Some(std::fs::read_to_string(path).map_err(|source| Error::RootCa { path: path.display().to_string(), source })?)
        }
        (None, None) => None,
    };
    let (recorder, writer) = EventRecorder::new(transport.clone(), "controllermanager", "");
    let set = controllers(&options, root_ca);
    let subscribers: Vec<Subscriber> = set
        .iter()
        .map(|(controller, _)| Subscriber { controller: controller.clone(), queue: WorkQueue::new(Backoff::default()) })
        .collect();
    let feed = Arc::new(Feed::new(World::new(resources()), subscribers.clone()));
    let metrics = Metrics::new(&metrics);
    let executor = |component: &str| {
        let recorder = recorder.named(component);
        Arc::new(Executor { feed: feed.clone(), transport: transport.clone(), recorder, metrics: metrics.clone() })
    };
    let writing = tokio::spawn(writer.run(shutdown.clone()));
    if shutdown.run_until_cancelled(feed.start(&transport, &shutdown)).await.is_some() {
        tracing::info!(controllers = set.len(), "the controllers know the cluster's state and start");
        let working = subscribers.into_iter().zip(&set).map(|(subscriber, (controller, concurrency))| {
            executor(controller.component()).work(subscriber, (*concurrency).max(1), shutdown.clone())
        });
        futures::future::join_all(working).await;
    }
    // A panic in the writer has been reported where it happened.
    let _ = writing.await;
    Ok(())
}

/// What the server has, in the version that is preferred where there are several.
fn resources() -> Vec<ResourceInfo> {
    let mut resources: Vec<ResourceInfo> = Vec::new();
    for kind in Registry::built_in().all() {
        let names = kind.names();
        let resource = GroupVersionResource::new(names.group, names.version, names.plural);
        if !kind.verbs().contains(&"watch") || resources.iter().any(|r| r.kind == names.kind && r.resource.group == resource.group) {
            continue;
        }
        resources.push(ResourceInfo {
            resource,
            kind: names.kind.to_owned(),
            namespaced: kind.scope() == Scope::Namespaced,
            collection: kind.verbs().contains(&"deletecollection"),
        });
    }
    resources
}

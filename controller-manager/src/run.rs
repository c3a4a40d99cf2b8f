//! Putting it together: informers, world, queues, executor.

use std::path::PathBuf;
use std::sync::Arc;

use api::Registry;
use api::kind::Scope;
use client::{Backoff, EventRecorder, Transport, WorkQueue};
use machinery::GroupVersionResource;
use runtime::jwt::SigningKey;
use runtime::signing::Authority;
use tokio_util::sync::CancellationToken;

use crate::controllers::set::{Authorities, controllers};
use crate::executor::{Executor, Metrics};
use crate::feed::{Feed, Subscriber};
use crate::options::Options;
use crate::world::{ResourceInfo, World};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}")]
    Read { path: String, source: std::io::Error },
    #[error("the authority that signs certificates")]
    Signing(#[from] runtime::signing::Error),
    #[error("the key that signs service account tokens")]
    Tokens(#[from] runtime::jwt::KeyError),
}

/// Reads what the options name.
fn authorities(options: &Options) -> Result<Authorities, Error> {
    let read = |path: &PathBuf| std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.display().to_string(), source });
    let root = match (&options.root_ca, &options.root_ca_file) {
        (Some(bundle), _) => Some(bundle.clone()),
        (None, path) => path.as_ref().map(read).transpose()?,
    };
    let signing = match (&options.cluster_signing_cert_file, &options.cluster_signing_key_file) {
        (Some(certificate), Some(key)) => Some(Arc::new(Authority::from_pem(&read(certificate)?, &read(key)?)?)),
        _ => None,
    };
    let tokens = match &options.service_account_private_key_file {
        Some(path) => Some(Arc::new(SigningKey::from_pem(&read(path)?)?)),
        None => None,
    };
    Ok(Authorities { root, signing, tokens })
}

/// Runs the controllers until `shutdown`. Returns when what was under way has ended.
///
/// # Errors
/// Certificates and keys that cannot be read or used.
pub async fn run(
    transport: Arc<dyn Transport>,
    options: Options,
    metrics: runtime::Metrics,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let (recorder, writer) = EventRecorder::new(transport.clone(), "controllermanager", "");
    let set = controllers(&options, authorities(&options)?);
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

//! Putting it together: informers, world, queues, executor.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use api::Registry;
use api::kind::Scope;
use client::{Backoff, EventRecorder, Transport, WorkQueue};
use machinery::GroupVersionResource;
use runtime::jwt::SigningKey;
use runtime::signing::Authority;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::controllers::set::{Authorities, controllers};
use crate::executor::{Executor, Metrics};
use crate::feed::{Feed, Subscriber};
use crate::options::Options;
use crate::world::{ResourceInfo, World};

/// How the controllers reach the API server.
#[derive(Clone)]
pub struct Transports {
    /// The controller manager's own way. The informers, which all controllers share, and what guards ask go it.
    pub own: Arc<dyn Transport>,
    /// The way of a service account in `kube-system`, by its name. None: the controllers write as the controller manager.
    pub accounts: Option<Accounts>,
}

/// Gives the way of an account, by its name.
pub type Accounts = Arc<dyn Fn(&str) -> Arc<dyn Transport> + Send + Sync>;

impl From<Arc<dyn Transport>> for Transports {
    fn from(own: Arc<dyn Transport>) -> Self {
        Self { own, accounts: None }
    }
}

impl Transports {
    fn of(&self, account: Option<&'static str>) -> Arc<dyn Transport> {
        match (&self.accounts, account) {
            (Some(accounts), Some(account)) => accounts(account),
            _ => self.own.clone(),
        }
    }
}

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
pub async fn run(transports: Transports, options: Options, metrics: runtime::Metrics, shutdown: CancellationToken) -> Result<(), Error> {
    let set = controllers(&options, authorities(&options)?);
    let subscribers: Vec<Subscriber> = set
        .iter()
        .map(|(controller, _)| Subscriber { controller: controller.clone(), queue: WorkQueue::new(Backoff::default()) })
        .collect();
    let feed = Arc::new(Feed::new(World::new(resources()), subscribers.clone()));
    let metrics = Metrics::new(&metrics);
    let mut identities = Identities { transports: &transports, known: HashMap::new(), writing: JoinSet::new(), shutdown: &shutdown };
    let executors: Vec<_> = set
        .iter()
        .map(|(controller, _)| {
            let (transport, recorder) = identities.of(controller.account());
            let recorder = recorder.named(controller.component());
            Arc::new(Executor { feed: feed.clone(), transport, shared: transports.own.clone(), recorder, metrics: metrics.clone() })
        })
        .collect();
    let mut writing = identities.writing;
    if shutdown.run_until_cancelled(feed.start(&transports.own, &shutdown)).await.is_some() {
        tracing::info!(controllers = set.len(), "the controllers know the cluster's state and start");
        let concurrencies = set.iter().map(|(_, concurrency)| (*concurrency).max(1));
        let working = executors.into_iter().zip(subscribers).zip(concurrencies);
        let working = working.map(|((executor, subscriber), concurrency)| executor.work(subscriber, concurrency, shutdown.clone()));
        futures::future::join_all(working).await;
    }
    // A panic in a writer has been reported where it happened.
    while writing.join_next().await.is_some() {}
    Ok(())
}

/// The ways of the accounts that are in use, and who writes the events of each.
struct Identities<'a> {
    transports: &'a Transports,
    known: HashMap<Option<&'static str>, (Arc<dyn Transport>, EventRecorder)>,
    writing: JoinSet<()>,
    shutdown: &'a CancellationToken,
}

impl Identities<'_> {
    fn of(&mut self, account: Option<&'static str>) -> (Arc<dyn Transport>, EventRecorder) {
        let make = || {
            let transport = self.transports.of(account);
            let (recorder, writer) = EventRecorder::new(transport.clone(), "controllermanager", "");
            self.writing.spawn(writer.run(self.shutdown.clone()));
            (transport, recorder)
        };
        self.known.entry(account).or_insert_with(make).clone()
    }
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

//! The controller manager as a service of its own: connection, health, leader election, and the controllers while
//! this process leads.

use std::sync::Arc;

use client::grpc::Accounts;
use client::{LeaderElection, Transport};
use machinery::NamespacedName;
use runtime::args::{ClientArgs, LeaderArgs, LogArgs, ServingArgs};
use runtime::{CancellationToken, Health, Metrics, kubeconfig, server};

use crate::options::Options;
use crate::run::{self, Transports, run as run_controllers};

/// The port of health and metrics, as upstream's controller manager has it.
const PORT: u16 = 10257;
const AGENT: &str = "kybern-controller-manager";
const LEASE: &str = "kube-controller-manager";

/// The arguments of `kybern-controller-manager`.
#[derive(clap::Parser, Clone, Debug)]
#[command(name = "kybern-controller-manager", version, about = "Brings what is towards what is asked for.")]
pub struct Args {
    #[command(flatten)]
    pub options: Options,
    #[command(flatten)]
    pub client: ClientArgs,
    #[command(flatten)]
    pub leader: LeaderArgs,
    #[command(flatten)]
    pub serving: ServingArgs,
    #[command(flatten)]
    pub logs: LogArgs,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("--kubeconfig is needed: it names the API server and this process's credentials")]
    NoKubeconfig,
    #[error(transparent)]
    Kubeconfig(#[from] kubeconfig::Error),
    #[error(transparent)]
    Connect(#[from] client::grpc::ConnectError),
    #[error(transparent)]
    Serve(#[from] server::Error),
    #[error(transparent)]
    Run(#[from] run::Error),
    #[error(transparent)]
    Lost(#[from] client::leader::Lost),
}

/// Runs until `shutdown`, or until leadership is lost.
///
/// # Errors
/// What keeps the service from starting, and the loss of its lease.
pub async fn run(args: Args, shutdown: CancellationToken) -> Result<(), Error> {
    let path = args.client.kubeconfig.as_deref().ok_or(Error::NoKubeconfig)?;
    let mut connection = kubeconfig::read(path)?;
    let transport: Arc<dyn Transport> = Arc::new(client::grpc::connect(&connection, AGENT)?);
    let mut transports = Transports::from(transport.clone());
    if args.options.use_service_account_credentials {
        let accounts = Accounts::connect(&connection, AGENT, transport.clone(), "kube-system")?;
        transports.accounts = Some(Arc::new(move |name| Arc::new(accounts.account(name))));
    }
    let (health, metrics) = (Health::default(), Metrics::default());
    if let Some(server) = server::Server::bind(&args.serving, PORT).await? {
        tokio::spawn(server.serve(health, metrics.clone(), shutdown.clone()));
    }
    let mut options = args.options;
    if options.root_ca_file.is_none() {
        // What this process trusts as the server's authority is what pods are to trust.
        options.root_ca = connection.ca.take().and_then(|pem| String::from_utf8(pem).ok());
    }
    if !args.leader.leader_elect {
        return Ok(run_controllers(transports, options, metrics, shutdown).await?);
    }
    let election = election(&args.leader);
    let work = |token: CancellationToken| run_controllers(transports, options, metrics, token);
    match election.lead(transport.clone(), shutdown, work).await? {
        Some(ended) => Ok(ended?),
        None => Ok(()),
    }
}

fn election(args: &LeaderArgs) -> LeaderElection {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    // Two processes on one host must not take each other for themselves.
    let identity = format!("{}_{}", host.trim(), uuid::Uuid::new_v4());
    let name = args.leader_elect_resource_name.as_deref().unwrap_or(LEASE);
    let mut election = LeaderElection::new(NamespacedName::new(args.leader_elect_resource_namespace.as_str(), name), identity);
    election.lease_duration = args.leader_elect_lease_duration;
    election.renew_deadline = args.leader_elect_renew_deadline;
    election.retry_period = args.leader_elect_retry_period;
    election
}

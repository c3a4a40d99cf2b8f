//! The scheduler as a process of its own: its arguments, its connection to the API server, and leader election.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use client::{LeaderElection, Transport};
use machinery::NamespacedName;
use runtime::args::{ClientArgs, LeaderArgs, LogArgs, ServingArgs};
use runtime::server::Server;
use runtime::{Health, Metrics, Tasks};
use tokio_util::sync::CancellationToken;

use crate::Options;

/// Where health and metrics are served, unless told otherwise.
const PORT: u16 = 10259;
const LEASE: &str = "kube-scheduler";

/// Flags of `kybern-scheduler`.
#[derive(Debug, Parser)]
#[command(name = "kybern-scheduler", version, about = "Decides which pod runs on which node.")]
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

/// Runs the process until `shutdown`.
///
/// # Errors
/// No API server to reach; a port that is taken; a lease that was lost.
pub async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    let kubeconfig = args.client.kubeconfig.as_deref().context("--kubeconfig is needed, to find the API server")?;
    let connection = runtime::kubeconfig::read(kubeconfig)?;
    let transport: Arc<dyn Transport> =
        Arc::new(client::grpc::connect(&connection, concat!("kybern-scheduler/", env!("CARGO_PKG_VERSION")))?);
    let (health, metrics) = (Health::default(), Metrics::default());
    let mut tasks = Tasks::new(shutdown.clone());
    if let Some(server) = Server::bind(&args.serving, PORT).await? {
        tasks.critical("health and metrics", server.serve(health, metrics.clone(), shutdown.clone()));
    }
    tasks.fallible("scheduling", schedule(transport, args.options, args.leader, metrics, shutdown));
    Ok(tasks.wait().await?)
}

async fn schedule(
    transport: Arc<dyn Transport>,
    options: Options,
    leader: LeaderArgs,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> Result<(), client::leader::Lost> {
    if !leader.leader_elect {
        crate::run(transport, options, metrics, shutdown).await;
        return Ok(());
    }
    let name = leader.leader_elect_resource_name.unwrap_or_else(|| LEASE.to_owned());
    let lease = NamespacedName::new(leader.leader_elect_resource_namespace, name);
    let election = LeaderElection {
        lease_duration: leader.leader_elect_lease_duration,
        renew_deadline: leader.leader_elect_renew_deadline,
        retry_period: leader.leader_elect_retry_period,
        ..LeaderElection::new(lease, format!("{}_{:x}", std::process::id(), rand::random::<u64>()))
    };
    let work = |shutdown| crate::run(transport.clone(), options, metrics, shutdown);
    election.lead(transport.clone(), shutdown, work).await.map(drop)
}

//! The kubelet as a service of its own: connection, health, and the node agent.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ::runtime::server::Server;
use ::runtime::{CancellationToken, Health, Metrics, Tasks, kubeconfig};
use anyhow::Context;

use crate::Serving;
use crate::options::Args;

/// Runs until `shutdown`.
///
/// # Errors
/// What keeps the service from starting, and the death of one of its parts.
pub async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    let path = args.client.kubeconfig.as_ref().context("--kubeconfig has to name the API server")?;
    let transport = Arc::new(client::grpc::connect(&kubeconfig::read(path)?, "kubelet")?);
    let options = args.options().context("the host has no name")?;
    let (health, metrics) = (Health::default(), Metrics::default());
    let mut tasks = Tasks::new(shutdown.clone());
    let server = Server::bind_at(SocketAddr::new(args.address, args.port), &args.serving()).await?;
    let serving = Serving { server, health: health.clone(), metrics: metrics.clone() };
    if args.healthz_port != 0 {
        let server = Server::bind_plain(SocketAddr::from((Ipv4Addr::LOCALHOST, args.healthz_port))).await?;
        tasks.critical("healthz", server.serve(health, metrics, shutdown.clone()));
    }
    tasks.fallible("kubelet", crate::run(transport, options, Some(serving), shutdown));
    Ok(tasks.wait().await?)
}

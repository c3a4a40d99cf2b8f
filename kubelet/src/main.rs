//! `kybern-kubelet`: the node agent as a process of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use kubelet::Args;
use runtime::server::Server;
use runtime::{Health, Metrics, Shutdown, Tasks, kubeconfig};

fn main() -> ExitCode {
    let args = Args::parse();
    runtime::shutdown::main(&args.logs.clone(), |shutdown| serve(args, shutdown))
}

async fn serve(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    let path = args.client.kubeconfig.as_ref().context("--kubeconfig has to name the API server")?;
    let transport = Arc::new(client::grpc::connect(&kubeconfig::read(path)?, "kubelet")?);
    let options = args.options().context("the host has no name")?;
    let (health, metrics) = (Health::default(), Metrics::default());
    let mut tasks = Tasks::new(shutdown.token());
    if let Some(server) = Server::bind(&args.serving(), args.port).await? {
        tasks.critical("server", server.serve(health.clone(), metrics.clone(), shutdown.token()));
    }
    if args.healthz_port != 0 {
        let server = Server::bind_plain(SocketAddr::from((Ipv4Addr::LOCALHOST, args.healthz_port))).await?;
        tasks.critical("healthz", server.serve(health, metrics, shutdown.token()));
    }
    tasks.fallible("kubelet", kubelet::run(transport, options, shutdown.token()));
    Ok(tasks.wait().await?)
}

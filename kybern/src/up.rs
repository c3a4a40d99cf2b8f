//! `kybern up`: every service in this process. They reach the API server through the same transport trait as over
//! the network, without sockets or encoding.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use api::strategy::UserInfo;
use apiserver::args::ApiArgs;
use apiserver::in_process::InProcess;
use apiserver::server::ApiServer;
use apiserver::start::Authorities;
use client::Transport;
use controller_manager::Transports;
use kubelet::Serving;
use runtime::args::LogArgs;
use runtime::health::Health;
use runtime::metrics::Metrics;
use runtime::pki::Pki;
use runtime::server::Server;
use runtime::shutdown::{Shutdown, Tasks};
use tokio::net::TcpListener;

use crate::pki;

/// Flags of `kybern up`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where everything is kept: the store, the PKI, the kubeconfig
    #[arg(long)]
    data_dir: PathBuf,
    /// The port to listen on, for HTTPS and gRPC alike; 0: one that is free
    #[arg(long, default_value_t = 6443)]
    secure_port: u16,
    /// The address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind_address: IpAddr,
    /// How many simulated nodes to run
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    scheduling: scheduler::Options,
    #[command(flatten)]
    controllers: controller_manager::Options,
    #[command(flatten)]
    pub(crate) logs: LogArgs,
}

/// Runs everything until `shutdown`.
pub async fn run(mut args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    let started = Instant::now();
    let pki = Pki::open(args.data_dir.join("pki"))?;
    if args.api.service_account_signing_key_file.is_none() {
        pki.service_account_key()?;
        args.api.service_account_signing_key_file = Some(pki.path("sa.key"));
    }
    if args.api.kubelet_client_certificate.is_none() {
        pki::kubelet_client(&pki)?;
        args.api.kubelet_client_certificate = Some(pki.path("apiserver-kubelet-client.crt"));
        args.api.kubelet_client_key = Some(pki.path("apiserver-kubelet-client.key"));
        args.api.kubelet_certificate_authority.get_or_insert(pki.path("ca.crt"));
    }
    let mut hosts = vec![args.bind_address.to_string()];
    hosts.extend(args.api.advertise_address.map(|a| a.to_string()));
    let identity = pki::server(&pki, &hosts)?;
    let admin = pki::admin(&pki)?;
    let authorities = Authorities::read(&args.api, Some(pki.ca().to_owned()))?;
    let tls = authorities.door(&identity)?;

    let address = SocketAddr::new(args.bind_address, args.secure_port);
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    let store = apiserver::start::open_store(&args.api, Some(&args.data_dir)).await?;
    let metrics = Metrics::default();
    let chain = apiserver::start::core(&args.api, store.clone(), address.port(), &authorities, metrics.clone(), &shutdown.token()).await?;
    let api = chain.api.clone();

    let kubeconfig = args.data_dir.join("kubeconfig");
    pki::write_kubeconfig(&pki, &kubeconfig, &format!("https://{address}"), &admin)?;

    let mut tasks = Tasks::new(shutdown.token());
    tasks.critical("the API server", apiserver::serve::serve(listener, tls, chain, shutdown.token()));
    let transport = component(&api, "system:kube-scheduler");
    tasks.critical("the scheduler", scheduler::run(transport, args.scheduling, metrics.clone(), shutdown.token()));
    controllers(&mut tasks, args.controllers, &pki, &api, metrics.clone(), &shutdown);
    nodes(&mut tasks, args.nodes, &api, &pki, metrics, &shutdown).await?;
    println!("kybern is ready after {} ms: export KUBECONFIG={}", started.elapsed().as_millis(), kubeconfig.display());
    let ended = tasks.wait().await;
    api.stop();
    store.close().await.context("closing the store")?;
    Ok(ended?)
}

/// A component's way to the API server: the user that its certificate would name were it a process of its own.
fn component(api: &Arc<ApiServer>, user: &str) -> Arc<dyn Transport> {
    let groups = vec!["system:authenticated".to_owned()];
    let agent = user.rsplit(':').next().unwrap_or_default().to_owned();
    Arc::new(InProcess::new(api.clone(), UserInfo { name: user.to_owned(), groups, ..UserInfo::default() }, agent))
}

/// A controller's way: the service account whose token it would have were it in another process.
fn controller(api: &Arc<ApiServer>, account: &str) -> Arc<dyn Transport> {
    let name = format!("system:serviceaccount:kube-system:{account}");
    let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"];
    let user = UserInfo { name, groups: groups.map(str::to_owned).to_vec(), ..UserInfo::default() };
    Arc::new(InProcess::new(api.clone(), user, "kube-controller-manager"))
}

fn controllers(
    tasks: &mut Tasks,
    mut options: controller_manager::Options,
    pki: &Pki,
    api: &Arc<ApiServer>,
    metrics: Metrics,
    shutdown: &Shutdown,
) {
    if options.root_ca_file.is_none() {
        options.root_ca = Some(pki.ca().to_owned());
    }
    if options.service_account_private_key_file.is_none() {
        options.service_account_private_key_file = Some(pki.path("sa.key"));
    }
    if options.cluster_signing_cert_file.is_none() {
        options.cluster_signing_cert_file = Some(pki.path("ca.crt"));
        options.cluster_signing_key_file = Some(pki.path("ca.key"));
    }
    let mut transports = Transports::from(component(api, "system:kube-controller-manager"));
    if options.use_service_account_credentials {
        let api = api.clone();
        transports.accounts = Some(Arc::new(move |name| controller(&api, name)));
    }
    tasks.fallible("the controller manager", controller_manager::run(transports, options, metrics, shutdown.token()));
}

async fn nodes(
    tasks: &mut Tasks,
    count: usize,
    api: &Arc<ApiServer>,
    pki: &Pki,
    metrics: Metrics,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    if count == 0 {
        return Ok(());
    }
    let mut options = kubelet::Options::simulated((1..=count).map(|number| format!("node-{number}")));
    options.metrics = metrics.clone();
    // Only this process looks for the port, in the nodes' status.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Server::bind_with(address, &pki::kubelet(pki, "kubelet", &[])?, pki.ca().as_bytes()).await?;
    let serving = Serving { server, health: Health::default(), metrics };
    // One agent for all of them, which a node's own credentials would not let write for the others.
    let transport = component(api, "kybern:simulated-nodes");
    tasks.fallible("the nodes", kubelet::run(transport, options, Some(serving), shutdown.token()));
    Ok(())
}

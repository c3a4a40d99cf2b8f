//! Identities: what `kybern up` makes for itself, and `kybern pki` for a cluster of many processes.

use std::path::{Path, PathBuf};

use runtime::kubeconfig::{self, Connection};
use runtime::pki::Pki;
use runtime::tls::Identity;

/// Flags of `kybern pki`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory to write to; what is there and still good is kept
    #[arg(long)]
    dir: PathBuf,
    /// The URL at which components and users will reach the API server
    #[arg(long, default_value = "https://127.0.0.1:6443")]
    server: String,
    /// Further names and addresses of the API server, separated by commas
    #[arg(long, value_delimiter = ',')]
    hosts: Vec<String>,
    /// The nodes that get an identity, separated by commas
    #[arg(long, value_delimiter = ',')]
    nodes: Vec<String>,
}

/// A component's name in the PKI, and who it is to the API server.
pub const COMPONENTS: [(&str, &str); 3] = [
    ("scheduler", "system:kube-scheduler"),
    ("controller-manager", "system:kube-controller-manager"),
    // For an agent that plays several nodes; an agent of one node has that node's identity.
    ("simulated-nodes", "kybern:simulated-nodes"),
];

/// Writes the authority, the API server's certificate, and a certificate and kubeconfig for the administrator, each
/// component and each node.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let pki = Pki::open(&args.dir)?;
    server(&pki, &args.hosts)?;
    pki.service_account_key()?;
    kubelet_client(&pki)?;
    write_kubeconfig(&pki, &args.dir.join("admin.kubeconfig"), &args.server, &admin(&pki)?)?;
    for (name, user) in COMPONENTS {
        let identity = pki.client(name, user, None)?;
        write_kubeconfig(&pki, &args.dir.join(format!("{name}.kubeconfig")), &args.server, &identity)?;
    }
    kubelet(&pki, "kubelet", &[])?;
    for node in &args.nodes {
        kubelet(&pki, &format!("kubelet-{node}"), std::slice::from_ref(node))?;
        let identity = pki.client(&format!("node-{node}"), &format!("system:node:{node}"), Some("system:nodes"))?;
        write_kubeconfig(&pki, &args.dir.join(format!("node-{node}.kubeconfig")), &args.server, &identity)?;
    }
    println!("wrote the cluster's identities to {}", args.dir.display());
    Ok(())
}

/// The API server's identity: good for loopback, the names by which pods reach it, and `hosts`.
pub fn server(pki: &Pki, hosts: &[String]) -> anyhow::Result<Identity> {
    let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1", "10.96.0.1"].map(str::to_owned).into();
    all.extend(["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"].map(str::to_owned));
    all.extend(hosts.iter().filter(|h| !h.is_empty()).cloned());
    all.dedup();
    Ok(pki.server("apiserver", &all)?)
}

/// The API server's identity as a client of kubelets.
pub fn kubelet_client(pki: &Pki) -> anyhow::Result<Identity> {
    Ok(pki.client("apiserver-kubelet-client", "kube-apiserver-kubelet-client", Some("system:masters"))?)
}

/// A kubelet's identity on its port: good for loopback and `hosts`.
pub fn kubelet(pki: &Pki, name: &str, hosts: &[String]) -> anyhow::Result<Identity> {
    let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    all.extend_from_slice(hosts);
    Ok(pki.server(name, &all)?)
}

/// The administrator's identity: `system:masters` may do everything.
pub fn admin(pki: &Pki) -> anyhow::Result<Identity> {
    Ok(pki.client("admin", "kubernetes-admin", Some("system:masters"))?)
}

/// Writes a kubeconfig that holds everything it needs.
pub fn write_kubeconfig(pki: &Pki, path: &Path, server: &str, identity: &Identity) -> anyhow::Result<()> {
    let connection = Connection {
        server: server.to_owned(),
        ca: Some(pki.ca().as_bytes().to_vec()),
        tls_server_name: None,
        identity: Some(identity.clone()),
        token: None,
        namespace: None,
    };
    Ok(kubeconfig::write(path, "kybern", &connection)?)
}

//! The controller manager's arguments, under the names that `kube-controller-manager` gives them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// What the controllers are told.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Controllers")]
#[group(id = "controller-flags")]
pub struct Options {
    /// The controllers to run: `*` for all but token-cleaner-controller, `name` to run one, `-name` not to
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "*")]
    pub controllers: Vec<String>,

    /// Whether each controller calls under a service account of its own, and with its rights
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub use_service_account_credentials: bool,

    /// The certificate that is published to pods as the API server's authority
    #[arg(long, value_name = "FILE")]
    pub root_ca_file: Option<PathBuf>,

    /// The key that signs the tokens that are kept in secrets, PEM; without it those are not filled
    #[arg(long, value_name = "FILE")]
    pub service_account_private_key_file: Option<PathBuf>,

    /// The certificate of the authority that signs certificate signing requests; without it none are signed
    #[arg(long, value_name = "FILE", requires = "cluster_signing_key_file")]
    pub cluster_signing_cert_file: Option<PathBuf>,

    /// The key of --cluster-signing-cert-file
    #[arg(long, value_name = "FILE", requires = "cluster_signing_cert_file")]
    pub cluster_signing_key_file: Option<PathBuf>,

    /// How long signed certificates live at most
    #[arg(long, value_name = "DURATION", value_parser = runtime::args::duration, default_value = "8760h")]
    pub cluster_signing_duration: Duration,

    /// Deployments worked on at once
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    pub concurrent_deployment_syncs: usize,

    /// ReplicaSets worked on at once
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    pub concurrent_replicaset_syncs: usize,

    /// StatefulSets worked on at once
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    pub concurrent_statefulset_syncs: usize,

    /// Jobs worked on at once
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    pub concurrent_job_syncs: usize,

    /// Services whose endpoints are worked on at once
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    pub concurrent_service_endpoint_syncs: usize,

    /// Namespaces worked on at once
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub concurrent_namespace_syncs: usize,

    /// Objects that the garbage collector works on at once
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub concurrent_gc_syncs: usize,

    /// How long a node may be silent before it counts as unreachable
    #[arg(long, value_name = "DURATION", value_parser = runtime::args::duration, default_value = "40s")]
    pub node_monitor_grace_period: Duration,

    /// How many finished pods may stay before the oldest are deleted; 0 keeps all
    #[arg(long, value_name = "NUMBER", default_value_t = 12500)]
    pub terminated_pod_gc_threshold: usize,

    /// The certificates to publish, where they do not come from a file
    #[arg(skip)]
    pub root_ca: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            controllers: vec!["*".to_owned()],
            use_service_account_credentials: true,
            root_ca_file: None,
            service_account_private_key_file: None,
            cluster_signing_cert_file: None,
            cluster_signing_key_file: None,
            cluster_signing_duration: Duration::from_secs(8760 * 3600),
            concurrent_deployment_syncs: 5,
            concurrent_replicaset_syncs: 5,
            concurrent_statefulset_syncs: 5,
            concurrent_job_syncs: 5,
            concurrent_service_endpoint_syncs: 5,
            concurrent_namespace_syncs: 10,
            concurrent_gc_syncs: 20,
            node_monitor_grace_period: Duration::from_secs(40),
            terminated_pod_gc_threshold: 12500,
            root_ca: None,
        }
    }
}

impl Options {
    /// Those that `*` does not stand for.
    const ON_DEMAND: [&str; 1] = ["token-cleaner-controller"];

    /// Whether a controller is to run. A name that is listed, either way, goes before `*`.
    pub fn runs(&self, controller: &str) -> bool {
        let listed = |name: &str| self.controllers.iter().any(|c| c == name);
        !listed(&format!("-{controller}")) && (listed(controller) || (listed("*") && !Self::ON_DEMAND.contains(&controller)))
    }
}

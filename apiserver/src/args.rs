//! The API server's flags, by the names that Kubernetes operators know.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runtime::args::{LogArgs, duration};
use runtime::metrics::Metrics;

use crate::audit::{self, Audit, Journal, LogFile, Output, Policy, Rotation};
use crate::auth::Mode;
use crate::auth::service_accounts::DEFAULT_ISSUER;
use crate::connect::ADDRESS_TYPES;

const DAY: Duration = Duration::from_secs(86_400);

/// Flags of the API server, for `kybern-apiserver` and (without where it listens) for `kybern up`.
#[derive(Clone, Debug, clap::Args)]
pub struct ApiArgs {
    /// URLs of etcd, separated by commas. Without it the embedded store under --data-dir is used.
    #[arg(long, value_delimiter = ',')]
    pub etcd_servers: Vec<String>,
    /// The certificate authority of etcd's servers, PEM.
    #[arg(long)]
    pub etcd_cafile: Option<PathBuf>,
    /// The client certificate for etcd, PEM.
    #[arg(long, requires = "etcd_keyfile")]
    pub etcd_certfile: Option<PathBuf>,
    /// The key of --etcd-certfile, PEM.
    #[arg(long, requires = "etcd_certfile")]
    pub etcd_keyfile: Option<PathBuf>,
    /// The prefix of all keys in the store.
    #[arg(long, default_value = "/registry")]
    pub etcd_prefix: String,
    /// How often old revisions are compacted away; 0s: never.
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub etcd_compaction_interval: Duration,
    /// How long events are kept.
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub event_ttl: Duration,
    /// Cluster IPs of Services come from this range.
    #[arg(long, default_value = "10.96.0.0/12")]
    pub service_cluster_ip_range: String,
    /// Node ports of Services come from this range.
    #[arg(long, default_value = "30000-32767", value_parser = port_range)]
    pub service_node_port_range: (u16, u16),
    /// A file of static bearer tokens: lines of token,user,uid,"group1,group2".
    #[arg(long)]
    pub token_auth_file: Option<PathBuf>,
    /// Whether requests without credentials are let in as system:anonymous.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub anonymous_auth: bool,
    /// The authority of front proxies' certificates, PEM. Proxies say in headers for whom they ask.
    #[arg(long)]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// The common names of front proxies' certificates, separated by commas; any if not given.
    #[arg(long, value_delimiter = ',')]
    pub requestheader_allowed_names: Vec<String>,
    /// Headers in which front proxies name the user, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "X-Remote-User")]
    pub requestheader_username_headers: Vec<String>,
    /// Headers in which front proxies name the user's uid, such as X-Remote-Uid, separated by commas; none if not given.
    #[arg(long, value_delimiter = ',')]
    pub requestheader_uid_headers: Vec<String>,
    /// Headers in which front proxies name the user's groups, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "X-Remote-Group")]
    pub requestheader_group_headers: Vec<String>,
    /// How headers begin in which front proxies say more of the user, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "X-Remote-Extra-")]
    pub requestheader_extra_headers_prefix: Vec<String>,
    /// By what it is decided who may do what, separated by commas; the first that allows something decides.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "Node,RBAC")]
    pub authorization_mode: Vec<Mode>,
    /// Whether secrets of type bootstrap.kubernetes.io/token in kube-system let new nodes in.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub enable_bootstrap_token_auth: bool,
    /// Who issues service account tokens; several times: the first makes them, all are taken.
    #[arg(long, default_value = DEFAULT_ISSUER)]
    pub service_account_issuer: Vec<String>,
    /// The private key that signs service account tokens, PEM: RSA, or EC on P-256.
    #[arg(long)]
    pub service_account_signing_key_file: Option<PathBuf>,
    /// Keys whose service account tokens are taken, PEM, public or private; may be given several times.
    #[arg(long)]
    pub service_account_key_file: Vec<PathBuf>,
    /// Whom tokens are for that say nothing of it, separated by commas; the issuers if not given.
    #[arg(long, value_delimiter = ',')]
    pub api_audiences: Vec<String>,
    /// The longest that a service account token may live.
    #[arg(long, value_parser = duration)]
    pub service_account_max_token_expiration: Option<Duration>,
    /// Whether tokens for pods live for a year, for clients that read them once only.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub service_account_extend_token_expiration: bool,
    /// Where the issuer's keys are found, if not at this server.
    #[arg(long)]
    pub service_account_jwks_uri: Option<String>,
    /// The certificate by which this server is known to kubelets, PEM.
    #[arg(long, requires = "kubelet_client_key")]
    pub kubelet_client_certificate: Option<PathBuf>,
    /// The key of --kubelet-client-certificate, PEM.
    #[arg(long, requires = "kubelet_client_certificate")]
    pub kubelet_client_key: Option<PathBuf>,
    /// The authority of kubelets' certificates, PEM; without it any certificate is taken.
    #[arg(long)]
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// The types of node addresses by which kubelets are reached, the best first.
    #[arg(long, value_delimiter = ',', value_parser = ADDRESS_TYPES, default_values = ADDRESS_TYPES)]
    pub kubelet_preferred_address_types: Vec<String>,
    /// Reads that may run at once; more wait.
    #[arg(long, default_value_t = 400)]
    pub max_requests_inflight: usize,
    /// Writes that may run at once; more wait.
    #[arg(long, default_value_t = 200)]
    pub max_mutating_requests_inflight: usize,
    /// The address that other members of the cluster reach this server at.
    #[arg(long)]
    pub advertise_address: Option<IpAddr>,
    #[command(flatten)]
    pub audit: AuditArgs,
}

/// Flags of the audit log.
#[derive(Clone, Debug, clap::Args)]
pub struct AuditArgs {
    /// What is recorded of requests: a Policy of audit.k8s.io/v1.
    #[arg(long)]
    pub audit_policy_file: Option<PathBuf>,
    /// The audit log; - is standard output. Nothing is recorded without --audit-policy-file.
    #[arg(long)]
    pub audit_log_path: Option<PathBuf>,
    /// The days that full audit logs are kept; 0: forever.
    #[arg(long, default_value_t = 366)]
    pub audit_log_maxage: u32,
    /// How many full audit logs are kept; 0: all.
    #[arg(long, default_value_t = 100)]
    pub audit_log_maxbackup: usize,
    /// The megabytes at which an audit log is full; 0: never.
    #[arg(long, default_value_t = 100)]
    pub audit_log_maxsize: u32,
    /// Whether full audit logs are compressed with gzip.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub audit_log_compress: bool,
    /// Whether requests wait until they are recorded (blocking), and fail if they cannot be (blocking-strict), or not
    /// (batch).
    #[arg(long, value_enum, default_value = "blocking")]
    pub audit_log_mode: audit::Mode,
    /// Events that may wait to be written; in batch mode more are dropped.
    #[arg(long, default_value_t = 10_000)]
    pub audit_log_batch_buffer_size: usize,
    /// Whether events that are too large are recorded without their objects, and not at all if that does not help.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub audit_log_truncate_enabled: bool,
    /// The bytes from which on an event is too large.
    #[arg(long, default_value_t = 100 << 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub audit_log_truncate_max_event_size: u64,
}

impl AuditArgs {
    /// The audit log, if there is to be one.
    ///
    /// # Errors
    /// A policy that cannot be used, or a log that cannot be opened.
    pub fn open(&self, metrics: &Metrics) -> anyhow::Result<Option<Arc<Audit>>> {
        let policy = self.audit_policy_file.as_deref().map(Policy::read).transpose()?;
        let Some(path) = &self.audit_log_path else { return Ok(None) };
        let Some(policy) = policy else {
            tracing::warn!("there is no --audit-policy-file: nothing is recorded");
            return Ok(None);
        };
        let rotation = Rotation {
            most_bytes: u64::from(self.audit_log_maxsize) << 20,
            longest: (self.audit_log_maxage > 0).then(|| DAY * self.audit_log_maxage),
            most_files: self.audit_log_maxbackup,
            compress: self.audit_log_compress,
        };
        let opened = || anyhow::Context::with_context(LogFile::open(path, rotation), || format!("cannot open {}", path.display()));
        let output = if path.as_os_str() == "-" { Output::Stdout } else { Output::File(opened()?) };
        let journal = Journal::start(output, self.audit_log_mode, self.audit_log_batch_buffer_size, metrics)?;
        let most_bytes = self.audit_log_truncate_enabled.then_some(self.audit_log_truncate_max_event_size as usize);
        Ok(Some(Arc::new(Audit::new(policy, journal, most_bytes))))
    }
}

/// Flags of `kybern-apiserver`.
#[derive(Debug, clap::Parser)]
#[command(name = "kybern-apiserver", version, about = "Serves the Kubernetes API from etcd or an embedded store.")]
pub struct Args {
    #[command(flatten)]
    pub api: ApiArgs,
    /// Where the embedded store is kept, if there is no --etcd-servers.
    #[arg(long, required_unless_present = "etcd_servers")]
    pub data_dir: Option<PathBuf>,
    /// The address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub bind_address: IpAddr,
    /// The port to listen on, for HTTPS and gRPC alike.
    #[arg(long, default_value_t = 6443)]
    pub secure_port: u16,
    /// The server's certificate, PEM.
    #[arg(long)]
    pub tls_cert_file: PathBuf,
    /// The key of --tls-cert-file, PEM.
    #[arg(long)]
    pub tls_private_key_file: PathBuf,
    /// The authority of client certificates, PEM. Common name is the user, organizations are groups.
    #[arg(long)]
    pub client_ca_file: Option<PathBuf>,
    #[command(flatten)]
    pub logs: LogArgs,
}

fn port_range(text: &str) -> Result<(u16, u16), String> {
    let wrong = || format!("{text:?} is no range of ports such as 30000-32767");
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let (first, last): (u16, u16) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    if first == 0 || last < first { Err(wrong()) } else { Ok((first, last)) }
}

//! From flags to a serving API server: opens the store, reads the state, and puts the doors on a port.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use api::Registry;
use runtime::health::Health;
use runtime::metrics::Metrics;
use storage::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::args::{ApiArgs, Args};
use crate::auth::Authenticator;
use crate::auth::front_proxy::FrontProxies;
use crate::auth::service_accounts::{ServiceAccounts, Settings};
use crate::chain::{Chain, Limits};
use crate::connect::KubeletAccess;
use crate::serve;
use crate::server::{ApiServer, Options};

/// Opens the store that the flags name: etcd, or the embedded one in `data_dir`.
pub async fn open_store(args: &ApiArgs, data_dir: Option<&Path>) -> anyhow::Result<Arc<dyn Store>> {
    if args.etcd_servers.is_empty() {
        let dir = data_dir.context("the embedded store needs --data-dir")?;
        let path = dir.join("store");
        let shown = path.display().to_string();
        let opened = tokio::task::spawn_blocking(move || storage::embedded::Embedded::open(&path, Default::default())).await?;
        return Ok(Arc::new(opened.with_context(|| format!("cannot open the store {shown}"))?));
    }
    let options = storage::etcd::Options {
        ca_file: args.etcd_cafile.clone(),
        cert_file: args.etcd_certfile.clone(),
        key_file: args.etcd_keyfile.clone(),
        ..storage::etcd::Options::new(&args.etcd_servers)
    };
    let store =
        storage::etcd::Etcd::connect(options).await.with_context(|| format!("cannot reach etcd at {}", args.etcd_servers.join(", ")))?;
    Ok(Arc::new(store))
}

/// A serving core with its chain, not yet on a port.
pub async fn core(
    args: &ApiArgs,
    store: Arc<dyn Store>,
    port: u16,
    authorities: &Authorities,
    metrics: Metrics,
    shutdown: &CancellationToken,
) -> anyhow::Result<Arc<Chain>> {
    let options = Options {
        prefix: args.etcd_prefix.trim_matches('/').to_owned(),
        service_cluster_ip_range: args.service_cluster_ip_range.clone(),
        service_node_port_range: args.service_node_port_range,
        compaction_interval: args.etcd_compaction_interval,
        event_ttl: args.event_ttl,
        advertise_address: args.advertise_address,
        secure_port: port,
        authenticator: Arc::new(authenticator(args)?),
        authorization: args.authorization_mode.clone(),
        extension_authentication: authorities.publish(args)?,
        kubelets: kubelets(args)?,
        audit: args.audit.open(&metrics)?,
    };
    let api = ApiServer::start(store, Registry::built_in(), options).await?;
    let health = health(&api, shutdown.clone());
    let limits = Limits { reads: args.max_requests_inflight, writes: args.max_mutating_requests_inflight };
    Ok(Chain::new(api, health, metrics, limits))
}

/// What has been done by now, by the names under which upstream tells of it: its hooks after the start.
const DONE_BY_THEN: [&str; 32] = [
    "poststarthook/start-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/priority-and-fairness-config-consumer",
    "poststarthook/priority-and-fairness-filter",
    "poststarthook/storage-object-count-tracker-hook",
    "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers",
    "poststarthook/crd-informer-synced",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/peer-endpoint-reconciler-controller",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/start-kube-apiserver-identity-lease-controller",
    "poststarthook/start-kube-apiserver-identity-lease-garbage-collector",
    "poststarthook/storage-readiness",
    "poststarthook/start-legacy-token-tracking-controller",
    "poststarthook/start-service-ip-repair-controllers",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/priority-and-fairness-config-producer",
    "poststarthook/bootstrap-controller",
    "poststarthook/start-kubernetes-service-cidr-controller",
    "poststarthook/aggregator-reload-proxy-client-cert",
    "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-status-local-available-controller",
    "poststarthook/apiservice-status-remote-available-controller",
    "poststarthook/apiservice-registration-controller",
    "poststarthook/apiservice-wait-for-first-sync",
    "poststarthook/apiservice-discovery-controller",
    "poststarthook/kube-apiserver-autoregistration",
    "autoregister-completion",
    "poststarthook/apiservice-openapi-controller",
    "poststarthook/apiservice-openapiv3-controller",
];

/// The checks of a server that has started: it serves only then, so that what belongs to the start is done.
fn health(api: &Arc<ApiServer>, shutdown: CancellationToken) -> Health {
    let health = Health::default();
    health.always("log", || Ok(()));
    health.vital("loopback-serving-certificate", || Ok(()));
    let reads = {
        let api = Arc::downgrade(api);
        move || match api.upgrade() {
            Some(api) if !api.feed.is_following() => Err("the store cannot be followed".to_owned()),
            _ => Ok(()),
        }
    };
    health.vital("etcd", reads.clone());
    health.ready("informer-sync", reads);
    for name in DONE_BY_THEN {
        health.always(name, || Ok(()));
    }
    health.ready("shutdown", move || if shutdown.is_cancelled() { Err("shutting down".to_owned()) } else { Ok(()) });
    health
}

/// The authorities that callers' certificates are judged by, PEM.
#[derive(Debug, Default)]
pub struct Authorities {
    pub clients: Option<String>,
    pub proxies: Option<String>,
}

impl Authorities {
    /// Those that the flags name; clients' may be known already.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(args: &ApiArgs, clients: Option<String>) -> anyhow::Result<Self> {
        Ok(Self { clients, proxies: args.requestheader_client_ca_file.as_ref().map(read_text).transpose()? })
    }

    /// The port's side of TLS.
    ///
    /// # Errors
    /// Certificates or keys that cannot be used.
    pub fn door(&self, identity: &runtime::tls::Identity) -> anyhow::Result<runtime::tls::Door> {
        let bytes = |pem: &Option<String>| pem.as_ref().map(|pem| pem.as_bytes().to_vec());
        Ok(runtime::tls::door(identity, bytes(&self.clients).as_deref(), bytes(&self.proxies).as_deref())?)
    }

    /// What servers that stand behind this one have to know of who calls them.
    fn publish(&self, args: &ApiArgs) -> anyhow::Result<BTreeMap<String, String>> {
        let mut data = BTreeMap::new();
        data.extend(self.clients.clone().map(|pem| ("client-ca-file".to_owned(), pem)));
        if let Some(pem) = &self.proxies {
            data.insert("requestheader-client-ca-file".to_owned(), pem.clone());
            for (key, list) in [
                ("requestheader-allowed-names", &args.requestheader_allowed_names),
                ("requestheader-username-headers", &args.requestheader_username_headers),
                ("requestheader-uid-headers", &args.requestheader_uid_headers),
                ("requestheader-group-headers", &args.requestheader_group_headers),
                ("requestheader-extra-headers-prefix", &args.requestheader_extra_headers_prefix),
            ] {
                // Older readers do not know of uids.
                if key != "requestheader-uid-headers" || !list.is_empty() {
                    data.insert(key.to_owned(), serde_json::to_string(list)?);
                }
            }
        }
        Ok(data)
    }
}

fn read_text(file: &PathBuf) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Whom front proxies may name, as the flags say.
fn front_proxies(args: &ApiArgs) -> FrontProxies {
    let lower = |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect();
    FrontProxies {
        names: args.requestheader_allowed_names.clone(),
        user_headers: lower(&args.requestheader_username_headers),
        uid_headers: lower(&args.requestheader_uid_headers),
        group_headers: lower(&args.requestheader_group_headers),
        extra_prefixes: lower(&args.requestheader_extra_headers_prefix),
    }
}

/// How kubelets are reached, as the flags say.
fn kubelets(args: &ApiArgs) -> anyhow::Result<KubeletAccess> {
    let identity = match (&args.kubelet_client_certificate, &args.kubelet_client_key) {
        (Some(certificate), Some(key)) => Some(runtime::tls::Identity::read(certificate, key)?),
        _ => None,
    };
    let read = |file: &PathBuf| std::fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    let ca = args.kubelet_certificate_authority.as_ref().map(read).transpose()?;
    Ok(KubeletAccess { ca, identity, address_types: args.kubelet_preferred_address_types.clone() })
}

/// Who is known, as the flags say.
fn authenticator(args: &ApiArgs) -> anyhow::Result<Authenticator> {
    let mut authenticator = Authenticator::new(args.anonymous_auth);
    if let Some(file) = &args.token_auth_file {
        authenticator.add_token_file(file)?;
    }
    if args.enable_bootstrap_token_auth {
        authenticator = authenticator.with_bootstrap_tokens();
    }
    if args.requestheader_client_ca_file.is_some() {
        authenticator = authenticator.with_front_proxies(front_proxies(args));
    }
    let read = read_text;
    let settings = Settings {
        issuers: args.service_account_issuer.clone(),
        signing_key: args.service_account_signing_key_file.as_ref().map(read).transpose()?,
        keys: args.service_account_key_file.iter().map(read).collect::<anyhow::Result<_>>()?,
        audiences: args.api_audiences.clone(),
        longest: args.service_account_max_token_expiration,
        extend: args.service_account_extend_token_expiration,
        jwks_uri: args.service_account_jwks_uri.clone(),
    };
    let service_accounts = ServiceAccounts::new(settings).context("the keys of service account tokens")?;
    Ok(authenticator.with_service_accounts(service_accounts))
}

/// Runs `kybern-apiserver` until `shutdown`.
pub async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    let identity = runtime::tls::Identity::read(&args.tls_cert_file, &args.tls_private_key_file)?;
    let authorities = Authorities::read(&args.api, args.client_ca_file.as_ref().map(read_text).transpose()?)?;
    let tls = authorities.door(&identity)?;
    let address = std::net::SocketAddr::new(args.bind_address, args.secure_port);
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let store = open_store(&args.api, args.data_dir.as_deref()).await?;
    let chain = core(&args.api, store.clone(), listener.local_addr()?.port(), &authorities, Metrics::default(), &shutdown).await?;
    tracing::info!(%address, "serving");
    let api = chain.api.clone();
    serve::serve(listener, tls, chain, shutdown).await;
    api.stop();
    store.close().await.context("closing the store")
}

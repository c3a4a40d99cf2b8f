//! A server behind a port of its own, as processes have it: TLS, tokens and certificates of an authority made for it.

use std::net::SocketAddr;
use std::sync::Arc;

use api::Registry;
use apiserver::auth::Authenticator;
use apiserver::chain::{Chain, Limits};
use apiserver::connect::KubeletAccess;
use apiserver::{ApiServer, Options, serve};
use runtime::pki::Pki;
use runtime::tls;
use storage::memory::Memory;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Closed when it is let go of.
pub(crate) struct Port {
    pub(crate) pki: Pki,
    pub(crate) address: SocketAddr,
    _directory: tempfile::TempDir,
    _stop: DropGuard,
}

/// Opens a port for those who bear a token: what it is, whose, and the groups of that user. `kubelets` says how kubelets are reached.
pub(crate) async fn open(tokens: &[(&str, &str, &[&str])], kubelets: impl FnOnce(&Pki) -> KubeletAccess) -> Port {
    let directory = tempfile::tempdir().unwrap();
    let pki = Pki::open(directory.path()).unwrap();
    let identity = pki.server("apiserver", &["127.0.0.1".to_owned()]).unwrap();
    let door = tls::door(&identity, Some(pki.ca().as_bytes()), None).unwrap();
    let mut authenticator = Authenticator::new(true);
    for (token, user, groups) in tokens {
        authenticator.add_token(token, user, "", groups);
    }
    let options = Options { authenticator: Arc::new(authenticator), kubelets: kubelets(&pki), ..Options::default() };
    let api = ApiServer::start(Arc::new(Memory::new()), Registry::built_in(), options).await.unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let chain = Chain::new(api, Default::default(), Default::default(), Limits::default());
    tokio::spawn(serve::serve(listener, door, chain, stop.clone()));
    Port { pki, address, _directory: directory, _stop: stop.drop_guard() }
}

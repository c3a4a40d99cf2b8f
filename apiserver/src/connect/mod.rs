//! Requests that are passed on to nodes, pods and services: logs, `exec`, `attach`, `portforward` and `proxy`. What is
//! asked for is checked here ([`options`]), where it goes is looked up ([`destination`]), and the bytes are passed through
//! ([`forward`]). Nothing is made before the first such request: a cluster that nobody looks into pays nothing for it.

pub mod destination;
mod forward;
pub mod options;

use std::sync::{Arc, OnceLock};

use machinery::{Status, status};
use runtime::tls::{self, Identity};
use rustls::ClientConfig;

pub use destination::Destination;
pub(crate) use forward::asked_upgrade;
pub use forward::{Failure, Rewrite, forward};

/// How this server reaches kubelets, and who it is to them.
#[derive(Clone, Debug)]
pub struct KubeletAccess {
    /// The authority of kubelets' certificates, PEM. Without it any certificate is taken, as upstream does.
    pub ca: Option<Vec<u8>>,
    pub identity: Option<Identity>,
    /// Types of node addresses; the first that a node has is taken.
    pub address_types: Vec<String>,
}

/// The types of addresses in upstream's order.
pub const ADDRESS_TYPES: [&str; 5] = ["Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"];

impl Default for KubeletAccess {
    fn default() -> Self {
        Self { ca: None, identity: None, address_types: ADDRESS_TYPES.map(str::to_owned).into() }
    }
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    Plain,
    /// As this server, to a kubelet whose certificate is verified.
    Kubelet,
    /// As this server, to a kubelet that the caller does not want to have verified.
    AnyKubelet,
    /// As nobody, to a pod or service, whose certificates no authority of the cluster stands for.
    Any,
}

/// Makes connections; the configurations of TLS are made when they are first needed.
#[derive(Debug, Default)]
pub struct Connector {
    access: KubeletAccess,
    kubelet: OnceLock<Arc<ClientConfig>>,
    any_kubelet: OnceLock<Arc<ClientConfig>>,
    any: OnceLock<Arc<ClientConfig>>,
}

impl Connector {
    pub fn new(access: KubeletAccess) -> Self {
        Self { access, ..Self::default() }
    }

    pub fn address_types(&self) -> &[String] {
        &self.access.address_types
    }

    /// The configuration for a connection; None for one without TLS.
    fn tls(&self, security: Security) -> status::Result<Option<Arc<ClientConfig>>> {
        let (kept, make): (_, &dyn Fn() -> Result<Arc<ClientConfig>, tls::Error>) = match security {
            Security::Plain => return Ok(None),
            Security::Kubelet => (&self.kubelet, &|| match &self.access.ca {
                Some(ca) => tls::client(Some(ca), self.access.identity.as_ref()),
                None => tls::trusting_client(self.access.identity.as_ref()),
            }),
            Security::AnyKubelet => (&self.any_kubelet, &|| tls::trusting_client(self.access.identity.as_ref())),
            Security::Any => (&self.any, &|| tls::trusting_client(None)),
        };
        if let Some(made) = kept.get() {
            return Ok(Some(made.clone()));
        }
        let made = make().map_err(|error| Status::internal(format!("the certificates for connections to kubelets: {error}")))?;
        let mut config = Arc::unwrap_or_clone(made);
        // Connections are upgraded, which HTTP/2 cannot.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Some(kept.get_or_init(|| Arc::new(config)).clone()))
    }
}

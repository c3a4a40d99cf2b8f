//! TLS by rustls with ring: the configurations of servers and clients, from certificates in PEM form.

mod clients;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    WantsVerifier,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

pub use clients::Clients;

/// Where Linux distributions keep the authorities that they trust.
const SYSTEM_AUTHORITIES: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{what} is not in PEM form, or holds none: {why}")]
    Pem { what: &'static str, why: String },
    #[error("the certificate and its key cannot be used")]
    Identity(#[source] rustls::Error),
    #[error("the certificate authority cannot be used: {0}")]
    Authority(String),
}

/// A certificate with its chain, and its key, in PEM form.
#[derive(Clone)]
pub struct Identity {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of logs.
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// # Errors
    /// A file that cannot be read.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, Error> {
        Ok(Self { certificate: read(certificate)?, key: read(key)? })
    }

    fn parse(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| Error::Pem { what: "the key", why: error.to_string() })?;
        Ok((certificates(&self.certificate, "the certificate")?, key))
    }
}

/// A server's configuration, and who judges its clients' certificates.
pub struct Door {
    pub config: Arc<ServerConfig>,
    pub clients: Clients,
}

/// Lets any certificate through the handshake whose key the client holds, whatever else is in it.
#[derive(Debug)]
struct HoldsKey(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for HoldsKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _own: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
        let key = SubjectPublicKeyInfoDer::from(certificate.tbs_certificate.subject_pki.raw);
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// A server that takes any client in, and judges its certificate afterwards, so that it can be answered: by the
/// authority of clients, and by that of front proxies.
///
/// # Errors
/// Certificates or keys that cannot be used.
pub fn door(identity: &Identity, client_ca: Option<&[u8]>, proxy_ca: Option<&[u8]>) -> Result<Door, Error> {
    let clients = Clients {
        clients: client_ca.map(authorities).transpose()?,
        proxies: proxy_ca.map(authorities).transpose()?,
        algorithms: provider().signature_verification_algorithms,
    };
    // Clients choose a certificate by the authorities that they are told: both are, if there are both.
    let told = match (client_ca, proxy_ca) {
        (Some(one), Some(other)) => Some(verifier(&[one, b"\n", other].concat())?),
        _ => client_ca.or(proxy_ca).map(verifier).transpose()?,
    };
    let lenient = told.map(|verifier| Arc::new(HoldsKey(verifier)) as Arc<dyn ClientCertVerifier>);
    Ok(Door { config: config(identity, lenient)?, clients })
}

/// A server's configuration. With `client_ca`, clients may present certificates of that authority; those who
/// present none are let in too, and have to show who they are in another way.
///
/// # Errors
/// Certificates or keys that cannot be used.
pub fn server(identity: &Identity, client_ca: Option<&[u8]>) -> Result<Arc<ServerConfig>, Error> {
    config(identity, client_ca.map(verifier).transpose()?)
}

fn verifier(ca: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(ca)?), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| Error::Authority(error.to_string()))
}

fn config(identity: &Identity, clients: Option<Arc<dyn ClientCertVerifier>>) -> Result<Arc<ServerConfig>, Error> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(Error::Identity)?;
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let (chain, key) = identity.parse()?;
    let mut config = builder.with_single_cert(chain, key).map_err(Error::Identity)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A client's configuration. Without `ca`, the system's authorities are trusted.
///
/// # Errors
/// Certificates or keys that cannot be used.
pub fn client(ca: Option<&[u8]>, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, Error> {
    let roots = match ca {
        Some(ca) => authorities(ca)?,
        None => system_authorities()?,
    };
    let builder = client_builder()?.with_root_certificates(roots);
    finish_client(builder, identity)
}

/// The configuration of a client that takes any server for the one that it wants, for where nobody has said which
/// authority the servers have. What is sent may be read by whoever stands between.
///
/// # Errors
/// A certificate or key that cannot be used.
pub fn trusting_client(identity: Option<&Identity>) -> Result<Arc<ClientConfig>, Error> {
    let builder = client_builder()?.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider())));
    finish_client(builder, identity)
}

fn client_builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(Error::Identity)
}

fn finish_client(builder: ConfigBuilder<ClientConfig, WantsClientCert>, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, Error> {
    let mut config = match identity {
        Some(identity) => {
            let (chain, key) = identity.parse()?;
            builder.with_client_auth_cert(chain, key).map_err(Error::Identity)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Takes every certificate whose key the server holds.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _own: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Whom a certificate names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    pub common_name: String,
    pub organizations: Vec<String>,
}

impl Subject {
    /// The subject of a certificate; None for what does not read as one.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let subject = certificate.subject();
        let common_name = subject.iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned();
        let organizations = subject.iter_organization().filter_map(|name| name.as_str().ok().map(str::to_owned)).collect();
        Some(Self { common_name, organizations })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, "the certificate authority")? {
        roots.add(certificate).map_err(|error| Error::Authority(error.to_string()))?;
    }
    Ok(roots)
}

fn system_authorities() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for path in SYSTEM_AUTHORITIES.iter().map(Path::new).filter(|path| path.exists()) {
        // A bundle may hold a certificate that rustls does not take: that is no reason to refuse the others.
        roots.add_parsable_certificates(certificates(&read(path)?, "the system's bundle of authorities")?);
    }
    Ok(roots)
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err(Error::Pem { what, why: "no certificate found".to_owned() }),
        Ok(all) => Ok(all),
        Err(error) => Err(Error::Pem { what, why: error.to_string() }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

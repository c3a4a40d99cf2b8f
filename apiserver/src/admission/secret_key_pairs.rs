//! Secrets of type TLS: whoever writes one whose key is not that of its certificate is told. No plugin of upstream's, where the
//! kind itself does this; here cryptography stands above the kinds.

use api::Object;
use api::object::downcast_ref;
use k8s_openapi::api::core::v1::Secret;
use machinery::Status;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{Plugin, Request};

pub(super) struct SecretKeyPairs;

impl Plugin for SecretKeyPairs {
    fn name(&self) -> &'static str {
        "SecretKeyPairs"
    }

    fn validate(&self, request: &Request<'_>, object: Option<&dyn Object>, warnings: &mut Vec<String>) -> Result<(), Status> {
        if !request.is("", "secrets", None) {
            return Ok(());
        }
        let secret = object.and_then(downcast_ref::<Secret>).filter(|secret| secret.type_.as_deref() == Some("kubernetes.io/tls"));
        warnings.extend(secret.and_then(|secret| mismatch(secret).err()).map(|why| format!("tls: {why}")));
        Ok(())
    }
}

fn mismatch(secret: &Secret) -> Result<(), String> {
    let part = |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|part| part.0.as_slice()).unwrap_or_default();
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(part("tls.crt"))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the certificate cannot be read: {error}"))?;
    if chain.is_empty() {
        return Err("there is no certificate in PEM in tls.crt".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(part("tls.key")).map_err(|error| format!("the key cannot be read: {error}"))?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map(drop).map_err(|error| format!("the key is not the certificate's: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn keys_are_those_of_their_certificates() {
        let [one, other] = [(); 2].map(|()| rcgen::generate_simple_self_signed(["a.example.com".to_owned()]).expect("a certificate"));
        let secret = |cert: &str, key: &str| Secret {
            data: Some([("tls.crt", cert), ("tls.key", key)].map(|(name, part)| (name.to_owned(), ByteString(part.into()))).into()),
            ..Secret::default()
        };
        let key = one.signing_key.serialize_pem();
        assert_eq!(mismatch(&secret(&one.cert.pem(), &key)), Ok(()));
        for (cert, key) in [(other.cert.pem(), key.clone()), (String::new(), key), (one.cert.pem(), "x".to_owned())] {
            assert!(mismatch(&secret(&cert, &key)).is_err());
        }
    }
}

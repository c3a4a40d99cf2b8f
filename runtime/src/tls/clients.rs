//! Which certificates are good for clients: those that an authority stands behind and that are made for it, as Go judges it.
//! One that may be used for anything may be used for this.

use rustls::RootCertStore;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter, KeyUsage, RequiredEkuNotFoundContext};

/// `clientAuth` and `anyExtendedKeyUsage`, as DER writes object identifiers.
const USAGES: [KeyPurposeId<'static>; 2] = [KeyPurposeId::new(&[0x2b, 6, 1, 5, 5, 7, 3, 2]), KeyPurposeId::new(&[0x55, 0x1d, 0x25, 0])];

/// Judges certificates of clients after the handshake, which has seen that they hold the key. A client that is
/// refused in the handshake would learn nothing but that the connection broke.
pub struct Clients {
    pub(super) clients: Option<RootCertStore>,
    pub(super) proxies: Option<RootCertStore>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl Clients {
    /// Whether a certificate, the first of the chain, is good for a client now.
    pub fn trust(&self, chain: &[CertificateDer<'_>]) -> bool {
        self.stands_behind(self.clients.as_ref(), chain)
    }

    /// Whether a certificate is good for a front proxy now.
    pub fn trust_proxy(&self, chain: &[CertificateDer<'_>]) -> bool {
        self.stands_behind(self.proxies.as_ref(), chain)
    }

    fn stands_behind(&self, authorities: Option<&RootCertStore>, chain: &[CertificateDer<'_>]) -> bool {
        let (Some(authorities), Some((own, others))) = (authorities, chain.split_first()) else { return false };
        // One with a critical extension that nobody knows is none that is read.
        let Ok(own) = EndEntityCert::try_from(own) else { return false };
        own.verify_for_usage(self.algorithms.all, &authorities.roots, others, UnixTime::now(), ClientUse, None, None).is_ok()
    }
}

/// Certificates that say what they are for say that they are for clients.
struct ClientUse;

impl ExtendedKeyUsageValidator for ClientUse {
    fn validate(&self, usages: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        let mut says = false;
        for usage in usages {
            says = true;
            if USAGES.contains(&usage?) {
                return Ok(());
            }
        }
        let required = RequiredEkuNotFoundContext { required: KeyUsage::client_auth(), present: Vec::new() };
        if says { Err(Error::RequiredEkuNotFoundContext(required)) } else { Ok(()) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

    use super::*;
    use crate::tls::{authorities, provider};

    #[test]
    fn certificates_for_clients_or_for_anything_are_good() {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let clients = Clients {
            clients: Some(authorities(authority.pem().as_bytes()).unwrap()),
            proxies: None,
            algorithms: provider().signature_verification_algorithms,
        };
        let issuer: &Issuer<'_, KeyPair> = &authority;
        let trusts = |usages: &[ExtendedKeyUsagePurpose], critical: bool| {
            let mut params = CertificateParams::default();
            params.extended_key_usages = usages.to_vec();
            let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
            extension.set_criticality(critical);
            params.custom_extensions = vec![extension];
            let certificate = params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap();
            clients.trust(&[certificate.der().clone()])
        };
        assert!(trusts(&[], false) && trusts(&[ExtendedKeyUsagePurpose::ClientAuth], false));
        assert!(trusts(&[ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any], false));
        assert!(!trusts(&[ExtendedKeyUsagePurpose::ServerAuth], false));
        assert!(!trusts(&[], true), "an unknown extension that is critical");
    }
}

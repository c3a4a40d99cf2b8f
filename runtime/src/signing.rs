//! Signing certificates that others ask for: a [`CertificateRequest`], read and verified, and the [`Authority`] that signs it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SigningKey as _};
use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates begin a little before they are made, for clocks that run behind.
const BACKDATED: SignedDuration = SignedDuration::from_mins(5);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the request does not read, or is not signed by its own key")]
    Request,
    #[error("the request says what cannot be signed here: {0}")]
    Unsupported(String),
    #[error("the authority's certificate or key cannot be used: {0}")]
    Authority(String),
    #[error("signing failed: {0}")]
    Sign(#[from] rcgen::Error),
    #[error("the certificate that was made does not read: {0}")]
    Made(#[from] yasna::ASN1Error),
}

/// What a certificate is asked for to say.
#[derive(Clone, Debug)]
pub struct CertificateRequest {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns_names: usize,
    pub addresses: usize,
    /// Alternative names of other sorts.
    pub other_names: usize,
    /// Encoded, as it was asked for.
    subject: Vec<u8>,
    der: Vec<u8>,
}

impl CertificateRequest {
    /// Reads a PKCS #10 request in PEM form.
    ///
    /// # Errors
    /// What is none, or is not signed by the key that it names.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        let (kind, der) = <(SectionKind, Vec<u8>)>::from_pem_slice(pem).map_err(|_| Error::Request)?;
        if kind != SectionKind::Csr {
            return Err(Error::Request);
        }
        let (_, request) = X509CertificationRequest::from_der(&der).map_err(|_| Error::Request)?;
        request.verify_signature().map_err(|_| Error::Request)?;
        let subject = &request.certification_request_info.subject;
        let encoded = subject.as_raw().to_vec();
        let texts = |values: Vec<Option<String>>| values.into_iter().collect::<Option<Vec<_>>>().ok_or(Error::Request);
        let common_names = texts(subject.iter_common_name().map(|name| name.as_str().ok().map(str::to_owned)).collect())?;
        let organizations = texts(subject.iter_organization().map(|name| name.as_str().ok().map(str::to_owned)).collect())?;
        let (mut dns_names, mut addresses, mut other_names) = (0, 0, 0);
        for extension in request.requested_extensions().into_iter().flatten() {
            let ParsedExtension::SubjectAlternativeName(names) = extension else { continue };
            for name in &names.general_names {
                match name {
                    GeneralName::DNSName(_) => dns_names += 1,
                    GeneralName::IPAddress(_) => addresses += 1,
                    _ => other_names += 1,
                }
            }
        }
        let common_name = common_names.into_iter().next().unwrap_or_default();
        Ok(Self { common_name, organizations, dns_names, addresses, other_names, subject: encoded, der })
    }
}

/// Who signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    expires: Timestamp,
}

impl Authority {
    /// # Errors
    /// A certificate or key that does not read.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, Error> {
        let wrong = |error: &dyn std::fmt::Display| Error::Authority(error.to_string());
        let key = KeyPair::from_pem(key).map_err(|error| wrong(&error))?;
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|error| wrong(&error))?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| wrong(&error))?;
        let expires = Timestamp::from_second(parsed.validity().not_after.timestamp()).map_err(|error| wrong(&error))?;
        Ok(Self { issuer: Issuer::from_ca_cert_pem(certificate, key).map_err(|error| wrong(&error))?, expires })
    }

    /// A certificate in PEM form, good from now on for so long, but not longer than the authority's own. `usages` are
    /// named as `CertificateSigningRequest.spec.usages` names them.
    ///
    /// # Errors
    /// A request that says more than can be signed here.
    pub fn sign(&self, request: &CertificateRequest, usages: &[String], now: Timestamp, lives: SignedDuration) -> Result<String, Error> {
        let der = CertificateSigningRequestDer::from(request.der.as_slice());
        let mut signed = CertificateSigningRequestParams::from_der(&der).map_err(|error| Error::Unsupported(error.to_string()))?;
        let params = &mut signed.params;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = usages.iter().filter_map(|usage| key_usage(usage)).collect();
        params.extended_key_usages = usages.iter().filter_map(|usage| extended_usage(usage)).collect();
        let until = now.saturating_add(lives).unwrap_or(self.expires).min(self.expires);
        // Times as rcgen has them: so long after the epoch.
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let after = |at: Timestamp| Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0));
        params.not_before = epoch + after(now.saturating_sub(BACKDATED).unwrap_or(now));
        params.not_after = epoch + after(until);
        let certificate = self.with_subject(signed.signed_by(&self.issuer)?.der(), &request.subject)?;
        let lines = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        Ok(pem::encode_config(&pem::Pem::new("CERTIFICATE", certificate), lines))
    }

    /// The certificate with the subject as it was asked for, signed anew. rcgen keeps a subject by the sorts of its
    /// parts, where a second organization takes the first one's place.
    fn with_subject(&self, certificate: &[u8], subject: &[u8]) -> Result<Vec<u8>, Error> {
        /// After version, serial number, algorithm, issuer and validity.
        const SUBJECT: usize = 5;
        let (fields, algorithm) = yasna::parse_der(certificate, |reader| {
            reader.read_sequence(|reader| {
                let fields = reader.next().collect_sequence_of(|field| field.read_der())?;
                let algorithm = reader.next().read_der()?;
                reader.next().read_der()?;
                Ok((fields, algorithm))
            })
        })?;
        let to_sign = yasna::construct_der(|writer| {
            writer.write_sequence_of(|writer| {
                for (at, field) in fields.iter().enumerate() {
                    writer.next().write_der(if at == SUBJECT { subject } else { field });
                }
            });
        });
        let signature = self.issuer.key().sign(&to_sign)?;
        Ok(yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_der(&to_sign);
                writer.next().write_der(&algorithm);
                writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
            });
        }))
    }
}

fn key_usage(usage: &str) -> Option<KeyUsagePurpose> {
    match usage {
        "signing" | "digital signature" => Some(KeyUsagePurpose::DigitalSignature),
        "content commitment" => Some(KeyUsagePurpose::ContentCommitment),
        "key encipherment" => Some(KeyUsagePurpose::KeyEncipherment),
        "data encipherment" => Some(KeyUsagePurpose::DataEncipherment),
        "key agreement" => Some(KeyUsagePurpose::KeyAgreement),
        _ => None,
    }
}

fn extended_usage(usage: &str) -> Option<ExtendedKeyUsagePurpose> {
    match usage {
        "client auth" => Some(ExtendedKeyUsagePurpose::ClientAuth),
        "server auth" => Some(ExtendedKeyUsagePurpose::ServerAuth),
        "code signing" => Some(ExtendedKeyUsagePurpose::CodeSigning),
        "email protection" => Some(ExtendedKeyUsagePurpose::EmailProtection),
        "timestamping" => Some(ExtendedKeyUsagePurpose::TimeStamping),
        "ocsp signing" => Some(ExtendedKeyUsagePurpose::OcspSigning),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType};

    fn request(organizations: &[&str]) -> String {
        let mut params = CertificateParams::new(["node.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "ann");
        // rcgen keeps one value of each sort; this one has two names.
        let sorts = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
        for (sort, organization) in sorts.into_iter().zip(organizations) {
            params.distinguished_name.push(sort, *organization);
        }
        params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
    }

    fn authority() -> (Authority, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        (Authority::from_pem(&certificate.pem(), &key.serialize_pem()).unwrap(), certificate.der().to_vec())
    }

    #[test]
    fn what_is_signed_says_what_was_asked_for_and_no_more() {
        let read = CertificateRequest::from_pem(request(&["dev", "ops"]).as_bytes()).unwrap();
        let organizations = ["dev".to_owned(), "ops".to_owned()];
        assert_eq!((read.common_name.as_str(), read.organizations.as_slice(), read.dns_names), ("ann", &organizations[..], 1));
        let (authority, ca) = authority();
        let usages = ["client auth".to_owned(), "digital signature".to_owned()];
        let pem = authority.sign(&read, &usages, Timestamp::now(), SignedDuration::from_hours(1)).unwrap();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        let (_, ca) = X509Certificate::from_der(&ca).unwrap();
        certificate.verify_signature(Some(ca.public_key())).unwrap();
        assert!(!certificate.is_ca());
        let kept: Vec<&str> = certificate.subject().iter_organization().map(|one| one.as_str().unwrap()).collect();
        assert_eq!(kept, organizations);
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
        let lives = certificate.validity().not_after.timestamp() - Timestamp::now().as_second();
        assert!((3590..=3600).contains(&lives), "{lives}");
    }

    #[test]
    fn what_is_no_request_or_is_not_its_keys_own_is_refused() {
        for wrong in ["", "nothing", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"] {
            assert!(matches!(CertificateRequest::from_pem(wrong.as_bytes()), Err(Error::Request)));
        }
    }
}

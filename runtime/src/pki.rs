//! The identities of a cluster: a certificate authority, certificates for servers and clients, and the key that
//! signs service-account tokens. They are kept in one directory, made when they are missing, and used again as
//! long as they fit what is asked for and have not nearly expired. Keys are readable by their owner alone.

use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::{Span, Timestamp, civil::Date, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::tls::Identity;

const CA_YEARS: i64 = 10;
const YEARS: i64 = 1;
/// A certificate that expires within so many days is made anew.
const RENEW_DAYS: i64 = 90;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read or write {path}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path} holds no certificate or key that can be used: {why}; remove it to have it made anew")]
    Content { path: PathBuf, why: String },
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    #[error("{0:?} is neither a host name nor an address")]
    Host(String),
}

/// A directory of identities.
pub struct Pki {
    dir: PathBuf,
    ca: Issuer<'static, KeyPair>,
    ca_pem: String,
}

/// What a certificate is to say.
struct Wanted<'a> {
    common_name: &'a str,
    organization: Option<&'a str>,
    hosts: &'a [String],
    usage: ExtendedKeyUsagePurpose,
}

impl Pki {
    /// Opens the directory, and makes the authority (`ca.crt`, `ca.key`) if it has none.
    ///
    /// # Errors
    /// Files that cannot be read, written or understood.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, Error> {
        let dir = dir.into();
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(|source| Error::File { path: dir.clone(), source })?;
        let (certificate, key) = (dir.join("ca.crt"), dir.join("ca.key"));
        let (ca_pem, key) = match (read_if_there(&certificate)?, read_if_there(&key)?) {
            (Some(ca_pem), Some(key_pem)) => {
                let key_pair = KeyPair::from_pem(&key_pem).map_err(|error| Error::Content { path: key, why: error.to_string() })?;
                (ca_pem, key_pair)
            }
            _ => {
                let key_pair = KeyPair::generate()?;
                let ca_pem = authority()?.self_signed(&key_pair)?.pem();
                write(&key, &key_pair.serialize_pem(), true)?;
                write(&certificate, &ca_pem, false)?;
                (ca_pem, key_pair)
            }
        };
        let ca = Issuer::from_ca_cert_pem(&ca_pem, key).map_err(|error| Error::Content { path: certificate, why: error.to_string() })?;
        Ok(Self { dir, ca, ca_pem })
    }

    /// The authority's certificate.
    pub fn ca(&self) -> &str {
        &self.ca_pem
    }

    /// Where a file of this directory is.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// A server's identity, `<name>.crt` and `<name>.key`, for host names and addresses.
    ///
    /// # Errors
    /// As for [`open`](Self::open); and a host that is neither a name nor an address.
    pub fn server(&self, name: &str, hosts: &[String]) -> Result<Identity, Error> {
        self.identity(name, &Wanted { common_name: name, organization: None, hosts, usage: ExtendedKeyUsagePurpose::ServerAuth })
    }

    /// A client's identity, `<name>.crt` and `<name>.key`: the API server takes the common name for the user and
    /// the organization for its group.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn client(&self, name: &str, common_name: &str, organization: Option<&str>) -> Result<Identity, Error> {
        self.identity(name, &Wanted { common_name, organization, hosts: &[], usage: ExtendedKeyUsagePurpose::ClientAuth })
    }

    /// The key pair that signs service-account tokens (ES256), `sa.key` in PKCS #8, and `sa.pub`.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn service_account_key(&self) -> Result<String, Error> {
        let path = self.path("sa.key");
        if let Some(pem) = read_if_there(&path)? {
            KeyPair::from_pem(&pem).map_err(|error| Error::Content { path, why: error.to_string() })?;
            return Ok(pem);
        }
        let key = KeyPair::generate()?;
        write(&path, &key.serialize_pem(), true)?;
        write(&self.path("sa.pub"), &key.public_key_pem(), false)?;
        Ok(key.serialize_pem())
    }

    fn identity(&self, name: &str, wanted: &Wanted<'_>) -> Result<Identity, Error> {
        let (certificate_path, key_path) = (self.path(&format!("{name}.crt")), self.path(&format!("{name}.key")));
        if let (Some(certificate), Some(key)) = (read_if_there(&certificate_path)?, read_if_there(&key_path)?)
            && self.fits(&certificate, &key, wanted)
        {
            return Ok(Identity { certificate: certificate.into_bytes(), key: key.into_bytes() });
        }
        let key = KeyPair::generate()?;
        let certificate = wanted.params()?.signed_by(&key, &self.ca)?.pem();
        let key = key.serialize_pem();
        write(&key_path, &key, true)?;
        write(&certificate_path, &certificate, false)?;
        Ok(Identity { certificate: certificate.into_bytes(), key: key.into_bytes() })
    }

    /// Whether a certificate says what is wanted, belongs to the key, is of this authority and will not soon expire.
    fn fits(&self, certificate: &str, key: &str, wanted: &Wanted<'_>) -> bool {
        let (Ok(der), Ok(ca_der), Ok(key)) = (
            CertificateDer::from_pem_slice(certificate.as_bytes()),
            CertificateDer::from_pem_slice(self.ca_pem.as_bytes()),
            KeyPair::from_pem(key),
        ) else {
            return false;
        };
        let (Ok((_, certificate)), Ok((_, ca))) = (X509Certificate::from_der(&der), X509Certificate::from_der(&ca_der)) else {
            return false;
        };
        let soon = Timestamp::now().as_second() + RENEW_DAYS * 86_400;
        certificate.verify_signature(Some(ca.public_key())).is_ok()
            && certificate.public_key().subject_public_key.data.as_ref() == key.public_key_raw()
            && certificate.validity().not_after.timestamp() > soon
            && wanted.is_said_by(&certificate)
    }
}

impl Wanted<'_> {
    fn params(&self) -> Result<CertificateParams, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.common_name);
        if let Some(organization) = self.organization {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        }
        for host in self.hosts {
            params.subject_alt_names.push(match host.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(host.as_str().try_into().map_err(|_| Error::Host(host.clone()))?),
            });
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![self.usage.clone()];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, YEARS);
        Ok(params)
    }

    fn is_said_by(&self, certificate: &X509Certificate<'_>) -> bool {
        let subject = certificate.subject();
        let common_name: Vec<_> = subject.iter_common_name().filter_map(|name| name.as_str().ok()).collect();
        let organizations: Vec<_> = subject.iter_organization().filter_map(|name| name.as_str().ok()).collect();
        let mut hosts: Vec<String> = match certificate.subject_alternative_name() {
            Ok(Some(names)) => names.value.general_names.iter().filter_map(host).collect(),
            _ => Vec::new(),
        };
        let mut wanted: Vec<String> = self.hosts.to_vec();
        hosts.sort();
        wanted.sort();
        common_name == [self.common_name] && organizations == Vec::from_iter(self.organization) && hosts == wanted
    }
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
        },
        _ => None,
    }
}

/// A certificate and key for a server that nobody gave any. Clients cannot verify it.
///
/// # Errors
/// A host that is neither a name nor an address.
pub fn self_signed(hosts: &[String]) -> Result<Identity, Error> {
    let wanted = Wanted { common_name: "self-signed", organization: None, hosts, usage: ExtendedKeyUsagePurpose::ServerAuth };
    let key = KeyPair::generate()?;
    let certificate = wanted.params()?.self_signed(&key)?;
    Ok(Identity { certificate: certificate.pem().into_bytes(), key: key.serialize_pem().into_bytes() })
}

fn authority() -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // Two authorities of one name would be taken for each other.
    params.distinguished_name.push(DnType::CommonName, format!("kybern-ca@{}", Timestamp::now().as_second()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    set_validity(&mut params, CA_YEARS);
    Ok(params)
}

/// Valid from yesterday, for clocks that run behind, for so many years.
fn set_validity(params: &mut CertificateParams, years: i64) {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let day = |date: Date| rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs());
    params.not_before = day(today.saturating_sub(Span::new().days(1)));
    params.not_after = day(today.saturating_add(Span::new().years(years)));
}

fn read_if_there(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path: path.to_owned(), source }),
    }
}

fn write(path: &Path, text: &str, secret: bool) -> Result<(), Error> {
    write_file(path, text.as_bytes(), secret).map_err(|source| Error::File { path: path.to_owned(), source })
}

/// Writes a file so that it is there as a whole or not at all, also after a crash. A secret one is readable by
/// its owner alone.
///
/// # Errors
/// The system's.
pub fn write_file(path: &Path, bytes: &[u8], secret: bool) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let unfinished = PathBuf::from(name);
    let mode = if secret { 0o600 } else { 0o644 };
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}

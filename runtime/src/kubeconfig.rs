//! Kubeconfig files: where the API server is and who calls. Read as Kubernetes' clients read them, as far as
//! clusters, contexts, certificates and tokens go; programs that fetch credentials are not run.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::pki::write_file;
use crate::tls::Identity;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write {path}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a kubeconfig")]
    Syntax { path: PathBuf, source: serde_yaml::Error },
    #[error("{path} has no {what} named {name:?}")]
    Missing { path: PathBuf, what: &'static str, name: String },
    #[error("{path}: `{field}` is not base64")]
    Base64 { path: PathBuf, field: &'static str },
    #[error("{path}: {why}")]
    Unsupported { path: PathBuf, why: &'static str },
}

/// What a client needs to call an API server.
#[derive(Clone)]
pub struct Connection {
    /// `https://host:port`
    pub server: String,
    /// The authority of the server's certificate, in PEM form; the system's authorities where it is not given.
    pub ca: Option<Vec<u8>>,
    /// The name to look for in the server's certificate, if it is not the server's host.
    pub tls_server_name: Option<String>,
    pub identity: Option<Identity>,
    pub token: Option<String>,
    /// The context's namespace.
    pub namespace: Option<String>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    current_context: String,
    clusters: Vec<Named>,
    users: Vec<Named>,
    contexts: Vec<Named>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Named {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Cluster>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_authority: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_authority_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_server_name: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    insecure_skip_tls_verify: bool,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_key_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(rename = "tokenFile", skip_serializing_if = "Option::is_none")]
    token_file: Option<PathBuf>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
}

/// Reads the current context of a kubeconfig. Files that it names are looked for beside it.
///
/// # Errors
/// Files that cannot be read or understood, or that name what is not there.
pub fn read(path: &Path) -> Result<Connection, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let file: File = serde_yaml::from_str(&text).map_err(|source| Error::Syntax { path: path.to_owned(), source })?;
    let find = |what: &'static str, all: Vec<Named>, name: &str| {
        let missing = || Error::Missing { path: path.to_owned(), what, name: name.to_owned() };
        all.into_iter().find(|named| named.name == name).ok_or_else(missing)
    };
    let context = find("context", file.contexts, &file.current_context)?.context.unwrap_or_default();
    let cluster = find("cluster", file.clusters, &context.cluster)?.cluster.unwrap_or_default();
    let user = find("user", file.users, &context.user)?.user.unwrap_or_default();
    if cluster.insecure_skip_tls_verify {
        return Err(Error::Unsupported { path: path.to_owned(), why: "`insecure-skip-tls-verify` is not supported" });
    }
    let reader = Reader(path);
    let ca = reader.bytes("certificate-authority-data", cluster.certificate_authority_data, cluster.certificate_authority)?;
    let certificate = reader.bytes("client-certificate-data", user.client_certificate_data, user.client_certificate)?;
    let key = reader.bytes("client-key-data", user.client_key_data, user.client_key)?;
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
        (None, None) => None,
        _ => {
            return Err(Error::Unsupported { path: path.to_owned(), why: "a client certificate needs its key, and a key its certificate" });
        }
    };
    let token = match (user.token, user.token_file) {
        (None, Some(file)) => Some(String::from_utf8_lossy(&reader.file(&file)?).trim().to_owned()),
        (token, _) => token,
    };
    Ok(Connection { server: cluster.server, ca, tls_server_name: cluster.tls_server_name, identity, token, namespace: context.namespace })
}

struct Reader<'a>(&'a Path);

impl Reader<'_> {
    fn bytes(&self, field: &'static str, data: Option<String>, file: Option<PathBuf>) -> Result<Option<Vec<u8>>, Error> {
        match (data.filter(|data| !data.is_empty()), file) {
            (Some(data), _) => STANDARD.decode(data).map(Some).map_err(|_| Error::Base64 { path: self.0.to_owned(), field }),
            (None, Some(file)) => self.file(&file).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn file(&self, file: &Path) -> Result<Vec<u8>, Error> {
        let path = self.0.parent().unwrap_or(Path::new("")).join(file);
        std::fs::read(&path).map_err(|source| Error::Read { path, source })
    }
}

/// Writes a kubeconfig with one context, `name`, and everything it needs inside.
///
/// # Errors
/// The system's.
pub fn write(path: &Path, name: &str, connection: &Connection) -> Result<(), Error> {
    let encode = |bytes: &Vec<u8>| STANDARD.encode(bytes);
    let cluster = Cluster {
        server: connection.server.clone(),
        certificate_authority_data: connection.ca.as_ref().map(encode),
        tls_server_name: connection.tls_server_name.clone(),
        ..Cluster::default()
    };
    let user = User {
        client_certificate_data: connection.identity.as_ref().map(|identity| encode(&identity.certificate)),
        client_key_data: connection.identity.as_ref().map(|identity| encode(&identity.key)),
        token: connection.token.clone(),
        ..User::default()
    };
    let context = Context { cluster: name.to_owned(), user: name.to_owned(), namespace: connection.namespace.clone() };
    let file = File {
        api_version: "v1".to_owned(),
        kind: "Config".to_owned(),
        current_context: name.to_owned(),
        clusters: vec![Named { name: name.to_owned(), cluster: Some(cluster), ..Named::default() }],
        users: vec![Named { name: name.to_owned(), user: Some(user), ..Named::default() }],
        contexts: vec![Named { name: name.to_owned(), context: Some(context), ..Named::default() }],
    };
    let text = serde_yaml::to_string(&file).map_err(|source| Error::Syntax { path: path.to_owned(), source })?;
    write_file(path, text.as_bytes(), true).map_err(|source| Error::Write { path: path.to_owned(), source })
}

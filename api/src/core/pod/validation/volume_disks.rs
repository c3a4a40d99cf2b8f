//! Disks of clouds and network storages, most of which drivers have replaced: they demand little, each its own. Persistent
//! volumes are made of the same; where their forms differ, what is checked is passed part by part.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    AzureDiskVolumeSource, CephFSVolumeSource, CinderVolumeSource, FCVolumeSource, FlockerVolumeSource, ISCSIVolumeSource,
    LocalObjectReference, QuobyteVolumeSource, RBDVolumeSource, ScaleIOVolumeSource, StorageOSVolumeSource,
};
use machinery::field::{Error, Errors, Path};
use machinery::names;

use crate::validate::{complaints, required, supported_value, text};

const MOST_TENANT_BYTES: usize = 64;
/// What the name of a volume and an iSCSI portal may be together where an initiator is named: the initiator's limit.
pub(super) const MOST_PORTAL_BYTES: usize = 64;

pub(crate) fn all(path: &Path, fields: &[(&str, &str)]) -> Errors {
    fields.iter().flat_map(|(name, value)| required(&path.child(name), value)).collect()
}

fn in_byte(path: &Path, number: i32) -> Errors {
    if (0..=255).contains(&number) {
        return Errors::new();
    }
    vec![Error::invalid(path, number, "must be between 0 and 255")]
}

fn secret_name(path: &Path, secret: Option<&LocalObjectReference>) -> Errors {
    secret.map(|secret| required(&path.child("secretRef").child("name"), &secret.name)).unwrap_or_default()
}

/// A disk that is named by one field, and of which one partition may be used.
pub(crate) fn partitioned(path: &Path, id: (&str, &str), partition: Option<i32>) -> Errors {
    let mut errors = all(path, &[id]);
    errors.extend(in_byte(&path.child("partition"), partition.unwrap_or_default()));
    errors
}

pub(crate) fn nfs(path: &Path, server: &str, target: &str) -> Errors {
    let mut errors = all(path, &[("server", server), ("path", target)]);
    if !target.starts_with('/') {
        errors.push(Error::invalid(&path.child("path"), target, "must be an absolute path"));
    }
    errors
}

pub(super) fn iscsi(path: &Path, source: &ISCSIVolumeSource) -> Errors {
    let target = Iscsi {
        portal: &source.target_portal,
        iqn: &source.iqn,
        lun: source.lun,
        authenticates: source.chap_auth_discovery == Some(true) || source.chap_auth_session == Some(true),
        has_secret: source.secret_ref.is_some(),
        initiator: source.initiator_name.as_deref(),
    };
    target.check(path, None, Errors::new())
}

/// What is checked of an iSCSI target.
pub(crate) struct Iscsi<'a> {
    pub portal: &'a str,
    pub iqn: &'a str,
    pub lun: i32,
    pub authenticates: bool,
    pub has_secret: bool,
    pub initiator: Option<&'a str>,
}

impl Iscsi<'_> {
    /// `of_secret` is what is wrong with the secret that it names; `volume` the name of a persistent volume.
    pub fn check(&self, path: &Path, volume: Option<&str>, of_secret: Errors) -> Errors {
        let mut errors = required(&path.child("targetPortal"), self.portal);
        let together = volume.map_or(0, |volume| volume.len() + ":".len() + self.portal.len());
        if self.initiator.is_some() && together > MOST_PORTAL_BYTES {
            let why = format!("with the volume's name, must be {MOST_PORTAL_BYTES} bytes at most where an initiator is named");
            // Kubernetes spells the field like this here, and `initiatorname` below.
            errors.push(Error::invalid(&path.child("targetportal"), self.portal, why));
        }
        let iqn = path.child("iqn");
        errors.extend(if self.iqn.is_empty() { vec![Error::required(&iqn, "")] } else { named(&iqn, self.iqn) });
        errors.extend(in_byte(&path.child("lun"), self.lun));
        if self.authenticates && !self.has_secret {
            errors.push(Error::required(&path.child("secretRef"), ""));
        }
        errors.extend(of_secret);
        errors.extend(self.initiator.into_iter().flat_map(|name| named(&path.child("initiatorname"), name)));
        errors
    }
}

fn named(path: &Path, name: &str) -> Errors {
    if is_iscsi_name(name) { Errors::new() } else { vec![Error::invalid(path, name, "must be an iqn, eui or naa name")] }
}

/// The three forms of names in RFC 7143. Kubernetes takes anything between `iqn` and the name itself.
fn is_iscsi_name(name: &str) -> bool {
    let hexadecimal = |rest: &str, digits: usize| {
        let mut rest = rest.chars();
        rest.next().is_some_and(|separator| separator != '\n') && {
            let rest = rest.as_str();
            rest.len() == digits && rest.bytes().all(|b| b.is_ascii_alphanumeric())
        }
    };
    if let Some(rest) = name.strip_prefix("eui") {
        return hexadecimal(rest, 16);
    }
    if let Some(rest) = name.strip_prefix("naa") {
        return hexadecimal(rest, 32);
    }
    name.starts_with("iqn") && name.match_indices("iqn.").any(|(at, prefix)| is_qualified(&name[at + prefix.len()..]))
}

/// `2001-04.com.example:disk`: a month, a domain that was its owner's then, and what the owner calls it.
fn is_qualified(name: &str) -> bool {
    let (Some(month), Some(rest)) = (name.get(..8), name.get(8..)) else { return false };
    let shape = month.bytes().zip(b"0000-00.".iter()).all(|(b, shape)| if *shape == b'0' { b.is_ascii_digit() } else { b == *shape });
    let Some((domain, own)) = rest.split_once(':') else { return false };
    shape
        && !domain.is_empty()
        && domain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
        && !own.is_empty()
        && !own.contains([',', ';', '*', '&', '$', '|', ' ', '\t', '\n', '\r', '\x0c'])
}

pub(crate) fn flocker(path: &Path, source: &FlockerVolumeSource) -> Errors {
    let (name, uuid) = (text(&source.dataset_name), text(&source.dataset_uuid));
    let mut errors = match (name.is_empty(), uuid.is_empty()) {
        (true, true) => vec![Error::required(path, "datasetName or datasetUUID must be given")],
        (false, false) => vec![Error::invalid(path, "resource", "datasetName and datasetUUID cannot both be given")],
        _ => Errors::new(),
    };
    if name.contains('/') {
        errors.push(Error::invalid(&path.child("datasetName"), name, "must not contain '/'"));
    }
    errors
}

pub(super) fn rbd(path: &Path, source: &RBDVolumeSource) -> Errors {
    let mut errors = monitors(path, &source.monitors);
    errors.extend(required(&path.child("image"), &source.image));
    errors
}

pub(super) fn ceph(path: &Path, source: &CephFSVolumeSource) -> Errors {
    monitors(path, &source.monitors)
}

pub(crate) fn monitors(path: &Path, monitors: &[String]) -> Errors {
    if monitors.is_empty() { vec![Error::required(&path.child("monitors"), "")] } else { Errors::new() }
}

pub(super) fn cinder(path: &Path, source: &CinderVolumeSource) -> Errors {
    let mut errors = required(&path.child("volumeID"), &source.volume_id);
    errors.extend(secret_name(path, source.secret_ref.as_ref()));
    errors
}

pub(crate) fn quobyte(path: &Path, source: &QuobyteVolumeSource) -> Errors {
    let registry = path.child("registry");
    let mut errors = Errors::new();
    if source.registry.is_empty() {
        errors.push(Error::required(&registry, "must be host:port pairs, separated by commas"));
    } else if text(&source.tenant).len() > MOST_TENANT_BYTES {
        errors.push(Error::required(&path.child("tenant"), format!("must be a UUID of at most {MOST_TENANT_BYTES} bytes")));
    } else {
        let bad = source.registry.split(',').filter(|pair| !is_host_and_port(pair));
        errors.extend(bad.map(|_| Error::invalid(&registry, &source.registry, "must be host:port pairs, separated by commas")));
    }
    errors.extend(required(&path.child("volume"), &source.volume));
    errors
}

/// `host:port`, with brackets around hosts that have colons. Either may be empty.
fn is_host_and_port(pair: &str) -> bool {
    match pair.strip_prefix('[') {
        Some(rest) => rest.split_once("]:").is_some_and(|(host, port)| !host.contains(['[', ']']) && !port.contains(['[', ']', ':'])),
        None => pair.matches(':').count() == 1 && !pair.contains(['[', ']']),
    }
}

pub(crate) fn fibre_channel(path: &Path, source: &FCVolumeSource) -> Errors {
    let is_given = |names: &Option<Vec<String>>| names.as_ref().is_some_and(|names| !names.is_empty());
    let (names, ids) = (is_given(&source.target_wwns), is_given(&source.wwids));
    let at = path.child("targetWWNs");
    let mut errors = match (names, ids) {
        (false, false) => vec![Error::required(&at, "targetWWNs or wwids must be given")],
        (true, true) => vec![Error::invalid(&at, &source.target_wwns, "cannot be given beside wwids")],
        _ => Errors::new(),
    };
    let lun = path.child("lun");
    if names {
        errors.extend(source.lun.map_or_else(|| vec![Error::required(&lun, "is needed with targetWWNs")], |number| in_byte(&lun, number)));
    }
    errors
}

pub(crate) fn flex(path: &Path, driver: &str, options: Option<&BTreeMap<String, String>>) -> Errors {
    let mut errors = required(&path.child("driver"), driver);
    for key in options.into_iter().flat_map(BTreeMap::keys) {
        let domain = format!(".{}", key.split('/').next().unwrap_or_default().to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            errors.push(Error::invalid(&path.child("options").key(key), key, "the domains kubernetes.io and k8s.io are reserved"));
        }
    }
    errors
}

pub(crate) fn azure(path: &Path, source: &AzureDiskVolumeSource) -> Errors {
    let mut errors = all(path, &[("diskName", &source.disk_name), ("diskURI", &source.disk_uri)]);
    if let Some(mode) = &source.caching_mode {
        errors.extend(supported_value(&path.child("cachingMode"), mode, &["None", "ReadOnly", "ReadWrite"]));
    }
    let Some(kind) = &source.kind else { return errors };
    errors.extend(supported_value(&path.child("kind"), kind, &["Dedicated", "Managed", "Shared"]));
    let form = if kind == "Managed" { "/subscriptions/" } else { "https://" };
    if !source.disk_uri.starts_with(form) {
        errors.push(Error::not_supported(&path.child("diskURI"), &source.disk_uri, &[&format!("{form}…")]));
    }
    errors
}

pub(super) fn storage_os(path: &Path, source: &StorageOSVolumeSource) -> Errors {
    let mut errors = storage_os_names(path, text(&source.volume_name), text(&source.volume_namespace));
    errors.extend(secret_name(path, source.secret_ref.as_ref()));
    errors
}

pub(crate) fn storage_os_names(path: &Path, name: &str, namespace: &str) -> Errors {
    let label = |field: &str, name: &str| complaints(&path.child(field), name, names::dns1123_label(name, false));
    let mut errors = if name.is_empty() { vec![Error::required(&path.child("volumeName"), "")] } else { label("volumeName", name) };
    if !namespace.is_empty() {
        errors.extend(label("volumeNamespace", namespace));
    }
    errors
}

pub(super) fn scale_io(path: &Path, source: &ScaleIOVolumeSource) -> Errors {
    all(path, &[("gateway", &source.gateway), ("system", &source.system), ("volumeName", text(&source.volume_name))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iscsi_names() {
        for good in ["iqn.2015-02.example.com:a:b", "iqnx.iqn.2015-02.a:b", "eui.0123456789abcdef", "naa.0123456789abcdef0123456789abcdef"]
        {
            assert!(is_iscsi_name(good), "{good}");
        }
        for bad in
            ["", "x", "iqn.2015-02.example.com", "iqn.2015-02.:a", "iqn.2015-2.a:b", "iqn.2015-02.a:b c", "eui.0", "naa.0123456789abcdef"]
        {
            assert!(!is_iscsi_name(bad), "{bad}");
        }
    }

    #[test]
    fn hosts_and_ports() {
        for good in ["a:1", "a:", ":1", "[::1]:3"] {
            assert!(is_host_and_port(good), "{good}");
        }
        for bad in ["a", "::1:3", "[::1]", "[::1]3", "a[b:1", ""] {
            assert!(!is_host_and_port(bad), "{bad}");
        }
    }
}

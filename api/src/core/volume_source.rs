//! What types of volumes demand that pods and persistent volumes have in common. Most of them are older than CSI, and are
//! kept for what clients still write; a type whose two forms differ is read through a struct of what is checked.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{AzureDiskVolumeSource, FCVolumeSource, FlockerVolumeSource, HostPathVolumeSource, QuobyteVolumeSource};
use machinery::field::{Error, Errors, Path};
use machinery::names;

use crate::validate::{complaints, required, supported_value, text};

const LARGEST_UNIT: i32 = 255;
const LONGEST_TENANT_BYTES: usize = 64;
const LONGEST_INITIATED_BYTES: usize = 64;

/// Fields that may not be empty.
pub(super) fn all(path: &Path, fields: &[(&str, &str)]) -> Errors {
    fields.iter().flat_map(|(name, value)| required(&path.child(name), value)).collect()
}

/// A path without `..` in it.
pub(super) fn no_backsteps(path: &Path, value: &str) -> Errors {
    if value.split('/').any(|part| part == "..") {
        return vec![Error::invalid(path, value, "must not contain '..'")];
    }
    Errors::new()
}

pub(super) fn host_path(path: &Path, source: &HostPathVolumeSource) -> Errors {
    const TYPES: [&str; 8] = ["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];
    let at = path.child("path");
    if source.path.is_empty() {
        return vec![Error::required(&at, "")];
    }
    let mut errors = no_backsteps(&at, &source.path);
    errors.extend(supported_value(&path.child("type"), text(&source.type_), &TYPES));
    errors
}

/// A disk of a cloud: its name, and the partition of it.
pub(super) fn disk(path: &Path, name: (&str, &str), partition: Option<i32>) -> Errors {
    let mut errors = required(&path.child(name.0), name.1);
    errors.extend(unit(&path.child("partition"), partition.unwrap_or_default()));
    errors
}

fn unit(path: &Path, number: i32) -> Errors {
    if (0..=LARGEST_UNIT).contains(&number) {
        return Errors::new();
    }
    vec![Error::invalid(path, number, format!("must be between 0 and {LARGEST_UNIT}"))]
}

pub(super) fn nfs(path: &Path, server: &str, target: &str) -> Errors {
    let mut errors = all(path, &[("server", server), ("path", target)]);
    if !target.starts_with('/') {
        errors.push(Error::invalid(&path.child("path"), target, "must be an absolute path"));
    }
    errors
}

/// Storage behind monitors; of RBD also the image.
pub(super) fn monitors(path: &Path, monitors: &[String], image: Option<&str>) -> Errors {
    let mut errors = Errors::new();
    if monitors.is_empty() {
        errors.push(Error::required(&path.child("monitors"), ""));
    }
    errors.extend(image.into_iter().flat_map(|image| required(&path.child("image"), image)));
    errors
}

/// What is checked of an iSCSI target.
pub(super) struct Iscsi<'a> {
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
        if self.initiator.is_some() && together > LONGEST_INITIATED_BYTES {
            let why = format!("with the volume's name, must be {LONGEST_INITIATED_BYTES} bytes at most where an initiator is named");
            // Kubernetes spells the field like this here, and `initiatorname` below.
            errors.push(Error::invalid(&path.child("targetportal"), self.portal, why));
        }
        let iqn = path.child("iqn");
        errors.extend(if self.iqn.is_empty() { vec![Error::required(&iqn, "")] } else { iscsi_name(&iqn, self.iqn) });
        errors.extend(unit(&path.child("lun"), self.lun));
        if self.authenticates && !self.has_secret {
            errors.push(Error::required(&path.child("secretRef"), ""));
        }
        errors.extend(of_secret);
        errors.extend(self.initiator.into_iter().flat_map(|name| iscsi_name(&path.child("initiatorname"), name)));
        errors
    }
}

/// An iSCSI name: of a naming authority (`iqn.2001-04.com.example:disk`), or of numbers (`eui.`, `naa.`).
fn iscsi_name(path: &Path, name: &str) -> Errors {
    let numbered = |digits: usize| {
        let rest: Vec<char> = name.chars().skip("eui".len()).collect();
        rest.len() == digits + 1 && rest[1..].iter().all(char::is_ascii_alphanumeric)
    };
    let good = match name.get(..3) {
        Some("iqn") => name.match_indices("iqn.").any(|(at, prefix)| is_qualified(&name[at + prefix.len()..])),
        Some("eui") => numbered(16),
        Some("naa") => numbered(32),
        _ => false,
    };
    if good { Errors::new() } else { vec![Error::invalid(path, name, "must be an iqn, eui or naa name")] }
}

/// `2001-04.com.example:disk`.
fn is_qualified(name: &str) -> bool {
    let Some((authority, unique)) = name.split_once(':') else { return false };
    let Some((date, host)) = authority.split_once('.') else { return false };
    let is_date = date.len() == 7 && date.bytes().enumerate().all(|(i, b)| if i == 4 { b == b'-' } else { b.is_ascii_digit() });
    let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    is_date && is_host && !unique.is_empty() && !unique.contains([',', ';', '*', '&', '$', '|', ' ', '\t', '\n', '\r', '\x0b', '\x0c'])
}

pub(super) fn fibre_channel(path: &Path, source: &FCVolumeSource) -> Errors {
    let at = path.child("targetWWNs");
    let names = source.target_wwns.as_ref().is_some_and(|names| !names.is_empty());
    let ids = source.wwids.as_ref().is_some_and(|ids| !ids.is_empty());
    let mut errors = match (names, ids) {
        (false, false) => vec![Error::required(&at, "targetWWNs or wwids must be given")],
        (true, true) => vec![Error::invalid(&at, &source.target_wwns, "cannot be given beside wwids")],
        _ => Errors::new(),
    };
    if names {
        let lun = path.child("lun");
        errors.extend(source.lun.map_or_else(|| vec![Error::required(&lun, "is needed with targetWWNs")], |number| unit(&lun, number)));
    }
    errors
}

pub(super) fn flocker(path: &Path, source: &FlockerVolumeSource) -> Errors {
    let name = text(&source.dataset_name);
    let mut errors = match (name.is_empty(), text(&source.dataset_uuid).is_empty()) {
        (true, true) => vec![Error::required(path, "datasetName or datasetUUID must be given")],
        (false, false) => vec![Error::invalid(path, name, "datasetName and datasetUUID cannot both be given")],
        _ => Errors::new(),
    };
    if name.contains('/') {
        errors.push(Error::invalid(&path.child("datasetName"), name, "must not contain '/'"));
    }
    errors
}

pub(super) fn quobyte(path: &Path, source: &QuobyteVolumeSource) -> Errors {
    let registry = path.child("registry");
    let mut errors = Errors::new();
    if source.registry.is_empty() {
        errors.push(Error::required(&registry, "must be host:port, or several with commas between them"));
    } else if text(&source.tenant).len() > LONGEST_TENANT_BYTES {
        // Kubernetes calls what is too long missing.
        errors.push(Error::required(&path.child("tenant"), format!("must be {LONGEST_TENANT_BYTES} bytes at most")));
    } else {
        let wrong = source.registry.split(',').filter(|pair| !is_host_and_port(pair));
        errors.extend(wrong.map(|_| Error::invalid(&registry, &source.registry, "must be host:port, or several with commas between them")));
    }
    errors.extend(required(&path.child("volume"), &source.volume));
    errors
}

/// `host:port` or `[host]:port`, either of them possibly empty.
fn is_host_and_port(pair: &str) -> bool {
    match pair.strip_prefix('[') {
        Some(rest) => rest.split_once("]:").is_some_and(|(host, port)| !host.contains(['[', ']']) && !port.contains([':', '[', ']'])),
        None => pair.split_once(':').is_some_and(|(host, port)| !host.contains(['[', ']']) && !port.contains([':', '[', ']'])),
    }
}

/// A driver outside the kubelet, with options that may not pass for Kubernetes' own.
pub(super) fn flex(path: &Path, driver: &str, options: Option<&BTreeMap<String, String>>) -> Errors {
    let mut errors = required(&path.child("driver"), driver);
    for key in options.into_iter().flat_map(BTreeMap::keys) {
        let domain = key.split_once('/').map_or(key.as_str(), |(domain, _)| domain).to_lowercase();
        if [".kubernetes.io", ".k8s.io"].iter().any(|own| format!(".{domain}").ends_with(own)) {
            errors.push(Error::invalid(&path.child("options").key(key), key, "its domain is Kubernetes' own"));
        }
    }
    errors
}

pub(super) fn azure_disk(path: &Path, source: &AzureDiskVolumeSource) -> Errors {
    const MANAGED: &str = "Managed";
    let mut errors = all(path, &[("diskName", &source.disk_name), ("diskURI", &source.disk_uri)]);
    if let Some(mode) = &source.caching_mode {
        errors.extend(supported_value(&path.child("cachingMode"), mode, &["None", "ReadOnly", "ReadWrite"]));
    }
    if let Some(kind) = &source.kind {
        errors.extend(supported_value(&path.child("kind"), kind, &["Dedicated", MANAGED, "Shared"]));
        let scheme = if kind == MANAGED { "/subscriptions/" } else { "https://" };
        if !source.disk_uri.starts_with(scheme) {
            errors.push(Error::not_supported(&path.child("diskURI"), &source.disk_uri, &[scheme]));
        }
    }
    errors
}

/// A volume of StorageOS, whose names are labels.
pub(super) fn storage_os(path: &Path, volume: &str, namespace: &str) -> Errors {
    let label = |field: &str, name: &str| complaints(&path.child(field), name, names::dns1123_label(name, false));
    let mut errors = if volume.is_empty() { vec![Error::required(&path.child("volumeName"), "")] } else { label("volumeName", volume) };
    if !namespace.is_empty() {
        errors.extend(label("volumeNamespace", namespace));
    }
    errors
}

//! Names on the network: DNS settings, host names and aliases.

use k8s_openapi::api::core::v1::PodSpec;
use machinery::field::{Error, Errors, Path};
use machinery::{ip, names};

use crate::validate::{complaints, text};

const MOST_NAMESERVERS: usize = 3;
const MOST_SEARCHES: usize = 32;
const MOST_SEARCH_BYTES: usize = 2048;
/// What kernels keep of a host's name.
const MOST_HOSTNAME_BYTES: usize = 64;

pub(super) fn validate_dns(path: &Path, spec: &PodSpec) -> Errors {
    let servers = spec.dns_config.as_ref().and_then(|c| c.nameservers.as_deref()).unwrap_or_default();
    if text(&spec.dns_policy) == "None" && servers.is_empty() {
        let at = if spec.dns_config.is_some() { path.child("nameservers") } else { path.clone() };
        return vec![Error::required(&at, "dnsPolicy None needs a name server")];
    }
    let mut errors = Errors::new();
    let Some(config) = &spec.dns_config else { return errors };
    if servers.len() > MOST_NAMESERVERS {
        let why = format!("may not have more than {MOST_NAMESERVERS}");
        errors.push(Error::invalid(&path.child("nameservers"), servers, why));
    }
    for (i, server) in servers.iter().enumerate() {
        errors.extend(complaints(&path.child("nameservers").index(i), server, ip::address(server)));
    }
    let searches = config.searches.as_deref().unwrap_or_default();
    let at = path.child("searches");
    if searches.len() > MOST_SEARCHES {
        errors.push(Error::invalid(&at, searches, format!("may not have more than {MOST_SEARCHES}")));
    }
    if searches.join(" ").len() > MOST_SEARCH_BYTES {
        errors.push(Error::invalid(&at, searches, format!("may not be longer than {MOST_SEARCH_BYTES} bytes together")));
    }
    for (i, search) in searches.iter().enumerate() {
        errors.extend(complaints(&at.index(i), search, search_domain(search)));
    }
    for (i, option) in config.options.iter().flatten().enumerate() {
        if text(&option.name).is_empty() {
            errors.push(Error::required(&path.child("options").index(i), ""));
        }
    }
    errors
}

/// Search domains may be absolute, and their labels may have underscores (`_tcp`).
fn search_domain(search: &str) -> Vec<String> {
    if search == "." {
        return Vec::new();
    }
    let domain = search.strip_suffix('.').unwrap_or(search);
    names::dns1123_subdomain(&domain.replace('_', "x"), false)
}

/// A name that stands above the pod's own.
pub(super) fn validate_override(path: &Path, spec: &PodSpec) -> Errors {
    let Some(name) = &spec.hostname_override else { return Errors::new() };
    let mut errors = Errors::new();
    if spec.set_hostname_as_fqdn == Some(true) {
        errors.push(Error::forbidden(path, "cannot be set beside setHostnameAsFQDN"));
    }
    if spec.host_network == Some(true) {
        errors.push(Error::forbidden(path, "cannot be set on the host's network"));
    }
    if name.len() > MOST_HOSTNAME_BYTES {
        errors.push(Error::too_long(path, MOST_HOSTNAME_BYTES));
    }
    errors.extend(complaints(path, name, names::dns1123_subdomain(name, false)));
    errors
}

pub(super) fn validate_names(path: &Path, spec: &PodSpec) -> Errors {
    let mut errors = Errors::new();
    for (field, value) in [("hostname", &spec.hostname), ("subdomain", &spec.subdomain)] {
        let name = text(value);
        if !name.is_empty() {
            errors.extend(complaints(&path.child(field), name, names::dns1123_label(name, false)));
        }
    }
    errors
}

pub(super) fn validate_aliases(path: &Path, spec: &PodSpec) -> Errors {
    let mut errors = Errors::new();
    for (i, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let at = path.index(i);
        errors.extend(complaints(&at.child("ip"), &alias.ip, ip::address(&alias.ip)));
        for (j, name) in alias.hostnames.iter().flatten().enumerate() {
            let wrong = names::dns1123_subdomain(name, false);
            errors.extend(complaints(&at.child("hostnames").index(j), name, wrong));
        }
    }
    errors
}

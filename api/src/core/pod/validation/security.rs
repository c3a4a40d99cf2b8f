//! Security contexts of pods and containers.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{AppArmorProfile, PodSpec, SeccompProfile, SecurityContext};
use machinery::field::{Error, Errors, Path};

use super::volumes::descending_path;
use super::{Around, windows};
use crate::core::pod::visit;
use crate::validate::{choice, supported_value};

const LARGEST_ID: i64 = i32::MAX as i64;
const PROFILE_TYPES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
/// The longest path that Linux takes, without the zero at its end.
const MOST_PROFILE_BYTES: usize = 4095;

pub(in crate::core::pod) fn validate_id(path: &Path, id: Option<i64>) -> Errors {
    match id {
        Some(id) if !(0..=LARGEST_ID).contains(&id) => {
            vec![Error::invalid(path, id, format!("must be between 0 and {LARGEST_ID}"))]
        }
        _ => Errors::new(),
    }
}

/// The pod's security context; `path` is the spec's.
pub(super) fn validate_pod(path: &Path, spec: &PodSpec) -> Errors {
    let Some(context) = &spec.security_context else { return Errors::new() };
    let at = path.child("securityContext");
    let mut errors = validate_id(&at.child("fsGroup"), context.fs_group);
    errors.extend(validate_id(&at.child("runAsUser"), context.run_as_user));
    errors.extend(validate_id(&at.child("runAsGroup"), context.run_as_group));
    for (i, group) in context.supplemental_groups.iter().flatten().enumerate() {
        errors.extend(validate_id(&at.child("supplementalGroups").index(i), Some(*group)));
    }
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        let field = at.child("shareProcessNamespace");
        errors.push(Error::invalid(&field, true, "cannot be set beside hostPID"));
    }
    errors.extend(validate_sysctls(&at.child("sysctls"), spec));
    if let Some(policy) = &context.fs_group_change_policy {
        errors.extend(supported_value(&at.child("fsGroupChangePolicy"), policy, &["Always", "OnRootMismatch"]));
    }
    if let Some(profile) = &context.seccomp_profile {
        errors.extend(validate_seccomp(&at.child("seccompProfile"), profile));
    }
    if let Some(options) = &context.windows_options {
        errors.extend(windows::validate_options(&at.child("windowsOptions"), options));
    }
    if let Some(profile) = &context.app_armor_profile {
        errors.extend(validate_app_armor(&at.child("appArmorProfile"), profile));
    }
    if let Some(policy) = &context.supplemental_groups_policy {
        errors.extend(supported_value(&at.child("supplementalGroupsPolicy"), policy, &["Merge", "Strict"]));
    }
    if let Some(policy) = &context.se_linux_change_policy {
        // MountOption is still behind a gate that is closed by default.
        errors.extend(supported_value(&at.child("seLinuxChangePolicy"), policy, &["Recursive"]));
    }
    errors
}

/// On the host's network a container's ports are the host's; in templates they may be left to be filled in.
pub(super) fn validate_host_network(path: &Path, spec: &PodSpec, around: Around<'_>) -> Errors {
    let mut errors = Errors::new();
    if spec.host_network != Some(true) {
        return errors;
    }
    for (i, container) in spec.containers.iter().enumerate() {
        for (j, port) in container.ports.iter().flatten().enumerate() {
            let host = port.host_port.unwrap_or_default();
            let looked_at = host != 0 || matches!(around, Around::Pod(_));
            if looked_at && host != port.container_port {
                let at = path.child("containers").index(i).child("ports").index(j).child("hostPort");
                errors.push(Error::invalid(&at, host, "must be the containerPort on the host's network"));
            }
        }
    }
    errors
}

fn validate_sysctls(path: &Path, spec: &PodSpec) -> Errors {
    let sysctls = spec.security_context.as_ref().and_then(|c| c.sysctls.as_deref()).unwrap_or_default();
    let mut errors = Errors::new();
    for (i, sysctl) in sysctls.iter().enumerate() {
        let at = path.index(i).child("name");
        if sysctl.name.is_empty() {
            errors.push(Error::required(&at, ""));
        } else if !is_sysctl(&sysctl.name) {
            errors.push(Error::invalid(
                &at,
                &sysctl.name,
                "must be words of lower case letters, digits, '-' or '_', with '.' or '/' between",
            ));
        } else if sysctls[..i].iter().any(|s| s.name == sysctl.name) {
            errors.push(Error::duplicate(&at, &sysctl.name));
        }
        let shared = match namespace_of(&sysctl.name) {
            Some(Namespace::Network) => spec.host_network,
            Some(Namespace::Ipc) => spec.host_ipc,
            None => None,
        };
        if shared == Some(true) {
            errors.push(Error::invalid(&at, &sysctl.name, "is the host's, whose namespace the pod shares"));
        }
    }
    errors
}

enum Namespace {
    Network,
    Ipc,
}

/// The namespace that a sysctl belongs to, if it belongs to one. Words are separated by dots, or by slashes if the first
/// separator is one.
fn namespace_of(name: &str) -> Option<Namespace> {
    let exchanged = |c| match c {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    let slashed = name.find(['.', '/']).is_some_and(|at| name[at..].starts_with('/'));
    let dotted = &if slashed { Cow::Owned(name.chars().map(exchanged).collect()) } else { Cow::Borrowed(name) };
    const SHARED_MEMORY_AND_MESSAGES: [&str; 10] = [
        "kernel.sem",
        "kernel.shm",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
        "kernel.msg",
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
    ];
    if dotted.starts_with("net.") {
        return Some(Namespace::Network);
    }
    (dotted.starts_with("fs.mqueue.") || SHARED_MEMORY_AND_MESSAGES.contains(&&**dotted)).then_some(Namespace::Ipc)
}

fn is_sysctl(name: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 253
        && name.split(['.', '/']).all(|word| {
            let bytes = word.as_bytes();
            bytes.first().is_some_and(alphanumeric)
                && bytes.last().is_some_and(alphanumeric)
                && bytes.iter().all(|b| alphanumeric(b) || matches!(b, b'-' | b'_'))
        })
}

/// A profile of the node is named with type Localhost, and with no other.
fn validate_seccomp(path: &Path, profile: &SeccompProfile) -> Errors {
    let mut errors = choice(&path.child("type"), &profile.type_, &PROFILE_TYPES);
    let at = path.child("localhostProfile");
    match (profile.type_.as_str(), &profile.localhost_profile) {
        ("Localhost", None) => errors.push(Error::required(&at, "must be set with type Localhost")),
        ("Localhost", Some(name)) => errors.extend(descending_path(&at, name)),
        (_, Some(name)) => errors.push(Error::invalid(&at, name, "can only be set with type Localhost")),
        _ => {}
    }
    errors
}

/// As of seccomp; but the profile's name is no path, and is not looked at where the type is none.
pub(in crate::core::pod) fn validate_app_armor(path: &Path, profile: &AppArmorProfile) -> Errors {
    let mut errors = choice(&path.child("type"), &profile.type_, &PROFILE_TYPES);
    let at = path.child("localhostProfile");
    match (profile.type_.as_str(), profile.localhost_profile.as_deref()) {
        ("Localhost", None | Some("")) => errors.push(Error::required(&at, "must be set with type Localhost")),
        ("Localhost", Some(name)) => {
            if name.trim() != name {
                errors.push(Error::invalid(&at, name, "must not have blanks at its ends"));
            }
            if name.len() > MOST_PROFILE_BYTES {
                errors.push(Error::too_long(&at, MOST_PROFILE_BYTES));
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            errors.push(Error::invalid(&at, name, "can only be set with type Localhost"));
        }
        _ => {}
    }
    errors
}

/// A container's security context.
pub(super) fn validate_container(path: &Path, context: &SecurityContext, spec: &PodSpec) -> Errors {
    let mut errors = validate_id(&path.child("runAsUser"), context.run_as_user);
    errors.extend(validate_id(&path.child("runAsGroup"), context.run_as_group));
    if let Some(mount) = &context.proc_mount {
        errors.extend(supported_value(&path.child("procMount"), mount, &["Default", "Unmasked"]));
        if mount == "Unmasked" && spec.host_users != Some(false) {
            errors.push(Error::invalid(&path.child("procMount"), mount, "Unmasked needs hostUsers false"));
        }
    }
    if let Some(profile) = &context.seccomp_profile {
        errors.extend(validate_seccomp(&path.child("seccompProfile"), profile));
    }
    if context.allow_privilege_escalation == Some(false) {
        if context.privileged == Some(true) {
            errors.push(Error::invalid(path, context, "cannot forbid privilege escalation to a privileged container"));
        }
        let added = context.capabilities.as_ref().and_then(|c| c.add.as_deref()).unwrap_or_default();
        for _ in added.iter().filter(|capability| *capability == "CAP_SYS_ADMIN") {
            errors.push(Error::invalid(path, context, "cannot forbid privilege escalation and add CAP_SYS_ADMIN"));
        }
    }
    if let Some(options) = &context.windows_options {
        errors.extend(windows::validate_options(&path.child("windowsOptions"), options));
    }
    if let Some(profile) = &context.app_armor_profile {
        errors.extend(validate_app_armor(&path.child("appArmorProfile"), profile));
    }
    errors
}

/// A pod with users of its own cannot share the host's namespaces, nor use block devices. The odd capitals are Kubernetes'.
pub(super) fn validate_own_users(path: &Path, spec: &PodSpec) -> Errors {
    let mut errors = Errors::new();
    if spec.host_users != Some(false) {
        return errors;
    }
    const WHY: &str = "cannot be set with hostUsers false";
    for (name, shared) in [("hostNetwork", spec.host_network), ("HostPID", spec.host_pid), ("HostIPC", spec.host_ipc)] {
        if shared == Some(true) {
            errors.push(Error::forbidden(&path.child(name), WHY));
        }
    }
    let with_devices = visit::containers(spec).filter(|container| container.has_devices());
    errors.extend(with_devices.map(|container| Error::forbidden(&container.path(path).child("volumeDevices"), WHY)));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctls() {
        assert!(is_sysctl("kernel.shm_rmid_forced") && is_sysctl("net/ipv4/ip_forward"));
        for bad in ["", "Kernel.x", "a..b", ".a", "a_.b"] {
            assert!(!is_sysctl(bad), "{bad}");
        }
    }
}

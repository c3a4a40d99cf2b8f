//! Security contexts of pods and containers.

use k8s_openapi::api::core::v1::{AppArmorProfile, PodSpec, SeccompProfile, SecurityContext};
use machinery::field::{Error, Errors, Path};

use super::volumes::descending_path;
use crate::validate::supported_value;

const LARGEST_ID: i64 = i32::MAX as i64;

fn validate_id(path: &Path, id: Option<i64>) -> Errors {
    match id {
        Some(id) if !(0..=LARGEST_ID).contains(&id) => {
            vec![Error::invalid(path, id, format!("must be between 0 and {LARGEST_ID}"))]
        }
        _ => Errors::new(),
    }
}

/// The pod's security context; `path` is the spec's.
pub(super) fn validate_pod(path: &Path, spec: &PodSpec) -> Errors {
    let mut errors = validate_host_network(&path.child("containers"), spec);
    let Some(context) = &spec.security_context else { return errors };
    let at = path.child("securityContext");
    errors.extend(validate_id(&at.child("fsGroup"), context.fs_group));
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
    if let Some(profile) = &context.app_armor_profile {
        errors.extend(validate_app_armor(&at.child("appArmorProfile"), profile));
    }
    if let Some(policy) = &context.supplemental_groups_policy {
        errors.extend(supported_value(&at.child("supplementalGroupsPolicy"), policy, &["Merge", "Strict"]));
    }
    if let Some(policy) = &context.se_linux_change_policy {
        errors.extend(supported_value(&at.child("seLinuxChangePolicy"), policy, &["MountOption", "Recursive"]));
    }
    errors
}

/// On the host's network a container's ports are the host's.
fn validate_host_network(path: &Path, spec: &PodSpec) -> Errors {
    let mut errors = Errors::new();
    if spec.host_network != Some(true) {
        return errors;
    }
    for (i, container) in spec.containers.iter().enumerate() {
        for (j, port) in container.ports.iter().flatten().enumerate() {
            if port.host_port.unwrap_or_default() != port.container_port {
                let at = path.index(i).child("ports").index(j).child("containerPort");
                errors.push(Error::invalid(&at, port.container_port, "must be the hostPort on the host's network"));
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
    }
    errors
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

fn validate_seccomp(path: &Path, profile: &SeccompProfile) -> Errors {
    let types = ["Localhost", "RuntimeDefault", "Unconfined"];
    validate_profile(path, &profile.type_, &profile.localhost_profile, &types)
}

fn validate_app_armor(path: &Path, profile: &AppArmorProfile) -> Errors {
    let types = ["Localhost", "RuntimeDefault", "Unconfined"];
    validate_profile(path, &profile.type_, &profile.localhost_profile, &types)
}

/// A profile of the node is named with type Localhost, and with no other.
fn validate_profile(path: &Path, kind: &str, localhost: &Option<String>, types: &[&str]) -> Errors {
    let at = path.child("localhostProfile");
    match (kind, localhost) {
        ("Localhost", None) => vec![Error::required(&at, "must be set with type Localhost")],
        ("Localhost", Some(profile)) => descending_path(&at, profile),
        ("", _) => vec![Error::required(&path.child("type"), "")],
        (kind, _) if !types.contains(&kind) => vec![Error::not_supported(&path.child("type"), kind, types)],
        (_, Some(profile)) => vec![Error::invalid(&at, profile, "can only be set with type Localhost")],
        _ => Errors::new(),
    }
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
        if added.iter().any(|capability| capability == "CAP_SYS_ADMIN") {
            errors.push(Error::invalid(path, context, "cannot forbid privilege escalation and add CAP_SYS_ADMIN"));
        }
    }
    if let Some(profile) = &context.app_armor_profile {
        errors.extend(validate_app_armor(&path.child("appArmorProfile"), profile));
    }
    errors
}

/// A pod with users of its own cannot share the host's namespaces.
pub(super) fn validate_own_users(path: &Path, spec: &PodSpec) -> Errors {
    if spec.host_users != Some(false) {
        return Errors::new();
    }
    [("hostNetwork", spec.host_network), ("hostIPC", spec.host_ipc), ("hostPID", spec.host_pid)]
        .iter()
        .filter(|(_, shared)| *shared == Some(true))
        .map(|(name, _)| Error::forbidden(&path.child(name), "cannot be set with hostUsers false"))
        .collect()
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

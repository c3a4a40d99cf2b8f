//! Pods on Windows: their users, containers that are processes of the host, and what either operating system has that the
//! other has not.

use k8s_openapi::api::core::v1::{PodSpec, SecurityContext, WindowsSecurityContextOptions};
use machinery::field::{Error, Errors, Path};
use machinery::names;

use crate::core::pod::visit;
use crate::validate::complaints;

const MOST_CREDENTIAL_BYTES: usize = 64 << 10;
const MOST_DOMAIN_BYTES: usize = 255;
const MOST_USER_BYTES: usize = 104;

pub(super) fn validate_options(path: &Path, options: &WindowsSecurityContextOptions) -> Errors {
    let mut errors = Errors::new();
    if let Some(name) = &options.gmsa_credential_spec_name {
        errors.extend(complaints(&path.child("gmsaCredentialSpecName"), name, names::dns1123_subdomain(name, false)));
    }
    if let Some(credential) = &options.gmsa_credential_spec
        && (credential.is_empty() || credential.len() > MOST_CREDENTIAL_BYTES)
    {
        let why = format!("must not be empty, nor longer than {MOST_CREDENTIAL_BYTES} bytes");
        errors.push(Error::invalid(&path.child("gmsaCredentialSpec"), credential, why));
    }
    if let Some(user) = &options.run_as_user_name {
        errors.extend(complaints(&path.child("runAsUserName"), user, user_name(user)));
    }
    errors
}

/// What is wrong with `user` or `DOMAIN\user`.
fn user_name(name: &str) -> Vec<String> {
    let why = |text: &str| vec![text.to_owned()];
    if name.is_empty() {
        return why("must not be empty");
    }
    if name.bytes().any(|b| b.is_ascii_control()) {
        return why("must not contain control characters");
    }
    if name.matches('\\').count() > 1 {
        return why("must not contain more than one backslash");
    }
    let (domain, user) = name.split_once('\\').map_or((None, name), |(domain, user)| (Some(domain), user));
    let mut wrong = Vec::new();
    if domain.is_some_and(|d| d.len() > MOST_DOMAIN_BYTES) {
        wrong.push(format!("its domain must not be longer than {MOST_DOMAIN_BYTES} bytes"));
    }
    if domain.is_some_and(|d| !is_net_bios(d) && !is_dns(d)) {
        wrong.push("its domain must be a NetBIOS or a DNS name".to_owned());
    }
    if user.is_empty() {
        wrong.push("the user must not be empty".to_owned());
    } else if user.len() > MOST_USER_BYTES {
        wrong.push(format!("the user must not be longer than {MOST_USER_BYTES} bytes"));
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        wrong.push("the user must not consist of dots and blanks".to_owned());
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        wrong.push("the user must not contain any of \"/\\:;|=,+*?<>@[]".to_owned());
    }
    wrong
}

fn is_net_bios(domain: &str) -> bool {
    const MOST_CHARACTERS: usize = 15;
    let odd = ['\\', '/', ':', '*', '?', '"', '<', '>', '|'];
    !domain.is_empty() && !domain.starts_with('.') && domain.chars().count() <= MOST_CHARACTERS && !domain.contains(odd)
}

fn is_dns(domain: &str) -> bool {
    let label = |l: &str| names::dns1123_label(&l.to_ascii_lowercase(), false).is_empty();
    domain.is_ascii() && domain.split('.').all(label)
}

/// Either all containers of a pod are processes of the host, or none is; and those are on its network.
pub(super) fn validate_host_processes(path: &Path, spec: &PodSpec) -> Errors {
    let of = |options: Option<&WindowsSecurityContextOptions>| options.and_then(|o| o.host_process);
    let pod = of(spec.security_context.as_ref().and_then(|c| c.windows_options.as_ref()));
    let mut errors = Errors::new();
    let (mut all, mut on_host) = (0, 0);
    for container in visit::containers(spec) {
        let own = of(container.security().and_then(|c| c.windows_options.as_ref()));
        if let (Some(pod), Some(own)) = (pod, own)
            && pod != own
        {
            let at = container.path(path).child("securityContext").child("windowsOptions").child("hostProcess");
            errors.push(Error::invalid(&at, own, format!("must be the pod's, which is {pod}")));
        }
        all += 1;
        on_host += usize::from(own.or(pod) == Some(true));
    }
    if on_host == 0 {
        return errors;
    }
    if on_host != all {
        errors.push(Error::invalid(path, "", "all containers must be processes of the host where one is"));
    }
    if spec.host_network != Some(true) {
        errors.push(Error::invalid(&path.child("hostNetwork"), false, "must be true for processes of the host"));
    }
    errors
}

/// What the pod's operating system does not have.
pub(super) fn validate_os(path: &Path, spec: &PodSpec) -> Errors {
    match spec.os.as_ref().map(|os| os.name.as_str()) {
        None => Errors::new(),
        Some("") => vec![Error::required(&path.child("os").child("name"), "")],
        Some("linux") => validate_linux(path, spec),
        Some("windows") => validate_windows(path, spec),
        Some(other) => vec![Error::not_supported(&path.child("os"), other, &["linux", "windows"])],
    }
}

fn validate_linux(path: &Path, spec: &PodSpec) -> Errors {
    let pod = spec.security_context.as_ref().and_then(|c| c.windows_options.as_ref()).map(|_| path.clone());
    let containers = visit::containers(spec)
        .filter(|container| container.security().is_some_and(|c| c.windows_options.is_some()))
        .map(|container| container.path(path));
    let at = pod.into_iter().chain(containers).map(|holder| holder.child("securityContext").child("windowsOptions"));
    at.map(|at| Error::forbidden(&at, "cannot be set for a pod on Linux")).collect()
}

fn validate_windows(path: &Path, spec: &PodSpec) -> Errors {
    let context = spec.security_context.clone().unwrap_or_default();
    let below = path.child("securityContext");
    let pod = [
        (&below, "appArmorProfile", context.app_armor_profile.is_some()),
        (&below, "seLinuxOptions", context.se_linux_options.is_some()),
        (path, "hostUsers", spec.host_users.is_some()),
        (path, "hostPID", spec.host_pid == Some(true)),
        (path, "hostIPC", spec.host_ipc == Some(true)),
        (&below, "seccompProfile", context.seccomp_profile.is_some()),
        (&below, "fsGroup", context.fs_group.is_some()),
        (&below, "fsGroupChangePolicy", context.fs_group_change_policy.is_some()),
        (&below, "sysctls", context.sysctls.is_some_and(|sysctls| !sysctls.is_empty())),
        (path, "shareProcessNamespace", spec.share_process_namespace.is_some()),
        (&below, "runAsUser", context.run_as_user.is_some()),
        (&below, "runAsGroup", context.run_as_group.is_some()),
        (&below, "supplementalGroups", context.supplemental_groups.is_some()),
        (&below, "supplementalGroupsPolicy", context.supplemental_groups_policy.is_some()),
        (&below, "seLinuxChangePolicy", context.se_linux_change_policy.is_some()),
    ];
    let mut errors = forbidden(pod.iter().map(|(holder, name, given)| (*holder, *name, *given)));
    for container in visit::containers(spec) {
        if let Some(context) = container.security() {
            errors.extend(validate_windows_container(&container.path(path).child("securityContext"), context));
        }
    }
    errors
}

fn validate_windows_container(path: &Path, context: &SecurityContext) -> Errors {
    let given = [
        ("appArmorProfile", context.app_armor_profile.is_some()),
        ("seLinuxOptions", context.se_linux_options.is_some()),
        ("seccompProfile", context.seccomp_profile.is_some()),
        ("capabilities", context.capabilities.is_some()),
        ("readOnlyRootFilesystem", context.read_only_root_filesystem.is_some()),
        ("privileged", context.privileged.is_some()),
        ("allowPrivilegeEscalation", context.allow_privilege_escalation.is_some()),
        ("procMount", context.proc_mount.is_some()),
        ("runAsUser", context.run_as_user.is_some()),
        ("runAsGroup", context.run_as_group.is_some()),
    ];
    forbidden(given.iter().map(|(name, given)| (path, *name, *given)))
}

fn forbidden<'a>(fields: impl Iterator<Item = (&'a Path, &'a str, bool)>) -> Errors {
    let given = fields.filter(|(.., given)| *given);
    given.map(|(holder, name, _)| Error::forbidden(&holder.child(name), "cannot be set for a pod on Windows")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users() {
        for good in ["user", "DOMAIN\\user", "a.example.com\\user", "a b\\u"] {
            assert!(user_name(good).is_empty(), "{good}");
        }
        for bad in ["", "a\\b\\c", "\\user", "a\\", "a\tb", ". .", "a:b", "sixteen-letters_x\\u"] {
            assert!(!user_name(bad).is_empty(), "{bad}");
        }
        assert_eq!(user_name(".dom\\..").len(), 2);
    }
}

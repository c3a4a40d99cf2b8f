//! The baseline level: what is known to lead out of a container.

use k8s_openapi::api::core::v1::{Lifecycle, LifecycleHandler, Probe, SELinuxOptions};

use super::policy::Version;
use super::subject::{Each, POD_SECCOMP, Subject};

/// The capabilities that container runtimes give by default.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// Sysctls that are the pod's own, and since when the standards know that.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];
const SELINUX_TYPES: [(&str, u32); 4] = [("container_t", 0), ("container_init_t", 0), ("container_kvm_t", 0), ("container_engine_t", 31)];
const APPARMOR_PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_PREFIX: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// `alone`: the restricted level, which has stricter rules for some of this, is not checked too.
pub(super) fn check(subject: &Subject<'_>, version: Version, alone: bool, found: &mut Vec<String>) {
    check_host(subject, version, found);
    check_kernel(subject, version, alone, found);
    if alone {
        check_capabilities(subject, found);
        if version.since(19) {
            check_seccomp(subject, found);
        } else {
            check_seccomp_annotations(subject, found);
        }
    }
}

fn check_host(subject: &Subject<'_>, version: Version, found: &mut Vec<String>) {
    let spec = subject.spec;
    let shared: Vec<&str> = [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)]
        .iter()
        .filter(|(_, on)| *on == Some(true))
        .map(|(name, _)| *name)
        .collect();
    if !shared.is_empty() {
        let set: Vec<String> = shared.iter().map(|name| format!("{name}=true")).collect();
        found.push(format!("host namespaces ({})", set.join(", ")));
    }
    let paths: Vec<String> =
        spec.volumes.iter().flatten().filter(|volume| volume.host_path.is_some()).map(|volume| format!("{:?}", volume.name)).collect();
    if !paths.is_empty() {
        found.push(format!("hostPath volumes ({})", paths.join(", ")));
    }
    if let Some(who) = subject.those(|each| each.ports.iter().any(|port| port.host_port.is_some_and(|number| number != 0))) {
        found.push(format!("hostPort ({who} takes ports of the node)"));
    }
    if version.since(34)
        && let Some(who) = subject.those(names_host)
    {
        found.push(format!("probe or lifecycle host ({who} must not name a host to connect to)"));
    }
    if let Some(who) = subject.those(|each| each.security.is_some_and(|security| security.privileged == Some(true))) {
        found.push(format!("privileged ({who} must not set securityContext.privileged=true)"));
    }
    let own = subject.security().and_then(|security| security.windows_options.as_ref()).and_then(|options| options.host_process);
    let theirs = subject.those(|each| {
        let options = each.security.and_then(|security| security.windows_options.as_ref());
        options.and_then(|options| options.host_process) == Some(true)
    });
    if own == Some(true) || theirs.is_some() {
        let who = theirs.unwrap_or_else(|| "pod".to_owned());
        found.push(format!("hostProcess ({who} must not set securityContext.windowsOptions.hostProcess=true)"));
    }
}

fn names_host(each: &Each<'_>) -> bool {
    let given = |host: Option<&String>| host.is_some_and(|host| !host.is_empty());
    let probe = |probe: &Probe| {
        given(probe.http_get.as_ref().and_then(|get| get.host.as_ref()))
            || given(probe.tcp_socket.as_ref().and_then(|socket| socket.host.as_ref()))
    };
    let handler = |handler: &LifecycleHandler| {
        given(handler.http_get.as_ref().and_then(|get| get.host.as_ref()))
            || given(handler.tcp_socket.as_ref().and_then(|socket| socket.host.as_ref()))
    };
    let lifecycle = |one: &Lifecycle| one.post_start.as_ref().is_some_and(handler) || one.pre_stop.as_ref().is_some_and(handler);
    each.probes.iter().flatten().any(|one| probe(one)) || each.lifecycle.is_some_and(lifecycle)
}

fn check_kernel(subject: &Subject<'_>, version: Version, alone: bool, found: &mut Vec<String>) {
    check_apparmor(subject, found);
    // What users of the pod's own may see of `/proc` is still no good practice.
    let relaxed = alone && version.since(35) && subject.has_own_users();
    let unmasked = |each: &Each<'_>| each.security.and_then(|s| s.proc_mount.as_deref()).is_some_and(|mount| mount != "Default");
    if !relaxed && let Some(who) = subject.those(unmasked) {
        found.push(format!("procMount ({who} must not set securityContext.procMount to anything but \"Default\")"));
    }
    let allowed = |type_: &str| type_.is_empty() || SELINUX_TYPES.iter().any(|(known, since)| *known == type_ && version.since(*since));
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let bad =
        |options: &SELinuxOptions| !allowed(options.type_.as_deref().unwrap_or_default()) || given(&options.user) || given(&options.role);
    let own = subject.security().and_then(|security| security.se_linux_options.as_ref()).is_some_and(bad);
    let theirs = subject.those(|each| each.security.and_then(|security| security.se_linux_options.as_ref()).is_some_and(bad));
    if own || theirs.is_some() {
        found.push(format!("seLinuxOptions ({} set forbidden securityContext.seLinuxOptions)", theirs.unwrap_or_else(|| "pod".to_owned())));
    }
    let sysctls = subject.security().and_then(|security| security.sysctls.as_deref()).unwrap_or_default();
    let safe = |name: &str| SYSCTLS.iter().any(|(known, since)| *known == name && version.since(*since));
    let unsafe_ones: Vec<&str> = sysctls.iter().map(|one| one.name.as_str()).filter(|name| !safe(name)).collect();
    if !unsafe_ones.is_empty() {
        found.push(format!("forbidden sysctls ({})", unsafe_ones.join(", ")));
    }
}

fn check_apparmor(subject: &Subject<'_>, found: &mut Vec<String>) {
    let allowed = |type_: &str| matches!(type_, "RuntimeDefault" | "Localhost");
    let own = subject.security().and_then(|security| security.app_armor_profile.as_ref()).is_some_and(|profile| !allowed(&profile.type_));
    let theirs =
        subject.those(|each| each.security.and_then(|s| s.app_armor_profile.as_ref()).is_some_and(|profile| !allowed(&profile.type_)));
    let annotated = subject.meta.annotations.iter().flatten().any(|(key, value)| {
        key.starts_with(APPARMOR_PREFIX) && !(value.is_empty() || value == "runtime/default" || value.starts_with("localhost/"))
    });
    if own || annotated || theirs.is_some() {
        found.push(format!("forbidden AppArmor profiles ({})", theirs.unwrap_or_else(|| "pod".to_owned())));
    }
}

fn check_capabilities(subject: &Subject<'_>, found: &mut Vec<String>) {
    let adds = |each: &Each<'_>| {
        let added = each.security.and_then(|s| s.capabilities.as_ref()).and_then(|c| c.add.as_deref()).unwrap_or_default();
        added.iter().any(|name| !CAPABILITIES.contains(&name.as_str()))
    };
    if let Some(who) = subject.those(adds) {
        found.push(format!("non-default capabilities ({who} must not add others than {})", CAPABILITIES.join(", ")));
    }
}

fn check_seccomp(subject: &Subject<'_>, found: &mut Vec<String>) {
    let allowed = |type_: &str| matches!(type_, "RuntimeDefault" | "Localhost");
    let own = subject.security().and_then(|security| security.seccomp_profile.as_ref()).is_some_and(|profile| !allowed(&profile.type_));
    let theirs =
        subject.those(|each| each.security.and_then(|s| s.seccomp_profile.as_ref()).is_some_and(|profile| !allowed(&profile.type_)));
    if own || theirs.is_some() {
        let who = theirs.unwrap_or_else(|| "pod".to_owned());
        found.push(format!("seccompProfile ({who} must not set securityContext.seccompProfile.type to \"Unconfined\")"));
    }
}

/// Before there were fields, profiles were annotations.
fn check_seccomp_annotations(subject: &Subject<'_>, found: &mut Vec<String>) {
    let bad = |value: Option<&str>| {
        value.is_some_and(|value| !matches!(value, "runtime/default" | "docker/default") && !value.starts_with("localhost/"))
    };
    let theirs = subject.those(|each| bad(subject.annotation(&format!("{SECCOMP_PREFIX}{}", each.name))));
    if bad(subject.annotation(POD_SECCOMP)) || theirs.is_some() {
        found.push(format!("seccompProfile ({} must not be unconfined)", theirs.unwrap_or_else(|| "pod".to_owned())));
    }
}

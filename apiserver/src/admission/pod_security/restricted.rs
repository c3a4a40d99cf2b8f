//! The restricted level: good practice, at the price of what many images expect.

use k8s_openapi::api::core::v1::{Capabilities, SeccompProfile, Volume};

use super::policy::Version;
use super::subject::{Each, Subject};

pub(super) fn check(subject: &Subject<'_>, version: Version, found: &mut Vec<String>) {
    // Since 1.25 what Windows does not have is not asked of its pods.
    let windows = version.since(25) && subject.is_windows();
    if version.since(8) && !windows {
        let may = |each: &Each<'_>| each.security.and_then(|security| security.allow_privilege_escalation) != Some(false);
        if let Some(who) = subject.those(may) {
            found.push(format!("allowPrivilegeEscalation != false ({who} must set securityContext.allowPrivilegeEscalation=false)"));
        }
    }
    if version.since(22) && !windows {
        check_capabilities(subject, found);
    }
    check_volumes(subject, found);
    check_user(subject, version, found);
    if version.since(19) && !windows {
        check_seccomp(subject, found);
    }
}

fn check_capabilities(subject: &Subject<'_>, found: &mut Vec<String>) {
    let of = |each: &Each<'_>| -> Option<Capabilities> { each.security?.capabilities.clone() };
    let keeps = |each: &Each<'_>| {
        let dropped = of(each).and_then(|capabilities| capabilities.drop).unwrap_or_default();
        !dropped.iter().any(|name| name == "ALL")
    };
    let adds = |each: &Each<'_>| {
        let added = of(each).and_then(|capabilities| capabilities.add).unwrap_or_default();
        added.iter().any(|name| name != "NET_BIND_SERVICE")
    };
    let mut wrong = Vec::new();
    if let Some(who) = subject.those(keeps) {
        wrong.push(format!("{who} must set securityContext.capabilities.drop=[\"ALL\"]"));
    }
    if let Some(who) = subject.those(adds) {
        wrong.push(format!("{who} must add no capability but NET_BIND_SERVICE"));
    }
    if !wrong.is_empty() {
        found.push(format!("unrestricted capabilities ({})", wrong.join("; ")));
    }
}

fn check_volumes(subject: &Subject<'_>, found: &mut Vec<String>) {
    let allowed = |volume: &Volume| {
        volume.config_map.is_some()
            || volume.csi.is_some()
            || volume.downward_api.is_some()
            || volume.empty_dir.is_some()
            || volume.ephemeral.is_some()
            || volume.persistent_volume_claim.is_some()
            || volume.projected.is_some()
            || volume.secret.is_some()
            || volume.image.is_some()
    };
    let volumes = subject.spec.volumes.iter().flatten();
    let names: Vec<String> = volumes.filter(|volume| !allowed(volume)).map(|volume| format!("{:?}", volume.name)).collect();
    if !names.is_empty() {
        found.push(format!("restricted volume types ({})", names.join(", ")));
    }
}

fn check_user(subject: &Subject<'_>, version: Version, found: &mut Vec<String>) {
    if version.since(35) && subject.has_own_users() {
        return;
    }
    let own = subject.security().and_then(|security| security.run_as_non_root);
    let rootless = |each: &Each<'_>| each.security.and_then(|security| security.run_as_non_root).or(own) == Some(true);
    // What the pod says as a whole counts where every container keeps silent.
    let pod_allows = own == Some(false);
    if let Some(who) = subject.those(|each| !rootless(each)) {
        found.push(format!("runAsNonRoot != true ({who} must set securityContext.runAsNonRoot=true)"));
    } else if pod_allows {
        found.push("runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)".to_owned());
    }
    if version.since(23) {
        let own = subject.security().and_then(|security| security.run_as_user) == Some(0);
        let theirs = subject.those(|each| each.security.and_then(|security| security.run_as_user) == Some(0));
        if own || theirs.is_some() {
            found.push(format!("runAsUser=0 ({} must not set runAsUser=0)", theirs.unwrap_or_else(|| "pod".to_owned())));
        }
    }
}

fn check_seccomp(subject: &Subject<'_>, found: &mut Vec<String>) {
    let confines = |profile: &SeccompProfile| matches!(profile.type_.as_str(), "RuntimeDefault" | "Localhost");
    let own = subject.security().and_then(|security| security.seccomp_profile.as_ref());
    let loose = |each: &Each<'_>| !each.security.and_then(|s| s.seccomp_profile.as_ref()).or(own).is_some_and(confines);
    let who = subject.those(loose).or_else(|| own.is_some_and(|profile| !confines(profile)).then(|| "pod".to_owned()));
    if let Some(who) = who {
        found.push(format!("seccompProfile ({who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"));
    }
}

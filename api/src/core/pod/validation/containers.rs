//! Containers: regular ones, init containers and sidecars, and the ephemeral ones of debuggers.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, ContainerPort, ContainerRestartRule, EphemeralContainer, PodSpec};
use machinery::field::{Error, Errors, Path};
use machinery::names;

use super::volumes::KnownVolumes;
use super::{env, mounts, probes, resources, security};
use crate::scheduling::resources::is_sidecar;
use crate::validate::{choice, complaints, supported_value, text};

const MOST_EXIT_CODES: usize = 255;
const MOST_RESTART_RULES: usize = 20;

pub(super) fn validate_all(path: &Path, spec: &PodSpec, volumes: &KnownVolumes<'_>) -> Errors {
    let checks = Checks { spec, volumes };
    let mut errors = checks.regular(&path.child("containers"));
    errors.extend(checks.init(&path.child("initContainers")));
    errors.extend(checks.ephemeral(&path.child("ephemeralContainers")));
    errors
}

struct Checks<'a> {
    spec: &'a PodSpec,
    volumes: &'a KnownVolumes<'a>,
}

impl Checks<'_> {
    fn regular(&self, path: &Path) -> Errors {
        let containers = &self.spec.containers;
        if containers.is_empty() {
            return vec![Error::required(path, "")];
        }
        let mut errors = Errors::new();
        let mut seen = BTreeSet::new();
        for (i, container) in containers.iter().enumerate() {
            let at = path.index(i);
            errors.extend(self.common(&at, container));
            if !seen.insert(&container.name) {
                errors.push(Error::duplicate(&at.child("name"), &container.name));
            }
            errors.extend(self.hooks_and_probes(&at, container));
            errors.extend(validate_restarts(&at, container, RulesWithoutPolicy::LookedAt));
        }
        errors.extend(validate_host_ports(path, containers.iter().enumerate()));
        errors
    }

    fn init(&self, path: &Path) -> Errors {
        let mut errors = Errors::new();
        let mut seen: BTreeSet<&str> = self.spec.containers.iter().map(|c| c.name.as_str()).collect();
        for (i, container) in self.spec.init_containers.iter().flatten().enumerate() {
            let at = path.index(i);
            errors.extend(self.common(&at, container));
            errors.extend(validate_restarts(&at, container, RulesWithoutPolicy::NotLookedAt));
            if seen.contains(container.name.as_str()) {
                errors.push(Error::duplicate(&at.child("name"), &container.name));
            } else if !container.name.is_empty() {
                seen.insert(&container.name);
            }
            // Init containers run one after another, so that each may take the same host port.
            errors.extend(validate_host_ports(path, [(i, container)].into_iter()));
            if is_sidecar(container) {
                errors.extend(self.hooks_and_probes(&at, container));
            } else {
                errors.extend(forbidden_for_init(&at, container));
            }
        }
        errors
    }

    fn ephemeral(&self, path: &Path) -> Errors {
        let mut errors = Errors::new();
        let init = self.spec.init_containers.iter().flatten();
        let mut seen: BTreeSet<&str> = self.spec.containers.iter().chain(init).map(|c| c.name.as_str()).collect();
        for (i, debugger) in self.spec.ephemeral_containers.iter().flatten().enumerate() {
            let at = path.index(i);
            errors.extend(self.common(&at, &as_container(debugger)));
            errors.extend(validate_image_is_trimmed(&at, text(&debugger.image)));
            if !seen.insert(&debugger.name) {
                errors.push(Error::duplicate(&at.child("name"), &debugger.name));
            }
            let target = text(&debugger.target_container_name);
            let mut targets = self.spec.containers.iter().chain(self.spec.init_containers.iter().flatten());
            if !target.is_empty() && !targets.any(|c| c.name == target) {
                errors.push(Error::not_found(&at.child("targetContainerName"), target));
            }
            errors.extend(forbidden_for_ephemeral(&at, debugger));
        }
        errors
    }

    /// What holds for containers of every sort.
    fn common(&self, path: &Path, container: &Container) -> Errors {
        let name = path.child("name");
        let mut errors = match container.name.as_str() {
            "" => vec![Error::required(&name, "")],
            given => complaints(&name, given, names::dns1123_label(given, false)),
        };
        if text(&container.image).is_empty() {
            errors.push(Error::required(&path.child("image"), ""));
        }
        let policy = text(&container.termination_message_policy);
        let policies = ["File", "FallbackToLogsOnError"];
        errors.extend(choice(&path.child("terminationMessagePolicy"), policy, &policies));
        errors.extend(validate_ports(&path.child("ports"), container.ports.as_deref().unwrap_or_default()));
        errors.extend(env::validate_env(&path.child("env"), container.env.as_deref().unwrap_or_default()));
        errors.extend(env::validate_env_from(&path.child("envFrom"), container.env_from.as_deref().unwrap_or_default()));
        errors.extend(mounts::validate_mounts(&path.child("volumeMounts"), container, self.volumes));
        errors.extend(mounts::validate_devices(&path.child("volumeDevices"), container, self.volumes));
        let pull_policies = ["Always", "IfNotPresent", "Never"];
        errors.extend(choice(&path.child("imagePullPolicy"), text(&container.image_pull_policy), &pull_policies));
        if let Some(resources) = &container.resources {
            errors.extend(resources::validate_resources(&path.child("resources"), resources));
            errors.extend(resources::validate_claim_references(&path.child("resources"), resources, self.spec));
        }
        errors.extend(self.resize_policy(&path.child("resizePolicy"), container));
        if let Some(context) = &container.security_context {
            errors.extend(security::validate_container(&path.child("securityContext"), context, self.spec));
        }
        errors
    }

    fn hooks_and_probes(&self, path: &Path, container: &Container) -> Errors {
        let grace = self.spec.termination_grace_period_seconds.unwrap_or_default();
        let mut errors = Errors::new();
        if let Some(lifecycle) = &container.lifecycle {
            errors.extend(probes::validate_lifecycle(&path.child("lifecycle"), lifecycle, grace));
        }
        if let Some(probe) = &container.liveness_probe {
            errors.extend(probes::validate_liveness(&path.child("livenessProbe"), probe));
        }
        if let Some(probe) = &container.readiness_probe {
            errors.extend(probes::validate_readiness(&path.child("readinessProbe"), probe));
        }
        if let Some(probe) = &container.startup_probe {
            errors.extend(probes::validate_liveness(&path.child("startupProbe"), probe));
        }
        errors
    }

    fn resize_policy(&self, path: &Path, container: &Container) -> Errors {
        let mut errors = Errors::new();
        let mut seen = BTreeSet::new();
        for (i, policy) in container.resize_policy.iter().flatten().enumerate() {
            if !seen.insert(&policy.resource_name) {
                errors.push(Error::duplicate(&path.index(i), &policy.resource_name));
            }
            errors.extend(choice(path, &policy.resource_name, &["cpu", "memory"]));
            errors.extend(choice(path, &policy.restart_policy, &["NotRequired", "RestartContainer"]));
            if text(&self.spec.restart_policy) == "Never" && policy.restart_policy != "NotRequired" {
                let why = "must be NotRequired in a pod that never restarts";
                errors.push(Error::invalid(path, &policy.restart_policy, why));
            }
        }
        errors
    }
}

pub(super) fn validate_ports(path: &Path, ports: &[ContainerPort]) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let at = path.index(i);
        let name = text(&port.name);
        if !name.is_empty() {
            let wrong = names::port_name(name);
            if wrong.is_empty() && !seen.insert(name) {
                errors.push(Error::duplicate(&at.child("name"), name));
            }
            errors.extend(complaints(&at.child("name"), name, wrong));
        }
        if port.container_port == 0 {
            errors.push(Error::required(&at.child("containerPort"), ""));
        } else {
            errors.extend(port_in_range(&at.child("containerPort"), port.container_port));
        }
        if let Some(host) = port.host_port.filter(|port| *port != 0) {
            errors.extend(port_in_range(&at.child("hostPort"), host));
        }
        errors.extend(choice(&at.child("protocol"), text(&port.protocol), &["TCP", "UDP", "SCTP"]));
    }
    errors
}

pub(super) fn port_in_range(path: &Path, port: i32) -> Errors {
    names::port_number(port).into_iter().map(|why| Error::invalid(path, port, why)).collect()
}

/// Host ports that containers take from each other.
fn validate_host_ports<'a>(path: &Path, containers: impl Iterator<Item = (usize, &'a Container)>) -> Errors {
    let mut errors = Errors::new();
    let mut taken = BTreeSet::new();
    for (i, container) in containers {
        for (j, port) in container.ports.iter().flatten().enumerate() {
            let Some(host) = port.host_port.filter(|port| *port != 0) else { continue };
            let wanted = format!("{}/{}/{host}", text(&port.protocol), text(&port.host_ip));
            let at = path.index(i).child("ports").index(j).child("hostPort");
            if taken.contains(&wanted) {
                errors.push(Error::duplicate(&at, &wanted));
            }
            taken.insert(wanted);
        }
    }
    errors
}

/// Templates have always taken images with blanks around them; pods do not.
pub(super) fn validate_image_is_trimmed(path: &Path, image: &str) -> Errors {
    if image.trim() == image {
        return Errors::new();
    }
    vec![Error::invalid(&path.child("image"), image, "must not have blanks at its ends")]
}

/// Whether restart rules are looked at although the policy that they need is missing.
#[derive(PartialEq)]
enum RulesWithoutPolicy {
    LookedAt,
    NotLookedAt,
}

/// A container's own restart policy and its rules by exit code.
fn validate_restarts(path: &Path, container: &Container, without_policy: RulesWithoutPolicy) -> Errors {
    let mut errors = Errors::new();
    let rules = container.restart_policy_rules.as_deref().unwrap_or_default();
    if let Some(policy) = &container.restart_policy {
        errors.extend(supported_value(&path.child("restartPolicy"), policy, &["Always", "OnFailure", "Never"]));
    } else if !rules.is_empty() {
        errors.push(Error::required(&path.child("restartPolicy"), "must be given where restartPolicyRules are"));
        if without_policy == RulesWithoutPolicy::NotLookedAt {
            return errors;
        }
    }
    let at = path.child("restartPolicyRules");
    if rules.len() > MOST_RESTART_RULES {
        errors.push(Error::too_many(&at, rules.len(), MOST_RESTART_RULES));
    }
    errors.extend(rules.iter().enumerate().flat_map(|(i, rule)| validate_restart_rule(&at.index(i), rule)));
    errors
}

fn validate_restart_rule(path: &Path, rule: &ContainerRestartRule) -> Errors {
    let mut errors = supported_value(&path.child("action"), &rule.action, &["Restart", "RestartAllContainers"]);
    let codes = path.child("exitCodes");
    let Some(exit) = &rule.exit_codes else {
        errors.push(Error::required(&codes, ""));
        return errors;
    };
    errors.extend(supported_value(&codes.child("operator"), &exit.operator, &["In", "NotIn"]));
    let count = exit.values.as_ref().map_or(0, Vec::len);
    if count > MOST_EXIT_CODES {
        errors.push(Error::too_many(&codes.child("values"), count, MOST_EXIT_CODES));
    }
    errors
}

fn forbidden_for_init(path: &Path, container: &Container) -> Errors {
    let mut errors = Errors::new();
    let fields = [
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
    ];
    for (name, _) in fields.iter().filter(|(_, given)| *given) {
        errors.push(Error::forbidden(&path.child(name), "may be set on init containers with restartPolicy Always only"));
    }
    for (i, _) in container.resize_policy.iter().flatten().enumerate().filter(|(_, p)| p.restart_policy == "RestartContainer") {
        let at = path.child("resizePolicy").index(i).child("restartPolicy");
        errors.push(Error::invalid(&at, "RestartContainer", "is for init containers with restartPolicy Always"));
    }
    errors
}

/// The fields of containers that a debugger cannot have.
fn forbidden_for_ephemeral(path: &Path, debugger: &EphemeralContainer) -> Errors {
    let resources = debugger.resources.clone().unwrap_or_default();
    let has = |list: Option<usize>| list.unwrap_or_default() > 0;
    let fields = [
        ("ports", has(debugger.ports.as_ref().map(Vec::len))),
        ("resources", resources != Default::default()),
        ("resizePolicy", has(debugger.resize_policy.as_ref().map(Vec::len))),
        ("restartPolicy", debugger.restart_policy.is_some()),
        ("restartPolicyRules", has(debugger.restart_policy_rules.as_ref().map(Vec::len))),
        ("livenessProbe", debugger.liveness_probe.is_some()),
        ("readinessProbe", debugger.readiness_probe.is_some()),
        ("startupProbe", debugger.startup_probe.is_some()),
        ("lifecycle", debugger.lifecycle.is_some()),
    ];
    let mut errors: Errors = fields
        .iter()
        .filter(|(_, given)| *given)
        .map(|(name, _)| Error::forbidden(&path.child(name), "cannot be set on an ephemeral container"))
        .collect();
    for (i, mount) in debugger.volume_mounts.iter().flatten().enumerate() {
        for (name, value) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
            if !text(value).is_empty() {
                let at = path.child("volumeMounts").index(i).child(name);
                errors.push(Error::forbidden(&at, "cannot be set on an ephemeral container"));
            }
        }
    }
    errors
}

/// The part of an ephemeral container that is like any other.
fn as_container(debugger: &EphemeralContainer) -> Container {
    let debugger = debugger.clone();
    Container {
        name: debugger.name,
        image: debugger.image,
        image_pull_policy: debugger.image_pull_policy,
        termination_message_policy: debugger.termination_message_policy,
        ports: debugger.ports,
        env: debugger.env,
        env_from: debugger.env_from,
        volume_mounts: debugger.volume_mounts,
        volume_devices: debugger.volume_devices,
        resources: debugger.resources,
        resize_policy: debugger.resize_policy,
        security_context: debugger.security_context,
        ..Container::default()
    }
}

//! Probes and lifecycle hooks.

use k8s_openapi::api::core::v1::{ExecAction, GRPCAction, HTTPGetAction, Lifecycle, LifecycleHandler, Probe, SleepAction, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::field::{Error, Errors, Path};
use machinery::names;

use super::containers::port_in_range;
use crate::validate::{choice, complaints, non_negative, required, text};

/// Liveness and startup probes succeed at once or not at all.
pub(super) fn validate_liveness(path: &Path, probe: &Probe) -> Errors {
    let mut errors = validate_probe(path, probe);
    if probe.success_threshold.unwrap_or_default() != 1 {
        errors.push(Error::invalid(&path.child("successThreshold"), probe.success_threshold.unwrap_or_default(), "must be 1"));
    }
    errors
}

/// Readiness probes end nothing, so that they have no grace period.
pub(super) fn validate_readiness(path: &Path, probe: &Probe) -> Errors {
    let mut errors = validate_probe(path, probe);
    if let Some(seconds) = probe.termination_grace_period_seconds {
        let at = path.child("terminationGracePeriodSeconds");
        errors.push(Error::invalid(&at, seconds, "must not be set on readiness probes"));
    }
    errors
}

fn validate_probe(path: &Path, probe: &Probe) -> Errors {
    let actions = Actions {
        exec: probe.exec.as_ref(),
        http_get: probe.http_get.as_ref(),
        tcp_socket: probe.tcp_socket.as_ref(),
        grpc: probe.grpc.as_ref(),
        sleep: None,
    };
    let mut errors = actions.validate(path, 0);
    for (field, value) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        errors.extend(non_negative(&path.child(field), value.unwrap_or_default().into()));
    }
    // What a readiness probe may not have at all is reported once.
    if let Some(seconds) = probe.termination_grace_period_seconds.filter(|seconds| *seconds <= 0) {
        errors.push(Error::invalid(&path.child("terminationGracePeriodSeconds"), seconds, "must be greater than 0"));
    }
    errors
}

/// The signal that stops a container is not looked at: that field is dropped before.
pub(super) fn validate_lifecycle(path: &Path, lifecycle: &Lifecycle, grace_seconds: i64) -> Errors {
    let mut errors = Errors::new();
    for (field, handler) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
        if let Some(handler) = handler {
            errors.extend(Actions::of(handler).validate(&path.child(field), grace_seconds));
        }
    }
    errors
}

/// What a probe or a hook does; it has to be one thing.
struct Actions<'a> {
    exec: Option<&'a ExecAction>,
    http_get: Option<&'a HTTPGetAction>,
    tcp_socket: Option<&'a TCPSocketAction>,
    grpc: Option<&'a GRPCAction>,
    sleep: Option<&'a SleepAction>,
}

impl<'a> Actions<'a> {
    fn of(handler: &'a LifecycleHandler) -> Self {
        Self {
            exec: handler.exec.as_ref(),
            http_get: handler.http_get.as_ref(),
            tcp_socket: handler.tcp_socket.as_ref(),
            grpc: None,
            sleep: handler.sleep.as_ref(),
        }
    }

    fn validate(&self, path: &Path, grace_seconds: i64) -> Errors {
        let given = [
            ("exec", self.exec.map(|a| validate_exec(&path.child("exec"), a))),
            ("httpGet", self.http_get.map(|a| validate_http_get(&path.child("httpGet"), a))),
            ("tcpSocket", self.tcp_socket.map(|a| validate_port(&path.child("tcpSocket").child("port"), &a.port))),
            ("grpc", self.grpc.map(|a| port_in_range(&path.child("grpc").child("port"), a.port))),
            ("sleep", self.sleep.map(|a| validate_sleep(&path.child("sleep"), a, grace_seconds))),
        ];
        let mut given = given.into_iter().filter_map(|(name, errors)| Some((name, errors?)));
        let Some((_, mut errors)) = given.next() else { return vec![Error::required(path, "must name an action")] };
        errors.extend(given.map(|(name, _)| Error::forbidden(&path.child(name), "may not name more than one action")));
        errors
    }
}

fn validate_exec(path: &Path, action: &ExecAction) -> Errors {
    match action.command.as_deref() {
        None | Some([]) => vec![Error::required(&path.child("command"), "")],
        Some(_) => Errors::new(),
    }
}

fn validate_http_get(path: &Path, action: &HTTPGetAction) -> Errors {
    let mut errors = required(&path.child("path"), text(&action.path));
    errors.extend(validate_port(&path.child("port"), &action.port));
    errors.extend(choice(&path.child("scheme"), text(&action.scheme), &["HTTP", "HTTPS"]));
    for header in action.http_headers.iter().flatten() {
        errors.extend(complaints(&path.child("httpHeaders"), &header.name, names::http_header_name(&header.name)));
    }
    errors
}

fn validate_port(path: &Path, port: &IntOrString) -> Errors {
    match port {
        IntOrString::Int(number) => port_in_range(path, *number),
        IntOrString::String(name) => complaints(path, name, names::port_name(name)),
    }
}

fn validate_sleep(path: &Path, action: &SleepAction, grace_seconds: i64) -> Errors {
    if (0..=grace_seconds).contains(&action.seconds) {
        return Errors::new();
    }
    let why = format!("must be between 0 and terminationGracePeriodSeconds ({grace_seconds})");
    vec![Error::invalid(path, action.seconds, why)]
}

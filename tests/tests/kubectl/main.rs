//! The real kubectl against control planes of every shape. Debian's (1.20) and today's both pass: what only a newer
//! one knows is asked for by version.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cluster;
mod commands;
mod custom_resources;
mod deletion;
mod looking;
mod reading;
mod rollouts;
mod workloads;
mod writing;

use std::process::ExitCode;

use kybern_tests::cluster::Shape;
use kybern_tests::suite;

fn main() -> ExitCode {
    suite::main(
        &[Shape::Embedded, Shape::Etcd, Shape::Processes],
        &[
            ("get_in_every_output", reading::get_in_every_output),
            ("get_by_selectors_and_chunks", reading::get_by_selectors_and_chunks),
            ("get_watch", reading::get_watch),
            ("describe", reading::describe),
            ("events", reading::events),
            ("create_every_generator", writing::create_every_generator),
            ("apply_and_prune_fields", writing::apply_and_prune_fields),
            ("apply_on_the_server", writing::apply_on_the_server),
            ("edit_label_annotate", writing::edit_label_annotate),
            ("patch_in_every_type", writing::patch_in_every_type),
            ("replace_and_conflicts", writing::replace_and_conflicts),
            ("diff", writing::diff),
            ("validation_refuses", writing::validation_refuses),
            ("rollout_of_a_deployment", rollouts::deployment),
            ("rollout_pause_and_scale", rollouts::pause_and_scale),
            ("rollout_of_a_statefulset", rollouts::stateful_set),
            ("rollout_of_a_daemonset", rollouts::daemon_set),
            ("rollout_that_fails", rollouts::failing),
            ("delete_in_the_background", deletion::background),
            ("delete_in_the_foreground", deletion::foreground),
            ("delete_and_orphan", deletion::orphan),
            ("delete_many", deletion::many),
            ("delete_a_namespace", deletion::namespace),
            ("finalizers_hold", deletion::finalizers),
            ("run_expose_and_endpoints", workloads::run_expose_and_endpoints),
            ("jobs", workloads::jobs),
            ("failing_job", workloads::failing_job),
            ("wait", workloads::wait),
            ("the_shop", workloads::the_shop),
            ("logs", looking::logs),
            ("logs_follow", looking::logs_follow),
            ("logs_of_former_lives", looking::logs_of_former_lives),
            ("exec", looking::exec),
            ("attach", looking::attach),
            ("port_forward_and_proxy", looking::port_forward_and_proxy),
            ("life_of_a_definition", custom_resources::life_of_a_definition),
            ("set_every_part", commands::set_every_part),
            ("certificates", commands::certificates),
            ("rights_and_tokens", commands::rights_and_tokens),
            ("kustomize_and_prune", commands::kustomize_and_prune),
            ("debug", commands::debug),
            ("warnings_and_waits", commands::warnings_and_waits),
            ("every_kind", commands::every_kind),
            ("explain", cluster::explain),
            ("api_resources_and_versions", cluster::api_resources_and_versions),
            ("auth", cluster::auth),
            ("cordon_drain_taint", cluster::cordon_drain_taint),
            ("drain_heeds_budgets", cluster::drain_heeds_budgets),
        ],
    )
}

/// A Deployment whose pods stop at once.
fn deployment(name: &str, replicas: u32, image: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: {image}
        ports: [{{containerPort: 8080, name: http}}]
"
    )
}

/// A ConfigMap with one entry.
fn config_map(name: &str, key: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{{key}: {value}}}\n")
}

//! What must not be lost: by kills, restarts, an etcd that is away, a full disk; and what must be said clearly.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod data;
mod endings;
mod kills;
mod outages;
mod starts;

use std::process::ExitCode;

use kybern_tests::cluster::Cluster;
use kybern_tests::suite;

fn main() -> ExitCode {
    // Those that wait longest come first.
    suite::own(&[
        ("etcd_killed_under_many_processes", outages::etcd_killed_under_many_processes),
        ("etcd_killed_for_ten_seconds", outages::etcd_killed_for_ten_seconds),
        ("etcd_frozen_for_ten_seconds", outages::etcd_frozen_for_ten_seconds),
        ("kills_lose_nothing_on_the_embedded_store", kills::on_the_embedded_store),
        ("kills_lose_nothing_on_etcd", kills::on_etcd),
        ("kills_of_many_processes_lose_nothing", kills::of_many_processes),
        ("kills_of_the_api_server_alone_are_got_over", kills::of_the_api_server_alone),
        ("a_signal_ends_one_process_in_order", endings::one_process),
        ("a_signal_ends_every_service_in_order", endings::every_service),
        ("a_second_signal_aborts", endings::second_signal),
        ("what_cannot_start_says_why", starts::impossible),
        ("descriptors_run_out_and_come_back", starts::out_of_descriptors),
        ("a_second_process_on_the_same_data_is_refused", data::second_process),
        ("corrupt_data_is_told_of", data::corrupt),
        ("a_full_disk_refuses_writes_and_loses_nothing", data::full_disk),
    ])
}

/// Brings a Deployment to so many ready pods: the scheduler, the controllers and the nodes all do their part.
#[track_caller]
fn deploy(cluster: &Cluster, replicas: u32) {
    let kubectl = &cluster.kubectl;
    if !kubectl.run(&["get", "deployment", "web"]).status.success() {
        kubectl.ok(&["create", "deployment", "web", "--image=registry.example/web:1"]);
    }
    kubectl.ok(&["scale", "deployment", "web", &format!("--replicas={replicas}")]);
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    kubectl.wait_value("deployment/web", ".status.readyReplicas", &replicas.to_string());
}

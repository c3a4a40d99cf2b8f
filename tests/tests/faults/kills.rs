//! The control plane is killed while clients write to it.

use kybern_tests::cluster::{Cluster, Shape};
use kybern_tests::load::{Load, assert_kept};

use crate::deploy;

/// Kills the control plane after so many writes, once for each number.
fn survives(shape: Shape, moments: &[usize]) {
    let mut cluster = Cluster::start(shape);
    let http = cluster.http();
    deploy(&cluster, 2);
    for (round, writes) in moments.iter().enumerate() {
        let load = Load::start(&http, &format!("round{round}"));
        let replicas = u32::try_from(round).unwrap() + 3;
        cluster.kubectl.ok(&["scale", "deployment", "web", &format!("--replicas={replicas}")]);
        load.wait_for_more(*writes);
        cluster.crash();
        let seen = load.end();
        cluster.restart();
        assert_kept(&http, &seen);
        // Controllers and nodes go on where they were.
        deploy(&cluster, replicas);
    }
}

/// The other services find their way back to a new API server by themselves.
pub fn of_the_api_server_alone() {
    let mut cluster = Cluster::start(Shape::Processes);
    let http = cluster.http();
    deploy(&cluster, 2);
    for round in 0..3 {
        let load = Load::start(&http, &format!("alone{round}"));
        load.wait_for_more(30);
        cluster.replace_api_server();
        let seen = load.end();
        assert_kept(&http, &seen);
        deploy(&cluster, round + 3);
        // Nobody else ended.
        cluster.assert_alive();
    }
    let ready = cluster.kubectl.ok(&["get", "nodes", "--no-headers"]);
    assert_eq!(ready.matches(" Ready ").count(), 3, "{ready}");
}

pub fn on_the_embedded_store() {
    survives(Shape::Embedded, &[1, 60, 300]);
}

pub fn on_etcd() {
    survives(Shape::Etcd, &[1, 150]);
}

pub fn of_many_processes() {
    survives(Shape::Processes, &[100]);
}

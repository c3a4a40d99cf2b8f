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

pub fn on_the_embedded_store() {
    survives(Shape::Embedded, &[1, 60, 300]);
}

pub fn on_etcd() {
    survives(Shape::Etcd, &[1, 150]);
}

pub fn of_many_processes() {
    survives(Shape::Processes, &[100]);
}

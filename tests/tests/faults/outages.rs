//! etcd is away for a while: clients are told, nothing is lost, and everything goes on by itself.

use std::time::Duration;

use kybern_tests::cluster::{Cluster, Shape};
use kybern_tests::etcd::Etcd;
use kybern_tests::load::{Load, MAPS, assert_kept, config_map};
use kybern_tests::wait_for;

use crate::deploy;

fn outage(shape: Shape, away: fn(&mut Etcd), back: fn(&mut Etcd)) {
    let mut cluster = Cluster::start(shape);
    let (http, pid) = (cluster.http(), cluster.pid());
    deploy(&cluster, 2);
    let log = cluster.dir().join("watch.log");
    let watch = cluster.kubectl.start(&["get", "configmaps", "-w", "-o", "name"], &log);
    let load = Load::start(&http, "away");
    load.wait_for_more(20);
    wait_for("the watch to stand", || if watch.output().is_empty() { Err(String::new()) } else { Ok(()) });

    away(cluster.etcd.as_mut().unwrap());
    let refused = wait_for("writes to fail", || match http.post(MAPS, &config_map("meanwhile", "meanwhile")) {
        Ok(answer) if answer.code >= 500 => Ok(answer),
        other => Err(format!("{other:?}")),
    });
    assert!(refused.json()["message"].as_str().unwrap().contains("etcd"), "{}", refused.text());
    // A read that must be up to date cannot be; one that need not be is served from memory.
    let read = http.get(MAPS).unwrap();
    assert!(read.code >= 500 && read.json()["kind"] == "Status", "{read:?}");
    assert_eq!(http.get(&format!("{MAPS}?resourceVersion=0")).unwrap().code, 200);
    // The length of the outage is what is tested here.
    std::thread::sleep(Duration::from_secs(10));
    // As in Kubernetes, a leader that could not renew its lease ends, and its service manager starts it again.
    let leaders = if shape == Shape::Processes { 2 } else { 0 };
    let mut lost = Vec::new();
    wait_for("the leaders to give up", || {
        lost.append(&mut cluster.restart_failed());
        if lost.len() == leaders { Ok(()) } else { Err(format!("{lost:?}")) }
    });
    assert!(lost.iter().all(|last| last.contains("lost the lease")), "{lost:?}");
    back(cluster.etcd.as_mut().unwrap());

    load.wait_for_more(20);
    let seen = load.end();
    assert_eq!(seen.unanswered, 0, "the server was there all the time");
    assert!(!seen.failures.is_empty());
    assert_kept(&http, &seen);
    deploy(&cluster, 4);
    cluster.kubectl.ok(&["create", "configmap", "after-all"]);
    wait_for("the watch to go on", || if watch.output().contains("after-all") { Ok(()) } else { Err(watch.output()) });
    assert_eq!(cluster.pid(), pid);
}

pub fn etcd_killed_for_ten_seconds() {
    outage(Shape::Etcd, Etcd::stop, Etcd::resume);
}

pub fn etcd_frozen_for_ten_seconds() {
    outage(Shape::Etcd, |etcd| etcd.freeze(true), |etcd| etcd.freeze(false));
}

pub fn etcd_killed_under_many_processes() {
    outage(Shape::Processes, Etcd::stop, Etcd::resume);
}

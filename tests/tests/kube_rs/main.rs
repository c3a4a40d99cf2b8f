//! kube-rs, a client and controller runtime that nobody here wrote, used as its documentation shows.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod controlling;
mod pods;
mod protobuf;
mod watching;
mod writing;

use std::process::ExitCode;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Error};
use kybern_tests::PATIENCE;
use kybern_tests::cluster::{Cluster, Shape};
use kybern_tests::suite::{self, Check};

fn main() -> ExitCode {
    let checks: &[(&str, Check)] = &[
        ("write_in_every_way", |c| run(c, "kube-writing", writing::write_in_every_way)),
        ("apply_and_conflict", |c| run(c, "kube-applying", writing::apply_and_conflict)),
        ("discover_kinds", |c| run(c, "kube-discovery", writing::discover_kinds)),
        ("reflect_listed_and_streamed", |c| run(c, "kube-watching", watching::reflect)),
        ("watch_for_a_second", |c| run(c, "kube-timeout", watching::watch_for_a_second)),
        ("control_children", |c| run(c, "kube-controller", controlling::control_children)),
        ("speak_protobuf", |c| run(c, "protobuf", protobuf::speak_protobuf)),
        ("deploy_in_protobuf", |c| run(c, "protobuf-deployment", protobuf::deploy_in_protobuf)),
        ("evict_within_a_budget", |c| run(c, "kube-eviction", pods::evict_within_a_budget)),
    ];
    suite::main(&[Shape::Embedded], checks)
}

/// Runs a check with a client whose default namespace is its own.
fn run(cluster: &Cluster, namespace: &str, check: impl AsyncFnOnce(Client)) {
    let kubectl = cluster.kubectl.in_namespace(namespace);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let kubeconfig = Kubeconfig::read_from(kubectl.kubeconfig()).unwrap();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        namespace.clone_into(&mut config.default_namespace);
        // A refusal is to be seen, not tried again for a minute.
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        tokio::time::timeout(PATIENCE, check(client)).await.expect("an end within a minute and a half");
    });
}

/// The code of an error that the server answered.
fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> u16 {
    match result {
        Err(Error::Api(status)) => status.code,
        other => panic!("{other:?}"),
    }
}

/// Waits until something holds of what another task keeps up to date.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited for {what}"));
}

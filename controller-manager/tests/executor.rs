//! The whole of the controller manager against a server in memory: what is asked for comes about.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use client::memory::Memory;
use client::{Api, Selection, Transport};
use controller_manager::Options;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use machinery::NamespacedName;
use runtime::CancellationToken;

/// Waits for a condition, and fails where it does not come about.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let waiting = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("{what} does not come about"))
}

fn deployment(replicas: i32) -> Deployment {
    serde_json::from_value(serde_json::json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_gets_its_pods_and_loses_them() {
    let server: Arc<dyn Transport> = Arc::new(Memory::default());
    let shutdown = CancellationToken::new();
    let options = Options { controllers: vec!["deployment-controller".into(), "replicaset-controller".into()], ..Options::default() };
    let running = tokio::spawn(controller_manager::run(server.clone().into(), options, runtime::Metrics::default(), shutdown.clone()));

    let (deployments, pods) = (Api::<Deployment>::new(server.clone(), "test"), Api::<Pod>::new(server.clone(), "test"));
    deployments.create(deployment(1200)).await.unwrap();
    let count = |wanted: usize| {
        let pods = pods.clone();
        move || {
            let pods = pods.clone();
            async move { (pods.list(&Selection::all()).await.unwrap().1.len() == wanted).then_some(()) }
        }
    };
    until("a pod for each replica", count(1200)).await;

    let key = NamespacedName::new("default", "web");
    let status = until("the status", || async {
        let status = deployments.get(&key).await.unwrap().status.clone();
        status.filter(|status| status.replicas == Some(1200))
    })
    .await;
    assert_eq!(status.updated_replicas, Some(1200));

    until("an update that is not stale", || async {
        let mut present = (*deployments.get(&key).await.unwrap()).clone();
        present.spec.as_mut().unwrap().replicas = Some(3);
        deployments.update(present).await.ok()
    })
    .await;
    until("no more pods than replicas", count(3)).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

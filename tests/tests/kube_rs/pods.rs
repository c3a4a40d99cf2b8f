//! Pods: waiting for them, evicting them, and tending the nodes below them.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, EvictParams, ListParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::{code, until};

pub async fn evict_within_a_budget(client: Client) {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(client.clone());
    let web = json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": "registry.example/web:1"}]},
            },
        },
    });
    deployments.create(&PostParams::default(), &serde_json::from_value(web).unwrap()).await.unwrap();
    await_condition(deployments.clone(), "web", conditions::is_deployment_completed()).await.unwrap();
    let budget = json!({
        "metadata": {"name": "web"}, "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
    });
    budgets.create(&PostParams::default(), &serde_json::from_value(budget).unwrap()).await.unwrap();
    let counted = async || budgets.get("web").await.unwrap().status.is_some_and(|status| status.current_healthy == Some(2));
    until("the budget to be counted", counted).await;

    let plain = EvictParams::default();
    let first = pods.list(&ListParams::default().labels("app=web")).await.unwrap().items.remove(0);
    let (name, uid) = (first.name_any(), first.uid().unwrap());
    assert_eq!(code(pods.evict(&name, &plain).await), 429);
    budgets.delete("web", &Default::default()).await.unwrap();
    let gone = conditions::is_deleted(&uid);
    let (waited, evicted) = tokio::join!(await_condition(pods.clone(), &name, gone), pods.evict(&name, &plain));
    assert!(evicted.unwrap().is_success());
    waited.unwrap();
    let running = async || {
        let list = pods.list(&ListParams::default().labels("app=web").fields("status.phase=Running")).await.unwrap();
        list.items.len() == 2 && list.items.iter().all(|pod| pod.name_any() != name)
    };
    until("a successor", running).await;

    let nodes: Api<Node> = Api::all(client);
    let node = nodes.list(&ListParams::default().limit(1)).await.unwrap().items.remove(0).name_any();
    assert_eq!(nodes.cordon(&node).await.unwrap().spec.unwrap().unschedulable, Some(true));
    assert_eq!(nodes.uncordon(&node).await.unwrap().spec.unwrap().unschedulable, None);
}

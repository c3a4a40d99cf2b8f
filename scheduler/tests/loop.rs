//! The whole loop against an API server in memory: pods are bound, the others are told why not, and whatever fails is
//! tried again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use client::memory::Memory;
use client::transport::{Body, DeleteOptions, Patch, Target, WriteOptions};
use client::{Api, Transport};
use k8s_openapi::api::core::v1::Pod;
use machinery::{GroupVersionResource, NamespacedName};
use scheduler::Options;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

struct Cluster {
    memory: Memory,
    pods: Api<Pod>,
    _stop: DropGuard,
}

fn resource(name: &'static str) -> GroupVersionResource {
    GroupVersionResource::new("", "v1", name)
}

impl Cluster {
    fn start() -> Self {
        let memory = Memory::default();
        let stop = CancellationToken::new();
        let transport: Arc<dyn Transport> = Arc::new(memory.clone());
        let options = Options { seed: Some(7), ..Options::default() };
        tokio::spawn(scheduler::run(transport.clone(), options, runtime::Metrics::default(), stop.clone()));
        Self { memory, pods: Api::new(transport, "test"), _stop: stop.drop_guard() }
    }

    async fn create(&self, resource_name: &'static str, namespace: &str, object: Value) {
        let target = Target { resource: resource(resource_name), subresource: None, namespace: namespace.to_owned(), name: String::new() };
        let body = Body::Json(object.to_string().into());
        self.memory.create(target, body, WriteOptions::default()).await.unwrap();
    }

    async fn node(&self, name: &str, cpu: &str) {
        let allocatable = json!({"cpu": cpu, "memory": "8Gi", "pods": "110"});
        self.create("nodes", "", json!({"metadata": {"name": name}, "status": {"allocatable": allocatable}})).await;
    }

    async fn pod(&self, name: &str, cpu: &str, more: Value) {
        let mut pod = json!({
            "metadata": {"namespace": "shop", "name": name},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
            "status": {"phase": "Pending"},
        });
        for (field, value) in more.as_object().unwrap() {
            pod["spec"][field] = value.clone();
        }
        self.create("pods", "shop", pod).await;
    }

    async fn node_of(&self, name: &str) -> String {
        let pod = self.memory.wait_for(&resource("pods"), name, |pod| pod["spec"]["nodeName"].is_string()).await;
        pod["spec"]["nodeName"].as_str().unwrap().to_owned()
    }

    /// The reason and message of the pod's condition, once it has that reason.
    async fn condition(&self, name: &str, reason: &str) -> String {
        let pod = self.memory.wait_for(&resource("pods"), name, |pod| pod["status"]["conditions"][0]["reason"] == reason).await;
        let condition = &pod["status"]["conditions"][0];
        assert_eq!((condition["type"].as_str(), condition["status"].as_str()), (Some("PodScheduled"), Some("False")));
        condition["message"].as_str().unwrap().to_owned()
    }

    async fn delete(&self, name: &str) {
        let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
        self.pods.delete(&NamespacedName::new("shop", name), options).await.unwrap();
    }

    /// Waits for an event of the reason, and returns its message.
    async fn event(&self, about: &str, reason: &str) -> String {
        loop {
            let request = client::transport::ListRequest {
                resource: resource("events"),
                namespace: "shop".to_owned(),
                label_selector: String::new(),
                field_selector: format!("involvedObject.name={about},reason={reason}"),
                resource_version: None,
                limit: 0,
                continue_token: String::new(),
            };
            let found = self.memory.list(request).await.unwrap().items.into_iter().next();
            if let Some(json) = found.and_then(|item| item.json) {
                let event: Value = serde_json::from_slice(&json).unwrap();
                return event["message"].as_str().unwrap().to_owned();
            }
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pods_are_bound_and_told_of() {
    let cluster = Cluster::start();
    for name in ["a", "b", "c"] {
        cluster.node(name, "4").await;
    }
    for i in 0..12 {
        cluster.pod(&format!("p{i}"), "1", json!({})).await;
    }
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for i in 0..12 {
        *counts.entry(cluster.node_of(&format!("p{i}")).await).or_default() += 1;
    }
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [4, 4, 4]);
    let node = cluster.node_of("p0").await;
    assert_eq!(cluster.event("p0", "Scheduled").await, format!("Successfully assigned shop/p0 to {node}"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fits_nowhere_is_told_why_and_goes_where_room_is_made() {
    let cluster = Cluster::start();
    cluster.node("a", "1").await;
    cluster.pod("first", "1", json!({})).await;
    assert_eq!(cluster.node_of("first").await, "a");
    cluster.pod("second", "1", json!({})).await;
    let message = cluster.condition("second", "Unschedulable").await;
    assert!(message.starts_with("0/1 nodes are available: 1 Insufficient cpu."), "{message}");
    assert_eq!(cluster.event("second", "FailedScheduling").await, message);
    cluster.delete("first").await;
    assert_eq!(cluster.node_of("second").await, "a");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_grows_takes_the_pod() {
    let cluster = Cluster::start();
    cluster.node("a", "1").await;
    cluster.pod("p", "2", json!({})).await;
    cluster.condition("p", "Unschedulable").await;
    let target = Target { resource: resource("nodes"), subresource: None, namespace: String::new(), name: "a".to_owned() };
    let patch = json!({"status": {"allocatable": {"cpu": "3"}}}).to_string();
    cluster.memory.patch(target, Patch::Merge(patch.into()), WriteOptions::default()).await.unwrap();
    assert_eq!(cluster.node_of("p").await, "a");
}

#[tokio::test(start_paused = true)]
async fn a_failed_binding_is_tried_again() {
    let cluster = Cluster::start();
    cluster.node("a", "1").await;
    cluster.pod("blocker", "1", json!({})).await;
    cluster.node_of("blocker").await;
    cluster.pod("p", "1", json!({})).await;
    cluster.condition("p", "Unschedulable").await;
    cluster.delete("blocker").await;
    // Whatever is written next: the binding, an event, a condition.
    cluster.memory.fail_writes(2);
    assert_eq!(cluster.node_of("p").await, "a");
}

#[tokio::test(start_paused = true)]
async fn gates_and_other_schedulers_pods_wait() {
    let cluster = Cluster::start();
    cluster.node("a", "4").await;
    cluster.pod("gated", "1", json!({"schedulingGates": [{"name": "one"}]})).await;
    cluster.pod("others", "1", json!({"schedulerName": "other"})).await;
    cluster.condition("gated", "SchedulingGated").await;
    cluster.pod("plain", "1", json!({})).await;
    cluster.node_of("plain").await;
    let key = NamespacedName::new("shop", "gated");
    assert!(cluster.pods.get(&key).await.unwrap().spec.as_ref().unwrap().node_name.is_none());
    cluster.pods.patch(&key, Patch::Merge(json!({"spec": {"schedulingGates": null}}).to_string().into())).await.unwrap();
    assert_eq!(cluster.node_of("gated").await, "a");
    let others = cluster.pods.get(&NamespacedName::new("shop", "others")).await.unwrap();
    assert!(others.spec.as_ref().unwrap().node_name.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_more_important_pod_takes_the_place_of_another() {
    let cluster = Cluster::start();
    cluster.node("a", "1").await;
    cluster.pod("low", "1", json!({})).await;
    cluster.node_of("low").await;
    cluster.pod("vip", "1", json!({"priority": 100})).await;
    let low = cluster.memory.wait_for(&resource("pods"), "low", |pod| pod["metadata"]["deletionTimestamp"].is_string()).await;
    assert_eq!(low["status"]["conditions"][0]["reason"], "PreemptionByScheduler");
    let vip = cluster.memory.wait_for(&resource("pods"), "vip", |pod| pod["status"]["nominatedNodeName"] == "a").await;
    assert_eq!(cluster.event("low", "Preempted").await, format!("Preempted by pod {} on node a", vip["metadata"]["uid"].as_str().unwrap()));
    cluster.delete("low").await;
    assert_eq!(cluster.node_of("vip").await, "a");
}

#[tokio::test(start_paused = true)]
async fn a_broken_watch_loses_nothing() {
    let cluster = Cluster::start();
    cluster.node("a", "2").await;
    cluster.pod("p", "1", json!({})).await;
    cluster.node_of("p").await;
    cluster.memory.break_watches();
    cluster.memory.forget_history();
    cluster.pod("q", "1", json!({})).await;
    cluster.pod("r", "1", json!({})).await;
    cluster
        .memory
        .wait_for(&resource("pods"), "q", |pod| !pod["spec"]["nodeName"].is_null() || !pod["status"]["conditions"].is_null())
        .await;
    cluster
        .memory
        .wait_for(&resource("pods"), "r", |pod| !pod["spec"]["nodeName"].is_null() || !pod["status"]["conditions"].is_null())
        .await;
    let bound =
        async |name: &str| cluster.pods.get(&NamespacedName::new("shop", name)).await.unwrap().spec.as_ref().unwrap().node_name.is_some();
    assert!(bound("q").await != bound("r").await, "there is room for one of the two");
}

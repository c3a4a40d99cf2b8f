//! The whole kubelet against an API server in memory, under a clock that runs as fast as the test does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use client::Api;
use client::memory::Memory;
use client::transport::DeleteOptions;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kubelet::Options;
use machinery::{GroupVersionResource, NamespacedName};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

struct Cluster {
    memory: Memory,
    pods: Api<Pod>,
    clock: kubelet::Clock,
    stop: Option<DropGuard>,
}

fn resource(name: &'static str) -> GroupVersionResource {
    GroupVersionResource::new("", "v1", name)
}

async fn cluster(nodes: usize) -> Cluster {
    let (wall, begun) = (Timestamp::now(), Instant::now());
    let clock: kubelet::Clock = Arc::new(move || wall + SignedDuration::try_from(begun.elapsed()).unwrap());
    let memory = Memory::default();
    let pods = Api::new(Arc::new(memory.clone()), "test");
    let mut cluster = Cluster { memory, pods, clock, stop: None };
    cluster.start(nodes);
    cluster.memory.wait_for(&resource("nodes"), &format!("node-{nodes}"), |_| true).await;
    cluster
}

impl Cluster {
    fn start(&mut self, nodes: usize) {
        let names = (1..=nodes).map(|number| format!("node-{number}"));
        let options = Options { clock: self.clock.clone(), ..Options::simulated(names) };
        let stop = CancellationToken::new();
        tokio::spawn(kubelet::run(Arc::new(self.memory.clone()), options, None, stop.clone()));
        self.stop = Some(stop.drop_guard());
    }

    async fn create(&self, name: &str, node: &str, spec: Value, annotations: Value) {
        let mut spec = spec;
        spec["nodeName"] = json!(node);
        if spec["containers"].is_null() {
            spec["containers"] = json!([{ "name": "main", "image": "nginx" }]);
        }
        let pod = json!({ "metadata": { "name": name, "namespace": "shop", "annotations": annotations }, "spec": spec });
        self.pods.create(serde_json::from_value(pod).unwrap()).await.unwrap();
    }

    async fn until(&self, name: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let waited = tokio::time::timeout(Duration::from_secs(3600), self.memory.wait_for(&resource("pods"), name, condition)).await;
        match waited {
            Ok(pod) => pod,
            Err(_) => panic!("{name} did not get there: {:#}", self.memory.wait_for(&resource("pods"), name, |_| true).await["status"]),
        }
    }

    async fn phase(&self, name: &str, phase: &str) -> Value {
        self.until(name, |pod| pod["status"]["phase"] == phase).await
    }
}

fn condition<'a>(object: &'a Value, name: &str) -> &'a Value {
    object["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == name).unwrap()
}

fn main_status(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

#[tokio::test(start_paused = true)]
async fn a_node_registers_and_stays_alive() {
    let cluster = cluster(2).await;
    let node = cluster.memory.wait_for(&resource("nodes"), "node-2", |_| true).await;
    assert_eq!(condition(&node, "Ready")["status"], "True");
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "node-2");
    assert_eq!(node["status"]["capacity"]["pods"], "110");
    let leases = GroupVersionResource::new("coordination.k8s.io", "v1", "leases");
    let first = cluster.memory.wait_for(&leases, "node-2", |_| true).await;
    assert_eq!(first["metadata"]["ownerReferences"][0]["uid"], node["metadata"]["uid"]);
    let begun = Instant::now();
    cluster.memory.wait_for(&leases, "node-2", |lease| lease["spec"]["renewTime"] != first["spec"]["renewTime"]).await;
    assert!(begun.elapsed() <= Duration::from_secs(11));

    // Somebody found the node dead: it says at once that it is not.
    let mut dead = node.clone();
    dead["status"]["conditions"][3]["status"] = json!("Unknown");
    let nodes = Api::<k8s_openapi::api::core::v1::Node>::new(Arc::new(cluster.memory.clone()), "test");
    nodes.update_status(serde_json::from_value(dead).unwrap()).await.unwrap();
    let begun = Instant::now();
    cluster.memory.wait_for(&resource("nodes"), "node-2", |node| condition(node, "Ready")["status"] == "True").await;
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_pod_runs_and_is_told_of_in_full() {
    let cluster = cluster(1).await;
    cluster.create("web", "node-1", json!({}), json!({})).await;
    let pod = cluster.phase("web", "Running").await;
    let status = &pod["status"];
    for name in ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"] {
        assert_eq!(condition(&pod, name)["status"], "True", "{name}");
        assert_eq!(condition(&pod, name)["observedGeneration"], 1);
    }
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!(status["podIP"], status["podIPs"][0]["ip"]);
    assert!(status["hostIP"].is_string() && status["startTime"].is_string());
    let container = main_status(&pod);
    assert_eq!((&container["ready"], &container["started"], &container["restartCount"]), (&json!(true), &json!(true), &json!(0)));
    assert!(container["containerID"].as_str().unwrap().starts_with("simulated://"));
    assert!(container["state"]["running"]["startedAt"].is_string());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_ends_in_a_moment_and_is_then_gone() {
    let cluster = cluster(1).await;
    cluster.create("web", "node-1", json!({}), json!({})).await;
    cluster.phase("web", "Running").await;
    cluster.pods.delete(&NamespacedName::new("shop", "web"), DeleteOptions::default()).await.unwrap();
    let begun = Instant::now();
    cluster.memory.wait_gone(&resource("pods"), "web").await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn commands_and_annotations_say_how_a_pod_ends() {
    let cluster = cluster(3).await;
    let script = |script: &str| json!({ "restartPolicy": "Never", "containers": [{ "name": "main", "image": "busybox", "command": ["sh", "-c", script] }] });
    cluster.create("good", "node-1", script("sleep 20"), json!({})).await;
    cluster.create("bad", "node-2", script("sleep 1; exit 3"), json!({})).await;
    let annotations = json!({ "simulated.kybern.dev/run-time": "5s", "simulated.kybern.dev/start-delay": "2s" });
    cluster.create("told", "node-3", json!({ "restartPolicy": "OnFailure" }), annotations).await;
    let begun = Instant::now();
    let bad = cluster.phase("bad", "Failed").await;
    assert_eq!(main_status(&bad)["state"]["terminated"]["exitCode"], 3);
    cluster.phase("told", "Running").await;
    let told = cluster.phase("told", "Succeeded").await;
    assert_eq!(condition(&told, "Ready")["reason"], "PodCompleted");
    assert!(begun.elapsed() < Duration::from_secs(8));
    cluster.phase("good", "Succeeded").await;
    assert!(begun.elapsed() >= Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn a_crashing_container_is_restarted_more_and_more_slowly() {
    let cluster = cluster(1).await;
    let spec = json!({ "containers": [{ "name": "main", "image": "busybox", "command": ["false"] }] });
    cluster.create("crash", "node-1", spec, json!({})).await;
    let pod = cluster.until("crash", |pod| main_status(pod)["state"]["waiting"]["reason"] == "CrashLoopBackOff").await;
    assert_eq!((&pod["status"]["phase"], &main_status(&pod)["restartCount"]), (&json!("Running"), &json!(1)));
    assert_eq!(main_status(&pod)["lastState"]["terminated"]["exitCode"], 1);
    let begun = Instant::now();
    cluster.until("crash", |pod| main_status(pod)["restartCount"] == 4).await;
    assert_eq!(begun.elapsed().as_secs(), 10 + 20 + 40);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_does_not_exist_never_starts() {
    let cluster = cluster(1).await;
    let spec = json!({ "containers": [{ "name": "main", "image": "example.com/does-not-exist:v1" }] });
    cluster.create("stuck", "node-1", spec, json!({})).await;
    cluster.until("stuck", |pod| main_status(pod)["state"]["waiting"]["reason"] == "ErrImagePull").await;
    let pod = cluster.until("stuck", |pod| main_status(pod)["state"]["waiting"]["reason"] == "ImagePullBackOff").await;
    assert_eq!(pod["status"]["phase"], "Pending");
    cluster.pods.delete(&NamespacedName::new("shop", "stuck"), DeleteOptions::default()).await.unwrap();
    cluster.memory.wait_gone(&resource("pods"), "stuck").await;
}

#[tokio::test(start_paused = true)]
async fn init_containers_run_in_order_and_sidecars_beside_the_others() {
    let cluster = cluster(1).await;
    let spec = json!({
        "restartPolicy": "Never",
        "initContainers": [
            { "name": "first", "image": "busybox", "command": ["sleep", "3"] },
            { "name": "proxy", "image": "envoy", "restartPolicy": "Always" },
            { "name": "second", "image": "busybox", "command": ["sleep", "3"] },
        ],
        "containers": [{ "name": "main", "image": "busybox", "command": ["sleep", "5"] }],
    });
    cluster.create("job", "node-1", spec, json!({})).await;
    let begun = Instant::now();
    let pod = cluster.until("job", |pod| pod["status"]["initContainerStatuses"][0]["state"]["running"].is_object()).await;
    assert_eq!(main_status(&pod)["state"]["waiting"]["reason"], "PodInitializing");
    assert_eq!(condition(&pod, "Initialized")["status"], "False");
    let pod = cluster.phase("job", "Running").await;
    assert_eq!(begun.elapsed().as_secs(), 6);
    assert_eq!(pod["status"]["initContainerStatuses"][0]["ready"], true);
    let pod = cluster.phase("job", "Succeeded").await;
    assert!(pod["status"]["initContainerStatuses"][1]["state"]["terminated"].is_object(), "the sidecar ends after the main container");
}

#[tokio::test(start_paused = true)]
async fn pods_that_do_not_fit_are_refused() {
    let cluster = cluster(1).await;
    let port = json!({ "containers": [{ "name": "main", "image": "nginx", "ports": [{ "containerPort": 80, "hostPort": 80, "protocol": "TCP" }] }] });
    cluster.create("one", "node-1", port.clone(), json!({})).await;
    cluster.phase("one", "Running").await;
    cluster.create("two", "node-1", port, json!({})).await;
    assert_eq!(cluster.phase("two", "Failed").await["status"]["reason"], "NodePorts");
    let hungry = json!({ "containers": [{ "name": "main", "image": "nginx", "resources": { "requests": { "cpu": "9" } } }] });
    cluster.create("hungry", "node-1", hungry, json!({})).await;
    assert_eq!(cluster.phase("hungry", "Failed").await["status"]["reason"], "OutOfcpu");
    cluster.create("elsewhere", "node-1", json!({ "nodeSelector": { "disk": "ssd" } }), json!({})).await;
    assert_eq!(cluster.phase("elsewhere", "Failed").await["status"]["reason"], "NodeAffinity");
}

#[tokio::test(start_paused = true)]
async fn a_pod_may_run_for_so_long_and_no_longer() {
    let cluster = cluster(1).await;
    cluster.create("slow", "node-1", json!({ "activeDeadlineSeconds": 30 }), json!({})).await;
    let begun = Instant::now();
    let pod = cluster.phase("slow", "Failed").await;
    assert_eq!(pod["status"]["reason"], "DeadlineExceeded");
    assert_eq!(begun.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn readiness_waits_for_its_probe_and_its_gates() {
    let cluster = cluster(1).await;
    let spec = json!({
        "readinessGates": [{ "conditionType": "example.com/open" }],
        "containers": [{ "name": "main", "image": "nginx", "readinessProbe": { "initialDelaySeconds": 7, "httpGet": { "port": 80 } } }],
    });
    cluster.create("gated", "node-1", spec, json!({})).await;
    let pod = cluster.phase("gated", "Running").await;
    assert_eq!(condition(&pod, "ContainersReady")["reason"], "ContainersNotReady");
    let begun = Instant::now();
    let mut pod = cluster.until("gated", |pod| condition(pod, "ContainersReady")["status"] == "True").await;
    assert_eq!(begun.elapsed().as_secs(), 7);
    assert_eq!(condition(&pod, "Ready")["reason"], "ReadinessGatesNotReady");
    pod["status"]["conditions"].as_array_mut().unwrap().push(json!({ "type": "example.com/open", "status": "True" }));
    cluster.pods.update_status(serde_json::from_value(pod).unwrap()).await.unwrap();
    cluster.until("gated", |pod| condition(pod, "Ready")["status"] == "True").await;
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_that_is_started_again_finds_its_pods_as_they_were() {
    let mut cluster = cluster(1).await;
    cluster.create("web", "node-1", json!({}), json!({})).await;
    let sleeper = json!({ "restartPolicy": "Never", "containers": [{ "name": "main", "image": "busybox", "command": ["sleep", "100"] }] });
    cluster.create("sleeper", "node-1", sleeper, json!({})).await;
    let before = cluster.phase("web", "Running").await;
    cluster.phase("sleeper", "Running").await;
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs(20)).await;
    cluster.stop = None;
    let writes = cluster.memory.writes();
    cluster.start(1);
    cluster.phase("sleeper", "Succeeded").await;
    // The status tells the start to the second only.
    assert!((99..=100).contains(&begun.elapsed().as_secs()), "time went on while the kubelet was away");
    let after = cluster.phase("web", "Running").await;
    assert_eq!(before["status"], after["status"]);
    assert!(cluster.memory.writes() > writes);
}

#[tokio::test(start_paused = true)]
async fn failed_writes_are_tried_again() {
    let cluster = cluster(1).await;
    cluster.create("web", "node-1", json!({}), json!({})).await;
    cluster.memory.fail_writes(10);
    cluster.phase("web", "Running").await;
    cluster.memory.fail_writes(5);
    let _ = cluster.pods.delete(&NamespacedName::new("shop", "web"), DeleteOptions::default()).await;
    cluster.memory.fail_writes(0);
    cluster.pods.delete(&NamespacedName::new("shop", "web"), DeleteOptions::default()).await.unwrap();
    cluster.memory.fail_writes(5);
    cluster.memory.wait_gone(&resource("pods"), "web").await;
}

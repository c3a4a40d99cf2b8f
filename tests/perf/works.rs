//! The works: what is done to the server, as `benchmark-upstream.tsv` describes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::Method;
use serde_json::{Value, json};

use crate::http::{Client, Target};
use crate::report::Report;
use crate::server::Server;

const NAMESPACE: &str = "kybern-perf";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const JSON: &str = "application/json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const MERGE: &str = "application/merge-patch+json";
/// Works that wait for the cluster give up after this long.
const PATIENCE: Duration = Duration::from_secs(300);
/// Pods and patches of the watch fan-out.
const WATCHED_PODS: usize = 1_000;
const WATCH_PATCHES: usize = 2_000;
/// How long the server has peace before its memory is looked at again: what it held for the burst is let go of by then.
const SETTLING: Duration = Duration::from_secs(20);
/// GETs of one run.
const GETS: usize = 10_000;
/// Lists of one run.
const LISTS: usize = 20;

pub struct Bench {
    pub target: Target,
    pub server: Server,
    pub clients: usize,
    pub objects: usize,
    pub watchers: usize,
}

fn pods_path() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods")
}

/// A pod of about 1.5 KB. Without a scheduler's name it is bound like any other.
fn pod(name: &str, scheduled: bool) -> Value {
    let env: Vec<Value> = (0..8).map(|i| json!({"name": format!("SETTING_{i}"), "value": format!("value-{i}-of-some-length")})).collect();
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"app": "perf", "tier": "backend", "release": "stable", "app.kubernetes.io/name": "perf"},
            "annotations": {"example.com/owner": "a-team@example.com", "example.com/description": "x".repeat(200)},
        },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "main",
                "image": "registry.example/perf/main:1.2.3",
                "command": ["/bin/main", "--listen=:8080", "--verbose"],
                "env": env,
                "ports": [{"name": "http", "containerPort": 8080}],
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
            }],
        },
    });
    if !scheduled {
        pod["spec"]["schedulerName"] = json!("nobody");
    }
    pod
}

impl Bench {
    /// Makes the namespace, and waits for its service account if something makes them here.
    pub async fn prepare(&self) -> anyhow::Result<()> {
        let mut client = self.target.connect().await?;
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        client.call(Method::POST, "/api/v1/namespaces", Some(JSON), namespace.to_string()).await?;
        let account = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
        for _ in 0..50 {
            if client.call(Method::GET, &format!("{account}/default"), None, "").await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let body = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        client.call(Method::POST, &account, Some(JSON), body.to_string()).await?;
        Ok(())
    }

    pub async fn clean(&self) -> anyhow::Result<()> {
        let mut client = self.target.connect().await?;
        client.call(Method::DELETE, &pods_path(), None, "").await?;
        client.call(Method::DELETE, &format!("/api/v1/namespaces/{NAMESPACE}"), None, "").await?;
        Ok(())
    }

    pub async fn run(&self, work: &str, report: &mut Report) -> anyhow::Result<()> {
        match work {
            "create" => {
                self.many("create pods", self.objects, report, |i| {
                    (Method::POST, pods_path(), Some(JSON), pod(&format!("p-{i}"), false).to_string())
                })
                .await
            }
            "get" => {
                let objects = self.objects;
                self.many("get pod", GETS, report, move |i| {
                    (Method::GET, format!("{}/p-{}", pods_path(), i % objects), None, String::new())
                })
                .await
            }
            "list" => {
                self.lists("list pods", "", JSON, report).await?;
                self.lists("list pods, resourceVersion=0", "?resourceVersion=0", JSON, report).await?;
                self.lists("list pods in protobuf", "", PROTOBUF, report).await
            }
            "patch" => {
                self.many("strategic merge patch of a pod", self.objects, report, |i| {
                    let patch = json!({"metadata": {"labels": {"patched": format!("v{i}")}}});
                    (Method::PATCH, format!("{}/p-{i}", pods_path()), Some(STRATEGIC), patch.to_string())
                })
                .await
            }
            "watch" => {
                self.fan_out("watch fan-out", JSON, report).await?;
                self.fan_out("watch fan-out in protobuf", PROTOBUF, report).await
            }
            "delete" => {
                self.many("delete pods", self.objects, report, |i| (Method::DELETE, format!("{}/p-{i}", pods_path()), None, String::new()))
                    .await
            }
            "bind" => self.bind(report).await,
            "deployment" => self.deployment(report).await,
            other => anyhow::bail!("there is no work {other:?}"),
        }
    }

    /// `count` requests, shared among the clients.
    async fn many<F>(&self, work: &str, count: usize, report: &mut Report, request: F) -> anyhow::Result<()>
    where
        F: Fn(usize) -> (Method, String, Option<&'static str>, String) + Send + Sync + 'static,
    {
        let mut clients = self.connect(self.clients).await?;
        let (request, next) = (Arc::new(request), Arc::new(AtomicUsize::new(0)));
        let (cpu, started) = (self.server.cpu(), Instant::now());
        let mut running = tokio::task::JoinSet::new();
        for mut client in clients.drain(..) {
            let (request, next) = (request.clone(), next.clone());
            running.spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= count {
                        return Ok::<_, anyhow::Error>(latencies);
                    }
                    let (method, path, media, body) = request(i);
                    let sent = Instant::now();
                    client.call(method, &path, media, body).await?;
                    latencies.push(sent.elapsed());
                }
            });
        }
        let mut latencies = Vec::with_capacity(count);
        while let Some(done) = running.join_next().await {
            latencies.extend(done??);
        }
        report.add(work, latencies, started.elapsed(), self.server.cpu() - cpu, format!("{} clients", self.clients));
        Ok(())
    }

    async fn connect(&self, count: usize) -> anyhow::Result<Vec<Client>> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(self.target.connect().await?);
        }
        Ok(clients)
    }

    async fn lists(&self, work: &str, query: &str, accept: &'static str, report: &mut Report) -> anyhow::Result<()> {
        let mut client = self.target.connect().await?.accepting(accept);
        let path = format!("{}{query}", pods_path());
        let (cpu, started) = (self.server.cpu(), Instant::now());
        let (mut latencies, mut bytes) = (Vec::new(), 0);
        for _ in 0..LISTS {
            let sent = Instant::now();
            bytes = client.call(Method::GET, &path, None, "").await?.len();
            latencies.push(sent.elapsed());
        }
        report.add(
            work,
            latencies,
            started.elapsed(),
            self.server.cpu() - cpu,
            format!("{:.1} MiB of {accept}", bytes as f64 / f64::from(1 << 20)),
        );
        Ok(())
    }

    /// Many watchers of all pods, while some are patched: an operation is one event delivered to one watcher.
    async fn fan_out(&self, work: &str, accept: &'static str, report: &mut Report) -> anyhow::Result<()> {
        let mut client = self.target.connect().await?;
        let list = client.call(Method::GET, &format!("{}?limit=1", pods_path()), None, "").await?;
        let version = serde_json::from_slice::<Value>(&list)?["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let path = format!("{}?watch=true&resourceVersion={version}", pods_path());
        let epoch = Instant::now();
        let expected = WATCH_PATCHES.min(self.objects * 2);
        let closed = Arc::new(AtomicUsize::new(0));
        let mut watching = tokio::task::JoinSet::new();
        for _ in 0..self.watchers {
            let mut client = self.target.connect().await?.accepting(accept);
            let response = client.open(Method::GET, &path, None, "").await?;
            let closed = closed.clone();
            let frame = if accept == PROTOBUF { prefixed_frame } else { line_frame };
            watching.spawn(async move { watch(client, response, frame, expected, epoch, &closed).await });
        }
        let (cpu, started) = (self.server.cpu(), Instant::now());
        let pods = WATCHED_PODS.min(self.objects);
        let mut scratch = Report::default();
        self.many("patches", expected, &mut scratch, move |i| {
            let sent = epoch.elapsed().as_micros();
            let patch = json!({"metadata": {"annotations": {"perf/patch": format!("sent@{sent}@")}}});
            (Method::PATCH, format!("{}/p-{}", pods_path(), i % pods), Some(MERGE), patch.to_string())
        })
        .await?;
        let mut delays = Vec::with_capacity(expected * self.watchers);
        while let Some(done) = watching.join_next().await {
            delays.extend(done?);
        }
        let note = format!(
            "{} watchers, {} streams closed by the server; latency is the delay; CPU includes the patches",
            self.watchers,
            closed.load(Ordering::Relaxed)
        );
        report.add(work, delays, started.elapsed(), self.server.cpu() - cpu, note);
        Ok(())
    }

    /// Pods created through the API until all are bound: API server, scheduler and controllers together.
    async fn bind(&self, report: &mut Report) -> anyhow::Result<()> {
        let (cpu, started) = (self.server.cpu(), Instant::now());
        let mut scratch = Report::default();
        self.many("pods", self.objects, &mut scratch, |i| {
            (Method::POST, pods_path(), Some(JSON), pod(&format!("b-{i}"), true).to_string())
        })
        .await?;
        let created = started.elapsed();
        self.until_bound(self.objects).await?;
        let took = started.elapsed();
        let note =
            format!("created after {:.2} s, all bound after {:.2} s; CPU of every service", created.as_secs_f64(), took.as_secs_f64());
        report.add("create and bind pods", vec![took; self.objects], took, self.server.cpu() - cpu, note);
        self.empty().await
    }

    async fn deployment(&self, report: &mut Report) -> anyhow::Result<()> {
        let mut client = self.target.connect().await?;
        let mut template = pod("x", true);
        let labels = json!({"app": "perf-deployment"});
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "perf"},
            "spec": {"replicas": self.objects, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": template["spec"].take()}},
        });
        let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments");
        let (cpu, started) = (self.server.cpu(), Instant::now());
        client.call(Method::POST, &path, Some(JSON), deployment.to_string()).await?;
        self.until_bound(self.objects).await?;
        let took = started.elapsed();
        let (cpu, memory) = (self.server.cpu() - cpu, self.server.resident_mib());
        tokio::time::sleep(SETTLING).await;
        let note = format!(
            "{} replicas bound after {:.2} s; {memory:.1} MiB resident then, {:.1} MiB after {} s more",
            self.objects,
            took.as_secs_f64(),
            self.server.resident_mib(),
            SETTLING.as_secs()
        );
        report.add("one Deployment", vec![took; self.objects], took, cpu, note);
        // A connection that was idle for so long may have been closed.
        let mut client = self.target.connect().await?;
        client.call(Method::DELETE, &format!("{path}/perf"), None, "").await?;
        self.empty().await
    }

    /// Waits until there are so many pods and each has a node. Asks for one pod at a time, to burden the server as little as
    /// can be.
    async fn until_bound(&self, count: usize) -> anyhow::Result<()> {
        let mut client = self.target.connect().await?;
        let started = Instant::now();
        loop {
            let list: Value = serde_json::from_slice(&client.call(Method::GET, &format!("{}?limit=1", pods_path()), None, "").await?)?;
            let items = list["items"].as_array().map_or(0, Vec::len);
            let pods = items + list["metadata"]["remainingItemCount"].as_u64().unwrap_or(0) as usize;
            if pods >= count {
                let path = format!("{}?limit=1&fieldSelector=spec.nodeName%3D", pods_path());
                let waiting: Value = serde_json::from_slice(&client.call(Method::GET, &path, None, "").await?)?;
                if waiting["items"].as_array().is_none_or(Vec::is_empty) {
                    return Ok(());
                }
            }
            anyhow::ensure!(started.elapsed() < PATIENCE, "of {count} pods only {pods} were made, or not all were bound");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn empty(&self) -> anyhow::Result<()> {
        let mut client = self.target.connect().await?;
        client.call(Method::DELETE, &pods_path(), None, "").await?;
        let started = Instant::now();
        loop {
            let list: Value = serde_json::from_slice(&client.call(Method::GET, &format!("{}?limit=1", pods_path()), None, "").await?)?;
            if list["items"].as_array().is_none_or(Vec::is_empty) {
                return Ok(());
            }
            anyhow::ensure!(started.elapsed() < PATIENCE, "the pods did not go");
            client.call(Method::DELETE, &pods_path(), None, "").await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Reads a watch until it has seen so many events; the delay of each since its patch was sent.
async fn watch(
    client: Client,
    response: hyper::Response<hyper::body::Incoming>,
    frame_of: fn(&[u8]) -> Option<usize>,
    expected: usize,
    epoch: Instant,
    closed: &AtomicUsize,
) -> Vec<Duration> {
    let (mut body, mut rest, mut delays) = (response.into_body(), Vec::new(), Vec::with_capacity(expected));
    let deadline = tokio::time::sleep(PATIENCE);
    tokio::pin!(deadline);
    while delays.len() < expected {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = &mut deadline => break,
        };
        let Some(Ok(frame)) = frame else {
            closed.fetch_add(1, Ordering::Relaxed);
            break;
        };
        let Ok(data) = frame.into_data() else { continue };
        let now = epoch.elapsed();
        rest.extend_from_slice(&data);
        while let Some(end) = frame_of(&rest) {
            if let Some(sent) = sent_at(&rest[..end]) {
                delays.push(now.saturating_sub(sent));
            }
            rest.drain(..end);
        }
    }
    drop(client);
    delays
}

/// Where a JSON event ends: with its line.
fn line_frame(bytes: &[u8]) -> Option<usize> {
    Some(bytes.iter().position(|byte| *byte == b'\n')? + 1)
}

/// Where a protobuf event ends, whose length comes first.
fn prefixed_frame(bytes: &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = u32::from_be_bytes(*length) as usize;
    (rest.len() >= length).then_some(size_of::<u32>() + length)
}

/// When the patch that made this event was sent. Both encodings have an annotation's text as it is.
fn sent_at(event: &[u8]) -> Option<Duration> {
    const MARK: &[u8] = b"sent@";
    let at = event.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let number = event[at..].split(|byte| *byte == b'@').next()?;
    std::str::from_utf8(number).ok()?.parse().map(Duration::from_micros).ok()
}

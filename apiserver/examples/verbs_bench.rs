//! What the verbs cost, without a door: pods created, read, patched, watched and deleted on the store in memory.
//! Prints the processor's time per operation, of all threads together.
//!
//!     cargo run --release -p kybern-apiserver --example verbs_bench -- 5000

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::Registry;
use apiserver::verbs::{Body, Caller, DeleteOptions, ListOptions, Patch, Target, WatchOptions, WriteOptions};
use apiserver::{ApiServer, Options};
use futures::StreamExt;
use machinery::Status;
use serde_json::json;
use storage::memory::Memory;

/// Calls under way at once.
const AT_ONCE: usize = 16;
const WATCHERS: usize = 100;

fn main() -> Result<(), Status> {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(2000);
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Status::internal(error.to_string()))?;
    runtime.block_on(run(count))
}

async fn run(count: usize) -> Result<(), Status> {
    let options = Options { compaction_interval: Duration::ZERO, ..Options::default() };
    let server = ApiServer::start(Arc::new(Memory::new()), Registry::built_in(), options).await?;
    let caller = Caller { agent: "bench".into(), ..Caller::default() };
    let account = json!({"metadata": {"name": "default"}});
    server.create(&caller, &target(&server, "serviceaccounts", "")?, body(&account), &WriteOptions::default()).await?;
    let names: Vec<String> = (0..count).map(|n| format!("pod-{n:06}")).collect();
    let (server, caller) = (&server, &caller);

    measure("create", &names, |name| async move {
        server.create(caller, &target(server, "pods", "")?, body(&pod(name)), &WriteOptions::default()).await.map(drop)
    })
    .await?;
    measure("get", &names, |name| async move { server.get(caller, &target(server, "pods", name)?, None).await.map(drop) }).await?;
    let all = ListOptions::default();
    measure("list all", &names[..names.len().min(20)], |_| async {
        server.list(caller, &target(server, "pods", "")?, &all).await.map(drop)
    })
    .await?;
    let label = Patch::Merge(json!({"metadata": {"labels": {"seen": "yes"}}}).to_string().into());
    measure("patch", &names, |name| {
        let label = label.clone();
        async move { server.patch(caller, &target(server, "pods", name)?, label, &WriteOptions::default()).await.map(drop) }
    })
    .await?;
    watched(server, caller, &names).await?;
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    measure("delete", &names, |name| {
        let now = now.clone();
        async move { server.delete(caller, &target(server, "pods", name)?, &now).await.map(drop) }
    })
    .await
}

/// Status updates under the eyes of many watchers.
async fn watched(server: &Arc<ApiServer>, caller: &Caller, names: &[String]) -> Result<(), Status> {
    let names = &names[..names.len().min(1000)];
    let expected = names.len();
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        let options = WatchOptions { send_initial_events: Some(false), ..WatchOptions::default() };
        let mut watch = server.watch(caller, &target(server, "pods", "")?, &options).await?;
        watchers.push(tokio::spawn(async move {
            let mut seen = 0;
            while seen < expected && watch.next().await.is_some() {
                seen += 1;
            }
        }));
    }
    let status = Patch::Merge(json!({"status": {"phase": "Running"}}).to_string().into());
    measure("patch of status", names, |name| {
        let status = status.clone();
        async move {
            let mut at = target(server, "pods", name)?;
            at.subresource = Some("status".into());
            server.patch(caller, &at, status, &WriteOptions::default()).await.map(drop)
        }
    })
    .await?;
    let (begun, used) = (Instant::now(), processor_time());
    for watcher in watchers {
        watcher.await.map_err(|error| Status::internal(error.to_string()))?;
    }
    println!(
        "  {} deliveries, the last of them {:?} after the last write ({:?} of processor)",
        WATCHERS * expected,
        begun.elapsed(),
        processor_time() - used
    );
    Ok(())
}

async fn measure<'n, F: Future<Output = Result<(), Status>>>(
    what: &str,
    names: &'n [String],
    mut call: impl FnMut(&'n String) -> F,
) -> Result<(), Status> {
    let (begun, used) = (Instant::now(), processor_time());
    let mut calls = futures::stream::iter(names).map(&mut call).buffer_unordered(AT_ONCE);
    while let Some(outcome) = calls.next().await {
        outcome?;
    }
    let each = |time: Duration| time / u32::try_from(names.len().max(1)).unwrap_or(u32::MAX);
    println!("{what:>16}: {:>9.1?} of processor, {:>9.1?} of time", each(processor_time() - used), each(begun.elapsed()));
    Ok(())
}

fn target(server: &ApiServer, plural: &str, name: &str) -> Result<Target, Status> {
    let resource = server.served().find("", "v1", plural).ok_or_else(Status::path_not_found)?;
    Ok(Target { resource, subresource: None, namespace: "default".into(), name: name.into() })
}

fn body(value: &serde_json::Value) -> Body {
    Body::Json(value.to_string().into())
}

fn pod(name: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "bench", "tier": "web"}},
        "spec": {"containers": [{
            "name": "web", "image": "registry.example/web:1",
            "ports": [{"containerPort": 80}],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        }]},
    })
}

/// The processor's time that this process has used, of all its threads.
fn processor_time() -> Duration {
    // Fields 14 and 15, in ticks of a hundredth of a second, after the name in parentheses.
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

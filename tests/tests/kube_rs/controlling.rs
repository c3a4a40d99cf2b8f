//! A controller written with kube-rs: it keeps a child for every parent, and cleans up behind a finalizer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event as PublishedEvent;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::runtime::{finalizer, watcher};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;

use crate::until;

const FINALIZER: &str = "tests.example.com/cleanup";

struct Context {
    client: Client,
    recorder: Recorder,
    cleaned: AtomicUsize,
}

type Failure = finalizer::Error<kube::Error>;

async fn reconcile(parent: Arc<ConfigMap>, context: Arc<Context>) -> Result<Action, Failure> {
    let maps: Api<ConfigMap> = Api::default_namespaced(context.client.clone());
    finalizer::finalizer(&maps, FINALIZER, parent, |event| async {
        match event {
            finalizer::Event::Apply(parent) => keep_child(&maps, &parent, &context).await,
            finalizer::Event::Cleanup(_) => {
                context.cleaned.fetch_add(1, Ordering::Relaxed);
                Ok(Action::await_change())
            }
        }
    })
    .await
}

async fn keep_child(maps: &Api<ConfigMap>, parent: &ConfigMap, context: &Context) -> Result<Action, kube::Error> {
    let name = format!("{}-child", parent.name_any());
    let child = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"role": "child"}, "ownerReferences": [parent.controller_owner_ref(&())]},
        "data": parent.data,
    });
    maps.patch(&name, &PatchParams::apply("children").force(), &Patch::Apply(child)).await?;
    let event = Event { type_: EventType::Normal, reason: "Kept".into(), note: Some(name), action: "Keeping".into(), secondary: None };
    context.recorder.publish(&event, &parent.object_ref(&())).await?;
    Ok(Action::requeue(Duration::from_secs(300)))
}

pub async fn control_children(client: Client) {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let recorder = Recorder::new(client.clone(), "children".into());
    let context = Arc::new(Context { client: client.clone(), recorder, cleaned: AtomicUsize::new(0) });
    let children = watcher::Config::default().labels("role=child");
    let controller = Controller::new(maps.clone(), watcher::Config::default().labels("role=parent"))
        .owns(maps.clone(), children.streaming_lists())
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(200)), context.clone());
    tokio::spawn(controller.for_each(|_| async {}));

    let of_child = async |wanted: &str| {
        let child = maps.get_opt("first-child").await.unwrap();
        child.is_some_and(|child| child.data.unwrap_or_default().get("value").is_some_and(|value| value == wanted))
    };
    let parent = json!({"metadata": {"name": "first", "labels": {"role": "parent"}}, "data": {"value": "1"}});
    maps.create(&PostParams::default(), &serde_json::from_value(parent).unwrap()).await.unwrap();
    until("the child", async || of_child("1").await).await;
    assert_eq!(maps.get("first").await.unwrap().finalizers(), [FINALIZER]);
    maps.patch("first", &PatchParams::default(), &Patch::Merge(json!({"data": {"value": "2"}}))).await.unwrap();
    until("the child to follow", async || of_child("2").await).await;
    let before = maps.get("first-child").await.unwrap();
    maps.delete("first-child", &DeleteParams::default()).await.unwrap();
    until("the child to be back", async || of_child("2").await && maps.get("first-child").await.unwrap().uid() != before.uid()).await;
    let events: Api<PublishedEvent> = Api::default_namespaced(client);
    until("the event", async || {
        let list = events.list(&ListParams::default().fields("regarding.name=first")).await.unwrap();
        list.items.iter().any(|event| event.reason.as_deref() == Some("Kept"))
    })
    .await;

    maps.delete("first", &DeleteParams::default()).await.unwrap();
    until("the parent to go", async || maps.get_opt("first").await.unwrap().is_none()).await;
    assert!(context.cleaned.load(Ordering::Relaxed) > 0);
    until("the child to be collected", async || maps.get_opt("first-child").await.unwrap().is_none()).await;
}

//! Watchers and reflectors, which begin with a list or with the streamed initial state.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, WatchParams};
use kube::core::WatchEvent;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::until;

fn map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"app": "reflected"}}, "data": {"value": value}})).unwrap()
}

fn values(store: &Store<ConfigMap>) -> Vec<(String, String)> {
    let mut values: Vec<_> =
        store.state().iter().map(|map| (map.name_any(), map.data.clone().unwrap_or_default()["value"].clone())).collect();
    values.sort();
    values
}

pub async fn reflect(client: Client) {
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    for count in 0..7 {
        maps.create(&PostParams::default(), &map(&format!("map-{count}"), "old")).await.unwrap();
    }
    let selected = || watcher::Config::default().labels("app=reflected");
    let mut stores = Vec::new();
    for config in [selected().page_size(3), selected().streaming_lists(), selected().any_semantic()] {
        let (store, writer) = reflector::store();
        tokio::spawn(watcher(maps.clone(), config).default_backoff().reflect(writer).for_each(|event| async move { drop(event.unwrap()) }));
        store.wait_until_ready().await.unwrap();
        assert_eq!(store.len(), 7);
        stores.push(store);
    }
    maps.patch("map-0", &PatchParams::default(), &Patch::Merge(json!({"data": {"value": "new"}}))).await.unwrap();
    // It leaves the selection, which is a deletion to who selects.
    maps.patch("map-1", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": {"app": "other"}}}))).await.unwrap();
    maps.delete("map-2", &DeleteParams::default()).await.unwrap();
    maps.create(&PostParams::default(), &map("map-7", "new")).await.unwrap();
    let expected: Vec<_> =
        [(0, "new"), (3, "old"), (4, "old"), (5, "old"), (6, "old"), (7, "new")].map(|(n, v)| (format!("map-{n}"), v.to_owned())).into();
    for store in stores {
        until("a reflector to be up to date", async || values(&store) == expected).await;
    }
}

/// A watch ends in good order after the time that it was given.
pub async fn watch_for_a_second(client: Client) {
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let events: Vec<_> = maps.watch(&WatchParams::default().timeout(1), "0").await.unwrap().try_collect().await.unwrap();
    assert!(matches!(events.first(), Some(WatchEvent::Added(_))), "{events:?}");
    assert!(events.iter().all(|event| matches!(event, WatchEvent::Added(_) | WatchEvent::Bookmark(_))), "{events:?}");
}

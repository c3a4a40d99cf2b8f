//! Informers: complete, resumable, and equal to the server after whatever happened to their watch.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::memory::Memory;
use client::transport::DeleteOptions;
use client::{Api, Change, Informer, Selection, Store};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::NamespacedName;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// What the tests keep of a config map: its `color`.
type Color = Arc<str>;

fn map(name: &str, color: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { namespace: Some("shop".to_owned()), name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([("color".to_owned(), color.to_owned())])),
        ..ConfigMap::default()
    }
}

fn key(name: &str) -> NamespacedName {
    NamespacedName::new("shop", name)
}

struct Fixture {
    memory: Memory,
    api: Api<ConfigMap>,
    changes: Arc<Mutex<Vec<Change<Color>>>>,
    store: Store<Color>,
    by_color: client::Index,
    _stop: tokio_util::sync::DropGuard,
}

async fn start(memory: Memory) -> Fixture {
    let transport = Arc::new(memory.clone());
    let mut informer = Informer::new(transport.clone(), Selection::namespace("shop"), |map: Arc<ConfigMap>| {
        Color::from(&*map.data.as_ref().unwrap()["color"])
    });
    let by_color = informer.index(|color: &Color| vec![color.clone()]);
    let changes = Arc::new(Mutex::new(Vec::new()));
    let seen = changes.clone();
    informer.on_change(move |change| seen.lock().push(change.clone()));
    let store = informer.store();
    let stop = CancellationToken::new();
    tokio::spawn(informer.run(stop.clone()));
    store.synced().await;
    Fixture { memory, api: Api::new(transport, "test"), changes, store, by_color, _stop: stop.drop_guard() }
}

impl Fixture {
    fn contents(&self) -> Vec<(String, String)> {
        self.store.snapshot().iter().map(|(key, color)| (key.name.to_string(), color.to_string())).collect()
    }

    fn colored(&self, color: &str) -> Vec<String> {
        self.store.snapshot().indexed(self.by_color, color).map(|(key, _)| key.name.to_string()).collect()
    }
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, color)| ((*name).to_owned(), (*color).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn the_store_follows_the_server_and_its_indexes_follow_the_store() {
    let memory = Memory::default();
    let before = Api::<ConfigMap>::new(Arc::new(memory.clone()), "test");
    before.create(map("a", "red")).await.unwrap();
    let f = start(memory).await;
    assert_eq!(f.contents(), pairs(&[("a", "red")]));

    f.api.create(map("b", "red")).await.unwrap();
    f.api.update(map("a", "blue")).await.unwrap();
    f.store.wait_until(f.memory.version()).await;
    assert_eq!(f.contents(), pairs(&[("a", "blue"), ("b", "red")]));
    assert_eq!((f.colored("red"), f.colored("blue")), (vec!["b".to_owned()], vec!["a".to_owned()]));

    f.api.delete(&key("b"), DeleteOptions::default()).await.unwrap();
    f.store.wait_until(f.memory.version()).await;
    assert_eq!(f.contents(), pairs(&[("a", "blue")]));
    assert!(f.colored("red").is_empty());

    let changes = f.changes.lock();
    let shown: Vec<_> = changes.iter().map(|c| (&*c.key.name, c.old.as_deref(), c.new.as_deref())).collect();
    let expected = [("a", None, Some("red")), ("b", None, Some("red")), ("a", Some("red"), Some("blue")), ("b", Some("red"), None)];
    assert_eq!(shown, expected);
}

#[tokio::test(start_paused = true)]
async fn a_broken_watch_resumes_where_it_ended() {
    let f = start(Memory::default()).await;
    f.api.create(map("a", "red")).await.unwrap();
    f.store.wait_until(f.memory.version()).await;
    f.memory.break_watches();
    f.api.create(map("b", "red")).await.unwrap();
    f.store.wait_until(f.memory.version()).await;
    assert_eq!(f.contents(), pairs(&[("a", "red"), ("b", "red")]));
    assert_eq!(f.changes.lock().len(), 2, "nothing is told twice");
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_position_starts_again_and_tells_only_differences() {
    let f = start(Memory::default()).await;
    for name in ["kept", "changed", "gone"] {
        f.api.create(map(name, "red")).await.unwrap();
    }
    f.store.wait_until(f.memory.version()).await;
    f.changes.lock().clear();
    let old = f.store.snapshot();

    f.memory.break_watches();
    f.api.update(map("changed", "blue")).await.unwrap();
    f.api.delete(&key("gone"), DeleteOptions::default()).await.unwrap();
    f.memory.forget_history();
    f.store.wait_until(f.memory.version()).await;

    assert_eq!(f.contents(), pairs(&[("changed", "blue"), ("kept", "red")]));
    assert_eq!(f.colored("red"), ["kept"]);
    assert_eq!(old.len(), 3, "a snapshot stays as it was");
    let changes = f.changes.lock();
    let shown: Vec<_> = changes.iter().map(|c| (&*c.key.name, c.old.as_deref(), c.new.as_deref())).collect();
    assert_eq!(shown, [("gone", Some("red"), None), ("changed", Some("red"), Some("blue"))]);
}

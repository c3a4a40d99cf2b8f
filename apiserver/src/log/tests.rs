//! The log's invariants, each by its name, on the store in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{Registry, ResourceRef};
use machinery::{ResourceVersion, Status};
use storage::memory::Memory;
use storage::{Expect, Outcome, Revision, Store};
use tokio_util::sync::CancellationToken;

use super::channel::Channel;
use super::{Bounds, Feed, Filter, Log, Prepared, Start, Watch};
use crate::verbs::{Target, WatchEvent};

struct World {
    store: Arc<Memory>,
    feed: Arc<Feed>,
    log: Arc<Log>,
    resource: ResourceRef,
}

impl World {
    async fn new(bounds: Bounds) -> Self {
        let store = Arc::new(Memory::new());
        let feed = Arc::new(Feed::new(store.clone(), "registry", bounds, CancellationToken::new()));
        let resource = Registry::built_in().find("", "v1", "configmaps").unwrap();
        let log = feed.open(resource.clone());
        feed.load().await.unwrap();
        tokio::spawn(feed.clone().run());
        Self { store, feed, log, resource }
    }

    /// Writes an object as another process would: nothing is handed over.
    async fn put(&self, name: &str, labels: &[(&str, &str)]) -> ResourceVersion {
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        let json = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "ns", "labels": labels},
        });
        let key = bytes::Bytes::from(format!("/registry/configmaps/ns/{name}"));
        let expect = self.store.get(&key).await.unwrap().map_or(Expect::Absent, |kv| Expect::At(kv.modified));
        match self.store.put(key, json.to_string().into(), expect, None).await.unwrap() {
            Outcome::Done(Revision(revision)) => ResourceVersion(revision),
            Outcome::Conflict(_) => panic!("nobody else writes"),
        }
    }

    async fn delete(&self, name: &str) -> ResourceVersion {
        let key = bytes::Bytes::from(format!("/registry/configmaps/ns/{name}"));
        let at = self.store.get(&key).await.unwrap().unwrap().modified;
        match self.store.delete(key, at).await.unwrap() {
            Outcome::Done(Revision(revision)) => ResourceVersion(revision),
            Outcome::Conflict(_) => panic!("nobody else writes"),
        }
    }

    fn filter(&self, namespace: &str, name: &str, labels: &str) -> Filter {
        let target = Target { resource: self.resource.clone(), subresource: None, namespace: namespace.into(), name: name.into() };
        Filter::parse(&target, labels, "").unwrap()
    }

    fn watch(&self, filter: Filter, start: Start) -> Watch {
        Watch::new(self.feed.clone(), &self.log, filter, start, true, Duration::from_secs(3600))
    }

    async fn reach(&self, version: ResourceVersion) {
        assert!(self.feed.reached(version, Duration::from_secs(10)).await);
    }
}

async fn next(watch: &mut Watch) -> Result<WatchEvent, Status> {
    let event = tokio::time::timeout(Duration::from_secs(120), watch.next()).await.expect("an event in time");
    event.expect("the watch goes on")
}

/// An event as `+name@version`, `~name@version` or `-name@version`.
fn shown(event: &WatchEvent) -> String {
    let (sign, entry) = match event {
        WatchEvent::Added(entry) => ('+', entry),
        WatchEvent::Modified(entry) => ('~', entry),
        WatchEvent::Deleted(entry) => ('-', entry),
        WatchEvent::Bookmark { version, initial_state_end } => return format!("bookmark@{version} end={initial_state_end}"),
    };
    let json: serde_json::Value = serde_json::from_slice(&entry.json).unwrap();
    assert_eq!(json["metadata"]["resourceVersion"], entry.version.to_string(), "the bytes carry the version");
    assert_eq!(json["metadata"]["name"], *entry.key.name);
    format!("{sign}{}@{}", entry.key.name, entry.version)
}

async fn take(watch: &mut Watch, count: usize) -> Vec<String> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(shown(&next(watch).await.unwrap()));
    }
    taken
}

#[tokio::test]
async fn events_are_ordered_unique_and_complete() {
    let world = World::new(Bounds::default()).await;
    let start = world.feed.position();
    let mut watch = world.watch(Filter::default(), Start::After(start));
    let mut expected = Vec::new();
    for round in 0..20 {
        for name in ["a", "b", "c"] {
            let sign = if round == 0 { '+' } else { '~' };
            expected.push(format!("{sign}{name}@{}", world.put(name, &[("round", &round.to_string())]).await));
        }
    }
    expected.push(format!("-b@{}", world.delete("b").await));
    assert_eq!(take(&mut watch, expected.len()).await, expected);
    assert!(watch.ready().is_none());
}

#[tokio::test]
async fn a_watch_resumes_where_another_ended() {
    let world = World::new(Bounds::default()).await;
    let first = world.put("a", &[]).await;
    let second = world.put("b", &[]).await;
    let third = world.delete("a").await;
    world.reach(third).await;
    let mut watch = world.watch(Filter::default(), Start::After(first));
    assert_eq!(take(&mut watch, 2).await, [format!("+b@{second}"), format!("-a@{third}")]);
}

#[tokio::test]
async fn a_position_older_than_the_ring_is_expired() {
    let world = World::new(Bounds { events: 2, ..Bounds::default() }).await;
    let first = world.put("a", &[]).await;
    for name in ["b", "c", "d"] {
        world.put(name, &[]).await;
    }
    let last = world.put("e", &[]).await;
    world.reach(last).await;
    let mut watch = world.watch(Filter::default(), Start::After(first));
    assert_eq!(next(&mut watch).await.err().unwrap().code, 410);
    assert!(watch.next().await.is_none(), "an error is the last thing");
}

/// Where nothing has changed since, or pages of a list have kept the state, it could still be had: it is forgotten all the same.
#[tokio::test]
async fn a_forgotten_state_is_expired_even_where_it_could_be_had() {
    let world = World::new(Bounds::default()).await;
    let first = world.put("a", &[]).await;
    world.reach(first).await;
    world.log.keep(first, world.log.snapshot());
    let names = async |version| {
        let snapshot = world.feed.snapshot_at(&world.log, version).await?;
        Ok::<_, Status>(snapshot.entries.keys().map(|path| path.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(names(first).await.unwrap(), ["ns/a"]);
    let second = world.put("b", &[]).await;
    world.reach(second).await;
    assert_eq!(names(first).await.unwrap(), ["ns/a"]);
    world.feed.compact(second).await.unwrap();
    assert!(names(first).await.unwrap_err().is_expired());
    assert_eq!(names(second).await.unwrap(), ["ns/a", "ns/b"]);
}

/// A snapshot holds all that has changed since: it goes soon after the last page that was read from it.
#[tokio::test]
async fn snapshots_are_kept_while_pages_are_read() {
    let world = World::new(Bounds::default()).await;
    let (one, other) = (world.put("a", &[]).await, world.put("b", &[]).await);
    world.reach(other).await;
    for version in [one, other, one] {
        world.log.keep(version, world.log.snapshot());
    }
    let kept = || [one, other].map(|version| world.log.kept(version).is_some());
    world.log.trim(Instant::now() + Duration::from_secs(9));
    assert_eq!(kept(), [true, true]);
    world.log.trim(Instant::now() + Duration::from_secs(11));
    assert_eq!(kept(), [false, false]);
}

/// A burst stays whole for those who are behind; once it is over, the ring gives back what it held for it.
#[tokio::test]
async fn a_ring_settles_after_a_burst() {
    let world = World::new(Bounds { bytes: 1 << 20, settled_bytes: 4 << 10, ..Bounds::default() }).await;
    let start = world.feed.position();
    for number in 0..20 {
        world.put("a", &[("n", &number.to_string())]).await;
    }
    let last = world.put("a", &[]).await;
    world.reach(last).await;
    let kept = |from| world.watch(Filter::default(), Start::After(from)).ready().map(|first| first.is_ok());
    world.log.trim(Instant::now());
    assert_eq!(kept(start), Some(true), "nothing is lost while the burst is fresh");
    world.log.trim(Instant::now() + Duration::from_secs(11));
    assert_eq!(kept(start), Some(false));
    assert_eq!(kept(ResourceVersion(last.0 - 1)), Some(true), "the newest events stay");
}

/// Decoded objects are for those who follow closely; everybody else has the bytes.
#[tokio::test]
async fn decoded_objects_are_kept_for_a_moment() {
    let world = World::new(Bounds::default()).await;
    let json = br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"ns"}}"#;
    let object = world.resource.decode_stored(json).unwrap();
    let prepared = Arc::new(Prepared::new(&*world.resource, object, &[]).unwrap());
    let key = world.feed.key(&*world.resource, "ns/a");
    world.feed.announce(key.clone(), prepared.clone());
    let Outcome::Done(revision) = world.store.put(key, prepared.value.clone(), Expect::Absent, None).await.unwrap() else {
        panic!("nobody else writes")
    };
    world.reach(ResourceVersion(revision.0)).await;
    world.log.trim(Instant::now());
    let entry = world.log.get("ns/a").unwrap();
    assert!(entry.typed().is_some());
    world.log.trim(Instant::now() + Duration::from_secs(6));
    assert!(entry.typed().is_none());
    assert_eq!(entry.object(&*world.resource).unwrap().meta().name.as_deref(), Some("a"));
}

#[tokio::test]
async fn a_slow_watcher_costs_others_nothing() {
    let world = World::new(Bounds { events: 4, ..Bounds::default() }).await;
    let start = world.feed.position();
    let mut slow = world.watch(Filter::default(), Start::After(start));
    let mut quick = world.watch(Filter::default(), Start::After(start));
    for number in 0..20 {
        let version = world.put("a", &[("n", &number.to_string())]).await;
        let sign = if number == 0 { '+' } else { '~' };
        assert_eq!(take(&mut quick, 1).await, [format!("{sign}a@{version}")]);
    }
    assert_eq!(next(&mut slow).await.err().unwrap().code, 410);
}

#[tokio::test]
async fn filters_are_exact() {
    let world = World::new(Bounds::default()).await;
    let start = world.feed.position();
    let mut watch = world.watch(world.filter("ns", "", "in=yes"), Start::After(start));
    let mut elsewhere = world.watch(world.filter("other", "", ""), Start::After(start));
    world.put("a", &[]).await;
    let entered = world.put("a", &[("in", "yes")]).await;
    let changed = world.put("a", &[("in", "yes"), ("x", "y")]).await;
    let left = world.put("a", &[("in", "no")]).await;
    let back = world.put("a", &[("in", "yes")]).await;
    let deleted = world.delete("a").await;
    let expected = [format!("+a@{entered}"), format!("~a@{changed}"), format!("-a@{left}"), format!("+a@{back}"), format!("-a@{deleted}")];
    assert_eq!(take(&mut watch, 5).await, expected, "leaving the selector is a deletion, and so is the end");
    assert!(elsewhere.ready().is_none());
}

#[tokio::test]
async fn a_single_value_is_indexed_and_misses_nothing() {
    let world = World::new(Bounds::default()).await;
    let start = world.feed.position();
    let before = world.put("a", &[]).await;
    world.reach(before).await;
    let mut watch = world.watch(world.filter("ns", "a", ""), Start::After(start));
    assert_eq!(world.log.indexed(), 1);
    world.put("b", &[]).await;
    let after = world.put("a", &[("x", "y")]).await;
    assert_eq!(take(&mut watch, 2).await, [format!("+a@{before}"), format!("~a@{after}")]);
    drop(watch);
    assert_eq!(world.log.indexed(), 0, "the index lasts as long as somebody watches");
}

#[tokio::test(start_paused = true)]
async fn bookmarks_are_never_ahead() {
    let world = World::new(Bounds::default()).await;
    let mut watch = world.watch(world.filter("ns", "", "in=yes"), Start::After(world.feed.position()));
    let shown_to_watch = world.put("a", &[("in", "yes")]).await;
    let hidden = world.put("b", &[]).await;
    world.reach(hidden).await;
    assert_eq!(take(&mut watch, 2).await, [format!("+a@{shown_to_watch}"), format!("bookmark@{hidden} end=false")]);
}

#[tokio::test]
async fn the_initial_state_ends_with_a_bookmark() {
    let world = World::new(Bounds::default()).await;
    let first = world.put("a", &[]).await;
    let second = world.put("b", &[]).await;
    world.reach(second).await;
    let mut watch = world.watch(Filter::default(), Start::Present { announce_end: true });
    let third = world.put("c", &[]).await;
    let expected = [format!("+a@{first}"), format!("+b@{second}"), format!("bookmark@{second} end=true"), format!("+c@{third}")];
    assert_eq!(take(&mut watch, 4).await, expected);
}

#[tokio::test]
async fn who_reads_after_a_write_sees_it() {
    let world = World::new(Bounds::default()).await;
    for number in 0..50 {
        let version = world.put("a", &[("n", &number.to_string())]).await;
        world.feed.catch_up().await.unwrap();
        assert_eq!(world.log.get("ns/a").unwrap().version, version);
    }
}

#[tokio::test]
async fn a_log_begins_with_what_the_store_holds() {
    let world = World::new(Bounds::default()).await;
    let version = world.put("a", &[("k", "v")]).await;
    let feed = Arc::new(Feed::new(world.store.clone(), "registry", Bounds::default(), CancellationToken::new()));
    let log = feed.open(world.resource);
    feed.load().await.unwrap();
    let entry = log.get("ns/a").unwrap();
    assert_eq!((entry.version, entry.labels["k"].as_str()), (version, "v"));
    assert_eq!(feed.position(), version);
}

#[test]
fn a_channel_tells_lost_from_quiet() {
    let channel = Channel::new(ResourceVersion(5));
    let mut events = std::collections::VecDeque::new();
    assert!(channel.after(ResourceVersion(4), 10, &mut events).is_err(), "what was before is not known");
    assert!(channel.after(ResourceVersion(5), 10, &mut events).is_ok() && events.is_empty());
    assert!(channel.after(ResourceVersion(9), 10, &mut events).is_ok() && events.is_empty());
}

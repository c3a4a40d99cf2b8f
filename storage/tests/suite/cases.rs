//! What every store does. Each case takes an open, empty store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use storage::{Error, Event, Expect, FIRST_REVISION, KeyValue, LeaseId, Outcome, Revision, Store, VALUE_LIMIT, Watch, prefix_end};

/// Long enough for anything that happens at all; a case that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type Subject = Arc<dyn Store>;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn done(outcome: Outcome) -> Revision {
    match outcome {
        Outcome::Done(revision) => revision,
        Outcome::Conflict(found) => panic!("conflict with {found:?}"),
    }
}

fn conflict(outcome: Outcome) -> Option<KeyValue> {
    match outcome {
        Outcome::Done(revision) => panic!("written at {revision:?}"),
        Outcome::Conflict(found) => found,
    }
}

async fn create(store: &Subject, key: &str, value: &str) -> Revision {
    done(store.put(bytes(key), bytes(value), Expect::Absent, None).await.unwrap())
}

async fn update(store: &Subject, key: &str, value: &str, at: Revision) -> Revision {
    done(store.put(bytes(key), bytes(value), Expect::At(at), None).await.unwrap())
}

async fn remove(store: &Subject, key: &str, at: Revision) -> Revision {
    done(store.delete(bytes(key), at).await.unwrap())
}

fn kv(key: &str, value: &str, created: Revision, modified: Revision) -> KeyValue {
    KeyValue { key: bytes(key), value: bytes(value), created, modified }
}

async fn next(watch: &mut Watch) -> Result<Event, Error> {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("the watch says nothing").expect("the watch ended without an error")
}

/// The next event that is not progress.
async fn change(watch: &mut Watch) -> Event {
    loop {
        match next(watch).await.unwrap() {
            Event::Progress(_) => {}
            event => return event,
        }
    }
}

/// The events until progress reaches `through`. Asks for progress until it does.
async fn changes_through(store: &Subject, watch: &mut Watch, through: Revision) -> Vec<Event> {
    let mut seen = Vec::new();
    store.progress().await.unwrap();
    loop {
        match next(watch).await.unwrap() {
            Event::Progress(revision) if revision >= through => return seen,
            Event::Progress(_) => store.progress().await.unwrap(),
            event => seen.push(event),
        }
    }
}

async fn keys(store: &Subject, start: &str, end: &str, limit: usize, revision: Option<Revision>) -> (Vec<String>, bool) {
    let range = store.range(start.as_bytes(), end.as_bytes(), limit, revision).await.unwrap();
    (range.items.iter().map(|item| String::from_utf8(item.key.to_vec()).unwrap()).collect(), range.more)
}

pub(crate) async fn an_empty_store_is_at_the_first_revision(store: Subject) {
    assert_eq!(store.revision().await.unwrap(), FIRST_REVISION);
    assert_eq!(store.get(b"/a").await.unwrap(), None);
    let range = store.range(b"/", b"0", 0, None).await.unwrap();
    assert_eq!((range.items.len(), range.more, range.revision), (0, false, FIRST_REVISION));
}

pub(crate) async fn every_write_advances_the_revision_by_one(store: Subject) {
    let first = create(&store, "/a", "1").await;
    assert_eq!(first, Revision(FIRST_REVISION.0 + 1));
    let second = update(&store, "/a", "2", first).await;
    let third = create(&store, "/b", "1").await;
    let fourth = remove(&store, "/a", second).await;
    assert_eq!([second.0, third.0, fourth.0], [first.0 + 1, first.0 + 2, first.0 + 3]);
    conflict(store.put(bytes("/b"), bytes("x"), Expect::Absent, None).await.unwrap());
    assert_eq!(store.revision().await.unwrap(), fourth);
}

pub(crate) async fn a_write_is_read_back(store: Subject) {
    let created = create(&store, "/a", "1").await;
    assert_eq!(store.get(b"/a").await.unwrap(), Some(kv("/a", "1", created, created)));
    let modified = update(&store, "/a", "2", created).await;
    assert_eq!(store.get(b"/a").await.unwrap(), Some(kv("/a", "2", created, modified)));
    remove(&store, "/a", modified).await;
    assert_eq!(store.get(b"/a").await.unwrap(), None);
    let again = create(&store, "/a", "").await;
    assert_eq!(store.get(b"/a").await.unwrap(), Some(kv("/a", "", again, again)));
}

pub(crate) async fn a_failed_expectation_answers_the_present_state(store: Subject) {
    let put = |key: &'static str, expect| {
        let store = store.clone();
        async move { conflict(store.put(bytes(key), bytes("x"), expect, None).await.unwrap()) }
    };
    assert_eq!(put("/a", Expect::At(Revision(1))).await, None);
    assert_eq!(conflict(store.delete(bytes("/a"), Revision(1)).await.unwrap()), None);
    let created = create(&store, "/a", "1").await;
    let state = Some(kv("/a", "1", created, created));
    assert_eq!(put("/a", Expect::Absent).await, state);
    assert_eq!(put("/a", Expect::At(Revision(created.0 + 1))).await, state);
    assert_eq!(conflict(store.delete(bytes("/a"), Revision(created.0 - 1)).await.unwrap()), state);
    let modified = update(&store, "/a", "2", created).await;
    assert_eq!(put("/a", Expect::At(created)).await, Some(kv("/a", "2", created, modified)));
    remove(&store, "/a", modified).await;
    assert_eq!(put("/a", Expect::At(modified)).await, None);
}

pub(crate) async fn of_concurrent_writers_one_wins(store: Subject) {
    let attempts = (0..32).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move { store.put(bytes("/a"), bytes(&writer.to_string()), Expect::Absent, None).await.unwrap() })
    });
    let mut won = Vec::new();
    let mut seen = Vec::new();
    for (writer, attempt) in attempts.collect::<Vec<_>>().into_iter().enumerate() {
        match attempt.await.unwrap() {
            Outcome::Done(revision) => won.push((writer, revision)),
            Outcome::Conflict(found) => seen.push(found.unwrap()),
        }
    }
    let [(winner, revision)] = won[..] else { panic!("{} writers won", won.len()) };
    let state = kv("/a", &winner.to_string(), revision, revision);
    assert!(seen.iter().all(|found| *found == state));
    assert_eq!(store.get(b"/a").await.unwrap(), Some(state));
}

pub(crate) async fn concurrent_counters_lose_nothing(store: Subject) {
    let start = create(&store, "/n", "0").await;
    let counters = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                let mut state = store.get(b"/n").await.unwrap().unwrap();
                loop {
                    let count: u32 = std::str::from_utf8(&state.value).unwrap().parse().unwrap();
                    match store.put(bytes("/n"), bytes(&(count + 1).to_string()), Expect::At(state.modified), None).await.unwrap() {
                        Outcome::Done(_) => break,
                        Outcome::Conflict(found) => state = found.unwrap(),
                    }
                }
            }
        })
    });
    futures::future::try_join_all(counters.collect::<Vec<_>>()).await.unwrap();
    let state = store.get(b"/n").await.unwrap().unwrap();
    assert_eq!(state, kv("/n", "80", start, Revision(start.0 + 80)));
}

pub(crate) async fn a_range_is_ordered_limited_and_bounded(store: Subject) {
    for key in ["/b/2", "/a/1", "/b/1", "/b0", "/b/10", "/c"] {
        create(&store, key, "v").await;
    }
    let all = ["/a/1", "/b/1", "/b/10", "/b/2", "/b0", "/c"].map(String::from);
    assert_eq!(keys(&store, "/b/", "/b0", 0, None).await, (all[1..4].to_vec(), false));
    assert_eq!(keys(&store, "/b/", "/b0", 3, None).await, (all[1..4].to_vec(), false));
    assert_eq!(keys(&store, "/b/", "/b0", 2, None).await, (all[1..3].to_vec(), true));
    assert_eq!(keys(&store, "/b/1\0", "/b0", 1, None).await, (all[2..3].to_vec(), true));
    assert_eq!(keys(&store, "/b/10\0", "/b0", 1, None).await, (all[3..4].to_vec(), false));
    assert_eq!(keys(&store, "/b0", "", 0, None).await, (all[4..].to_vec(), false));
    assert_eq!(keys(&store, "", "", 0, None).await, (all.to_vec(), false));
    assert_eq!(keys(&store, "/c", "/b", 0, None).await, (vec![], false));
    assert_eq!(keys(&store, "/c", "/c", 0, None).await, (vec![], false));
}

pub(crate) async fn a_range_reads_the_past(store: Subject) {
    let one = create(&store, "/a", "1").await;
    let two = create(&store, "/b", "1").await;
    let three = update(&store, "/a", "2", one).await;
    let four = remove(&store, "/b", two).await;
    let five = create(&store, "/b", "3").await;
    let at = |revision| {
        let store = store.clone();
        async move {
            let range = store.range(b"/", b"0", 0, Some(revision)).await.unwrap();
            assert_eq!(range.revision, revision);
            range.items
        }
    };
    assert_eq!(at(FIRST_REVISION).await, []);
    assert_eq!(at(one).await, [kv("/a", "1", one, one)]);
    assert_eq!(at(two).await, [kv("/a", "1", one, one), kv("/b", "1", two, two)]);
    assert_eq!(at(three).await, [kv("/a", "2", one, three), kv("/b", "1", two, two)]);
    assert_eq!(at(four).await, [kv("/a", "2", one, three)]);
    assert_eq!(at(five).await, [kv("/a", "2", one, three), kv("/b", "3", five, five)]);
    let page = store.range(b"/", b"0", 1, Some(two)).await.unwrap();
    assert_eq!((page.items, page.more), (vec![kv("/a", "1", one, one)], true));
    let future = Revision(five.0 + 1);
    let refused = store.range(b"/", b"0", 0, Some(future)).await;
    assert!(matches!(refused, Err(Error::Future { asked, current }) if asked == future && current == five), "{refused:?}");
}

pub(crate) async fn compaction_forgets_what_is_older(store: Subject) {
    let one = create(&store, "/a", "1").await;
    let two = update(&store, "/a", "2", one).await;
    let three = create(&store, "/b", "1").await;
    let four = remove(&store, "/b", three).await;
    store.compact(two).await.unwrap();
    let refused = store.range(b"/", b"0", 0, Some(one)).await;
    assert!(matches!(refused, Err(Error::Compacted { asked, oldest }) if asked == one && oldest == two), "{refused:?}");
    let refused = store.watch(bytes("/"), one).await.err();
    assert!(matches!(refused, Some(Error::Compacted { asked, oldest }) if asked == one && oldest == two), "{refused:?}");
    assert!(matches!(store.compact(one).await, Err(Error::Compacted { .. })));
    store.compact(two).await.unwrap();
    assert!(matches!(store.compact(Revision(four.0 + 1)).await, Err(Error::Future { .. })));
    assert_eq!(store.range(b"/", b"0", 0, Some(two)).await.unwrap().items, [kv("/a", "2", one, two)]);
    assert_eq!(store.range(b"/", b"0", 0, Some(three)).await.unwrap().items.len(), 2);
    let mut watch = store.watch(bytes("/"), two).await.unwrap();
    assert_eq!(change(&mut watch).await.revision(), three);
    assert_eq!(change(&mut watch).await.revision(), four);
    store.compact(four).await.unwrap();
    assert_eq!(store.range(b"/", b"0", 0, None).await.unwrap().items, [kv("/a", "2", one, two)]);
    assert_eq!(store.revision().await.unwrap(), four);
    assert_eq!(store.get(b"/a").await.unwrap(), Some(kv("/a", "2", one, two)));
}

pub(crate) async fn a_watch_tells_everything_in_order(store: Subject) {
    let mut watch = store.watch(bytes("/a/"), FIRST_REVISION).await.unwrap();
    let one = create(&store, "/a/x", "1").await;
    create(&store, "/a", "outside").await;
    create(&store, "/a0", "outside").await;
    let four = update(&store, "/a/x", "2", one).await;
    let five = create(&store, "/a/y", "1").await;
    let six = remove(&store, "/a/x", four).await;
    let (first, second, third) = (kv("/a/x", "1", one, one), kv("/a/x", "2", one, four), kv("/a/y", "1", five, five));
    let told = [
        Event::Put { item: first },
        Event::Put { item: second },
        Event::Put { item: third },
        Event::Delete { key: bytes("/a/x"), revision: six },
    ];
    for event in &told {
        assert_eq!(change(&mut watch).await, *event);
    }
    for (after, rest) in [(Revision(0), 0), (FIRST_REVISION, 0), (one, 1), (Revision(one.0 + 1), 1), (four, 2), (five, 3), (six, 4)] {
        let mut resumed = store.watch(bytes("/a/"), after).await.unwrap();
        assert_eq!(changes_through(&store, &mut resumed, six).await, told[rest..], "after {after:?}");
    }
    let refused = store.watch(bytes("/a/"), Revision(six.0 + 1)).await.err();
    assert!(matches!(refused, Some(Error::Future { .. })), "{refused:?}");
}

pub(crate) async fn a_watch_of_everything_sees_every_revision(store: Subject) {
    let mut watch = store.watch(Bytes::new(), FIRST_REVISION).await.unwrap();
    let mut last = FIRST_REVISION;
    for n in 0..50 {
        last = create(&store, &format!("{}", n % 7 * 100 + n), "v").await;
    }
    let seen: Vec<u64> = changes_through(&store, &mut watch, last).await.iter().map(|event| event.revision().0).collect();
    assert_eq!(seen, (FIRST_REVISION.0 + 1..=last.0).collect::<Vec<_>>());
}

pub(crate) async fn watches_that_join_under_load_miss_nothing(store: Subject) {
    const WRITES: usize = 400;
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..WRITES / 4 {
                    create(&store, &format!("/{writer}/{n}"), &"v".repeat(n * 16)).await;
                }
            })
        })
        .collect();
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let after = store.revision().await.unwrap();
                let mut watch = store.watch(bytes("/"), after).await.unwrap();
                let end = Revision(FIRST_REVISION.0 + WRITES as u64);
                let mut position = after;
                while position < end {
                    match next(&mut watch).await.unwrap() {
                        Event::Progress(revision) => assert!(revision >= position),
                        event => {
                            assert_eq!(event.revision().0, position.0 + 1, "a gap or a repetition");
                            position = event.revision();
                        }
                    }
                }
            })
        })
        .collect();
    futures::future::try_join_all(writers).await.unwrap();
    futures::future::try_join_all(readers).await.unwrap();
}

pub(crate) async fn progress_never_overtakes_events(store: Subject) {
    let mut watch = store.watch(bytes("/a/"), FIRST_REVISION).await.unwrap();
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            let mut last = FIRST_REVISION;
            for n in 0..200 {
                last = create(&store, &format!("/{}/{n}", if n % 3 == 0 { "a" } else { "b" }), "v").await;
                if n % 5 == 0 {
                    store.progress().await.unwrap();
                }
            }
            last
        }
    });
    let mut promised = FIRST_REVISION;
    let mut events = 0;
    while events < 67 {
        match next(&mut watch).await.unwrap() {
            Event::Progress(revision) => promised = promised.max(revision),
            event => {
                assert!(event.revision() > promised, "{event:?} after progress {promised:?}");
                events += 1;
            }
        }
    }
    let last = writer.await.unwrap();
    assert_eq!(changes_through(&store, &mut watch, last).await, []);
}

pub(crate) async fn a_slow_watch_still_gets_everything(store: Subject) {
    let mut watch = store.watch(bytes("/"), FIRST_REVISION).await.unwrap();
    let value = "v".repeat(64 << 10);
    let mut last = FIRST_REVISION;
    for n in 0..300 {
        last = create(&store, &format!("/{n}"), &value).await;
    }
    let seen: Vec<u64> = changes_through(&store, &mut watch, last).await.iter().map(|event| event.revision().0).collect();
    assert_eq!(seen, (FIRST_REVISION.0 + 1..=last.0).collect::<Vec<_>>());
}

pub(crate) async fn keys_vanish_with_their_lease(store: Subject) {
    let lease = store.grant(Duration::from_secs(2)).await.unwrap();
    let put = |key: &'static str, expect, lease| {
        let store = store.clone();
        async move { done(store.put(bytes(key), bytes("v"), expect, lease).await.unwrap()) }
    };
    let mut watch = store.watch(bytes("/"), FIRST_REVISION).await.unwrap();
    put("/ends", Expect::Absent, Some(lease)).await;
    let joins = put("/joins", Expect::Absent, None).await;
    let stays = put("/stays", Expect::Absent, Some(lease)).await;
    put("/joins", Expect::At(joins), Some(lease)).await;
    put("/stays", Expect::At(stays), None).await;
    let mut gone = Vec::new();
    while gone.len() < 2 {
        if let Event::Delete { key, .. } = change(&mut watch).await {
            gone.push(key);
        }
    }
    gone.sort();
    assert_eq!(gone, ["/ends", "/joins"]);
    assert_eq!(keys(&store, "/", "0", 0, None).await.0, ["/stays"]);
}

pub(crate) async fn an_unknown_lease_is_refused(store: Subject) {
    let unknown = LeaseId(0x7777_7777);
    let refused = store.put(bytes("/a"), bytes("v"), Expect::Absent, Some(unknown)).await;
    assert!(matches!(refused, Err(Error::LeaseNotFound(id)) if id == unknown), "{refused:?}");
    assert_eq!(store.get(b"/a").await.unwrap(), None);
    let created = create(&store, "/a", "v").await;
    // The expectation is looked at first.
    assert_eq!(
        conflict(store.put(bytes("/a"), bytes("v"), Expect::Absent, Some(unknown)).await.unwrap()),
        Some(kv("/a", "v", created, created))
    );
}

pub(crate) async fn values_are_limited(store: Subject) {
    let largest = Bytes::from(vec![7; VALUE_LIMIT]);
    let created = done(store.put(bytes("/large"), largest.clone(), Expect::Absent, None).await.unwrap());
    assert_eq!(store.get(b"/large").await.unwrap().unwrap().value, largest);
    let refused = store.put(bytes("/large"), vec![7; VALUE_LIMIT + 1].into(), Expect::At(created), None).await;
    assert!(matches!(refused, Err(Error::TooLarge { size, limit: VALUE_LIMIT }) if size == VALUE_LIMIT + 1), "{refused:?}");
    let mut watch = store.watch(bytes("/"), FIRST_REVISION).await.unwrap();
    assert_eq!(change(&mut watch).await.revision(), created);
    assert!(store.size().await.unwrap() >= VALUE_LIMIT as u64);
}

pub(crate) async fn keys_and_values_are_any_bytes(store: Subject) {
    let odd: Vec<Bytes> = [&b"\0"[..], b"\0\0", b"\x01", b"a\0b", b"\xff", b"\xff\xff", b"\xff\xfe"].map(Bytes::from_static).to_vec();
    for key in &odd {
        done(store.put(key.clone(), key.clone(), Expect::Absent, None).await.unwrap());
    }
    for key in &odd {
        assert_eq!(store.get(key).await.unwrap().unwrap().value, key);
    }
    let above = store.range(b"\xff", &prefix_end(b"\xff"), 0, None).await.unwrap();
    assert_eq!(above.items.iter().map(|item| &item.key[..]).collect::<Vec<_>>(), [&b"\xff"[..], b"\xff\xfe", b"\xff\xff"]);
    let mut watch = store.watch(Bytes::from_static(b"\xff"), FIRST_REVISION).await.unwrap();
    let current = store.revision().await.unwrap();
    assert_eq!(changes_through(&store, &mut watch, current).await.len(), 3);
}

pub(crate) async fn a_closed_store_says_so(store: Subject) {
    create(&store, "/a", "v").await;
    let mut watch = store.watch(bytes("/"), store.revision().await.unwrap()).await.unwrap();
    store.close().await.unwrap();
    let ended = loop {
        match next(&mut watch).await {
            Ok(Event::Progress(_)) => {}
            Ok(event) => panic!("{event:?} after close"),
            Err(error) => break error,
        }
    };
    assert!(matches!(ended, Error::Unavailable(_)), "{ended:?}");
    assert!(tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().is_none());
    assert!(matches!(store.get(b"/a").await, Err(Error::Unavailable(_))));
    assert!(matches!(store.revision().await, Err(Error::Unavailable(_))));
    assert!(matches!(store.put(bytes("/b"), bytes("v"), Expect::Absent, None).await, Err(Error::Unavailable(_))));
    assert!(store.watch(bytes("/"), FIRST_REVISION).await.is_err());
    store.close().await.unwrap();
}

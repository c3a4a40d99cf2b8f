//! Random histories: whatever is asked, every store answers as the model in memory does, and its watches tell the same.

use bytes::Bytes;
use futures::StreamExt;
use proptest::collection::vec;
use proptest::prelude::*;
use storage::embedded::{Embedded, Options};
use storage::memory::Memory;
use storage::{Event, Expect, LeaseId, Outcome, Revision, Store, Watch};
use tokio::runtime::Runtime;

use crate::etcd_server::Server;

const KEYS: [&str; 7] = ["/a", "/a/1", "/a/2", "/a0", "/b", "\u{ff}", "\u{ff}/1"];

#[derive(Clone, Debug)]
enum Op {
    Put {
        key: usize,
        value: Vec<u8>,
        expect: Expectation,
        lease: Option<usize>,
    },
    Delete {
        key: usize,
        expect: Expectation,
    },
    Get {
        key: usize,
    },
    Range {
        start: usize,
        end: usize,
        limit: usize,
        back: Option<u64>,
    },
    Watch {
        prefix: usize,
        back: u64,
    },
    Compact {
        back: u64,
    },
    Grant,
    Progress,
    /// Close and open again, where the store can.
    Reopen,
}

#[derive(Clone, Copy, Debug)]
enum Expectation {
    Absent,
    /// What the key is at, where it exists.
    Right,
    /// So far below the store's revision.
    Back(u64),
}

fn expectation() -> impl Strategy<Value = Expectation> {
    prop_oneof![3 => Just(Expectation::Absent), 5 => Just(Expectation::Right), 1 => (0..8u64).prop_map(Expectation::Back)]
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0..KEYS.len();
    prop_oneof![
        12 => (key(), vec(any::<u8>(), 0..40), expectation(), proptest::option::weighted(0.2, 0..4usize))
            .prop_map(|(key, value, expect, lease)| Op::Put { key, value, expect, lease }),
        4 => (key(), expectation()).prop_map(|(key, expect)| Op::Delete { key, expect }),
        2 => key().prop_map(|key| Op::Get { key }),
        4 => (key(), 0..KEYS.len() + 1, 0..4usize, proptest::option::of(0..20u64))
            .prop_map(|(start, end, limit, back)| Op::Range { start, end, limit, back }),
        2 => (key(), 0..10u64).prop_map(|(prefix, back)| Op::Watch { prefix, back }),
        1 => (0..12u64).prop_map(|back| Op::Compact { back }),
        1 => Just(Op::Grant),
        1 => Just(Op::Progress),
        1 => Just(Op::Reopen),
    ]
}

/// A store under test and the model, given the same to do.
struct Pair<S> {
    subject: S,
    model: Memory,
    leases: Vec<(LeaseId, LeaseId)>,
    watches: Vec<(Watch, Watch)>,
}

/// What an answer comes to: leases aside, stores must agree on it to the letter.
fn words<T: std::fmt::Debug>(answer: T) -> String {
    format!("{answer:?}")
}

impl<S: Store> Pair<S> {
    fn new(subject: S) -> Self {
        Self { subject, model: Memory::new(), leases: Vec::new(), watches: Vec::new() }
    }

    async fn expect(&self, key: &[u8], expectation: Expectation) -> Revision {
        let current = self.model.get(key).await.unwrap().map(|kv| kv.modified);
        match expectation {
            Expectation::Right => current.unwrap_or(Revision(0)),
            Expectation::Absent => Revision(0),
            Expectation::Back(back) => self.back(back).await,
        }
    }

    /// A revision `back` before the current one; 0 and 1 mean one and the same, and a little wraps to the future.
    async fn back(&self, back: u64) -> Revision {
        let current = self.model.revision().await.unwrap();
        Revision(current.0.checked_sub(back).unwrap_or(current.0 + back))
    }

    async fn apply(&mut self, op: &Op) {
        let Self { subject, model, .. } = self;
        match op {
            Op::Put { key, value, expect, lease } => {
                let key = Bytes::from_static(KEYS[*key].as_bytes());
                let expect = match expect {
                    Expectation::Absent => Expect::Absent,
                    other => Expect::At(self.expect(&key, *other).await),
                };
                let value = Bytes::copy_from_slice(value);
                let unknown = (LeaseId(0x7777), LeaseId(0x7777));
                let lease = lease.map(|at| self.leases.get(at).copied().unwrap_or(unknown));
                let told = self.subject.put(key.clone(), value.clone(), expect, lease.map(|lease| lease.0)).await;
                assert_eq!(words(told), words(self.model.put(key, value, expect, lease.map(|lease| lease.1)).await));
            }
            Op::Delete { key, expect } => {
                let key = Bytes::from_static(KEYS[*key].as_bytes());
                let expect = self.expect(&key, *expect).await;
                let told = self.subject.delete(key.clone(), expect).await;
                assert_eq!(words(told), words(self.model.delete(key, expect).await));
            }
            Op::Get { key } => assert_eq!(words(subject.get(KEYS[*key].as_bytes()).await), words(model.get(KEYS[*key].as_bytes()).await)),
            Op::Range { start, end, limit, back } => {
                let (start, end) = (KEYS[*start].as_bytes(), KEYS.get(*end).map_or(&b""[..], |key| key.as_bytes()));
                let revision = match back {
                    Some(back) => Some(self.back(*back).await),
                    None => None,
                };
                let told = self.subject.range(start, end, *limit, revision).await;
                assert_eq!(words(told), words(self.model.range(start, end, *limit, revision).await));
            }
            Op::Watch { prefix, back } => self.watch(KEYS[*prefix], *back).await,
            Op::Compact { back } => {
                // A watch that lags may end by a compaction; one that does not may not, nor one that begins later: a new one
                // tells when what all of them read from has come so far.
                self.drain().await;
                let current = self.model.revision().await.unwrap();
                let mut newest = self.subject.watch(Bytes::new(), current).await.unwrap();
                through(&self.subject, &mut newest, current).await;
                let revision = self.back(*back).await;
                assert_eq!(words(self.subject.compact(revision).await), words(self.model.compact(revision).await));
            }
            Op::Grant => {
                let ttl = std::time::Duration::from_secs(3600);
                self.leases.push((subject.grant(ttl).await.unwrap(), model.grant(ttl).await.unwrap()));
            }
            Op::Progress => assert_eq!(words(subject.progress().await), words(model.progress().await)),
            Op::Reopen => {}
        }
        assert_eq!(self.subject.revision().await.unwrap(), self.model.revision().await.unwrap());
    }

    async fn watch(&mut self, prefix: &'static str, back: u64) {
        let after = self.back(back).await;
        let prefix = Bytes::from_static(prefix.as_bytes());
        match (self.subject.watch(prefix.clone(), after).await, self.model.watch(prefix, after).await) {
            (Ok(subject), Ok(model)) => self.watches.push((subject, model)),
            (subject, model) => assert_eq!(words(subject.err()), words(model.err())),
        }
    }

    /// Compares what the watches have to say up to now.
    async fn drain(&mut self) {
        let current = self.model.revision().await.unwrap();
        for (subject, model) in &mut self.watches {
            let told = through(&self.subject, subject, current).await;
            assert_eq!(told, through(&self.model, model, current).await);
        }
    }
}

/// The events until progress reaches `revision`.
async fn through(store: &impl Store, watch: &mut Watch, revision: Revision) -> Vec<Event> {
    let mut events = Vec::new();
    store.progress().await.unwrap();
    loop {
        match watch.next().await.unwrap().unwrap() {
            Event::Progress(at) if at >= revision => return events,
            Event::Progress(_) => store.progress().await.unwrap(),
            event => events.push(event),
        }
    }
}

/// All that is there, with its history, must agree too.
async fn compare_everything(pair: &mut Pair<impl Store>) {
    pair.drain().await;
    for back in 0..20 {
        pair.apply(&Op::Range { start: 0, end: KEYS.len(), limit: 0, back: Some(back) }).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn embedded_does_as_the_model(ops in vec(op(), 1..80)) {
        Runtime::new().unwrap().block_on(async {
            let directory = tempfile::tempdir().unwrap();
            // Every compaction rewrites the files.
            let open = || Embedded::open(directory.path(), Options { garbage_limit: 0 }).unwrap();
            let mut pair = Pair::new(open());
            for op in &ops {
                if matches!(op, Op::Reopen) {
                    pair.drain().await;
                    pair.watches.clear();
                    pair.subject.close().await.unwrap();
                    pair.subject = open();
                }
                pair.apply(op).await;
            }
            compare_everything(&mut pair).await;
            pair.watches.clear();
            pair.subject.close().await.unwrap();
            pair.subject = open();
            compare_everything(&mut pair).await;
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 16, ..ProptestConfig::default() })]

    #[test]
    fn etcd_does_as_the_model(ops in vec(op(), 20..150)) {
        Runtime::new().unwrap().block_on(async {
            let server = Server::start().await;
            let mut pair = Pair::new(server.connect().await);
            for op in &ops {
                pair.apply(op).await;
            }
            compare_everything(&mut pair).await;
        });
    }
}

#[tokio::test]
async fn the_model_itself_counts() {
    let model = Memory::new();
    let put = |value: &'static [u8], expect| model.put(Bytes::from_static(b"/a"), Bytes::from_static(value), expect, None);
    assert_eq!(put(b"1", Expect::Absent).await.unwrap(), Outcome::Done(Revision(2)));
    assert_eq!(put(b"2", Expect::At(Revision(2))).await.unwrap(), Outcome::Done(Revision(3)));
    assert_eq!(model.get(b"/a").await.unwrap().unwrap().value, Bytes::from_static(b"2"));
}

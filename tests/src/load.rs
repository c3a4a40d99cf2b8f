//! Writers that go on whatever happens, and remember what was acknowledged to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use serde_json::json;

use crate::http::{Answer, Http};
use crate::wait_for;

const WRITERS: usize = 4;
/// Where the writers write.
pub const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// What one writer has seen.
#[derive(Default)]
pub struct Seen {
    /// Names of objects whose creation was answered with success.
    pub acknowledged: BTreeSet<String>,
    /// Codes of answers that told of a failure of the server's.
    pub failures: BTreeMap<u16, usize>,
    /// How often no answer came.
    pub unanswered: usize,
}

impl Seen {
    fn note(&mut self, name: String, answer: std::io::Result<Answer>) {
        match answer {
            Ok(answer) if answer.code == 201 => {
                self.acknowledged.insert(name);
            }
            Ok(answer) => {
                assert!(answer.code >= 500 || answer.code == 429, "{}: {}", answer.code, answer.text());
                assert_eq!(answer.json()["kind"], "Status", "{}", answer.text());
                *self.failures.entry(answer.code).or_default() += 1;
            }
            Err(_) => self.unanswered += 1,
        }
    }

    fn absorb(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.unanswered += other.unanswered;
        for (code, count) in other.failures {
            *self.failures.entry(code).or_default() += count;
        }
    }
}

/// Running writers of ConfigMaps that hold their own names.
pub struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    writers: Vec<JoinHandle<Seen>>,
}

impl Load {
    pub fn start(http: &Http, round: &str) -> Self {
        let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let writer = |number: usize| {
            let (http, prefix) = (http.clone(), format!("{round}-{number}"));
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            std::thread::spawn(move || {
                let mut seen = Seen::default();
                for count in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let name = format!("{prefix}-{count}");
                    let before = seen.acknowledged.len();
                    let answer = http.post(MAPS, &config_map(&name, &name));
                    seen.note(name, answer);
                    acknowledged.fetch_add(seen.acknowledged.len() - before, Ordering::Relaxed);
                }
                seen
            })
        };
        let writers = (0..WRITERS).map(writer).collect();
        Self { stop, acknowledged, writers }
    }

    /// Waits until so many more writes were acknowledged.
    #[track_caller]
    pub fn wait_for_more(&self, count: usize) {
        let target = self.acknowledged.load(Ordering::Relaxed) + count;
        wait_for("writes to be acknowledged", || {
            let now = self.acknowledged.load(Ordering::Relaxed);
            if now >= target { Ok(()) } else { Err(format!("{now} of {target}")) }
        });
    }

    pub fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for writer in self.writers {
            all.absorb(writer.join().expect("a writer"));
        }
        all
    }
}

/// The JSON of a ConfigMap with one value.
pub fn config_map(name: &str, value: &str) -> Vec<u8> {
    json!({"metadata": {"name": name}, "data": {"value": value}}).to_string().into_bytes()
}

/// Every acknowledged object is there, and every object that is there is whole.
#[track_caller]
pub fn assert_kept(http: &Http, seen: &Seen) {
    let list = http.get(MAPS).expect("a list").json();
    let stored: BTreeMap<&str, &str> = list["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|item| Some((item["metadata"]["name"].as_str()?, item["data"]["value"].as_str()?)))
        .collect();
    for (name, value) in &stored {
        assert_eq!(name, value, "half an object");
    }
    let lost: Vec<_> = seen.acknowledged.iter().filter(|name| !stored.contains_key(name.as_str())).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged writes are lost: {lost:?}", lost.len(), seen.acknowledged.len());
}

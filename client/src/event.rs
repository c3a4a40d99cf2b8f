//! [`EventRecorder`]: tells users what a component did, as Event objects that `kubectl describe` shows. Recording
//! never blocks and never fails: what the queue cannot hold is dropped. Repeated events become one object with a
//! count, and one that is repeated too fast is held back, so that a component in a loop does not flood the server.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use machinery::NamespacedName;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::Api;
use crate::transport::{Patch, Transport};

/// Events waiting to be written.
const QUEUE_LENGTH: usize = 1024;
/// Objects and series remembered; the oldest are forgotten.
const REMEMBERED: usize = 4096;
/// How many events about one object may come at once, and how long it takes for one more to be let through.
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);
/// After so long without a repetition an event starts a new object.
const SERIES_ENDS_AFTER: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    Normal,
    Warning,
}

impl EventType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// The object that it is about. Events about objects of cluster scope are kept in `default`.
    pub regarding: ObjectReference,
    pub event_type: EventType,
    /// One word in camel case, for programs: `Scheduled`.
    pub reason: &'static str,
    /// What was done, for programs: `Binding`. May be empty.
    pub action: &'static str,
    /// For people.
    pub message: String,
}

/// Where a component leaves its events. Clones share a queue.
#[derive(Clone)]
pub struct EventRecorder {
    queue: mpsc::Sender<(Component, NewEvent)>,
    component: Component,
}

/// Who records.
type Component = Arc<str>;

/// Writes what recorders leave.
pub struct EventWriter {
    events: Api<Event>,
    queue: mpsc::Receiver<(Component, NewEvent)>,
    instance: String,
    series: Remembered<SeriesKey, Series>,
    budgets: Remembered<NamespacedName, Budget>,
    hasher: RandomState,
}

/// A hash of what makes two events the same: the object, the type, the reason and the message.
type SeriesKey = u64;

struct Series {
    key: NamespacedName,
    count: i32,
    last: Instant,
}

struct Budget {
    left: f64,
    at: Instant,
}

impl EventRecorder {
    /// A recorder for `component` (`default-scheduler`, `kubelet`…) on `instance` (a host), and the writer that
    /// somebody must run.
    pub fn new(transport: Arc<dyn Transport>, component: impl Into<String>, instance: impl Into<String>) -> (Self, EventWriter) {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        let component: String = component.into();
        let writer = EventWriter {
            events: Api::new(transport, component.clone()),
            queue: receiver,
            instance: instance.into(),
            series: Remembered::default(),
            budgets: Remembered::default(),
            hasher: RandomState::new(),
        };
        (Self { queue: sender, component: component.into() }, writer)
    }

    /// A recorder for a part of the component, which has a name of its own.
    pub fn named(&self, component: &str) -> Self {
        Self { queue: self.queue.clone(), component: component.into() }
    }

    /// Leaves an event to be written. Drops it where too many wait.
    pub fn record(&self, event: NewEvent) {
        if self.queue.try_send((self.component.clone(), event)).is_err() {
            tracing::debug!("dropped an event: too many wait to be written");
        }
    }
}

impl EventWriter {
    /// Writes events until `shutdown`, or until all recorders are gone.
    pub async fn run(mut self, shutdown: CancellationToken) {
        while let Some(Some((component, event))) = shutdown.run_until_cancelled(self.queue.recv()).await {
            self.write(&component, event).await;
        }
    }

    async fn write(&mut self, component: &str, event: NewEvent) {
        let now = Instant::now();
        let about = NamespacedName::new(
            event.regarding.namespace.as_deref().unwrap_or_default(),
            event.regarding.uid.as_deref().or(event.regarding.name.as_deref()).unwrap_or_default(),
        );
        if !self.budgets.get_or_insert_with(about.clone(), || Budget { left: BURST, at: now }).spend(now) {
            return;
        }
        let key = self.hasher.hash_one((&event.regarding.kind, &about, event.event_type, event.reason, &event.message));
        if let Some(series) = self.series.get_mut(&key).filter(|series| now - series.last < SERIES_ENDS_AFTER) {
            series.count += 1;
            series.last = now;
            let (name, count) = (series.key.clone(), series.count);
            match self.repeat(&name, count).await {
                Ok(()) => return,
                // The server has dropped the event by now: it starts anew.
                Err(status) if status.is_not_found() => {}
                Err(status) => return tracing::debug!(%status, "cannot count a repeated event"),
            }
        }
        let object = self.object(component, &event);
        let name = NamespacedName::of(&object.metadata);
        match self.events.create(object).await {
            Ok(_) => self.series.insert(key, Series { key: name, count: 1, last: now }),
            Err(status) => tracing::debug!(%status, reason = event.reason, "cannot write an event"),
        }
    }

    async fn repeat(&self, name: &NamespacedName, count: i32) -> crate::transport::Result<()> {
        let patch = serde_json::json!({ "count": count, "lastTimestamp": Time(Timestamp::now()) });
        self.events.patch(name, Patch::Merge(Bytes::from(patch.to_string()))).await.map(drop)
    }

    fn object(&self, component: &str, event: &NewEvent) -> Event {
        let now = Timestamp::now();
        let about = event.regarding.name.as_deref().unwrap_or_default();
        let namespace = event.regarding.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or("default");
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{about}.{:x}{:04x}", now.as_nanosecond(), rand::random::<u16>())),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            involved_object: event.regarding.clone(),
            type_: Some(event.event_type.as_str().to_owned()),
            reason: Some(event.reason.to_owned()),
            action: (!event.action.is_empty()).then(|| event.action.to_owned()),
            message: Some(event.message.clone()),
            count: Some(1),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            source: Some(EventSource {
                component: Some(component.to_owned()),
                host: Some(self.instance.clone()).filter(|host| !host.is_empty()),
            }),
            reporting_component: Some(component.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }
}

impl Budget {
    fn spend(&mut self, now: Instant) -> bool {
        let gained = (now - self.at).as_secs_f64() / REFILL.as_secs_f64();
        self.left = (self.left + gained).min(BURST);
        self.at = now;
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

/// A map that forgets what was put in first when it is full.
struct Remembered<K, V> {
    map: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self { map: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: std::hash::Hash + Eq + Clone, V> Remembered<K, V> {
    fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.map.get_mut(key)
    }

    fn insert(&mut self, key: K, value: V) {
        if self.map.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.map.remove(&oldest);
            }
        }
    }

    fn get_or_insert_with(&mut self, key: K, value: impl FnOnce() -> V) -> &mut V {
        if !self.map.contains_key(&key) {
            self.insert(key.clone(), value());
        }
        self.map.entry(key).or_insert_with(|| unreachable!("inserted above"))
    }
}

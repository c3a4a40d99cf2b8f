//! [`Feed`]: follows the store and appends to the logs.
//!
//! One watch covers all resources: revisions are one order, and every write has a revision of its own, so that after
//! an event at revision r all logs are complete up to r. That makes the position of the feed the position of every log, and
//! costs one watch at idle. What this process wrote is not decoded again: the writer hands its entry over.

mod history;
mod late;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use api::kind::Scope;
use api::{Resource, ResourceRef};
use bytes::Bytes;
use futures::StreamExt;
use hashbrown::HashMap;
use machinery::{ResourceVersion, Status};
use parking_lot::{Mutex, RwLock};
use storage::{Event as StoreEvent, KeyValue, Revision, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::prepared;
use super::resource_log::Change;
use super::{Bounds, Entry, Log, Prepared};

/// How many events of the store are taken at once, at most.
const BATCH: usize = 256;
/// How long a reader waits for the log before it asks the store for a sign of progress.
const NUDGE_AFTER: Duration = Duration::from_millis(5);

/// Follows the store.
pub struct Feed {
    store: Arc<dyn Store>,
    /// `/registry/`.
    root: String,
    bounds: Bounds,
    /// Logs by the keys below which their objects stand.
    routes: RwLock<BTreeMap<Bytes, Route>>,
    /// All logs hold everything up to here.
    position: AtomicU64,
    /// States before this one are forgotten.
    oldest: AtomicU64,
    moved: Notify,
    /// Writes of this process that have not come back yet, by key.
    written: Mutex<HashMap<Bytes, Vec<Arc<Prepared>>>>,
    /// The store's revision as last asked for, and how many times it was asked.
    latest: tokio::sync::Mutex<Latest>,
    asked: AtomicU64,
    /// The store's watch broke off, and has not been opened again.
    adrift: AtomicBool,
    stop: CancellationToken,
    /// Part of `stop`.
    watches: CancellationToken,
}

/// Where the events of one prefix go.
#[derive(Clone)]
struct Route {
    log: Arc<Log>,
    /// Logs that take this one's place, or whose place it has taken: they are told of every change as long as somebody
    /// reads them.
    others: Vec<Arc<Log>>,
}

impl Route {
    fn logs(&self) -> impl Iterator<Item = &Arc<Log>> {
        std::iter::once(&self.log).chain(&self.others)
    }
}

#[derive(Default)]
struct Latest {
    round: u64,
    revision: Revision,
}

impl Feed {
    /// A feed over the objects below `/<prefix>/`. Open logs, then call [`Feed::load`] and [`Feed::run`].
    pub fn new(store: Arc<dyn Store>, prefix: &str, bounds: Bounds, stop: CancellationToken) -> Self {
        Self {
            store,
            root: format!("/{prefix}/"),
            bounds,
            routes: RwLock::default(),
            position: AtomicU64::new(0),
            oldest: AtomicU64::new(0),
            moved: Notify::new(),
            written: Mutex::default(),
            latest: tokio::sync::Mutex::default(),
            asked: AtomicU64::new(0),
            adrift: AtomicBool::new(false),
            watches: stop.child_token(),
            stop,
        }
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The token that ends the feed and every watch over it.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The token that ends every watch, while other requests are still served.
    pub fn watches(&self) -> &CancellationToken {
        &self.watches
    }

    /// The log of what is kept under the resource's prefix, made if there is none yet. Before [`Feed::load`] only.
    pub fn open(&self, resource: ResourceRef) -> Arc<Log> {
        let prefix = Bytes::from(self.prefix(&*resource));
        let route = || Route { log: Arc::new(Log::new(resource, self.bounds)), others: Vec::new() };
        self.routes.write().entry(prefix).or_insert_with(route).log.clone()
    }

    /// Every log, for upkeep and metrics.
    pub fn logs(&self) -> Vec<Arc<Log>> {
        self.routes.read().values().flat_map(Route::logs).cloned().collect()
    }

    fn prefix(&self, resource: &dyn Resource) -> String {
        format!("{}{}/", self.root, resource.stored_under())
    }

    /// The store's key of an object.
    pub(crate) fn key(&self, resource: &dyn Resource, path: &str) -> Bytes {
        let under = resource.stored_under();
        let mut key = String::with_capacity(self.root.len() + under.len() + 1 + path.len());
        key.push_str(&self.root);
        key.push_str(under);
        key.push('/');
        key.push_str(path);
        key.into()
    }

    /// All logs hold every event at or below this version.
    pub fn position(&self) -> ResourceVersion {
        ResourceVersion(self.position.load(Ordering::Acquire))
    }

    /// Waits until the position reaches `version`; `false` if it did not within `patience`.
    pub async fn reached(&self, version: ResourceVersion, patience: Duration) -> bool {
        if self.position() >= version {
            return true;
        }
        let wait = async {
            let mut nudged = false;
            loop {
                let moved = self.moved.notified();
                tokio::pin!(moved);
                moved.as_mut().enable();
                if self.position() >= version {
                    return;
                }
                if nudged {
                    moved.await;
                } else if tokio::time::timeout(NUDGE_AFTER, moved).await.is_err() {
                    // The newest revision may be that of a key outside our prefix, of which no event tells.
                    nudged = true;
                    if let Err(error) = self.store.progress().await {
                        tracing::debug!(%error, "the store did not take a request for progress");
                    }
                }
            }
        };
        tokio::time::timeout(patience, wait).await.is_ok()
    }

    /// Waits until `condition` holds of the logs; `false` if it did not within `patience`.
    pub(crate) async fn until(&self, patience: Duration, condition: impl Fn() -> bool) -> bool {
        let wait = async {
            loop {
                let moved = self.moved.notified();
                tokio::pin!(moved);
                moved.as_mut().enable();
                if condition() {
                    return;
                }
                moved.await;
            }
        };
        tokio::time::timeout(patience, wait).await.is_ok()
    }

    /// Whether what is written to the store arrives here.
    pub fn is_following(&self) -> bool {
        !self.adrift.load(Ordering::Acquire)
    }

    /// Waits until the logs hold everything that was written before this call. What is read afterwards is linearizable.
    pub async fn catch_up(&self) -> Result<(), Status> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let latest = self.latest().await?;
        if self.reached(ResourceVersion(latest.0), PATIENCE).await {
            Ok(())
        } else {
            Err(Status::timeout("the server has not caught up with its store in time", 1))
        }
    }

    /// The store's revision, asked for after this call began. All who wait while it is being asked share the next answer.
    async fn latest(&self) -> Result<Revision, Status> {
        let begun = self.asked.load(Ordering::Acquire);
        let mut latest = self.latest.lock().await;
        if latest.round > begun {
            return Ok(latest.revision);
        }
        let round = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let revision = self.store.revision().await.map_err(store_status)?;
        *latest = Latest { round, revision };
        Ok(revision)
    }

    /// Announces a write, so that its event need not be decoded. Withdraw it if the write did not happen.
    pub(crate) fn announce(&self, key: Bytes, prepared: Arc<Prepared>) {
        self.written.lock().entry(key).or_default().push(prepared);
    }

    pub(crate) fn withdraw(&self, key: &Bytes, prepared: &Arc<Prepared>) {
        let mut written = self.written.lock();
        if let Some(list) = written.get_mut(key) {
            list.retain(|one| !Arc::ptr_eq(one, prepared));
            if list.is_empty() {
                written.remove(key);
            }
        }
    }

    /// The announced write of exactly this value, if this process made it.
    fn take_written(&self, item: &KeyValue) -> Option<Arc<Prepared>> {
        let mut written = self.written.lock();
        let list = written.get_mut(&item.key)?;
        let at = list.iter().position(|one| one.value == item.value)?;
        let found = list.swap_remove(at);
        if list.is_empty() {
            written.remove(&item.key);
        }
        Some(found)
    }

    /// Reads everything that the store holds now into the logs.
    pub async fn load(&self) -> Result<(), Status> {
        let at = self.store.revision().await.map_err(store_status)?;
        let routes: Vec<_> = self.routes.read().iter().map(|(prefix, route)| (prefix.clone(), route.clone())).collect();
        for (prefix, route) in routes {
            for log in route.logs() {
                let entries = self.range(&prefix, log, at).await?;
                log.reset(entries, ResourceVersion(at.0));
            }
        }
        self.advance(ResourceVersion(at.0));
        Ok(())
    }

    /// Follows the store until the feed is stopped. Begins again where the store's watch breaks off.
    pub async fn run(self: Arc<Self>) {
        let stop = self.stop.clone();
        let work = async {
            loop {
                let followed = self.follow().await;
                self.adrift.store(true, Ordering::Release);
                match followed {
                    Err(storage::Error::Compacted { .. }) => {
                        tracing::warn!("the store forgot history that was not read yet; reading everything anew");
                        if let Err(error) = self.load().await {
                            tracing::warn!(%error, "reading the store anew");
                        }
                    }
                    Err(error) => tracing::warn!(%error, "following the store; trying again"),
                    Ok(()) => tracing::info!("the store ended its watch; watching again"),
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
    }

    async fn follow(&self) -> Result<(), storage::Error> {
        let after = Revision(self.position().0);
        let watch = self.store.watch(Bytes::from(self.root.clone()), after).await?;
        self.adrift.store(false, Ordering::Release);
        let mut batches = watch.ready_chunks(BATCH);
        while let Some(batch) = batches.next().await {
            let mut failed = None;
            let events = batch.into_iter().map_while(|event| event.map_err(|error| failed = Some(error)).ok());
            self.take(events);
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Appends a batch of the store's events to the logs they belong to.
    fn take(&self, events: impl Iterator<Item = StoreEvent>) {
        let now = Instant::now();
        let mut position = self.position();
        let mut changes: Vec<(Arc<Log>, Vec<Change>)> = Vec::new();
        for event in events {
            let mut add = |(log, change): (Arc<Log>, Change)| match changes.iter_mut().find(|(one, _)| Arc::ptr_eq(one, &log)) {
                Some((_, list)) => list.push(change),
                None => changes.push((log, vec![change])),
            };
            let revision = match &event {
                StoreEvent::Put { item, .. } => {
                    self.changed(item, &mut add);
                    item.modified
                }
                StoreEvent::Delete { key, revision, .. } => {
                    self.deleted(key, *revision, &mut add);
                    *revision
                }
                StoreEvent::Progress(revision) => *revision,
            };
            position = position.max(ResourceVersion(revision.0));
        }
        for (log, list) in changes {
            log.append(list, now);
        }
        self.advance(position);
    }

    fn advance(&self, position: ResourceVersion) {
        if self.position.fetch_max(position.0, Ordering::AcqRel) < position.0 {
            self.moved.notify_waiters();
        }
    }

    fn route(&self, key: &Bytes) -> Option<(Bytes, Route)> {
        let routes = self.routes.read();
        let (prefix, route) = routes.range((Bound::Unbounded, Bound::Included(key.clone()))).next_back()?;
        key.starts_with(prefix).then(|| (prefix.clone(), route.clone()))
    }

    fn changed(&self, item: &KeyValue, add: &mut impl FnMut((Arc<Log>, Change))) {
        let Some((prefix, route)) = self.route(&item.key) else { return };
        let written = self.take_written(item);
        for log in route.logs() {
            let read = match &written {
                Some(prepared) => path_of(&prefix, &item.key).map(|path| (path, prepared.entry(item.modified))),
                None => decode(log.resource(), &prefix, item),
            };
            if let Some((path, entry)) = read {
                add((log.clone(), Change { path, version: entry.version, entry: Some(entry) }));
            }
        }
    }

    fn deleted(&self, key: &Bytes, revision: Revision, add: &mut impl FnMut((Arc<Log>, Change))) {
        let Some((prefix, route)) = self.route(key) else { return };
        let Some(path) = path_of(&prefix, key) else { return };
        for log in route.logs() {
            add((log.clone(), Change { path: path.clone(), version: ResourceVersion(revision.0), entry: None }));
        }
    }

    /// Upkeep at idle: drops what is older than the logs keep, and retired logs that nobody reads any more.
    pub fn trim(&self) {
        let now = Instant::now();
        self.logs().iter().for_each(|log| log.trim(now));
        let is_dead = |log: &Arc<Log>| log.is_closed() && Arc::strong_count(log) == 1;
        self.routes.write().retain(|_, route| {
            route.others.retain(|log| !is_dead(log));
            !(route.others.is_empty() && is_dead(&route.log))
        });
    }
}

/// What a store's error is to a client.
pub(crate) fn store_status(error: storage::Error) -> Status {
    match error {
        storage::Error::Compacted { .. } => Status::expired(error.to_string()),
        storage::Error::TooLarge { limit, .. } => Status::too_large(limit),
        // As upstream passes on what etcd says when its quota is used up: no reason, nothing to try again for.
        storage::Error::NoSpace(_) => Status::unclassified(error.to_string()),
        storage::Error::Unavailable(_) => Status::unavailable(error.to_string()),
        _ => Status::internal(error.to_string()),
    }
}

fn path_of(prefix: &Bytes, key: &Bytes) -> Option<Arc<str>> {
    std::str::from_utf8(key.get(prefix.len()..)?).ok().map(Arc::from)
}

/// An entry from stored bytes that somebody else wrote. Those that do not decode are left out, and logged.
fn decode(resource: &dyn Resource, prefix: &Bytes, item: &KeyValue) -> Option<(Arc<str>, Arc<Entry>)> {
    let path = path_of(prefix, &item.key)?;
    let entry = prepared::apart(resource, &item.value).and_then(|(mut object, managed)| {
        let (namespace, name) = match (resource.scope(), path.split_once('/')) {
            (Scope::Namespaced, Some((namespace, name))) => (Some(namespace.to_owned()), name),
            _ => (None, &*path),
        };
        let meta = object.meta_mut();
        meta.name = Some(name.to_owned());
        meta.namespace = namespace;
        resource.default(&mut *object);
        Prepared::new(resource, object, &managed).map_err(|error| error.to_string())
    });
    match entry {
        Ok(prepared) => Some((path, prepared.entry(item.modified))),
        Err(error) => {
            tracing::error!(key = %String::from_utf8_lossy(&item.key), error, "a stored object does not decode");
            None
        }
    }
}

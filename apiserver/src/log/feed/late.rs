//! Logs that are opened while the feed runs, as custom resources need them, and that go again. A log is told of every change from
//! the moment its route stands, and keeps what it hears until a range of the store has shown it the state before.

use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::ResourceRef;
use bytes::Bytes;
use machinery::{ResourceVersion, Status};

use super::{Feed, Route, store_status};
use crate::log::Log;

impl Feed {
    /// Logs of what is kept under these resources' prefixes, opened while the feed runs and complete when this returns. They
    /// take the place of those that were there; see [`Feed::retire`].
    pub(crate) async fn open_late(&self, resources: Vec<ResourceRef>) -> Result<Vec<Arc<Log>>, Status> {
        if resources.is_empty() {
            return Ok(Vec::new());
        }
        let opened = self.add_routes(resources);
        if let Err(status) = self.read_state(&opened).await {
            // Nobody reads them: they go with the next round of upkeep.
            opened.iter().for_each(|(_, log)| self.retire(log));
            return Err(status);
        }
        let now = Instant::now();
        for (prefix, log) in &opened {
            log.go_live(now);
            if let Some(route) = self.routes.write().get_mut(prefix)
                && let Some(at) = route.others.iter().position(|one| Arc::ptr_eq(one, log))
            {
                std::mem::swap(&mut route.log, &mut route.others[at]);
            }
        }
        Ok(opened.into_iter().map(|(_, log)| log).collect())
    }

    /// Logs that are told of every change from here on, and keep it until they know the state before.
    fn add_routes(&self, resources: Vec<ResourceRef>) -> Vec<(Bytes, Arc<Log>)> {
        let mut opened = Vec::with_capacity(resources.len());
        for resource in resources {
            let prefix = Bytes::from(self.prefix(&*resource));
            let log = Arc::new(Log::new(resource, self.bounds));
            log.await_state();
            let mut routes = self.routes.write();
            match routes.entry(prefix.clone()) {
                Entry::Occupied(mut route) => route.get_mut().others.push(log.clone()),
                Entry::Vacant(vacant) => _ = vacant.insert(Route { log: log.clone(), others: Vec::new() }),
            }
            opened.push((prefix, log));
        }
        opened
    }

    async fn read_state(&self, opened: &[(Bytes, Arc<Log>)]) -> Result<(), Status> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let at = self.store.revision().await.map_err(store_status)?;
        for (prefix, log) in opened {
            let entries = self.range(prefix, log, at).await?;
            log.begin_at(entries, ResourceVersion(at.0));
        }
        if !self.reached(ResourceVersion(at.0), PATIENCE).await {
            return Err(Status::timeout("the server has not caught up with its store in time", 1));
        }
        Ok(())
    }

    /// Ends the watches of a log whose place was taken, or whose resource is gone. It goes when nobody reads it any more.
    pub(crate) fn retire(&self, log: &Log) {
        log.close();
    }
}

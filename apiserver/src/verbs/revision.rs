//! [`Revision`]: the loop in which a stored object is changed. The change is worked out from what the log shows, which
//! may be a moment behind; the store's condition, or a look at the newest state before anything is refused, makes
//! that harmless.

use std::sync::Arc;
use std::time::Duration;

use api::Object;
use machinery::{ResourceVersion, Status};
use storage::{Expect, Outcome, Revision as StoreRevision};

use super::Shown;
use super::write::{Put, Ready, Write};
use crate::log::{Entry, store_status};

/// How often a change is worked out anew because another write came between.
const ATTEMPTS: usize = 64;

/// What to do about the present state.
pub(super) enum Decision {
    /// Nothing.
    Keep,
    Replace(Ready),
    /// Write that the object is about to go, and decide again: watchers see it so before it goes.
    Mark(Ready),
    /// Remove the object, and show this as its last state.
    Remove(Ready),
}

/// How a change ended.
pub(super) enum Settled {
    /// The object is as it was.
    Kept(Arc<Entry>),
    Replaced(Shown),
    /// Its last state.
    Removed(Arc<Entry>),
}

pub(super) struct Revision<'w, 'a> {
    write: &'w Write<'a>,
    path: Arc<str>,
    present: Option<Arc<Entry>>,
    /// The same, decoded, once somebody has asked for it.
    object: Option<Arc<dyn Object>>,
    /// The present state was read after this call began.
    fresh: bool,
    /// The state in which the object has been marked here.
    marked: Option<Arc<Entry>>,
    attempts: usize,
}

impl<'w, 'a> Revision<'w, 'a> {
    pub(super) fn begin(write: &'w Write<'a>, path: Arc<str>) -> Self {
        let present = write.log.get(&path);
        Self { write, path, present, object: None, fresh: false, marked: None, attempts: 0 }
    }

    /// The state to decide upon.
    pub(super) fn present(&self) -> Option<&Arc<Entry>> {
        self.present.as_ref()
    }

    /// The state to decide upon, decoded; 404 if there is none.
    pub(super) fn existing(&mut self) -> Result<(Arc<Entry>, Arc<dyn Object>), Status> {
        let not_found = || Status::not_found(&self.write.resource().group_resource(), &self.write.target.name);
        let entry = self.present.clone().ok_or_else(not_found)?;
        let object = match &self.object {
            Some(object) => object.clone(),
            None => entry.object(self.write.resource()).map_err(Status::internal)?,
        };
        self.object = Some(object.clone());
        Ok((entry, object))
    }

    /// Whether the object has been marked here: what was asked of its first state holds no longer.
    pub(super) fn has_marked(&self) -> bool {
        self.marked.is_some()
    }

    /// Whether what is decided now is decided on a state that may be out of date.
    pub(super) async fn refresh(&mut self) -> Result<bool, Status> {
        if self.fresh {
            return Ok(false);
        }
        self.write.server.feed.catch_up().await?;
        let before = self.version();
        self.reload();
        Ok(self.version() != before)
    }

    /// Carries out a decision. None: the state has changed; decide again.
    pub(super) async fn settle(&mut self, decision: Result<Decision, Status>) -> Result<Option<Settled>, Status> {
        self.attempts += 1;
        if let (None, Some(marked)) = (&self.present, &self.marked) {
            // Others, too, may remove what has been marked.
            return Ok(Some(Settled::Removed(marked.clone())));
        }
        let decision = match decision {
            Err(status) => return if self.refresh().await? { Ok(None) } else { Err(status) },
            Ok(decision) => decision,
        };
        match (decision, self.present.clone()) {
            (_, None) => {
                let not_found = Status::not_found(&self.write.resource().group_resource(), &self.write.target.name);
                if self.refresh().await? { Ok(None) } else { Err(not_found) }
            }
            (Decision::Keep, Some(present)) => self.keep(present).await,
            (Decision::Replace(ready), Some(present)) => self.replace(ready, present).await,
            (Decision::Mark(last), Some(present)) if self.write.options.dry_run => self.remove(last, present).await,
            (Decision::Mark(ready), Some(present)) => self.mark(ready, present).await,
            (Decision::Remove(last), Some(present)) => self.remove(last, present).await,
        }
    }

    async fn keep(&mut self, present: Arc<Entry>) -> Result<Option<Settled>, Status> {
        Ok(if self.refresh().await? { None } else { Some(Settled::Kept(present)) })
    }

    async fn replace(&mut self, ready: Ready, present: Arc<Entry>) -> Result<Option<Settled>, Status> {
        let write = self.write;
        let ttl = write.server.time_to_live(write.resource(), &*ready.object);
        let taken = write.take_for_change(&*ready.object, &present).await?;
        let prepared = write.prepare_after((&present, self.object.as_deref()), ready.object, &ready.managed)?;
        if present.is_stored_as(&prepared.value) {
            return self.keep(present).await;
        }
        if write.options.dry_run {
            if self.refresh().await? {
                return Ok(None);
            }
            return Ok(Some(Settled::Replaced(Write::shown_dry(&prepared, Some(present.version)))));
        }
        match write.put(prepared, Expect::At(StoreRevision(present.version.0)), ttl).await? {
            Put::Done(entry) => {
                if let Some(reservation) = ready.reservation {
                    reservation.keep(entry.version);
                }
                write.release(&present, Some(&entry)).await;
                Ok(Some(Settled::Replaced(Shown::Entry(entry))))
            }
            Put::Conflict(newer) => {
                write.give_back(taken, &present.key).await;
                self.overtaken(newer.map(|kv| kv.modified)).await
            }
        }
    }

    async fn mark(&mut self, ready: Ready, present: Arc<Entry>) -> Result<Option<Settled>, Status> {
        match self.replace(ready, present).await? {
            Some(Settled::Replaced(Shown::Entry(marked))) => {
                (self.present, self.object, self.fresh, self.marked) = (Some(marked.clone()), None, true, Some(marked));
                Ok(None)
            }
            other => Ok(other),
        }
    }

    async fn remove(&mut self, last: Ready, present: Arc<Entry>) -> Result<Option<Settled>, Status> {
        let write = self.write;
        let feed = &write.server.feed;
        let mut shown_at = present.version;
        if write.options.dry_run {
            if self.refresh().await? {
                return Ok(None);
            }
        } else {
            let key = feed.key(write.log.resource(), &self.path);
            match feed.store().delete(key, StoreRevision(present.version.0)).await.map_err(store_status)? {
                Outcome::Done(revision) => {
                    shown_at = ResourceVersion(revision.0);
                    write.release(&present, None).await;
                }
                Outcome::Conflict(present) => return self.overtaken(present.map(|kv| kv.modified)).await,
            }
        }
        let prepared = write.prepare_after((&present, self.object.as_deref()), last.object, &last.managed)?;
        Ok(Some(Settled::Removed(prepared.entry(StoreRevision(shown_at.0)))))
    }

    /// Another write came between. Waits until the log shows it.
    async fn overtaken(&mut self, by: Option<StoreRevision>) -> Result<Option<Settled>, Status> {
        const PATIENCE: Duration = Duration::from_secs(10);
        if self.attempts >= ATTEMPTS {
            let why = "the object has been modified; please apply your changes to the latest version and try again";
            return Err(Status::conflict(&self.write.resource().group_resource(), &self.write.target.name, why));
        }
        let feed = &self.write.server.feed;
        match by {
            Some(revision) if feed.reached(ResourceVersion(revision.0), PATIENCE).await => {}
            _ => feed.catch_up().await?,
        }
        self.reload();
        Ok(None)
    }

    fn reload(&mut self) {
        self.present = self.write.log.get(&self.path);
        self.object = None;
        self.fresh = true;
    }

    fn version(&self) -> Option<ResourceVersion> {
        self.present.as_ref().map(|entry| entry.version)
    }
}

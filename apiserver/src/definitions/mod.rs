//! Custom resources as they come and go: what upstream's controllers of definitions do. Everything is derived from the log of
//! CustomResourceDefinitions, so that several API servers on one store come to the same end.
//!
//! - [`status`]: which names a definition gets, and what its conditions say. Pure.
//! - [`install`]: makes what is served follow the definitions.
//! - `cleanup`: deletes the objects of a definition that is being deleted, and then lets it go.
//! - `registration`: the APIServices of custom groups.
//!
//! A definition is served before its status says that it is established, so that whoever has waited for that finds it.

mod cleanup;
mod install;
mod registration;
mod status;

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::ResourceRef;
use api::object::downcast_ref;
use futures::FutureExt as _;
use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use machinery::{ResourceVersion, Status};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::install::Installed;
use crate::bootstrap::caller;
use crate::follow::follow;
use crate::log::{Entry, Log};
use crate::server::ApiServer;
use crate::verbs::{Body, Target, WriteOptions, seconds};

const GROUP: &str = "apiextensions.k8s.io";
const PLURAL: &str = "customresourcedefinitions";

/// How long after a failure definitions are looked at again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is known of the definitions.
pub(crate) struct Definitions {
    installed: tokio::sync::Mutex<Installed>,
    /// What is served follows the definitions up to here.
    followed: watch::Sender<ResourceVersion>,
    /// The uids of those whose objects are being deleted.
    cleaning: Mutex<HashSet<String>>,
}

impl Default for Definitions {
    fn default() -> Self {
        Self { installed: tokio::sync::Mutex::default(), followed: watch::Sender::new(ResourceVersion(0)), cleaning: Mutex::default() }
    }
}

/// Keeps what is served in step with the definitions until `stop`, which must come no later than the end of watches.
pub(crate) async fn keep_served(server: Weak<ApiServer>, stop: CancellationToken) {
    let look = |server: Arc<ApiServer>| {
        async move {
            let failed = server.follow_definitions().await.err()?;
            tracing::warn!(status = %failed, "following the definitions of custom resources; trying again");
            Some(RETRY_AFTER)
        }
        .boxed()
    };
    follow(server, stop, &[(GROUP, PLURAL)], look).await;
}

impl ApiServer {
    fn definitions_log(&self) -> Option<&Arc<Log>> {
        self.world().log(GROUP, PLURAL)
    }

    /// Makes everything follow the definitions as they stand: names, what is served, conditions, registrations, deletions.
    pub(crate) async fn follow_definitions(self: &Arc<Self>) -> Result<(), Status> {
        let Some(log) = self.definitions_log() else { return Ok(()) };
        let mut installed = self.definitions.installed.lock().await;
        let snapshot = log.snapshot();
        let decoded = |entry: &Arc<Entry>| downcast_ref::<CustomResourceDefinition>(&*entry.kept_object(log.resource()).ok()?).cloned();
        let mut all: Vec<CustomResourceDefinition> = snapshot.entries.values().filter_map(decoded).collect();
        let changed = status::settle(&mut all, seconds(Timestamp::now()));
        let served = installed.follow(self, &all).await?;
        if let Some(served) = served {
            self.serve(served.now);
            served.retired.iter().for_each(|log| self.feed.retire(log));
        }
        drop(installed);
        self.definitions.followed.send_if_modified(|followed| {
            *followed < snapshot.version && {
                *followed = snapshot.version;
                true
            }
        });
        for definition in all.iter().filter(|one| changed.contains(one.metadata.name.as_deref().unwrap_or_default())) {
            self.write_status(definition.clone()).await?;
        }
        self.register_groups(&all).await?;
        all.iter().for_each(|definition| self.begin_cleanup(definition));
        Ok(())
    }

    /// Writes the status of a definition. Whoever was faster has made an event, upon which it is looked at again.
    async fn write_status(&self, definition: CustomResourceDefinition) -> Result<(), Status> {
        let Some(resource) = self.served().find(GROUP, "v1", PLURAL) else { return Ok(()) };
        let name = definition.metadata.name.clone().unwrap_or_default();
        let target = Target { resource, subresource: Some("status".to_owned()), namespace: String::new(), name };
        match self.update(&caller(), &target, Body::Typed(Box::new(definition)), &WriteOptions::default()).await {
            Err(status) if !status.is_conflict() && !status.is_not_found() => Err(status),
            _ => Ok(()),
        }
    }

    /// The resource of a request. One that is not known may have been defined a moment ago, by another server perhaps.
    pub(crate) async fn find(&self, group: &str, version: &str, plural: &str) -> Result<Option<ResourceRef>, Status> {
        const PATIENCE: Duration = Duration::from_secs(2);
        let found = self.served().find(group, version, plural);
        // Custom resources have a group with a domain.
        if found.is_some() || !group.contains('.') {
            return Ok(found);
        }
        let Some(log) = self.definitions_log() else { return Ok(None) };
        self.feed.catch_up().await?;
        let newest = log.version();
        let mut followed = self.definitions.followed.subscribe();
        let reached = followed.wait_for(|followed| *followed >= newest);
        // Where it takes longer, the client is told what is known.
        let _ = tokio::time::timeout(PATIENCE, reached).await;
        Ok(self.served().find(group, version, plural))
    }
}

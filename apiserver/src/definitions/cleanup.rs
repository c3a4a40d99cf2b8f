//! The end of a definition: its objects are deleted first, and it stays until the last of them is gone.

use std::sync::{Arc, Weak};
use std::time::Duration;

use api::ResourceRef;
use api::apiextensions::custom_resource_definition::{FINALIZER, condition, is_true, set_condition};
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use machinery::Status;

use super::status::conditioned;
use super::{GROUP, PLURAL};
use crate::bootstrap::caller;
use crate::log::Log;
use crate::server::ApiServer;
use crate::verbs::{DeleteOptions, Target, seconds};

/// How many objects are being deleted at once.
const AT_ONCE: usize = 32;
/// How long before deletes are issued again, for what was made in the meantime by a server that knows of nothing yet.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

impl ApiServer {
    /// Begins to delete the objects of a definition that is being deleted, unless that is under way.
    pub(super) fn begin_cleanup(self: &Arc<Self>, definition: &CustomResourceDefinition) {
        let meta = &definition.metadata;
        let held = meta.finalizers.iter().flatten().any(|name| name == FINALIZER);
        if meta.deletion_timestamp.is_none() || !held {
            return;
        }
        let (name, uid) = (meta.name.clone().unwrap_or_default(), meta.uid.clone().unwrap_or_default());
        if !self.definitions.cleaning.lock().insert(uid.clone()) {
            return;
        }
        let (server, stop) = (Arc::downgrade(self), self.feed.stop().clone());
        tokio::spawn(async move {
            let work = clean_up(&server, &name, &uid);
            if let Some(Err(status)) = stop.run_until_cancelled(work).await {
                tracing::warn!(definition = name, %status, "deleting the objects of a definition; trying again");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            if let Some(server) = server.upgrade() {
                server.definitions.cleaning.lock().remove(&uid);
                // What has changed since was passed over while this was under way.
                if let Some(definition) = server.definition(&name, &uid) {
                    server.begin_cleanup(&definition);
                }
            }
        });
    }

    fn definition(&self, name: &str, uid: &str) -> Option<CustomResourceDefinition> {
        let found = self.world().object::<CustomResourceDefinition>(GROUP, PLURAL, "", name)?;
        (found.metadata.uid.as_deref() == Some(uid)).then_some(found)
    }

    /// Changes the status of a definition, and perhaps its metadata, as it stands now.
    async fn amend_definition(&self, name: &str, uid: &str, amend: impl FnOnce(&mut CustomResourceDefinition)) -> Result<(), Status> {
        self.feed.catch_up().await?;
        let Some(mut definition) = self.definition(name, uid) else { return Ok(()) };
        amend(&mut definition);
        self.write_status(definition).await
    }

    /// Says how far the deletion has come.
    async fn say_terminating(&self, name: &str, uid: &str, going: bool, reason: &str, message: &str) -> Result<(), Status> {
        let condition = conditioned(condition::TERMINATING, going, reason, message, &seconds(Timestamp::now()));
        self.amend_definition(name, uid, |definition| {
            set_condition(definition.status.get_or_insert_default(), condition);
            if !going && let Some(finalizers) = &mut definition.metadata.finalizers {
                finalizers.retain(|name| name != FINALIZER);
            }
        })
        .await
    }

    async fn delete_all(&self, log: &Log, resource: &ResourceRef) {
        let targets: Vec<Target> = log.snapshot().entries.values().map(|entry| target(resource, &entry.key)).collect();
        let deletes = targets.into_iter().map(|target| async move {
            match self.delete(&caller(), &target, &DeleteOptions::default()).await {
                Err(status) if !status.is_not_found() => tracing::warn!(name = target.name, %status, "cannot delete a custom object"),
                _ => {}
            }
        });
        futures::stream::iter(deletes).buffer_unordered(AT_ONCE).collect::<()>().await;
    }
}

fn target(resource: &ResourceRef, key: &machinery::NamespacedName) -> Target {
    Target { resource: resource.clone(), subresource: None, namespace: key.namespace.to_string(), name: key.name.to_string() }
}

async fn clean_up(server: &Weak<ApiServer>, name: &str, uid: &str) -> Result<(), Status> {
    let upgraded = || server.upgrade().ok_or_else(|| Status::unavailable("the server is stopping"));
    {
        let server = upgraded()?;
        let Some(definition) = server.definition(name, uid) else { return Ok(()) };
        if !is_true(&definition, condition::ESTABLISHED) {
            return server.say_terminating(name, uid, false, "NeverEstablished", "the resource was never established").await;
        }
        server.say_terminating(name, uid, true, "InstanceDeletionInProgress", "the objects are being deleted").await?;
    }
    loop {
        let server = upgraded()?;
        if server.definition(name, uid).is_none() {
            return Ok(());
        }
        let found = server.definitions.installed.lock().await.find(name, uid);
        let Some((log, resource)) = found else { break };
        server.delete_all(&log, &resource).await;
        server.feed.catch_up().await?;
        if server.feed.until(AGAIN_AFTER, || log.snapshot().entries.is_empty()).await {
            break;
        }
    }
    let server = upgraded()?;
    server.say_terminating(name, uid, false, "InstanceDeletionCompleted", "all objects are gone").await
}

//! Carrying out one step of a plan: deletions, updates and patches side by side, creations in batches that double as
//! long as they succeed, so that a template that the server refuses costs one request and not thousands.

use std::sync::Arc;

use bytes::Bytes;
use client::Transport;
use client::transport::{Body, DeleteOptions, ListRequest, Patch, Target, WriteOptions};
use k8s_openapi::api::authorization::v1::{SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::{GroupVersionResource, NamespacedName, ResourceVersion, Status};
use tokio::task::JoinSet;

use super::Executor;
use crate::feed::Written;
use crate::plan::{Form, Guard, Named, Note, Verb, Write};
use crate::world::Failure;

/// Requests under way at once for one step. The store syncs concurrent writes together, so that many are cheap.
const MOST_AT_ONCE: usize = 128;

const FIELD_MANAGER: &str = "kube-controller-manager";

/// What became of a step.
#[derive(Default)]
pub(super) struct Outcome {
    pub written: Vec<Written>,
    /// Some write met a state of the object that the plan did not know: look again soon.
    pub refused: bool,
    /// What the first failed write failed with.
    pub failure: Option<Failure>,
}

impl Outcome {
    pub(super) fn is_clean(&self) -> bool {
        !self.refused && self.failure.is_none()
    }

    pub(super) fn absorb(&mut self, other: Outcome) {
        self.written.extend(other.written);
        self.refused |= other.refused;
        self.failure = self.failure.take().or(other.failure);
    }
}

/// What became of a write.
enum Fate {
    Written(Option<ResourceVersion>),
    Deleted,
    Refused,
    Failed(Status),
}

/// What is left of a write when its body is under way.
struct Ticket {
    resource: GroupVersionResource,
    /// Of deletions: what to wait for.
    deleting: Option<Named>,
    done: Option<Note>,
    failed: Option<Note>,
}

impl Executor {
    pub(super) async fn carry_out(&self, step: Vec<Write>) -> Outcome {
        let (creations, others): (Vec<_>, Vec<_>) = step.into_iter().partition(|w| matches!(w.verb, Verb::Create { .. }));
        let mut outcome = self.side_by_side(others).await;
        let mut creations = creations.into_iter();
        let mut batch = 1;
        loop {
            let writes: Vec<_> = creations.by_ref().take(batch).collect();
            if writes.is_empty() {
                return outcome;
            }
            let made = self.side_by_side(writes).await;
            let clean = made.is_clean();
            outcome.absorb(made);
            if !clean {
                return outcome;
            }
            batch *= 2;
        }
    }

    async fn side_by_side(&self, writes: Vec<Write>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut under_way = JoinSet::new();
        for write in writes {
            if under_way.len() >= MOST_AT_ONCE
                && let Some(ended) = under_way.join_next().await
            {
                self.settle(ended, &mut outcome);
            }
            under_way.spawn(carry(self.transport.clone(), self.shared.clone(), write));
        }
        while let Some(ended) = under_way.join_next().await {
            self.settle(ended, &mut outcome);
        }
        outcome
    }

    fn settle(&self, ended: Result<(Ticket, Fate), tokio::task::JoinError>, outcome: &mut Outcome) {
        let Ok((ticket, fate)) = ended else {
            outcome.refused = true;
            return;
        };
        match fate {
            Fate::Written(version) => {
                outcome.written.extend(version.and_then(|version| self.feed.written(&ticket.resource, version)));
                if let Some(note) = ticket.done {
                    self.record(note);
                }
            }
            Fate::Deleted => {
                if let Some(named) = ticket.deleting {
                    outcome.written.extend(self.feed.deleted(&named.resource, &named.key, &named.uid));
                }
                if let Some(note) = ticket.done {
                    self.record(note);
                }
            }
            Fate::Refused => outcome.refused = true,
            Fate::Failed(status) => self.fail(ticket, &status, outcome),
        }
    }

    fn fail(&self, ticket: Ticket, status: &Status, outcome: &mut Outcome) {
        tracing::debug!(resource = %ticket.resource.resource, %status, "a write failed");
        let reason = ticket.failed.as_ref().map_or("FailedWrite", |note| note.reason);
        if let Some(mut note) = ticket.failed {
            note.message = format!("{}: {}", note.message, status.message);
            self.record(note);
        }
        outcome.failure.get_or_insert(Failure { reason, message: status.message.clone() });
    }
}

async fn carry(transport: Arc<dyn Transport>, shared: Arc<dyn Transport>, write: Write) -> (Ticket, Fate) {
    let (resource, deleting) = match &write.verb {
        Verb::Create { resource, .. } | Verb::Update { resource, .. } | Verb::DeleteAll { resource, .. } => (resource.clone(), None),
        Verb::Patch { target, .. } => (target.resource.clone(), None),
        Verb::Delete { target, .. } => (target.resource.clone(), Some(target.clone())),
    };
    let ticket = Ticket { resource, deleting, done: write.done, failed: write.failed };
    for guard in &write.guards {
        match holds(&*shared, guard).await {
            Ok(true) => {}
            Ok(false) => return (ticket, Fate::Refused),
            Err(status) => return (ticket, Fate::Failed(status)),
        }
    }
    let creates = matches!(write.verb, Verb::Create { .. });
    let fate = match send(&*transport, write.verb).await {
        Ok(fate) => fate,
        // What was to be deleted or changed is gone, or not what it was; what was to be made is there.
        Err(status) if status.is_not_found() && !creates => Fate::Refused,
        Err(status) if status.is_conflict() || status.is_already_exists() => Fate::Refused,
        // The namespace is going away, and its content with it.
        Err(status) if creates && is_namespace_terminating(&status) => Fate::Written(None),
        Err(status) => Fate::Failed(status),
    };
    (ticket, fate)
}

async fn send(transport: &dyn Transport, verb: Verb) -> Result<Fate, Status> {
    let options = || WriteOptions { dry_run: false, field_manager: FIELD_MANAGER.to_owned() };
    match verb {
        Verb::Create { resource, object } => {
            let namespace = object.meta().namespace.clone().unwrap_or_default();
            let target = Target { resource, subresource: None, namespace, name: String::new() };
            Ok(Fate::Written(Some(transport.create(target, Body::Typed(object), options()).await?.version)))
        }
        Verb::Update { resource, subresource, object } => {
            let target = target(resource, &NamespacedName::of(object.meta()), subresource);
            Ok(Fate::Written(Some(transport.update(target, Body::Typed(object), options()).await?.version)))
        }
        Verb::Patch { target: named, subresource, patch, form } => {
            let target = target(named.resource, &named.key, subresource);
            let patch = Bytes::from(patch.to_string());
            let mut options = options();
            let patch = match form {
                Form::Merge => Patch::Merge(patch),
                Form::Strategic => Patch::Strategic(patch),
                Form::Apply { manager } => {
                    manager.clone_into(&mut options.field_manager);
                    Patch::Apply { config: patch, force: true }
                }
            };
            Ok(Fate::Written(Some(transport.patch(target, patch, options).await?.version)))
        }
        Verb::Delete { target: named, version, propagation, grace_seconds } => {
            let target = target(named.resource, &named.key, None);
            let options = DeleteOptions {
                propagation,
                grace_period_seconds: grace_seconds,
                uid: Some(named.uid),
                resource_version: version.map(|v| v.to_string()),
            };
            match transport.delete(target, options).await {
                Ok(()) => Ok(Fate::Deleted),
                Err(status) if status.is_not_found() => Ok(Fate::Deleted),
                Err(status) => Err(status),
            }
        }
        Verb::DeleteAll { resource, namespace } => {
            let request = ListRequest {
                resource,
                namespace,
                label_selector: String::new(),
                field_selector: String::new(),
                resource_version: None,
                limit: 0,
                continue_token: String::new(),
            };
            let options = DeleteOptions { propagation: Some(api::kind::Propagation::Background), ..DeleteOptions::default() };
            transport.delete_collection(request, options).await?;
            Ok(Fate::Deleted)
        }
    }
}

async fn holds(transport: &dyn Transport, guard: &Guard) -> Result<bool, Status> {
    let (resource, key) = match guard {
        Guard::Permitted(spec) => return permitted(transport, spec).await,
        Guard::Absent(named) | Guard::Alive(named) | Guard::Unchanged(named, _) => (&named.resource, &named.key),
        Guard::Missing(resource, key) => (resource, key),
    };
    let found = look_up(transport, resource, key).await?;
    let same = |named: &Named| found.as_ref().filter(|meta| meta.uid.as_deref() == Some(named.uid.as_str()));
    Ok(match guard {
        Guard::Absent(named) => same(named).is_none(),
        Guard::Alive(named) => same(named).is_some_and(|meta| meta.deletion_timestamp.is_none()),
        Guard::Missing(..) => found.is_none(),
        // Answered above.
        Guard::Permitted(_) => true,
        Guard::Unchanged(named, version) => {
            same(named).is_some_and(|meta| meta.resource_version.as_deref() == Some(version.to_string().as_str()))
        }
    })
}

/// The metadata of one object, by a list of one: the controller manager may list and watch everything, and get little.
async fn look_up(transport: &dyn Transport, resource: &GroupVersionResource, key: &NamespacedName) -> Result<Option<ObjectMeta>, Status> {
    let request = ListRequest {
        resource: resource.clone(),
        namespace: key.namespace.to_string(),
        label_selector: String::new(),
        field_selector: format!("metadata.name={}", key.name),
        resource_version: None,
        limit: 0,
        continue_token: String::new(),
    };
    for item in transport.list(request).await?.items {
        let meta = crate::metadata::meta(resource, item)?;
        if meta.name.as_deref() == Some(&*key.name) {
            return Ok(Some(meta));
        }
    }
    Ok(None)
}

/// Asks the API server whether somebody may do something.
async fn permitted(transport: &dyn Transport, spec: &SubjectAccessReviewSpec) -> Result<bool, Status> {
    #[derive(serde::Deserialize)]
    struct Answer {
        status: SubjectAccessReviewStatus,
    }
    let resource = GroupVersionResource::new("authorization.k8s.io", "v1", "subjectaccessreviews");
    let target = Target { resource, subresource: None, namespace: String::new(), name: String::new() };
    let review = SubjectAccessReview { spec: spec.clone(), ..SubjectAccessReview::default() };
    let answer = transport.create(target, Body::Typed(Box::new(review)), WriteOptions::default()).await?;
    let json = answer.json.ok_or_else(|| Status::internal("a review without an answer"))?;
    let answer: Answer = serde_json::from_slice(&json).map_err(|error| Status::internal(error.to_string()))?;
    Ok(answer.status.allowed)
}

fn target(resource: GroupVersionResource, key: &NamespacedName, subresource: Option<&'static str>) -> Target {
    Target { resource, subresource, namespace: key.namespace.to_string(), name: key.name.to_string() }
}

fn is_namespace_terminating(status: &Status) -> bool {
    status.details.as_ref().is_some_and(|details| details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"))
}

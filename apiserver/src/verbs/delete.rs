//! Delete: removes an object at once, or marks it for its finalizers or its grace period.

use api::kind::Propagation;
use api::{Object, Resource};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use machinery::objectmeta::{FINALIZER_FOREGROUND, FINALIZER_ORPHAN};
use machinery::{GroupResource, Status};

use super::revision::{Decision, Revision, Settled};
use super::write::{Ready, Write};
use super::{Caller, DeleteOptions, Deleted, Shown, Target, WriteOptions, metadata};
use crate::admission::Operation;
use crate::log::{Entry, path};
use crate::server::ApiServer;

impl ApiServer {
    /// Deletes the object at `target`.
    pub async fn delete(&self, caller: &Caller, target: &Target, options: &DeleteOptions) -> Result<Deleted, Status> {
        if target.subresource.is_some() {
            return Err(Status::method_not_supported(&target.resource.group_resource(), "delete"));
        }
        let write_options = WriteOptions { dry_run: options.dry_run, ..WriteOptions::default() };
        let write = Write::new(self, caller, target, &write_options)?;
        let mut revision = Revision::begin(&write, path(&target.namespace, &target.name));
        loop {
            let decision = revision.existing().and_then(|(entry, old)| {
                check_preconditions(target, options, (&entry, old.meta()), revision.has_marked())?;
                if !revision.has_marked() {
                    write.review(Operation::Delete, None, Some(&*old))?;
                }
                Ok(decide(&*target.resource, (&entry, &*old), options, write.now))
            });
            match revision.settle(decision).await? {
                None => {}
                Some(Settled::Kept(entry)) => return Ok(Deleted::Pending(Shown::Entry(entry))),
                Some(Settled::Replaced(shown)) => return Ok(Deleted::Pending(shown)),
                Some(Settled::Removed(last)) => return Ok(Deleted::Gone(last)),
            }
        }
    }
}

pub(super) fn check_preconditions(
    target: &Target,
    options: &DeleteOptions,
    (present, meta): (&Entry, &ObjectMeta),
    has_marked: bool,
) -> Result<(), Status> {
    // Unlike other conflicts, these name the kind.
    let kind = target.resource.kind();
    let named = GroupResource::new(kind.group, kind.kind);
    let conflict = |what: &str, wanted: &str, found: &str| {
        let why = format!(
            "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The object might have been deleted and then recreated"
        );
        Status::conflict(&named, &target.name, why)
    };
    if let Some(uid) = options.uid.as_deref() {
        let found = meta.uid.as_deref().unwrap_or_default();
        if uid != found {
            return Err(conflict("UID", uid, found));
        }
    }
    // Once the object has been marked, its version is our own.
    if let Some(version) = options.resource_version.as_deref().filter(|_| !has_marked) {
        let found = present.version.to_string();
        if version != found {
            return Err(conflict("ResourceVersion", version, &found));
        }
    }
    Ok(())
}

/// What a delete does to an object in this state.
pub(super) fn decide(resource: &dyn Resource, (present, old): (&Entry, &dyn Object), options: &DeleteOptions, now: Timestamp) -> Decision {
    let mut new = old.clone_boxed();
    let pending = begin_grace(resource, &mut *new, options, now);
    // A kind that has grace periods is seen going even where there is none left.
    let ends_grace = new.meta().deletion_grace_period_seconds != old.meta().deletion_grace_period_seconds;
    if pending == Grace::Unchanged {
        return Decision::Keep;
    }
    set_propagation(resource, new.meta_mut(), options);
    resource.begin_deletion(&mut *new, metadata::seconds(now));
    let held = is_held(resource, &*new);
    if held && new.meta().deletion_timestamp.is_none() {
        mark(&mut *new, metadata::seconds(now), 0);
    }
    let ready = Ready::of(new, present.managed());
    if held || pending == Grace::Running {
        Decision::Replace(ready)
    } else if ends_grace {
        Decision::Mark(ready)
    } else {
        Decision::Remove(ready)
    }
}

#[derive(PartialEq, Eq)]
enum Grace {
    /// The object is given time.
    Running,
    /// Its time is running already, and is not shortened.
    Unchanged,
    /// It has none, or none left.
    Over,
}

/// Starts or shortens the grace period of a kind that has one.
fn begin_grace(resource: &dyn Resource, object: &mut dyn Object, options: &DeleteOptions, now: Timestamp) -> Grace {
    // Clients that ask for a negative grace period have always been given a second.
    let requested = options.grace_period_seconds.map(|s| if s < 0 { 1 } else { s });
    let Some(seconds) = resource.deletion_grace_seconds(object, requested) else { return Grace::Over };
    let meta = object.meta();
    match (&meta.deletion_timestamp, meta.deletion_grace_period_seconds) {
        (None, _) => {
            mark(object, after(&metadata::seconds(now), seconds), seconds);
            if seconds > 0 { Grace::Running } else { Grace::Over }
        }
        (Some(_), None) => Grace::Over,
        (Some(at), Some(given)) => match requested {
            Some(shorter) if shorter < given => {
                let at = after(at, shorter - given);
                let meta = object.meta_mut();
                meta.deletion_timestamp = Some(at);
                meta.deletion_grace_period_seconds = Some(shorter);
                if shorter > 0 { Grace::Running } else { Grace::Over }
            }
            _ if given == 0 => Grace::Over,
            _ => Grace::Unchanged,
        },
    }
}

fn after(time: &Time, seconds: i64) -> Time {
    Time(time.0.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(time.0))
}

/// Marks an object as being deleted. That is a change of what is wanted, so that the generation rises.
fn mark(object: &mut dyn Object, at: Time, grace_seconds: i64) {
    let meta = object.meta_mut();
    meta.deletion_timestamp = Some(at);
    meta.deletion_grace_period_seconds = Some(grace_seconds);
    if let Some(generation) = meta.generation.as_mut().filter(|g| **g > 0) {
        *generation += 1;
    }
}

/// Sets the finalizers that make the garbage collector orphan dependents or delete them first.
fn set_propagation(resource: &dyn Resource, meta: &mut ObjectMeta, options: &DeleteOptions) {
    let Some(default) = resource.default_propagation() else { return };
    let has = |name: &str| meta.finalizers.iter().flatten().any(|f| f == name);
    let chosen = match (options.orphan_dependents, options.propagation) {
        (Some(true), _) => Propagation::Orphan,
        (Some(false), _) => Propagation::Background,
        (None, Some(chosen)) => chosen,
        (None, None) if has(FINALIZER_ORPHAN) => Propagation::Orphan,
        (None, None) if has(FINALIZER_FOREGROUND) => Propagation::Foreground,
        (None, None) => default,
    };
    let wanted = match chosen {
        Propagation::Orphan => Some(FINALIZER_ORPHAN),
        Propagation::Foreground => Some(FINALIZER_FOREGROUND),
        Propagation::Background => None,
    };
    let mut finalizers = meta.finalizers.take().unwrap_or_default();
    finalizers.retain(|f| ![FINALIZER_ORPHAN, FINALIZER_FOREGROUND].contains(&f.as_str()) || wanted == Some(f));
    if let Some(wanted) = wanted.filter(|wanted| !finalizers.iter().any(|f| f == wanted)) {
        finalizers.push(wanted.to_owned());
    }
    meta.finalizers = (!finalizers.is_empty()).then_some(finalizers);
}

/// Whether an update has taken away the last thing that held an object which is being deleted.
pub(super) fn is_released(resource: &dyn Resource, new: &dyn Object, old: &ObjectMeta) -> bool {
    old.deletion_timestamp.is_some() && old.deletion_grace_period_seconds.is_none_or(|seconds| seconds == 0) && !is_held(resource, new)
}

/// Whether something keeps an object that is being deleted.
fn is_held(resource: &dyn Resource, object: &dyn Object) -> bool {
    object.meta().finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty()) || resource.is_kept(object)
}

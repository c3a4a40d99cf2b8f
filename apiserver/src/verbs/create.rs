//! Create: a new object, or a subresource that is created (`binding`, `eviction`, `token`).

use api::Object;
use machinery::objectmeta;
use machinery::{NamespacedName, Status};
use storage::Expect;

use super::write::{Ownership, Put, Ready, Write};
use super::{Body, Caller, FieldValidation, Shown, Target, WriteOptions, Written, binding, body, eviction, token};
use crate::log::path;
use crate::server::ApiServer;

/// How often a generated name is tried before the client is told to try again.
const NAME_ATTEMPTS: usize = 8;

impl ApiServer {
    /// Creates what the body says at `target`. `target.name` names the object for subresources.
    pub async fn create(&self, caller: &Caller, target: &Target, body: Body, options: &WriteOptions) -> Result<Written, Status> {
        match target.subresource.as_deref() {
            None => {}
            Some("binding") => return binding::create(self, caller, target, body, options).await,
            Some("token") => return token::create(self, caller, target, body, options).await,
            Some("eviction") => return eviction::create(self, caller, target, body, options).await,
            Some(_) => return Err(Status::method_not_supported(&target.resource.group_resource(), "create")),
        }
        let again = Again::Body(body.share());
        let decoded = body::object(&*target.resource, body, options.field_validation)?;
        body::leave_trail(caller, target, &*decoded.object);
        self.create_object(caller, target, (decoded.object, again), decoded.warnings, options).await
    }

    /// Creates a decoded object.
    pub(super) async fn create_object(
        &self,
        caller: &Caller,
        target: &Target,
        (mut object, again): (Box<dyn Object>, Again),
        warnings: Vec<String>,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let write = Write::new(self, caller, target, options)?;
        body::check_address(target, &mut *object).map_err(|status| status.with_warnings(&warnings))?;
        create_ready(&write, (object, again), warnings, Ownership::Record).await
    }
}

/// What a new object is made from once more, should it be refused for the want of something that was made a moment ago.
/// Few are.
pub(super) enum Again {
    Body(Body),
    Object(Box<dyn Object>),
}

impl Again {
    fn object(self, target: &Target) -> Result<Box<dyn Object>, Status> {
        match self {
            Self::Object(object) => Ok(object),
            Self::Body(body) => {
                // What is found in it has been told.
                let mut object = body::object(&*target.resource, body, FieldValidation::Ignore)?.object;
                body::check_address(target, &mut *object)?;
                Ok(object)
            }
        }
    }
}

/// Creates an object whose address has been checked.
pub(super) async fn create_ready(
    write: &Write<'_>,
    (object, again): (Box<dyn Object>, Again),
    mut warnings: Vec<String>,
    ownership: Ownership,
) -> Result<Written, Status> {
    match store_new(write, (object, again), &mut warnings, ownership).await {
        Ok(object) => Ok(Written { object, created: true, warnings }),
        Err(status) => Err(status.with_warnings(&warnings)),
    }
}

async fn store_new(
    write: &Write<'_>,
    (object, again): (Box<dyn Object>, Again),
    warnings: &mut Vec<String>,
    ownership: Ownership,
) -> Result<Shown, Status> {
    if let Some(why) = write.resource().refuses_new() {
        let name = object.meta().name.clone().unwrap_or_default();
        return Err(Status::forbidden(&write.resource().group_resource(), &name, why));
    }
    let placed = |mut object: Box<dyn Object>| {
        if !write.target.namespace.is_empty() {
            object.meta_mut().namespace = Some(write.target.namespace.clone());
        }
        object
    };
    let ready = match write.ready_new(placed(object), ownership.clone()) {
        Ok(ready) => ready,
        Err(_) => {
            write.server.feed.catch_up().await?;
            let object = placed(again.object(write.target)?);
            write.wait_for_prerequisite(&*object).await;
            write.ready_new(object, ownership)?
        }
    };
    warnings.extend(ready.warnings.iter().cloned());
    let path = path(&write.target.namespace, ready.object.meta().name.as_deref().unwrap_or_default());
    if !ready.generated && write.log.get(&path).is_some() {
        // For what is there already nothing is taken; the store has the last word.
        return store(write, ready).await;
    }
    let taken = write.take(&*ready.object).await?;
    let name = NamespacedName::of(ready.object.meta());
    let stored = store(write, ready).await;
    if stored.is_err() {
        write.give_back(taken, &name).await;
    }
    stored
}

async fn store(write: &Write<'_>, ready: Ready) -> Result<Shown, Status> {
    let Ready { mut object, managed, reservation, generated, given_version, .. } = ready;
    let resource = write.resource();
    let ttl = write.server.time_to_live(resource, &*object);
    let prefix = object.meta().generate_name.clone().unwrap_or_default();
    let mut attempt = 1;
    loop {
        let again = generated.then(|| object.clone_boxed());
        let name = object.meta().name.clone().unwrap_or_default();
        let prepared = write.prepare(object, &managed)?;
        if write.options.dry_run {
            write.server.feed.catch_up().await?;
            return match write.log.get(&prepared.path()) {
                None => Ok(Write::shown_dry(&prepared, given_version)),
                Some(_) => Err(Status::already_exists(&resource.group_resource(), &name)),
            };
        }
        match write.put(prepared, Expect::Absent, ttl).await? {
            Put::Done(entry) => {
                if let Some(reservation) = reservation {
                    reservation.keep(entry.version);
                }
                return Ok(Shown::Entry(entry));
            }
            Put::Conflict(_) => match again {
                Some(mut next) if attempt < NAME_ATTEMPTS => {
                    attempt += 1;
                    next.meta_mut().name = Some(objectmeta::generate_name(&prefix, &mut rand::rng()));
                    object = next;
                }
                _ => return Err(Status::already_exists(&resource.group_resource(), &name)),
            },
        }
    }
}

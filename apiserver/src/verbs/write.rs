//! What all writes share: the parts of the pipeline, and the way into the store.
//!
//! The order is fixed: decode, system metadata, defaults, managed fields, mutating admission, strategy, validation,
//! validating admission, allocation, store.

use std::sync::Arc;

use api::resource::ErasedUpdate;
use api::strategy::Context;
use api::{Object, Resource};
use jiff::Timestamp;
use machinery::apply;
use machinery::field::Errors;
use machinery::objectmeta;
use machinery::{ResourceVersion, Status};
use serde_json::Value;
use storage::{Expect, KeyValue, Outcome};

use super::metadata::{self, OwnersSeen};
use super::{Caller, Shown, Target, WriteOptions};
use crate::admission::{Operation, Request};
use crate::allocation::Reservation;
use crate::log::store_status;
use crate::log::{Entry, Log, Prepared};
use crate::server::ApiServer;

/// One write on its way through the pipeline.
pub(super) struct Write<'a> {
    pub(super) server: &'a ApiServer,
    pub(super) caller: &'a Caller,
    pub(super) target: &'a Target,
    pub(super) options: &'a WriteOptions,
    pub(super) log: Arc<Log>,
    pub(super) now: Timestamp,
    /// The object is changed by a patch.
    pub(super) patches: bool,
}

/// What became of a conditional put.
pub(super) enum Put {
    Done(Arc<Entry>),
    /// The expectation did not hold; the present state.
    Conflict(Option<KeyValue>),
}

/// An object that has passed the pipeline.
pub(super) struct Ready {
    pub(super) object: Box<dyn Object>,
    /// Who owns what of it.
    pub(super) managed: Vec<apply::Entry>,
    /// What it holds of shared ranges; given back unless the write happens.
    pub(super) reservation: Option<Reservation>,
    pub(super) warnings: Vec<String>,
    /// The name was made here, so that another may be tried.
    pub(super) generated: bool,
    /// The version that the writer of a new object gave it, which a dry run shows.
    pub(super) given_version: Option<ResourceVersion>,
}

impl Ready {
    /// A change that the server makes itself: nobody comes to own anything by it.
    pub(super) fn of(object: Box<dyn Object>, managed: Vec<apply::Entry>) -> Self {
        Self { object, managed, reservation: None, warnings: Vec::new(), generated: false, given_version: None }
    }
}

/// Who works out what managers own after a write.
#[derive(Clone)]
pub(super) enum Ownership {
    /// The pipeline, from what was changed.
    Record,
    /// Server-side apply has done so.
    Settled(Vec<apply::Entry>),
}

impl<'a> Write<'a> {
    pub(super) fn new(server: &'a ApiServer, caller: &'a Caller, target: &'a Target, options: &'a WriteOptions) -> Result<Self, Status> {
        let log = server.log(&*target.resource)?;
        // Times in objects are to the second.
        let now = metadata::seconds(Timestamp::now()).0;
        Ok(Self { server, caller, target, options, log, now, patches: false })
    }

    pub(super) fn resource(&self) -> &'a dyn Resource {
        &*self.target.resource
    }

    fn context(&self) -> Context<'_> {
        Context { now: self.now, user: &self.caller.user }
    }

    /// The pipeline for a new object whose address has been checked.
    pub(super) fn ready_new(&self, mut object: Box<dyn Object>, ownership: Ownership) -> Result<Ready, Status> {
        let resource = self.resource();
        let cx = self.context();
        let given = object.meta_mut().resource_version.take().unwrap_or_default();
        // A dry run stops before the store, which is who minds.
        if !matches!(given.as_str(), "" | "0") && !self.options.dry_run {
            return Err(Status::unclassified("resourceVersion should not be set on objects to be created"));
        }
        let meta = object.meta_mut();
        metadata::fill_new(meta, self.now);
        let prefix = meta.generate_name.clone().unwrap_or_default();
        let generated = meta.name.as_deref().unwrap_or_default().is_empty() && !prefix.is_empty();
        if generated && resource.has_random_names() {
            meta.name = Some(objectmeta::generate_name(&prefix, &mut rand::rng()));
        } else if generated {
            meta.name = Some(prefix);
        }
        resource.default(&mut *object);
        let mut warnings = Vec::new();
        if matches!(ownership, Ownership::Record) {
            warnings.extend(metadata::drop_repeated_owners(object.meta_mut(), OwnersSeen::AsSent));
        }
        let managed = match ownership {
            Ownership::Record => self.record(resource.update().reset_fields(), None, &mut *object),
            Ownership::Settled(managed) => managed,
        };
        resource.drop_unkept(&mut *object);
        self.admit(Operation::Create, &mut object, None)?;
        warnings.extend(metadata::drop_repeated_owners(object.meta_mut(), OwnersSeen::AfterAdmission));
        // Before the strategy, whose validation expects addresses to be there. Given back if the object is refused.
        let reservation = self.server.allocation.reserve(resource, &mut *object, None, self.options.dry_run)?;
        warnings.extend(resource.warnings_given(&*object));
        resource.prepare_create(&cx, &mut *object);
        let name_rule = name_rule(resource, resource.validate_own_name(&*object));
        let mut errors = self.server.admission.errors(&self.request(Operation::Create, None), &*object);
        errors.extend(objectmeta::validate_create(object.meta(), metadata::rules(resource, &name_rule)));
        errors.extend(objectmeta::validate_managed_fields(&managed));
        errors.extend(resource.validate_create(&cx, &*object));
        self.refuse(&*object, errors).map_err(|status| status.with_warnings(&warnings))?;
        warnings.extend(resource.warnings_create(&*object));
        let found = self.review(Operation::Create, Some(&*object), None).map_err(|status| status.with_warnings(&warnings))?;
        warnings.extend(found);
        resource.complete(&mut *object);
        Ok(Ready {
            object,
            managed,
            reservation,
            warnings,
            generated: generated && resource.has_random_names(),
            given_version: given.parse().ok(),
        })
    }

    /// The pipeline for a new state of the object `old`, which is what `live` says. `new` comes decoded from the writer,
    /// or from a patch.
    pub(super) fn ready_change(
        &self,
        strategy: &dyn ErasedUpdate,
        mut new: Box<dyn Object>,
        (live, old): (&Entry, &dyn Object),
        ownership: Ownership,
    ) -> Result<Ready, Status> {
        let resource = self.resource();
        let cx = self.context();
        metadata::carry_over(new.meta_mut(), old.meta());
        if !self.options.dry_run {
            // The store does not keep it, and a dry run does not come so far.
            new.meta_mut().self_link = None;
        }
        resource.default(&mut *new);
        let managed = match ownership {
            Ownership::Record => self.record(strategy.reset_fields(), Some((live, old)), &mut *new),
            Ownership::Settled(managed) => managed,
        };
        resource.drop_unkept(&mut *new);
        self.admit(Operation::Update, &mut new, Some(old))?;
        let mut warnings: Vec<_> = metadata::drop_repeated_owners(new.meta_mut(), OwnersSeen::AfterAdmission).into_iter().collect();
        let reservation = match self.target.subresource {
            None => self.server.allocation.reserve(resource, &mut *new, Some(old), self.options.dry_run)?,
            Some(_) => None,
        };
        strategy.prepare(&cx, &mut *new, old);
        let name_rule = name_rule(resource, resource.validate_own_name(&*new));
        let own = objectmeta::Own { whole: strategy.validate(&cx, &*new, old), change: strategy.validate_change(&*new, old) };
        let rules = metadata::rules(resource, &name_rule);
        let mut errors = self.server.admission.errors(&self.request(Operation::Update, Some(old)), &*new);
        errors.extend(objectmeta::validate_update(new.meta(), old.meta(), rules, strategy.repeated_metadata(), own));
        errors.extend(objectmeta::validate_managed_fields(&managed));
        self.refuse(&*new, errors).map_err(|status| status.with_warnings(&warnings))?;
        warnings.extend(strategy.warnings(&*new, old));
        let found = self.review(Operation::Update, Some(&*new), Some(old)).map_err(|status| status.with_warnings(&warnings))?;
        warnings.extend(found);
        Ok(Ready { object: new, managed, reservation, warnings, generated: false, given_version: None })
    }

    fn refuse(&self, object: &dyn Object, errors: Errors) -> Result<(), Status> {
        if errors.is_empty() {
            return Ok(());
        }
        let name = object.meta().name.as_deref().unwrap_or_default();
        let mut kind = self.resource().stored_kind().group_kind();
        if self.resource().is_custom()
            && let Some(own) = object.to_value().get("kind").and_then(Value::as_str)
        {
            // A custom object is called what it says it is, even where that is what is wrong with it.
            kind.kind = own.to_owned().into();
        }
        Err(Status::invalid(&kind, name, &errors))
    }

    pub(super) fn request<'r>(&'r self, operation: Operation, old: Option<&'r dyn Object>) -> Request<'r> {
        let verb = match operation {
            Operation::Create => "create",
            Operation::Update if self.patches => "patch",
            Operation::Update => "update",
            Operation::Delete => "delete",
        };
        Request {
            operation,
            verb,
            target: self.target,
            user: &self.caller.user,
            old,
            dry_run: self.options.dry_run,
            now: self.now,
            world: self.server.world(),
            access: self.server.access(),
            trail: &self.caller.trail,
        }
    }

    /// Mutating admission.
    pub(super) fn admit(&self, operation: Operation, object: &mut Box<dyn Object>, old: Option<&dyn Object>) -> Result<(), Status> {
        self.server.admission.mutate(&self.request(operation, old), object)
    }

    /// Validating admission; gives warnings. Deletes, and creates of what is not stored, have no object.
    pub(super) fn review(
        &self,
        operation: Operation,
        object: Option<&dyn Object>,
        old: Option<&dyn Object>,
    ) -> Result<Vec<String>, Status> {
        self.server.admission.validate(&self.request(operation, old), object)
    }

    /// Waits a moment for an object without which admission refuses this one, where it is about to be made.
    pub(super) async fn wait_for_prerequisite(&self, object: &dyn Object) {
        const PATIENCE: std::time::Duration = std::time::Duration::from_millis(1500);
        let world = self.server.world();
        if let Some(one) = self.server.admission.awaited(&self.request(Operation::Create, None), object) {
            self.server.feed.until(PATIENCE, || world.get(one.group, one.plural, &one.namespace, &one.name).is_some()).await;
        }
    }

    /// Writes a prepared object if the expectation holds.
    pub(super) async fn put(&self, prepared: Prepared, expect: Expect, ttl: Option<std::time::Duration>) -> Result<Put, Status> {
        let feed = &self.server.feed;
        let key = feed.key(self.log.resource(), &prepared.path());
        let prepared = Arc::new(prepared);
        // Announced before the write, since its event may arrive before its answer does.
        feed.announce(key.clone(), prepared.clone());
        let value = prepared.value.clone();
        let outcome = match ttl {
            Some(ttl) => self.server.leases.put(&**feed.store(), key.clone(), value, expect, ttl).await,
            None => feed.store().put(key.clone(), value, expect, None).await,
        };
        match outcome {
            Ok(Outcome::Done(revision)) => Ok(Put::Done(prepared.entry(revision))),
            Ok(Outcome::Conflict(present)) => {
                feed.withdraw(&key, &prepared);
                Ok(Put::Conflict(present))
            }
            Err(error) => {
                feed.withdraw(&key, &prepared);
                Err(store_status(error))
            }
        }
    }

    /// What a dry run shows: the object as it would be, under the version that it has, if it has one.
    pub(super) fn shown_dry(prepared: &Prepared, present: Option<ResourceVersion>) -> Shown {
        match present {
            Some(version) => Shown::Entry(prepared.entry(storage::Revision(version.0))),
            None => Shown::Json(prepared.value.clone()),
        }
    }

    pub(super) fn prepare(&self, object: Box<dyn Object>, managed: &[apply::Entry]) -> Result<Prepared, Status> {
        Prepared::new(self.log.resource(), object, managed).map_err(|error| Status::internal(error.to_string()))
    }

    /// As [`Write::prepare`], for a new state of what is there, which is `old` where that is known.
    pub(super) fn prepare_after(
        &self,
        (present, old): (&Entry, Option<&dyn Object>),
        mut object: Box<dyn Object>,
        managed: &[apply::Entry],
    ) -> Result<Prepared, Status> {
        let metadata_only = old.is_some_and(|old| object.differs_in_metadata_only(old));
        let prepared = Prepared::after(Some(present), metadata_only, self.log.resource(), object, managed);
        prepared.map_err(|error| Status::internal(error.to_string()))
    }
}

/// What is wrong with an object's name, `own` with regard to the rest of it, or with the prefix that it was to be made of.
fn name_rule(resource: &dyn Resource, own: Vec<String>) -> impl Fn(&str, bool) -> Vec<String> + '_ {
    move |name, prefix| {
        let own = own.iter().filter(|_| !prefix).cloned();
        resource.validate_name(name, prefix).into_iter().chain(own).collect()
    }
}

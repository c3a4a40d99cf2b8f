//! Update: replaces an object, or what a subresource shows of it.

use api::Object;
use api::resource::{ErasedUpdate, ErasedView};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::field::{Error, Path};
use machinery::{GroupKind, GroupResource, ResourceVersion, Status};

use super::create::Again;
use super::metadata::{self, OwnersSeen};
use super::revision::{Decision, Revision, Settled};
use super::write::{Ownership, Ready, Write};
use super::{Body, Caller, Shown, Target, WriteOptions, Written, body, delete, scale};
use crate::log::{Entry, path};
use crate::server::ApiServer;

/// The strategy by which a target is updated, or its Scale.
pub(super) enum View<'a> {
    Object(&'a dyn ErasedUpdate),
    Scale(&'a dyn api::resource::ErasedScale),
}

impl ApiServer {
    /// Replaces the object at `target` by the body.
    pub async fn update(&self, caller: &Caller, target: &Target, body: Body, options: &WriteOptions) -> Result<Written, Status> {
        let strategy = match view(target)? {
            View::Object(strategy) => strategy,
            View::Scale(view) => return scale::update(self, caller, target, view, body, options).await,
        };
        let body::Decoded { object, warnings } = body::object(&*target.resource, body, options.field_validation)?;
        body::leave_trail(caller, target, &*object);
        match self.replace(caller, target, strategy, object, options).await {
            Ok(mut written) => {
                written.warnings.splice(0..0, warnings);
                Ok(written)
            }
            Err(status) => Err(status.with_warnings(&warnings)),
        }
    }

    async fn replace(
        &self,
        caller: &Caller,
        target: &Target,
        strategy: &dyn ErasedUpdate,
        mut object: Box<dyn Object>,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        body::check_address(target, &mut *object)?;
        let doubt = metadata::drop_repeated_owners(object.meta_mut(), OwnersSeen::AsSent);
        let write = Write::new(self, caller, target, options)?;
        let may_create = target.subresource.is_none() && target.resource.create_on_update();
        let mut revision = Revision::begin(&write, path(&target.namespace, &target.name));
        let mut warnings = Vec::new();
        loop {
            if revision.present().is_none() && may_create {
                if revision.refresh().await? {
                    continue;
                }
                object.meta_mut().resource_version = None;
                let again = Again::Object(object.clone_boxed());
                return self.create_object(caller, target, (object, again), Vec::new(), options).await;
            }
            let decision = revision.existing().and_then(|(entry, old)| {
                check_uid(&target.resource.group_resource(), &target.name, object.meta(), old.meta())?;
                check_version(target, object.meta(), &entry)?;
                let ready = write.ready_change(strategy, object.clone_boxed(), (&entry, &*old), Ownership::Record)?;
                Ok(decide(&write, ready, &*old, &mut warnings))
            });
            if let Some(settled) = revision.settle(decision).await? {
                warnings.splice(0..0, doubt);
                return Ok(Written { object: shown(settled), created: false, warnings });
            }
        }
    }
}

/// What is updated at a target.
pub(super) fn view(target: &Target) -> Result<View<'_>, Status> {
    match target.subresource.as_deref() {
        None => Ok(View::Object(target.resource.update())),
        Some(name) => match target.resource.subresource(name).map(|s| &s.view) {
            Some(ErasedView::Object(strategy)) => Ok(View::Object(&**strategy)),
            Some(ErasedView::Scale(view)) => Ok(View::Scale(&**view)),
            None => Err(Status::path_not_found()),
        },
    }
}

/// Whether a changed object stays, or goes because nothing holds it any more.
pub(super) fn decide(write: &Write<'_>, ready: Ready, old: &dyn Object, warnings: &mut Vec<String>) -> Decision {
    warnings.clone_from(&ready.warnings);
    if delete::is_released(write.resource(), &*ready.object, old.meta()) && !write.options.dry_run {
        Decision::Remove(ready)
    } else {
        Decision::Replace(ready)
    }
}

pub(super) fn shown(settled: Settled) -> Shown {
    match settled {
        Settled::Kept(entry) | Settled::Removed(entry) => Shown::Entry(entry),
        Settled::Replaced(shown) => shown,
    }
}

/// A writer that names a version writes over that version only; some kinds want one to be named.
pub(super) fn check_version(target: &Target, new: &ObjectMeta, present: &Entry) -> Result<(), Status> {
    let resource = &target.resource;
    match new.resource_version.as_deref().unwrap_or_default() {
        "" | "0" if resource.unconditional_update() => Ok(()),
        "" | "0" => {
            let error = Error::invalid(&Path::new("metadata").child("resourceVersion"), 0, "must be specified for an update");
            // Unlike other validation errors, this one names the resource.
            let named = GroupKind::new(resource.names().group, resource.names().plural);
            Err(Status::invalid(&named, &target.name, &[error]))
        }
        text => match text.parse::<ResourceVersion>() {
            Ok(version) if version == present.version => Ok(()),
            Ok(_) => {
                let why = "the object has been modified; please apply your changes to the latest version and try again";
                Err(Status::conflict(&resource.group_resource(), &target.name, why))
            }
            Err(_) => Err(Status::unclassified(format!("resourceVersion {text:?} is not a number"))),
        },
    }
}

/// A writer that names a uid writes to that object only, not to another of its name.
pub(super) fn check_uid(named: &GroupResource, name: &str, new: &ObjectMeta, old: &ObjectMeta) -> Result<(), Status> {
    match new.uid.as_deref() {
        None | Some("") => Ok(()),
        given if given == old.uid.as_deref() => Ok(()),
        Some(given) => {
            let why = format!(
                "Precondition failed: UID in precondition: {given}, UID in object meta: {}",
                old.uid.as_deref().unwrap_or_default()
            );
            Err(Status::conflict(named, name, why))
        }
    }
}

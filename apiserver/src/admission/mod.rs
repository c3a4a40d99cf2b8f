//! Admission: rules about a write that need more than the object itself. Plugins are pure: they look at the request
//! and at the logs, and change the object or refuse it. One may be asked again with the same object, and must then
//! come to the same end.

mod claim_status;
mod default_ingress_class;
mod default_storage_class;
mod default_tolerations;
mod device_admin_access;
mod limit_ranger;
mod namespace_lifecycle;
mod pod_resize;
mod pod_security;
mod policies;
mod priority;
pub(crate) mod resource_quota;
mod runtime_class;
mod secret_key_pairs;
mod secret_references;
mod service_account;
mod volume_resize;

use std::sync::Arc;

use api::Object;
use api::strategy::UserInfo;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::Status;
use machinery::field::Errors;

use crate::audit::Trail;
use crate::auth::Access;
use crate::log::{Entry, Log, path};
use crate::verbs::Target;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
}

/// A write, as plugins see it.
pub struct Request<'a> {
    pub operation: Operation,
    /// As authorization names it: an update may be a patch.
    pub verb: &'static str,
    pub target: &'a Target,
    pub user: &'a UserInfo,
    /// The object before the write; None for creates.
    pub old: Option<&'a dyn Object>,
    pub dry_run: bool,
    pub now: Timestamp,
    pub world: &'a World,
    /// Who may do what.
    pub access: &'a Access,
    /// What is recorded of the request.
    pub trail: &'a Trail,
}

impl Request<'_> {
    /// Whether the request is about the main resource, or the subresource, of that name.
    pub fn is(&self, group: &str, plural: &str, subresource: Option<&str>) -> bool {
        let names = self.target.resource.names();
        names.group == group && names.plural == plural && self.target.subresource.as_deref() == subresource
    }

    /// The answer to who may not write this object.
    fn forbidden(&self, object: &dyn Object, why: impl std::fmt::Display) -> Status {
        let name = object.meta().name.as_deref().unwrap_or_default();
        Status::forbidden(&self.target.resource.group_resource(), name, why)
    }
}

/// An object that is worth waiting for.
#[derive(Clone, Debug)]
pub struct Awaited {
    pub group: &'static str,
    pub plural: &'static str,
    pub namespace: String,
    pub name: String,
}

/// A rule about writes.
pub trait Plugin: Send + Sync + 'static {
    /// As `--enable-admission-plugins` names it.
    fn name(&self) -> &'static str;

    /// Changes a new or updated object.
    fn mutate(&self, _request: &Request<'_>, _object: &mut dyn Object) -> Result<(), Status> {
        Ok(())
    }

    /// Puts another object in the place of a new or updated one, after all plugins had their say; true if it did. Then they
    /// have it again, and this one as well, with `again`.
    fn rewrite(&self, _request: &Request<'_>, _object: &mut Box<dyn Object>, _again: bool) -> Result<bool, Status> {
        Ok(false)
    }

    /// An object whose absence makes the plugin refuse the write, and which is likely to be made in a moment.
    fn awaits(&self, _request: &Request<'_>, _object: &dyn Object) -> Option<Awaited> {
        None
    }

    /// What is wrong with a new or updated object, to be told along with what its kind finds.
    fn errors(&self, _request: &Request<'_>, _object: &dyn Object) -> Errors {
        Errors::new()
    }

    /// Refuses a write, or has something to say about it. Deletes have no object.
    fn validate(&self, _request: &Request<'_>, _object: Option<&dyn Object>, _warnings: &mut Vec<String>) -> Result<(), Status> {
        Ok(())
    }
}

/// The logs, for plugins to read. They may be a moment behind the store: the pipeline asks again with a newer view before it
/// refuses a write.
#[derive(Clone, Default)]
pub struct World {
    logs: Arc<hashbrown::HashMap<(&'static str, &'static str), Arc<Log>>>,
}

impl World {
    pub fn new(logs: impl IntoIterator<Item = Arc<Log>>) -> Self {
        let name = |log: &Arc<Log>| (log.resource().names().group, log.resource().names().plural);
        Self { logs: Arc::new(logs.into_iter().map(|log| (name(&log), log)).collect()) }
    }

    /// The log of a resource, if it is served.
    pub fn log(&self, group: &'static str, plural: &'static str) -> Option<&Arc<Log>> {
        self.logs.get(&(group, plural))
    }

    /// The log of the resource that has a kind.
    pub fn log_of_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Log>> {
        self.logs.values().find(|log| {
            let names = log.resource().names();
            names.group == group && names.version == version && names.kind == kind
        })
    }

    /// An object, as its log has it.
    pub fn get(&self, group: &'static str, plural: &'static str, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        self.log(group, plural)?.get(&path(namespace, name))
    }

    /// The objects of a namespace (empty: all objects), decoded; `T` is the type of their kind.
    pub fn objects<T: Clone + 'static>(&self, group: &'static str, plural: &'static str, namespace: &str) -> Vec<T> {
        let Some(log) = self.log(group, plural) else { return Vec::new() };
        let decoded = |entry: &Arc<Entry>| api::object::downcast_ref::<T>(&*entry.kept_object(log.resource()).ok()?).cloned();
        log.snapshot().range(namespace, "").filter_map(|(_, entry)| decoded(entry)).collect()
    }

    /// An object, decoded; `T` is the type of its kind.
    pub fn object<T: Clone + 'static>(&self, group: &'static str, plural: &'static str, namespace: &str, name: &str) -> Option<T> {
        let log = self.log(group, plural)?;
        let object = log.get(&path(namespace, name))?.kept_object(log.resource()).ok()?;
        api::object::downcast_ref::<T>(&*object).cloned()
    }
}

/// The plugins that are on, in order.
pub struct Chain {
    plugins: Vec<Box<dyn Plugin>>,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            plugins: vec![
                Box::new(namespace_lifecycle::NamespaceLifecycle),
                Box::new(limit_ranger::LimitRanger),
                Box::new(service_account::ServiceAccount),
                Box::new(crate::auth::node::Restriction),
                Box::new(pod_security::PodSecurity),
                Box::new(priority::Priority),
                Box::new(default_tolerations::DefaultTolerationSeconds),
                Box::new(default_storage_class::DefaultStorageClass),
                Box::new(volume_resize::PersistentVolumeClaimResize),
                Box::new(runtime_class::RuntimeClass),
                Box::new(default_ingress_class::DefaultIngressClass),
                Box::new(secret_key_pairs::SecretKeyPairs),
                Box::new(device_admin_access::DeviceAdminAccess),
                Box::new(claim_status::ClaimStatus),
                Box::new(crate::auth::certificates::Approval),
                Box::new(crate::auth::certificates::Signing),
                Box::new(crate::auth::certificates::SubjectRestriction),
                Box::new(crate::auth::rbac::Escalation),
                Box::new(policies::MutatingAdmissionPolicy::default()),
                Box::new(policies::ValidatingAdmissionPolicy::default()),
                Box::new(pod_resize::NodeDeclaredFeatures),
                Box::new(pod_resize::PodResize),
            ],
        }
    }
}

impl Chain {
    pub(crate) fn mutate(&self, request: &Request<'_>, object: &mut Box<dyn Object>) -> Result<(), Status> {
        self.plugins.iter().try_for_each(|plugin| plugin.mutate(request, &mut **object))?;
        if self.rewrite(request, object, false)? {
            self.plugins.iter().try_for_each(|plugin| plugin.mutate(request, &mut **object))?;
            self.rewrite(request, object, true)?;
        }
        Ok(())
    }

    fn rewrite(&self, request: &Request<'_>, object: &mut Box<dyn Object>, again: bool) -> Result<bool, Status> {
        self.plugins.iter().try_fold(false, |changed, plugin| Ok(plugin.rewrite(request, object, again)? || changed))
    }

    /// What the plugins would wait for, if it is missing.
    pub(crate) fn awaited(&self, request: &Request<'_>, object: &dyn Object) -> Option<Awaited> {
        let mut awaited = self.plugins.iter().filter_map(|plugin| plugin.awaits(request, object));
        awaited.find(|one| request.world.get(one.group, one.plural, &one.namespace, &one.name).is_none())
    }

    pub(crate) fn errors(&self, request: &Request<'_>, object: &dyn Object) -> Errors {
        self.plugins.iter().flat_map(|plugin| plugin.errors(request, object)).collect()
    }

    /// The warnings are for the client, who gets those that were found before a plugin refused as well.
    pub(crate) fn validate(&self, request: &Request<'_>, object: Option<&dyn Object>) -> Result<Vec<String>, Status> {
        let mut warnings = Vec::new();
        match self.plugins.iter().try_for_each(|plugin| plugin.validate(request, object, &mut warnings)) {
            Ok(()) => Ok(warnings),
            Err(status) => Err(status.with_warnings(&warnings)),
        }
    }
}

/// The name of the class that is marked as the default: of several, the newest, and then the first by name.
fn newest_default<'a>(classes: impl Iterator<Item = &'a ObjectMeta>, marks: &[&str]) -> Option<String> {
    let marked = |meta: &&ObjectMeta| {
        let annotations = meta.annotations.iter().flatten();
        annotations.filter(|(_, value)| *value == "true").any(|(key, _)| marks.contains(&key.as_str()))
    };
    let created = |meta: &ObjectMeta| meta.creation_timestamp.as_ref().map(|time| time.0);
    let newest = classes.filter(marked).min_by(|a, b| created(b).cmp(&created(a)).then_with(|| a.name.cmp(&b.name)));
    newest.and_then(|meta| meta.name.clone())
}

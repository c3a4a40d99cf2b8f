//! Admission: rules about a write that need more than the object itself. Plugins are pure: they look at the request
//! and at the logs, and change the object or refuse it. One may be asked again with the same object, and must then
//! come to the same end.

mod default_tolerations;
mod namespace_lifecycle;
mod priority;
mod service_account;

use std::sync::Arc;

use api::Object;
use api::strategy::UserInfo;
use jiff::Timestamp;
use machinery::Status;

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
    pub target: &'a Target,
    pub user: &'a UserInfo,
    /// The object before the write; None for creates.
    pub old: Option<&'a dyn Object>,
    pub dry_run: bool,
    pub now: Timestamp,
    pub world: &'a World,
    /// Who may do what.
    pub access: &'a Access,
}

impl Request<'_> {
    /// Whether the request is about the main resource, or the subresource, of that name.
    pub fn is(&self, group: &str, plural: &str, subresource: Option<&str>) -> bool {
        let names = self.target.resource.names();
        names.group == group && names.plural == plural && self.target.subresource.as_deref() == subresource
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

    /// An object whose absence makes the plugin refuse the write, and which is likely to be made in a moment.
    fn awaits(&self, _request: &Request<'_>, _object: &dyn Object) -> Option<Awaited> {
        None
    }

    /// Refuses a write. Deletes have no object.
    fn validate(&self, _request: &Request<'_>, _object: Option<&dyn Object>) -> Result<(), Status> {
        Ok(())
    }
}

/// The logs, for plugins to read. They may be a moment behind the store: the pipeline asks again with a newer view before it
/// refuses a write.
#[derive(Default)]
pub struct World {
    logs: hashbrown::HashMap<(&'static str, &'static str), Arc<Log>>,
}

impl World {
    pub fn new(logs: impl IntoIterator<Item = Arc<Log>>) -> Self {
        let name = |log: &Arc<Log>| (log.resource().names().group, log.resource().names().plural);
        Self { logs: logs.into_iter().map(|log| (name(&log), log)).collect() }
    }

    /// The log of a resource, if it is served.
    pub fn log(&self, group: &'static str, plural: &'static str) -> Option<&Arc<Log>> {
        self.logs.get(&(group, plural))
    }

    /// An object, as its log has it.
    pub fn get(&self, group: &'static str, plural: &'static str, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        self.log(group, plural)?.get(&path(namespace, name))
    }

    /// An object, decoded; `T` is the type of its kind.
    pub fn object<T: Clone + 'static>(&self, group: &'static str, plural: &'static str, namespace: &str, name: &str) -> Option<T> {
        let log = self.log(group, plural)?;
        let object = log.get(&path(namespace, name))?.object(log.resource()).ok()?;
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
                Box::new(service_account::ServiceAccount),
                Box::new(priority::Priority),
                Box::new(default_tolerations::DefaultTolerationSeconds),
                Box::new(crate::auth::rbac::Escalation),
            ],
        }
    }
}

impl Chain {
    pub(crate) fn mutate(&self, request: &Request<'_>, object: &mut dyn Object) -> Result<(), Status> {
        self.plugins.iter().try_for_each(|plugin| plugin.mutate(request, object))
    }

    /// What the plugins would wait for, if it is missing.
    pub(crate) fn awaited(&self, request: &Request<'_>, object: &dyn Object) -> Option<Awaited> {
        let mut awaited = self.plugins.iter().filter_map(|plugin| plugin.awaits(request, object));
        awaited.find(|one| request.world.get(one.group, one.plural, &one.namespace, &one.name).is_none())
    }

    pub(crate) fn validate(&self, request: &Request<'_>, object: Option<&dyn Object>) -> Result<(), Status> {
        self.plugins.iter().try_for_each(|plugin| plugin.validate(request, object))
    }
}

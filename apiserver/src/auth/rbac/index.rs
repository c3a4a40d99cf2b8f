//! The index over roles and bindings: who is granted what where. It is changed by what differs between two snapshots of
//! a log, never rebuilt.

use std::fmt;
use std::sync::Arc;

use api::Resource;
use api::object::downcast_ref;
use api::strategy::UserInfo;
use hashbrown::HashMap;
use imbl::ordmap::DiffItem;
use k8s_openapi::api::rbac::v1::{self, ClusterRole, ClusterRoleBinding, Role, RoleBinding, RoleRef};

use super::rule::{self, Rule};
use crate::log::{Entry, Snapshot, path};

/// The four kinds that the index is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ClusterRole,
    Role,
    ClusterRoleBinding,
    RoleBinding,
}

/// One subject's share of a binding.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant {
    /// `namespace/name`, or the name of a ClusterRoleBinding.
    pub binding: Arc<str>,
    /// `namespace/name`, or the name of a ClusterRole.
    pub role: Arc<str>,
    pub subject: Subject,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    User(Box<str>),
    Group(Box<str>),
    ServiceAccount { namespace: Box<str>, name: Box<str> },
}

impl Grant {
    pub fn role_kind(&self) -> &'static str {
        if self.role.contains('/') { "Role" } else { "ClusterRole" }
    }

    pub fn role_name(&self) -> &str {
        self.role.split_once('/').map_or(&self.role, |(_, name)| name)
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.binding.split_once('/') {
            Some((namespace, name)) => write!(f, "RoleBinding \"{name}/{namespace}\"")?,
            None => write!(f, "ClusterRoleBinding {:?}", self.binding)?,
        }
        write!(f, " of {} {:?} to ", self.role_kind(), self.role_name())?;
        match &self.subject {
            Subject::User(name) => write!(f, "User {name:?}"),
            Subject::Group(name) => write!(f, "Group {name:?}"),
            Subject::ServiceAccount { namespace, name } => write!(f, "ServiceAccount \"{name}/{namespace}\""),
        }
    }
}

type Grants = HashMap<Box<str>, Vec<Arc<Grant>>>;

/// The grants of one namespace, or of the cluster.
#[derive(Default)]
struct Scope {
    users: Grants,
    groups: Grants,
}

/// Paths of namespaced objects have a slash and others cannot, so that one map holds both.
#[derive(Default)]
pub(super) struct Index {
    roles: HashMap<Arc<str>, Box<[Rule]>>,
    /// By namespace; empty: the cluster.
    scopes: HashMap<Box<str>, Scope>,
    /// By binding, so that they can be taken away again.
    bindings: HashMap<Arc<str>, Vec<Arc<Grant>>>,
}

impl Index {
    /// The rules of a role.
    pub(super) fn role(&self, path: &str) -> Option<&[Rule]> {
        self.roles.get(path).map(|rules| &**rules)
    }

    /// Calls `each` with a user's grants that hold in `namespace`, those of the cluster first, until it gives something.
    pub(super) fn each_grant<T>(&self, user: &UserInfo, namespace: &str, mut each: impl FnMut(&Arc<Grant>) -> Option<T>) -> Option<T> {
        let local = (!namespace.is_empty()).then(|| self.scopes.get(namespace)).flatten();
        for scope in self.scopes.get("").into_iter().chain(local) {
            let own = scope.users.get(user.name.as_str()).into_iter().flatten();
            let by_group = user.groups.iter().filter_map(|group| scope.groups.get(group.as_str())).flatten();
            if let Some(found) = own.chain(by_group).find_map(&mut each) {
                return Some(found);
            }
        }
        None
    }

    /// Takes in what changed in a log.
    pub(super) fn follow(&mut self, kind: Kind, resource: &dyn Resource, before: &Snapshot, after: &Snapshot) {
        for change in before.entries.diff(&after.entries) {
            match change {
                DiffItem::Add(path, entry) | DiffItem::Update { new: (path, entry), .. } => self.set(kind, resource, path, entry),
                DiffItem::Remove(path, _) => self.remove(kind, path),
            }
        }
    }

    fn set(&mut self, kind: Kind, resource: &dyn Resource, path: &Arc<str>, entry: &Entry) {
        self.remove(kind, path);
        let Ok(object) = entry.object(resource) else { return };
        let rules = match kind {
            Kind::ClusterRole => downcast_ref::<ClusterRole>(&*object).map(|role| role.rules.as_ref()),
            Kind::Role => downcast_ref::<Role>(&*object).map(|role| role.rules.as_ref()),
            Kind::ClusterRoleBinding | Kind::RoleBinding => None,
        };
        if let Some(rules) = rules {
            self.roles.insert(path.clone(), rule::compile(rules));
        } else if let Some(binding) = downcast_ref::<ClusterRoleBinding>(&*object) {
            self.bind(path, "", &binding.role_ref, binding.subjects.as_ref());
        } else if let Some(binding) = downcast_ref::<RoleBinding>(&*object) {
            self.bind(path, &entry.key.namespace, &binding.role_ref, binding.subjects.as_ref());
        }
    }

    fn bind(&mut self, binding: &Arc<str>, namespace: &str, reference: &RoleRef, subjects: Option<&Vec<v1::Subject>>) {
        let role = if reference.kind == "Role" { path(namespace, &reference.name) } else { reference.name.as_str().into() };
        let scope = self.scopes.entry_ref(namespace).or_default();
        let mut grants = Vec::new();
        for subject in subjects.into_iter().flatten().filter_map(|subject| read_subject(subject, namespace)) {
            let grant = Arc::new(Grant { binding: binding.clone(), role: role.clone(), subject });
            scope.list(&grant.subject).push(grant.clone());
            grants.push(grant);
        }
        self.bindings.insert(binding.clone(), grants);
    }

    fn remove(&mut self, kind: Kind, path: &Arc<str>) {
        if matches!(kind, Kind::ClusterRole | Kind::Role) {
            self.roles.remove(path);
            return;
        }
        let namespace = path.split_once('/').map_or("", |(namespace, _)| namespace);
        let (Some(grants), Some(scope)) = (self.bindings.remove(path), self.scopes.get_mut(namespace)) else { return };
        for grant in grants {
            scope.forget(&grant);
        }
        if scope.users.is_empty() && scope.groups.is_empty() {
            self.scopes.remove(namespace);
        }
    }
}

impl Scope {
    /// The list in which a subject's grants stand. Service accounts are users of a certain name.
    fn list(&mut self, subject: &Subject) -> &mut Vec<Arc<Grant>> {
        match subject {
            Subject::User(name) => self.users.entry_ref(&**name).or_default(),
            Subject::Group(name) => self.groups.entry_ref(&**name).or_default(),
            Subject::ServiceAccount { namespace, name } => {
                self.users.entry(crate::auth::service_account_user(namespace, name).into()).or_default()
            }
        }
    }

    fn forget(&mut self, grant: &Arc<Grant>) {
        let left = self.list(&grant.subject);
        left.retain(|one| !Arc::ptr_eq(one, grant));
        if !left.is_empty() {
            return;
        }
        match &grant.subject {
            Subject::User(name) => self.users.remove(&**name),
            Subject::Group(name) => self.groups.remove(&**name),
            Subject::ServiceAccount { namespace, name } => self.users.remove(crate::auth::service_account_user(namespace, name).as_str()),
        };
    }
}

fn read_subject(subject: &v1::Subject, namespace: &str) -> Option<Subject> {
    let name = || subject.name.as_str().into();
    match subject.kind.as_str() {
        "User" => Some(Subject::User(name())),
        "Group" => Some(Subject::Group(name())),
        "ServiceAccount" => {
            let namespace = subject.namespace.as_deref().filter(|own| !own.is_empty()).unwrap_or(namespace);
            // Without a namespace it is nobody.
            (!namespace.is_empty()).then(|| Subject::ServiceAccount { namespace: namespace.into(), name: name() })
        }
        _ => None,
    }
}

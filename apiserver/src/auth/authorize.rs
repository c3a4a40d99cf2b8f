//! The authorization seam: what a caller wants, and whether an [`Authorizer`] lets them.

use std::fmt;
use std::sync::Arc;

use api::strategy::UserInfo;
use machinery::{GroupResource, Status, status};

use super::rbac::Grant;

/// What a caller wants to do.
#[derive(Clone, Copy, Debug)]
pub enum Attributes<'a> {
    Resource(ResourceAccess<'a>),
    /// A path that is no resource, such as `/version`; the verb is the lower-case HTTP method.
    Path {
        verb: &'a str,
        path: &'a str,
    },
}

/// What a caller wants of a resource of the API.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResourceAccess<'a> {
    pub verb: &'a str,
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: Option<&'a str>,
    /// Empty for cluster scope and for all namespaces.
    pub namespace: &'a str,
    /// Empty for collections and for creates.
    pub name: &'a str,
    /// How lists, watches and collection deletes are narrowed, as the request has it. Nodes may list only what is theirs.
    pub field_selector: &'a str,
}

impl<'a> ResourceAccess<'a> {
    /// To bind a pod to a node.
    pub fn binding(namespace: &'a str, name: &'a str) -> Self {
        Self { verb: "create", resource: "pods", subresource: Some("binding"), namespace, name, ..Self::default() }
    }

    /// A list or watch that is narrowed to one name is about the object of that name.
    pub fn of_selected(mut self) -> Self {
        if self.name.is_empty() && matches!(self.verb, "list" | "watch" | "deletecollection") {
            self.name = self.selected("metadata.name").unwrap_or_default();
        }
        self
    }

    /// The one value of a field that the field selector leaves.
    pub fn selected(&self, field: &str) -> Option<&'a str> {
        self.field_selector.split(',').find_map(|term| {
            let (name, value) = term.trim().split_once('=')?;
            (name == field).then(|| value.strip_prefix('=').unwrap_or(value))
        })
    }
}

/// An authorizer's answer.
#[derive(Clone, Debug)]
pub enum Decision {
    Allow(Grounds),
    /// Not allowed by any rule. `reason` may be empty.
    NoOpinion {
        reason: String,
    },
}

/// Why something is allowed. Cheap to make; the words are made when they are shown.
#[derive(Clone, Debug)]
pub enum Grounds {
    /// The caller is in `system:masters`, which may do everything.
    Masters,
    /// The caller is a node, and what it asks for concerns it.
    Node,
    /// Everything is allowed.
    Always,
    /// A binding of a role says so.
    Granted(Arc<Grant>),
}

impl Decision {
    /// No rule allows it, and there is nothing to say about that.
    pub const fn no_opinion() -> Self {
        Self::NoOpinion { reason: String::new() }
    }

    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

impl fmt::Display for Grounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masters | Self::Node | Self::Always => Ok(()),
            Self::Granted(grant) => write!(f, "RBAC: allowed by {grant}"),
        }
    }
}

/// Decides. Pure and quick: it runs on every request.
pub trait Authorizer: Send + Sync + 'static {
    fn authorize(&self, user: &UserInfo, attributes: &Attributes<'_>) -> Decision;
}

/// Passes, or gives the 403 that the caller is answered.
pub fn check(authorizer: &dyn Authorizer, user: &UserInfo, attributes: &Attributes<'_>) -> status::Result<()> {
    settle(authorizer.authorize(user, attributes), user, attributes)
}

/// What a decision means for the caller: to pass, or a 403.
pub fn settle(decision: Decision, user: &UserInfo, attributes: &Attributes<'_>) -> status::Result<()> {
    match decision {
        Decision::Allow(_) => Ok(()),
        Decision::NoOpinion { reason } => Err(forbidden(user, attributes, &reason)),
    }
}

/// The 403 of a caller who may not do what it wants.
pub(super) fn forbidden(user: &UserInfo, attributes: &Attributes<'_>, reason: &str) -> Status {
    let tail = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    match attributes {
        Attributes::Resource(ResourceAccess { verb, group, resource, subresource, namespace, name, .. }) => {
            let shown = subresource.map_or_else(|| (*resource).to_owned(), |s| format!("{resource}/{s}"));
            let place = if namespace.is_empty() { "at the cluster scope".to_owned() } else { format!("in the namespace {namespace:?}") };
            let why = format!("User {:?} cannot {verb} resource {shown:?} in API group {group:?} {place}{tail}", user.name);
            Status::forbidden(&GroupResource::new((*group).to_owned(), (*resource).to_owned()), name, why)
        }
        Attributes::Path { verb, path } => {
            let why = format!("User {:?} cannot {verb} path {path:?}{tail}", user.name);
            let mut status = Status::forbidden(&GroupResource::new("", ""), "", &why);
            status.message = format!("forbidden: {why}");
            status.details = Some(Box::default());
            status
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_one_name_is_about_that_object() {
        let list = |field_selector| ResourceAccess { verb: "list", field_selector, ..ResourceAccess::default() };
        assert_eq!(list("metadata.name=a").of_selected().name, "a");
        assert_eq!(list("type=x,metadata.name==a").of_selected().name, "a");
        assert_eq!(list("metadata.name!=a").of_selected().name, "");
        assert_eq!(list("").of_selected().name, "");
        assert_eq!(ResourceAccess { verb: "create", ..list("metadata.name=a") }.of_selected().name, "");
        assert_eq!(list("spec.nodeName=n").selected("spec.nodeName"), Some("n"));
    }
}

//! The authorization seam: what a caller wants, and whether an [`Authorizer`] lets them.

use api::strategy::UserInfo;
use machinery::{GroupResource, Status, status};

/// What a caller wants to do.
#[derive(Clone, Debug)]
pub enum Attributes<'a> {
    Resource {
        verb: &'a str,
        group: &'a str,
        resource: &'a str,
        subresource: Option<&'a str>,
        /// Empty for cluster scope and for all namespaces.
        namespace: &'a str,
        name: &'a str,
    },
    /// A path that is no resource, such as `/version`; the verb is the lower-case HTTP method.
    Path { verb: &'a str, path: &'a str },
}

/// An authorizer's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    /// Not allowed by any rule. `reason` may be empty.
    NoOpinion {
        reason: String,
    },
}

/// Decides. Pure and quick: it runs on every request.
pub trait Authorizer: Send + Sync + 'static {
    fn authorize(&self, user: &UserInfo, attributes: &Attributes<'_>) -> Decision;
}

/// Passes, or gives the 403 that the caller is answered.
pub fn check(authorizer: &dyn Authorizer, user: &UserInfo, attributes: &Attributes<'_>) -> status::Result<()> {
    match authorizer.authorize(user, attributes) {
        Decision::Allow => Ok(()),
        Decision::NoOpinion { reason } => Err(forbidden(user, attributes, &reason)),
    }
}

fn forbidden(user: &UserInfo, attributes: &Attributes<'_>, reason: &str) -> Status {
    let tail = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    match attributes {
        Attributes::Resource { verb, group, resource, subresource, namespace, name } => {
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

//! What expressions learn of who may do what: asked of the server's own authorizer, for whoever makes the request.

use api::strategy::UserInfo;
use machinery::cel::{self, Check, Verdict};

use crate::auth::authorize::ResourceAccess;
use crate::auth::{self, Access, Attributes, Authorizer as _, Decision};

pub(super) struct Asker<'a> {
    pub access: &'a Access,
    pub user: &'a UserInfo,
}

impl cel::Authorizer for Asker<'_> {
    fn decide(&self, check: &Check, verb: &str) -> Verdict {
        let account = check.service_account.as_ref().map(|(namespace, name)| UserInfo {
            name: auth::service_account_user(namespace, name),
            groups: auth::service_account_groups(namespace).into_iter().chain(["system:authenticated".to_owned()]).collect(),
            ..UserInfo::default()
        });
        let attributes = match &check.path {
            Some(path) => Attributes::Path { verb, path },
            None => Attributes::Resource(ResourceAccess {
                verb,
                group: &check.group,
                resource: check.resource.as_deref().unwrap_or_default(),
                subresource: Some(check.subresource.as_str()).filter(|name| !name.is_empty()),
                namespace: &check.namespace,
                name: &check.name,
                field_selector: &check.field_selector,
            }),
        };
        match self.access.authorize(account.as_ref().unwrap_or(self.user), &attributes) {
            Decision::Allow(grounds) => Verdict { allowed: true, reason: grounds.to_string(), error: None },
            Decision::NoOpinion { reason } => Verdict { allowed: false, reason, error: None },
        }
    }
}

//! Impersonation: a caller who may do so acts as somebody else, named by the `Impersonate-*` headers.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::strategy::UserInfo;
use http::HeaderMap;
use machinery::{Status, status};
use percent_encoding::percent_decode_str;

use super::authenticate::AUTHENTICATED;
use super::authorize::{Attributes, Authorizer, ResourceAccess, check};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// The user that the headers name, if `user` may act as it; `user` itself where they name none.
pub fn resolve(authorizer: &dyn Authorizer, user: Arc<UserInfo>, headers: &HeaderMap) -> status::Result<Arc<UserInfo>> {
    // Nearly every request ends here.
    if !headers.keys().any(|key| key.as_str().starts_with("impersonate-")) {
        return Ok(user);
    }
    let all = |name: &str| -> Vec<String> { headers.get_all(name).iter().filter_map(|v| v.to_str().ok().map(str::to_owned)).collect() };
    let first = |name: &str| all(name).into_iter().next().unwrap_or_default();
    let (name, uid, groups, extra) = (first(USER), first(UID), all(GROUP), extras(headers));
    if name.is_empty() {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(user);
        }
        return Err(Status::internal("impersonation of groups, a uid or extra fields needs Impersonate-User"));
    }
    let may = |access: ResourceAccess<'_>| {
        let access = ResourceAccess { verb: "impersonate", ..access };
        check(authorizer, &user, &Attributes::Resource(access))
    };
    let account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, name)) => may(ResourceAccess { resource: "serviceaccounts", namespace, name, ..ResourceAccess::default() })?,
        None => may(ResourceAccess { resource: "users", name: &name, ..ResourceAccess::default() })?,
    }
    for group in &groups {
        may(ResourceAccess { resource: "groups", name: group, ..ResourceAccess::default() })?;
    }
    let authentication = ResourceAccess { group: "authentication.k8s.io", ..ResourceAccess::default() };
    for (key, value) in extra.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value))) {
        may(ResourceAccess { resource: "userextras", subresource: Some(key), name: value, ..authentication })?;
    }
    if !uid.is_empty() {
        may(ResourceAccess { resource: "uids", name: &uid, ..authentication })?;
    }
    let groups = match account {
        Some((namespace, _)) if groups.is_empty() => super::service_account_groups(namespace).into(),
        _ => groups,
    };
    Ok(Arc::new(UserInfo { groups: with_everybody(&name, groups), name, uid, extra }))
}

/// Everybody is in one of two groups.
fn with_everybody(name: &str, mut groups: Vec<String>) -> Vec<String> {
    let own = if name == "system:anonymous" { UNAUTHENTICATED } else { AUTHENTICATED };
    if !groups.iter().any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED) {
        groups.push(own.to_owned());
    }
    groups
}

/// Keys are case-insensitive, as headers are, and may be percent-encoded.
fn extras(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    extras_in(headers, |name| name.strip_prefix(EXTRA))
}

/// What headers say of a user besides name and groups; `key_of` knows the headers that do, and what stands behind their prefix.
pub(super) fn extras_in(headers: &HeaderMap, key_of: impl Fn(&str) -> Option<&str>) -> BTreeMap<String, Vec<String>> {
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let (Some(key), Ok(value)) = (key_of(name.as_str()), value.to_str()) else { continue };
        // What is no valid encoding is taken as it stands.
        let key = percent_decode_str(key).decode_utf8().map_or_else(|_| key.to_owned(), |key| key.to_lowercase());
        extra.entry(key).or_default().push(value.to_owned());
    }
    extra
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::auth::authorize::{Decision, Grounds};

    /// Allows what its list names, as `resource/subresource name`.
    struct Listed(&'static [&'static str]);

    impl Authorizer for Listed {
        fn authorize(&self, _user: &UserInfo, attributes: &Attributes<'_>) -> Decision {
            let Attributes::Resource(access) = attributes else { return Decision::no_opinion() };
            let sub = access.subresource.map(|s| format!("/{s}")).unwrap_or_default();
            let wanted = format!("{}{sub} {}", access.resource, access.name);
            if self.0.contains(&wanted.as_str()) { Decision::Allow(Grounds::Masters) } else { Decision::no_opinion() }
        }
    }

    fn act_as(allowed: &'static [&'static str], headers: &[(&'static str, &str)]) -> status::Result<Arc<UserInfo>> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        resolve(&Listed(allowed), Arc::new(UserInfo { name: "ann".into(), ..UserInfo::default() }), &map)
    }

    #[test]
    fn every_part_has_to_be_allowed() {
        assert_eq!(act_as(&[], &[]).unwrap().name, "ann");
        assert_eq!(act_as(&[], &[(USER, "bob")]).unwrap_err().code, 403);
        let bob = act_as(&["users bob"], &[(USER, "bob")]).unwrap();
        assert_eq!((bob.name.as_str(), bob.groups.join(" ")), ("bob", AUTHENTICATED.to_owned()));
        let groups = [(USER, "bob"), (GROUP, "dev"), (GROUP, "system:masters")];
        assert_eq!(act_as(&["users bob", "groups dev"], &groups).unwrap_err().code, 403);
        assert_eq!(act_as(&["users bob"], &[(USER, "bob"), (UID, "7")]).unwrap_err().code, 403);
        assert_eq!(act_as(&["users bob", "uids 7"], &[(USER, "bob"), (UID, "7")]).unwrap().uid, "7");
        let extra = [(USER, "bob"), ("impersonate-extra-a%2fb", "x")];
        assert_eq!(act_as(&["users bob"], &extra).unwrap_err().code, 403);
        assert_eq!(act_as(&["users bob", "userextras/a/b x"], &extra).unwrap().extra["a/b"], ["x"]);
        assert_eq!(act_as(&[], &[(GROUP, "dev")]).unwrap_err().code, 500);
    }

    #[test]
    fn accounts_and_nobody_are_in_their_groups() {
        let account = act_as(&["serviceaccounts robot"], &[(USER, "system:serviceaccount:a:robot")]).unwrap();
        assert_eq!(account.groups, ["system:serviceaccounts", "system:serviceaccounts:a", AUTHENTICATED]);
        let nobody = act_as(&["users system:anonymous"], &[(USER, "system:anonymous")]).unwrap();
        assert_eq!(nobody.groups, [UNAUTHENTICATED]);
    }
}

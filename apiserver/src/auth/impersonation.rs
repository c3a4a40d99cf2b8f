//! Impersonation: a caller who may do so acts as somebody else, named by the `Impersonate-*` headers.
//!
//! There are two ways to be allowed to. Constrained impersonation ([`Mode`]) wants two rights: to act as this user in this
//! mode (`impersonate:<mode>`), and to do just this while acting so (`impersonate-on:<mode>:<verb>`). What no mode allows,
//! the old right to `impersonate` may, which is good for all requests.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use api::strategy::UserInfo;
use http::{HeaderMap, HeaderValue};
use machinery::{Status, names, status};
use percent_encoding::percent_decode_str;

use super::authenticate::AUTHENTICATED;
use super::authorize::{Attributes, Authorizer, ResourceAccess, check, forbidden};
use super::node;
use super::rbac::MASTERS;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const UNAUTHENTICATED: &str = "system:unauthenticated";
const AUTHENTICATION: &str = "authentication.k8s.io";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// So many groups, or extra values, are asked for with one name that stands for all before they are one by one.
const MANY: usize = 4;

/// A mode of constrained impersonation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// A service account acts as the node that its token is bound to.
    AssociatedNode,
    ArbitraryNode,
    ServiceAccount,
    /// Everybody else.
    UserInfo,
}

/// In the order in which they are tried.
const MODES: [(Mode, &str, &str); 4] = [
    (Mode::AssociatedNode, "impersonate:associated-node", "impersonate-on:associated-node"),
    (Mode::ArbitraryNode, "impersonate:arbitrary-node", "impersonate-on:arbitrary-node"),
    (Mode::ServiceAccount, "impersonate:serviceaccount", "impersonate-on:serviceaccount"),
    (Mode::UserInfo, "impersonate:user-info", "impersonate-on:user-info"),
];

/// Somebody whom a caller may act as.
#[derive(Debug)]
pub struct Acting {
    pub user: Arc<UserInfo>,
    /// The right of constrained impersonation by which.
    pub constraint: Option<&'static str>,
}

/// Whom the headers name, if `user` may act as that one in what it asks for. None: they name nobody.
pub fn resolve(
    authorizer: &dyn Authorizer,
    user: &UserInfo,
    headers: &HeaderMap,
    wanted: &Attributes<'_>,
) -> status::Result<Option<Acting>> {
    let Some(named) = read(headers)? else { return Ok(None) };
    let mut refused = None;
    let modes = MODES.iter().filter(|(mode, ..)| mode.is_for(&named, user)).map(Some);
    for mode in modes.chain([None]) {
        let asked = Asked { authorizer, user, named: &named, mode: mode.map(|(mode, verb, _)| (*mode, *verb)) };
        let allowed = mode.map_or(Ok(()), |(_, _, on)| asked.on(on, wanted)).and_then(|()| asked.all());
        match allowed {
            Ok(()) => return Ok(Some(Acting { constraint: mode.map(|(_, verb, _)| *verb), user: Arc::new(asked.acting()) })),
            // The client is told what the first mode wanted.
            Err(status) => drop(refused.get_or_insert(status)),
        }
    }
    Err(refused.unwrap_or_else(Status::unauthorized))
}

/// Whom the headers name, as they do.
fn read(headers: &HeaderMap) -> status::Result<Option<UserInfo>> {
    // Nearly every request ends here.
    if !headers.keys().any(|key| key.as_str().starts_with("impersonate-")) {
        return Ok(None);
    }
    let first = |name: &str| headers.get(name).map(|value| text(value).into_owned()).unwrap_or_default();
    let groups: Vec<String> = headers.get_all(GROUP).iter().map(|value| text(value).into_owned()).collect();
    let named = UserInfo { name: first(USER), uid: first(UID), groups, extra: extras(headers) };
    if !named.name.is_empty() {
        return Ok(Some(named));
    }
    if named.groups.is_empty() && named.uid.is_empty() && named.extra.is_empty() {
        return Ok(None);
    }
    Err(Status::bad_request("impersonation of groups, a uid or extra fields needs Impersonate-User"))
}

/// A value as it came. One that is not UTF-8 names nobody who could be allowed, but must not be overlooked.
pub(super) fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

/// The name of the node that a user name is of.
fn node_of(name: &str) -> Option<&str> {
    name.strip_prefix(node::USER_PREFIX).filter(|node| names::dns1123_subdomain(node, false).is_empty())
}

/// Namespace and name of the service account that a user name is of.
fn account_of(name: &str) -> Option<(&str, &str)> {
    let (namespace, name) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let is_valid = names::dns1123_label(namespace, false).is_empty() && names::dns1123_subdomain(name, false).is_empty();
    is_valid.then_some((namespace, name))
}

impl Mode {
    fn is_for(self, named: &UserInfo, user: &UserInfo) -> bool {
        let bare = named.uid.is_empty() && named.groups.is_empty() && named.extra.is_empty();
        let node = node_of(&named.name);
        match self {
            Self::AssociatedNode => {
                let own = user.extra.get(NODE_NAME).and_then(|values| if let [one] = &values[..] { Some(one.as_str()) } else { None });
                bare && node.is_some() && node == own && account_of(&user.name).is_some()
            }
            Self::ArbitraryNode => bare && node.is_some(),
            Self::ServiceAccount => bare && account_of(&named.name).is_some(),
            Self::UserInfo => node.is_none() && account_of(&named.name).is_none(),
        }
    }
}

/// A question whether `user` may act as `named`, in a mode or by the old right.
struct Asked<'a> {
    authorizer: &'a dyn Authorizer,
    user: &'a UserInfo,
    named: &'a UserInfo,
    mode: Option<(Mode, &'static str)>,
}

impl Asked<'_> {
    /// Whether what is asked for may be done while acting so.
    fn on(&self, on: &str, wanted: &Attributes<'_>) -> status::Result<()> {
        match wanted {
            Attributes::Resource(access) => {
                let verb = format!("{on}:{}", access.verb);
                check(self.authorizer, self.user, &Attributes::Resource(ResourceAccess { verb: &verb, ..*access }))
            }
            Attributes::Path { verb, path } => check(self.authorizer, self.user, &Attributes::Path { verb: &format!("{on}:{verb}"), path }),
        }
    }

    /// Whether all that is named may be acted as.
    fn all(&self) -> status::Result<()> {
        self.may(&self.of_name())?;
        if !self.named.uid.is_empty() {
            self.may(&ResourceAccess { group: AUTHENTICATION, resource: "uids", name: &self.named.uid, ..ResourceAccess::default() })?;
        }
        self.groups()?;
        self.extra()
    }

    fn may(&self, access: &ResourceAccess<'_>) -> status::Result<()> {
        let verb = self.mode.map_or("impersonate", |(_, verb)| verb);
        check(self.authorizer, self.user, &Attributes::Resource(ResourceAccess { verb, ..*access }))
    }

    fn refuse(&self, access: &ResourceAccess<'_>, why: &str) -> status::Result<()> {
        let verb = self.mode.map_or("impersonate", |(_, verb)| verb);
        Err(forbidden(self.user, &Attributes::Resource(ResourceAccess { verb, ..*access }), why))
    }

    /// The group of names and groups, which the old right has at another place.
    fn group(&self) -> &'static str {
        if self.mode.is_some() { AUTHENTICATION } else { "" }
    }

    fn of_name(&self) -> ResourceAccess<'_> {
        let access = ResourceAccess { group: self.group(), ..ResourceAccess::default() };
        let name = self.named.name.as_str();
        match (account_of(name), node_of(name).filter(|_| self.mode.is_some())) {
            (Some((namespace, name)), _) => ResourceAccess { resource: "serviceaccounts", namespace, name, ..access },
            // Whichever the node: the one of the caller's own token.
            (None, Some(_)) if self.mode.is_some_and(|(mode, _)| mode == Mode::AssociatedNode) => {
                ResourceAccess { resource: "nodes", name: "*", ..access }
            }
            (None, Some(name)) => ResourceAccess { resource: "nodes", name, ..access },
            (None, None) => ResourceAccess { resource: "users", name, ..access },
        }
    }

    fn groups(&self) -> status::Result<()> {
        let groups = &self.named.groups;
        let access = ResourceAccess { group: self.group(), resource: "groups", ..ResourceAccess::default() };
        if self.mode.is_some() {
            if groups.iter().any(String::is_empty) {
                return self.refuse(&access, "a group has a name");
            }
            if groups.iter().any(|group| group == MASTERS) {
                return self.refuse(&ResourceAccess { name: MASTERS, ..access }, "nobody is made an administrator");
            }
            if groups.len() >= MANY && self.may(&ResourceAccess { name: "*", ..access }).is_ok() {
                return Ok(());
            }
        }
        groups.iter().try_for_each(|group| self.may(&ResourceAccess { name: group, ..access }))
    }

    fn extra(&self) -> status::Result<()> {
        let extra = &self.named.extra;
        let access = ResourceAccess { group: AUTHENTICATION, resource: "userextras", ..ResourceAccess::default() };
        let each = || extra.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value)));
        if self.mode.is_some() {
            if let Some((key, _)) = extra.iter().find(|(key, values)| !is_plain(key, values)) {
                return self.refuse(&access, &format!("{key:?} is no key of extra fields with a domain, a path and values"));
            }
            let many = extra.len() >= MANY || each().count() >= MANY;
            if many && self.may(&ResourceAccess { subresource: Some("*"), name: "*", ..access }).is_ok() {
                return Ok(());
            }
        }
        each().try_for_each(|(key, value)| self.may(&ResourceAccess { subresource: Some(key), name: value, ..access }))
    }

    /// The user that is named, with the groups that it is in.
    fn acting(&self) -> UserInfo {
        let mut user = self.named.clone();
        if let Some((namespace, _)) = account_of(&user.name).filter(|_| user.groups.is_empty()) {
            user.groups = super::service_account_groups(namespace).into();
        } else if self.mode.is_some() && node_of(&user.name).is_some() {
            user.groups = vec![node::GROUP.to_owned()];
        }
        let own = if user.name == "system:anonymous" { UNAUTHENTICATED } else { AUTHENTICATED };
        if !user.groups.iter().any(|group| group == own || group == UNAUTHENTICATED) {
            user.groups.push(own.to_owned());
        }
        user
    }
}

/// Whether a key of extra fields is a path within a domain, in lower case, and has values.
fn is_plain(key: &str, values: &[String]) -> bool {
    let is_path = key.split_once('/').is_some_and(|(domain, path)| {
        let segment = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%/".contains(&byte);
        names::dns1123_subdomain(domain, false).is_empty() && !path.is_empty() && path.bytes().all(segment)
    });
    is_path && !key.bytes().any(|byte| byte.is_ascii_uppercase()) && !values.is_empty() && values.iter().all(|value| !value.is_empty())
}

/// Keys are case-insensitive, as headers are, and may be percent-encoded.
fn extras(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    extras_in(headers, |name| name.strip_prefix(EXTRA))
}

/// What headers say of a user besides name and groups; `key_of` knows the headers that do, and what stands behind their prefix.
pub(super) fn extras_in(headers: &HeaderMap, key_of: impl Fn(&str) -> Option<&str>) -> BTreeMap<String, Vec<String>> {
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let Some(key) = key_of(name.as_str()) else { continue };
        // What is no valid encoding is taken as it stands.
        let key = percent_decode_str(key).decode_utf8().map_or_else(|_| key.to_owned(), |key| key.to_lowercase());
        extra.entry(key).or_default().push(text(value).into_owned());
    }
    extra
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::auth::authorize::{Decision, Grounds};

    /// Allows what its list names, as `resource/subresource name`; in constrained modes as `verb resource/subresource name`.
    struct Listed(&'static [&'static str]);

    impl Authorizer for Listed {
        fn authorize(&self, _user: &UserInfo, attributes: &Attributes<'_>) -> Decision {
            let Attributes::Resource(access) = attributes else { return Decision::no_opinion() };
            let sub = access.subresource.map(|s| format!("/{s}")).unwrap_or_default();
            let verb = Some(access.verb).filter(|verb| *verb != "impersonate").map(|verb| format!("{verb} ")).unwrap_or_default();
            let wanted = format!("{verb}{}{sub} {}", access.resource, access.name);
            if self.0.contains(&wanted.as_str()) { Decision::Allow(Grounds::Masters) } else { Decision::no_opinion() }
        }
    }

    const LIST: Attributes<'static> = Attributes::Resource(ResourceAccess {
        verb: "list",
        group: "",
        resource: "pods",
        subresource: None,
        namespace: "",
        name: "",
        field_selector: "",
    });

    fn try_as(user: UserInfo, allowed: &'static [&'static str], headers: &[(&'static str, &str)]) -> status::Result<Option<Acting>> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        resolve(&Listed(allowed), &user, &map, &LIST)
    }

    fn act_as(allowed: &'static [&'static str], headers: &[(&'static str, &str)]) -> status::Result<UserInfo> {
        let ann = UserInfo { name: "ann".into(), ..UserInfo::default() };
        Ok(try_as(ann.clone(), allowed, headers)?.map_or(ann, |acting| (*acting.user).clone()))
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
        assert_eq!(act_as(&[], &[(GROUP, "dev")]).unwrap_err().code, 400);
    }

    #[test]
    fn accounts_and_nobody_are_in_their_groups() {
        let account = act_as(&["serviceaccounts robot"], &[(USER, "system:serviceaccount:a:robot")]).unwrap();
        assert_eq!(account.groups, ["system:serviceaccounts", "system:serviceaccounts:a", AUTHENTICATED]);
        let wrong = act_as(&["users system:serviceaccount:a:b:c"], &[(USER, "system:serviceaccount:a:b:c")]).unwrap();
        assert_eq!(wrong.groups, [AUTHENTICATED]);
        let both = [(USER, "system:anonymous"), (GROUP, AUTHENTICATED)];
        assert_eq!(
            act_as(&["users system:anonymous", "groups system:authenticated"], &both).unwrap().groups,
            [AUTHENTICATED, UNAUTHENTICATED]
        );
        let nobody = act_as(&["users system:anonymous"], &[(USER, "system:anonymous")]).unwrap();
        assert_eq!(nobody.groups, [UNAUTHENTICATED]);
    }

    #[test]
    fn a_name_that_is_no_text_is_not_overlooked() {
        assert_eq!(act_as(&["users bob"], &[(USER, "bøb")]).unwrap_err().code, 403);
        assert_eq!(act_as(&["users bøb"], &[(USER, "bøb")]).unwrap().name, "bøb");
    }

    #[test]
    fn modes_want_a_right_to_act_and_one_to_do_so() {
        const BOTH: &[&str] =
            &["impersonate-on:user-info:list pods ", "impersonate:user-info users bob", "impersonate:user-info groups dev"];
        let acting = try_as(UserInfo::default(), BOTH, &[(USER, "bob"), (GROUP, "dev")]).unwrap().unwrap();
        assert_eq!((acting.constraint, acting.user.groups.join(" ").as_str()), (Some("impersonate:user-info"), "dev system:authenticated"));
        // The first refusal is the one that is told.
        let refused = |allowed, headers: &[(&'static str, &str)]| act_as(allowed, headers).unwrap_err().details.unwrap().kind;
        assert_eq!(refused(&["impersonate:user-info users bob"], &[(USER, "bob")]), "pods");
        assert_eq!(refused(&["impersonate-on:user-info:list pods "], &[(USER, "bob")]), "users");
        assert_eq!(refused(BOTH, &[(USER, "bob"), (GROUP, MASTERS)]), "groups");
        assert_eq!(refused(BOTH, &[(USER, "bob"), ("impersonate-extra-scopes", "x")]), "userextras");
        // The old right is good for everything.
        let acting = try_as(UserInfo::default(), &["users bob"], &[(USER, "bob")]).unwrap().unwrap();
        assert_eq!(acting.constraint, None);
    }

    #[test]
    fn an_account_acts_as_the_node_of_its_token() {
        const ON: &[&str] = &["impersonate-on:associated-node:list pods ", "impersonate:associated-node nodes *"];
        let account = |node: &str| UserInfo {
            name: "system:serviceaccount:a:agent".into(),
            extra: [(NODE_NAME.to_owned(), vec![node.to_owned()])].into(),
            ..UserInfo::default()
        };
        let acting = try_as(account("n"), ON, &[(USER, "system:node:n")]).unwrap().unwrap();
        assert_eq!(acting.user.groups, ["system:nodes", AUTHENTICATED]);
        assert_eq!(try_as(account("m"), ON, &[(USER, "system:node:n")]).unwrap_err().code, 403);
        assert_eq!(try_as(account("n"), ON, &[(USER, "system:node:n"), (GROUP, "system:nodes")]).unwrap_err().code, 403);
    }
}

//! Front proxies: a proxy that is known by its certificate says in headers for whom it asks, as aggregating servers do.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use api::strategy::UserInfo;
use http::HeaderMap;

use super::authenticate::AUTHENTICATED;
use super::impersonation::{extras_in, text};

/// Who may ask for others, and in which headers they say for whom. Header names are in lower case; of several the first
/// that is there counts, and for groups all.
#[derive(Clone, Debug, Default)]
pub struct FrontProxies {
    /// Common names of certificates. None: any that the proxies' authority stands behind.
    pub names: Vec<String>,
    pub user_headers: Vec<String>,
    pub uid_headers: Vec<String>,
    pub group_headers: Vec<String>,
    pub extra_prefixes: Vec<String>,
}

impl FrontProxies {
    /// Whom the headers name, if they name anybody and `proxy` is one that may.
    pub fn user(&self, proxy: &str, headers: &HeaderMap) -> Option<Arc<UserInfo>> {
        if !self.names.is_empty() && !self.names.iter().any(|name| name == proxy) {
            return None;
        }
        let values = |name: &String| headers.get_all(name).into_iter().map(text).filter(|v| !v.is_empty());
        let first = |names: &[String]| names.iter().find_map(|name| values(name).next()).map(Cow::into_owned);
        let name = first(&self.user_headers)?;
        let mut groups: Vec<String> = self.group_headers.iter().flat_map(values).map(Cow::into_owned).collect();
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Some(Arc::new(UserInfo { name, uid: first(&self.uid_headers).unwrap_or_default(), groups, extra: self.extra(headers) }))
    }

    fn extra(&self, headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
        extras_in(headers, |name| self.extra_prefixes.iter().find_map(|prefix| name.strip_prefix(prefix.as_str())))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_of_the_list_speaks_for_whom_its_headers_name() {
        let list = |name: &str| vec![name.to_owned()];
        let proxies = FrontProxies {
            names: list("aggregator"),
            user_headers: list("x-remote-user"),
            uid_headers: list("x-remote-uid"),
            group_headers: list("x-remote-group"),
            extra_prefixes: list("x-remote-extra-"),
        };
        let mut headers = HeaderMap::new();
        assert!(proxies.user("aggregator", &headers).is_none());
        let given =
            [("x-remote-user", "ann"), ("x-remote-group", "dev"), ("x-remote-group", "ops"), ("x-remote-extra-Example.com%2fz", "1")];
        for (name, value) in given {
            headers.append(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        let ann = proxies.user("aggregator", &headers).unwrap();
        assert_eq!((ann.name.as_str(), ann.groups.join(" ").as_str()), ("ann", "dev ops system:authenticated"));
        assert_eq!(ann.extra["example.com/z"], ["1"]);
        assert!(proxies.user("somebody", &headers).is_none());
        let anyone = FrontProxies { names: Vec::new(), ..proxies };
        assert!(anyone.user("somebody", &headers).is_some());
    }
}

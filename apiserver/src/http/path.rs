//! What a request is about, read off its method and path: the attributes that authorization, audit and dispatch
//! share. Kubernetes calls this request info.

use percent_encoding::percent_decode_str;

/// A request for a resource of the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourcePath {
    pub group: String,
    pub version: String,
    /// Plural name, as the path has it.
    pub resource: String,
    pub subresource: Option<String>,
    /// What follows the subresource (`proxy/<path>`).
    pub rest: Option<String>,
    /// Empty for cluster scope and for all namespaces.
    pub namespace: String,
    /// The path goes through `namespaces/`, though perhaps through one without a name.
    pub within: bool,
    /// Empty for collections.
    pub name: String,
    /// The deprecated `/watch/` form of the path.
    pub watch: bool,
}

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    Resource(ResourcePath),
    /// Anything else: `/version`, `/apis`, `/openapi/v3`…
    Other,
    /// A watch of nothing: `/api/v1/watch`.
    Unclear,
}

/// Reads a path. `None`: it is not valid percent-encoded UTF-8. An encoded slash is a slash.
pub fn parse(path: &str) -> Option<Path> {
    if path.starts_with("//") {
        return Some(Path::Other);
    }
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    let trimmed = decoded.trim_matches('/');
    let mut it = trimmed.split('/').map(str::to_owned);
    let (group, version) = match it.next().as_deref() {
        Some("api") => (String::new(), it.next()),
        Some("apis") => (it.next().unwrap_or_default(), it.next()),
        _ => return Some(Path::Other),
    };
    let (Some(version), Some(first)) = (version, it.next()) else {
        return Some(Path::Other);
    };
    let mut found = ResourcePath { group, version, ..ResourcePath::default() };
    let mut first = Some(first);
    if first.as_deref() == Some("watch") {
        found.watch = true;
        first = it.next();
        if first.is_none() {
            return Some(Path::Unclear);
        }
    }
    let rest: Vec<String> = first.into_iter().chain(it).collect();
    fill(&mut found, rest);
    Some(Path::Resource(found))
}

fn fill(found: &mut ResourcePath, segments: Vec<String>) {
    let mut it = segments.into_iter().peekable();
    let Some(first) = it.next() else { return };
    let mut resource = first;
    if resource == "namespaces" {
        let mut ahead = it.clone();
        let (name, next) = (ahead.next(), ahead.next());
        // `/namespaces/x/status` and `/finalize` are subresources of the namespace, not resources in it.
        if let (Some(name), Some(next)) = (name, next)
            && !matches!(next.as_str(), "status" | "finalize")
        {
            found.namespace = name;
            found.within = true;
            resource = next;
            it = ahead;
        }
    }
    found.resource = resource;
    found.name = it.next().unwrap_or_default();
    found.subresource = it.next().filter(|s| !s.is_empty());
    let rest: Vec<String> = it.collect();
    if !rest.is_empty() {
        found.rest = Some(rest.join("/"));
    }
    if found.resource == "namespaces" && found.group.is_empty() && !found.name.is_empty() && !found.within {
        // A namespace is authorized within itself.
        found.namespace.clone_from(&found.name);
    }
}

/// The verb of a request, as authorization and metrics name it.
pub fn verb(method: &http::Method, path: &ResourcePath, watch: bool) -> &'static str {
    let collection = path.name.is_empty();
    match *method {
        http::Method::POST => "create",
        http::Method::PUT => "update",
        http::Method::PATCH => "patch",
        http::Method::DELETE if collection => "deletecollection",
        http::Method::DELETE => "delete",
        http::Method::GET | http::Method::HEAD if path.watch || (collection && watch) => "watch",
        http::Method::GET | http::Method::HEAD if collection => "list",
        http::Method::GET | http::Method::HEAD => "get",
        // No verb is for the other methods.
        _ => "",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn resource(path: &str) -> ResourcePath {
        match parse(path).unwrap() {
            Path::Resource(r) => r,
            Path::Other | Path::Unclear => panic!("{path} is no resource path"),
        }
    }

    #[test]
    fn reads_the_forms_of_resource_paths() {
        let pod = resource("/api/v1/namespaces/a/pods/b/status");
        assert_eq!((pod.group.as_str(), pod.version.as_str(), pod.resource.as_str()), ("", "v1", "pods"));
        assert_eq!((pod.namespace.as_str(), pod.name.as_str(), pod.subresource.as_deref()), ("a", "b", Some("status")));
        let all = resource("/apis/apps/v1/deployments");
        assert_eq!((all.group.as_str(), all.resource.as_str(), all.namespace.as_str(), all.name.as_str()), ("apps", "deployments", "", ""));
        let namespace = resource("/api/v1/namespaces/a/finalize");
        assert_eq!(
            (namespace.resource.as_str(), namespace.name.as_str(), namespace.subresource.as_deref()),
            ("namespaces", "a", Some("finalize"))
        );
        let watch = resource("/api/v1/watch/namespaces/a/secrets/x");
        assert!(watch.watch && watch.name == "x" && watch.namespace == "a");
        assert_eq!(resource("/apis/rbac.authorization.k8s.io/v1/clusterroles/a%20b%3Ac").name, "a b:c");
        assert_eq!(resource("/api/v1/namespaces/a/secrets/").name, "");
        let slash = resource("/api/v1/namespaces/a/secrets/b%2Fc");
        assert_eq!((slash.name.as_str(), slash.subresource.as_deref()), ("b", Some("c")));
    }

    #[test]
    fn knows_which_paths_go_through_namespaces() {
        assert!(resource("/api/v1/namespaces/a/namespaces").within && resource("/api/v1/namespaces//pods/x").within);
        assert!(!resource("/api/v1/namespaces/a").within && !resource("/api/v1/pods").within);
        assert_eq!(resource("/api/v1//pods").resource, "");
        assert_eq!(parse("/api/v1/watch/").unwrap(), Path::Unclear);
    }

    #[test]
    fn other_paths_are_no_resources() {
        for path in ["/", "/api", "/api/v1", "/api/v1/", "/apis/apps/v1/", "/version", "/openapi/v3/apis/apps/v1", "//api/v1/pods"] {
            assert_eq!(parse(path).unwrap(), Path::Other, "{path}");
        }
        assert_eq!(parse("/api/v1/pods/%ff"), None);
    }
}

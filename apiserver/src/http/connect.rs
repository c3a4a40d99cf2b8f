//! Requests that are passed on to a node, a pod or a service: which they are, what is checked before, and what a failure
//! is called. See [`crate::connect`].

use std::sync::Arc;

use axum::body::Body;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use machinery::{GroupResource, Status, status};

use super::accept;
use super::path::{self, Path, ResourcePath};
use super::query::Query;
use super::respond::{self, Answer};
use crate::auth::authorize::{self, Attributes, ResourceAccess};
use crate::chain::Chain;
use crate::connect::Security;
use crate::connect::destination::{self, Named};
use crate::connect::options::{self, LogOptions};
use crate::connect::{Destination, Failure, Rewrite, forward};
use crate::verbs::Caller;

/// How much of what a kubelet says is wrong is passed on.
const MOST_ERROR_BYTES: usize = 50_000;

/// A log is text; what is wrong with it may be told otherwise.
const LOG_MEDIA: [&str; 4] = ["text/plain", accept::SERVED[0], accept::SERVED[1], accept::SERVED[2]];

/// What is wanted of a pod, a service or a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Log,
    Exec,
    Attach,
    PortForward,
    Proxy,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Exec => "exec",
            Self::Attach => "attach",
            Self::PortForward => "portforward",
            Self::Proxy => "proxy",
        }
    }

    fn takes(self, method: &Method) -> bool {
        match self {
            Self::Log => *method == Method::GET,
            Self::Exec | Self::Attach | Self::PortForward => matches!(*method, Method::GET | Method::POST),
            Self::Proxy => {
                matches!(
                    *method,
                    Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE | Method::OPTIONS
                )
            }
        }
    }
}

/// What a path wants to be passed on, if it does.
pub(super) fn action(path: &ResourcePath) -> Option<Action> {
    if !path.group.is_empty() || path.version != "v1" || path.name.is_empty() {
        return None;
    }
    let action = match (path.subresource.as_deref()?, path.resource.as_str()) {
        ("log", "pods") => Action::Log,
        ("exec", "pods") => Action::Exec,
        ("attach", "pods") => Action::Attach,
        ("portforward", "pods") => Action::PortForward,
        ("proxy", "pods" | "services" | "nodes") => Action::Proxy,
        _ => return None,
    };
    let is_placed = (path.resource == "nodes") == path.namespace.is_empty();
    (is_placed && (path.rest.is_none() || action == Action::Proxy)).then_some(action)
}

/// Whether a request may take as long as it likes.
pub(super) fn runs_long(path: &str) -> bool {
    // Most paths are told by their last word, without being taken apart.
    let may = path.contains("/proxy")
        || ["/log", "/exec", "/attach", "/portforward"].iter().any(|last| path.trim_end_matches('/').ends_with(last));
    may && matches!(path::parse(path), Some(Path::Resource(found)) if action(&found).is_some())
}

/// A request that is to be passed on, and that its caller is authorized for.
pub(super) struct Passing<'a> {
    pub chain: &'a Arc<Chain>,
    pub caller: &'a Caller,
    pub path: &'a ResourcePath,
    pub action: Action,
}

impl Passing<'_> {
    pub async fn serve(self, request: Request<Body>) -> status::Result<Answer> {
        if !self.action.takes(request.method()) {
            let resource = GroupResource::new("", self.path.resource.clone());
            return Err(Status::method_not_supported(&resource, request.method().as_str()).without_details());
        }
        if self.action == Action::Log {
            if !accept::is_routed(request.headers(), &LOG_MEDIA) {
                return Err(Status::not_acceptable(&LOG_MEDIA).without_details());
            }
            // Behind the route it is an object's, which a log is told of as others are; there are no columns for it.
            accept::negotiate(request.headers(), accept::Offer { protobuf: true, table: false })?;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
            && Query::parse(request.uri().query()).given("dryRun").is_some()
        {
            return Err(Status::bad_request("dryRun is not supported"));
        }
        // The pod or node may have been written a moment ago.
        self.chain.api.feed.catch_up().await?;
        match self.action {
            Action::Log => self.log(request).await,
            Action::Exec | Action::Attach | Action::PortForward => self.stream(request).await,
            Action::Proxy => self.proxy(request).await,
        }
    }

    async fn log(&self, request: Request<Body>) -> status::Result<Answer> {
        let (world, name) = (self.chain.api.world(), &self.path.name);
        let options = LogOptions::of(&Query::parse(request.uri().query()), name)?;
        let spec = destination::find_pod(world, &self.path.namespace, name)?.spec.unwrap_or_default();
        let container = options::container(name, &spec, options.container.as_deref())?;
        let node = spec.node_name.as_deref().unwrap_or_default();
        if node.is_empty() {
            let mut nothing = Answer::default();
            *nothing.status_mut() = StatusCode::NO_CONTENT;
            return Ok(nothing);
        }
        let mut kubelet = self.kubelet(node)?;
        if options.any_kubelet {
            kubelet.security = Security::AnyKubelet;
        }
        let path = format!("/containerLogs/{}/{name}/{container}?{}", self.path.namespace, options.for_kubelet());
        let answer = self
            .forward(&kubelet, uri(&path)?, Request::new(Body::empty()), None)
            .await
            .map_err(|failure| unclassified(&failure, "reading the log"))?;
        let answer = self.refused_by_kubelet(answer).await?;
        let mut logs = respond::text(StatusCode::OK, answer.into_body());
        logs.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        Ok(logs)
    }

    async fn stream(&self, request: Request<Body>) -> status::Result<Answer> {
        let (api, name) = (&self.chain.api, &self.path.name);
        if request.method() == Method::GET {
            // A WebSocket is opened by GET; who may only read may not run programs for that.
            let access = ResourceAccess {
                verb: "create",
                resource: "pods",
                subresource: Some(self.action.name()),
                namespace: &self.path.namespace,
                name,
                ..ResourceAccess::default()
            };
            authorize::check(&*self.chain.authorizer, &self.caller.user, &Attributes::Resource(access))?;
        }
        let spec = destination::find_pod(api.world(), &self.path.namespace, name)?.spec.unwrap_or_default();
        let query = Query::parse(request.uri().query());
        let (namespace, node) = (&self.path.namespace, spec.node_name.as_deref().unwrap_or_default());
        let path = match self.action {
            Action::PortForward => format!("/portForward/{namespace}/{name}?{}", options::port_forward(&query)?),
            action => {
                let container = options::container(name, &spec, query.get("container"))?;
                format!("/{}/{namespace}/{name}/{container}?{}", action.name(), options::remote_command(action.name(), &query))
            }
        };
        if node.is_empty() {
            return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
        }
        if crate::connect::asked_upgrade(request.headers()).is_none() {
            return Err(Status::bad_request("the request must ask for an upgrade to SPDY/3.1 or WebSocket"));
        }
        let kubelet = self.kubelet(node)?;
        let answer =
            self.forward(&kubelet, uri(&path)?, request, None).await.map_err(|failure| unclassified(&failure, "dialing backend"))?;
        if answer.status().is_redirection() {
            return Err(Status::internal("the kubelet redirects, which is not followed"));
        }
        Ok(answer)
    }

    async fn proxy(&self, request: Request<Body>) -> status::Result<Answer> {
        let (prefix, rest) = split(request.uri().path(), self.path.resource == "nodes");
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let (world, namespace) = (self.chain.api.world(), &self.path.namespace);
        let named = Named::parse(&self.path.name)?;
        let destination = match self.path.resource.as_str() {
            "nodes" => {
                let node = destination::node(world, &named, self.chain.api.connector().address_types())?;
                // A name that means nothing is the caller's mistake, unlike a node that does not answer.
                let found = tokio::net::lookup_host((node.host.as_str(), node.port)).await;
                let _ = found.map_err(|error| Status::bad_request(format!("lookup {}: {error}", node.host)))?;
                node
            }
            "services" => destination::service(world, namespace, &named)?,
            _ => destination::pod(world, namespace, &named)?,
        };
        if rest.is_empty() && matches!(*request.method(), Method::GET | Method::HEAD) {
            // Relative links of the answer are to stay below it.
            return redirect(&format!("{prefix}/{query}"));
        }
        let path = uri(&format!("{}{query}", if rest.is_empty() { "/" } else { rest }))?;
        let prefix = prefix.to_owned();
        let passed = self.forward(&destination, path, request, Some(Rewrite { prefix: &prefix })).await;
        passed.map_err(|failure| match failure {
            Failure::Status(status) => status,
            other => Status::unavailable(format!("error trying to reach service: {other}")),
        })
    }

    fn kubelet(&self, node: &str) -> status::Result<Destination> {
        destination::kubelet(self.chain.api.world(), node, self.chain.api.connector().address_types())
    }

    async fn forward(
        &self,
        destination: &Destination,
        path: Uri,
        request: Request<Body>,
        rewrite: Option<Rewrite<'_>>,
    ) -> Result<Answer, Failure> {
        forward(self.chain.api.connector(), destination, path, request, rewrite, self.chain.api.feed.watches()).await
    }

    /// The Status of a kubelet's refusal, with what it says.
    async fn refused_by_kubelet(&self, answer: Answer) -> status::Result<Answer> {
        let code = answer.status();
        if code.is_success() {
            return Ok(answer);
        }
        if code.is_redirection() {
            return Err(Status::internal("the kubelet redirects, which is not followed"));
        }
        let said = Limited::new(answer.into_body(), MOST_ERROR_BYTES).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        Err(match code {
            StatusCode::BAD_REQUEST => Status::bad_request(said),
            StatusCode::NOT_FOUND => Status { message: said, ..Status::not_found(&GroupResource::new("", "pods/log"), &self.path.name) },
            StatusCode::INTERNAL_SERVER_ERROR => Status::internal(said),
            _ => Status::unclassified(format!("the kubelet answers {code}: {said}")),
        })
    }
}

/// A failure that upstream gives no reason for.
fn unclassified(failure: &Failure, doing: &str) -> Status {
    match failure {
        Failure::Status(status) => status.clone(),
        other => Status::unclassified(format!("error {doing}: {other}")),
    }
}

fn uri(path: &str) -> status::Result<Uri> {
    path.parse().map_err(|_| Status::bad_request(format!("{path:?} is no path")))
}

fn redirect(to: &str) -> status::Result<Answer> {
    let location = HeaderValue::from_str(to).map_err(|_| Status::bad_request("the path cannot be redirected to"))?;
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
    answer.headers_mut().insert(LOCATION, location);
    Ok(answer)
}

/// A path as it came, split behind `proxy`: what follows is the other server's, and passed on as it is.
fn split(path: &str, of_node: bool) -> (&str, &str) {
    // `/api/v1/nodes/<name>/proxy` and `/api/v1/namespaces/<namespace>/<resource>/<name>/proxy`
    let segments = if of_node { 5 } else { 7 };
    let begin = path.len() - path.trim_start_matches('/').len();
    match path[begin..].match_indices('/').nth(segments - 1) {
        Some((at, _)) => path.split_at(begin + at),
        None => (path, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_subresources_are_passed_on() {
        for path in [
            "/api/v1/namespaces/a/pods/p/exec",
            "/api/v1/namespaces/a/services/s:80/proxy/x/y",
            "/api/v1/nodes/n/proxy/",
            "/api/v1/namespaces/a/pods/p/log",
        ] {
            assert!(runs_long(path), "{path}");
        }
        for path in [
            "/api/v1/namespaces/a/pods/log",
            "/api/v1/namespaces/a/pods/p/exec/x",
            "/api/v1/namespaces/a/configmaps/c/proxy",
            "/api/v1/pods/p/log",
            "/apis/apps/v1/namespaces/a/pods/p/exec",
        ] {
            assert!(!runs_long(path), "{path}");
        }
    }

    #[test]
    fn what_follows_the_proxy_is_passed_on_as_it_is() {
        let of_pod = |path| split(path, false);
        assert_eq!(of_pod("/api/v1/namespaces/a/pods/p/proxy"), ("/api/v1/namespaces/a/pods/p/proxy", ""));
        assert_eq!(of_pod("/api/v1/namespaces/a/pods/p/proxy/"), ("/api/v1/namespaces/a/pods/p/proxy", "/"));
        assert_eq!(of_pod("/api/v1/namespaces/a/pods/p/proxy/a%2Fb//c/").1, "/a%2Fb//c/");
        assert_eq!(split("/api/v1/nodes/n/proxy/metrics", true), ("/api/v1/nodes/n/proxy", "/metrics"));
    }
}

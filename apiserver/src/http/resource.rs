//! Requests for resources: from method, path and query to a verb, and from its result to an answer.

use std::sync::Arc;

use api::kind::Scope;
use api::{Resource, ResourceRef};
use axum::body::Body as HttpBody;
use http::header::ACCEPT;
use http::{HeaderMap, Method, StatusCode};
use machinery::field::Error;
use machinery::table::Include;
use machinery::{GroupResource, GroupVersionKind, Status, fields, status};
use serde::Deserialize;
use serde_json::Value;

use super::accept::{self, Format, Shape};
use super::delete_body::DeleteBody;
use super::path::ResourcePath;
use super::query::Query;
use super::respond::{self, Answer};
use super::{body, recorded, table, watch};
use crate::catalogue;
use crate::chain::Chain;
use crate::reviews::Review;
use crate::verbs::{Body, Caller, DeleteOptions, Deleted, Patch, Target, Written};

const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// Custom objects have no strategies to merge by.
const CUSTOM_PATCHES: [&str; 3] = [PATCHES[0], PATCHES[1], PATCHES[3]];

/// Whether objects have a form in protobuf.
fn has_protobuf(resource: Option<&dyn Resource>) -> bool {
    resource.is_none_or(|resource| !resource.is_custom())
}

/// A request that may run.
pub struct Call<'a> {
    pub chain: &'a Arc<Chain>,
    pub caller: Caller,
    pub path: ResourcePath,
    pub verb: &'static str,
    pub query: Query<'a>,
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
}

impl Call<'_> {
    pub async fn serve(self, body: HttpBody) -> status::Result<Answer> {
        let found = self.chain.api.find(&self.path.group, &self.path.version, &self.path.resource).await?;
        if !self.is_known(found.as_deref()) {
            let elsewhere = found.is_none() && self.chain.api.is_elsewhere(&self.path.group, &self.path.version);
            return Ok(if elsewhere { respond::elsewhere() } else { respond::not_found() });
        }
        let accept = self.headers.get(ACCEPT);
        let is_served = |resource: &&ResourceRef| {
            let verbs = |name: &str| catalogue::subresource_verbs(&***resource, name);
            self.path.subresource.as_deref().is_none_or(|name| !verbs(name).is_empty())
        };
        let deprecation = found.as_ref().filter(is_served).and_then(|resource| resource.deprecation().map(str::to_owned));
        let trail = self.caller.trail.clone();
        if deprecation.is_some() {
            trail.note("k8s.io/deprecated", || "true".to_owned());
        }
        let answer = self.dispatch(found, body).await.unwrap_or_else(|status| {
            trail.answers(&status);
            respond::status(&status, accept::of_failures(accept))
        });
        // Nobody uses it by a method that it does not have.
        let is_used = answer.status() != StatusCode::METHOD_NOT_ALLOWED;
        Ok(respond::with_warnings(answer, deprecation.filter(|_| is_used).as_slice()))
    }

    /// Whether there is a resource at this path, or one of a built-in group might have been meant: only then is what is
    /// wrong told in a Status.
    fn is_known(&self, found: Option<&dyn Resource>) -> bool {
        match found {
            None => catalogue::is_built_in(&self.path.group),
            Some(resource) if resource.is_custom() => {
                let in_namespace = !self.path.namespace.is_empty();
                let across = matches!(self.verb, "list" | "watch") && self.path.name.is_empty();
                in_namespace == (resource.scope() == Scope::Namespaced) || (!in_namespace && across)
            }
            Some(_) => true,
        }
    }

    async fn dispatch(self, found: Option<ResourceRef>, body: HttpBody) -> status::Result<Answer> {
        if let Some(review) = Review::find(&self.path.group, &self.path.version, &self.path.resource) {
            return self.review(review, body).await;
        }
        let target = self.target(found)?;
        self.check_method(&target)?;
        check_name(&target.name)?;
        let form = self.form(&target)?;
        let include = match form.shape {
            Shape::Table => table::include(self.query.get("includeObject"))?,
            _ => Include::default(),
        };
        let trail = self.caller.trail.clone();
        if !trail.wants_response() || self.verb == "watch" {
            return self.act(target, form, include, body).await;
        }
        let answer = self.act(target, accept::Form { format: Format::Json, ..form }, include, body).await?;
        Ok(recorded::object(&trail, answer, form.format).await)
    }

    async fn act(self, target: Target, form: accept::Form, include: Include, body: HttpBody) -> status::Result<Answer> {
        let api = &self.chain.api;
        match self.verb {
            "get" => {
                let shown = api.get(&self.caller, &target, self.query.get("resourceVersion").filter(|v| !v.is_empty())).await?;
                Ok(respond::object(StatusCode::OK, form, &target, &shown, include))
            }
            "list" => {
                let options = self.query.list()?;
                self.query.validate_list(false)?;
                let list = api.list(&self.caller, &target, &options).await?;
                Ok(respond::list(form, &*target.resource, list, include))
            }
            "watch" => {
                let mut options = self.query.watch_options()?;
                self.query.validate_list(true)?;
                let mut target = target;
                if !target.name.is_empty() {
                    options.field_selector = one_object(&options.field_selector, &std::mem::take(&mut target.name))?;
                }
                let events = api.watch(&self.caller, &target, &options).await?;
                Ok(watch::stream(form, target.resource, events, include))
            }
            "create" => {
                let options = self.query.write("CreateOptions")?;
                let body = self.object(&target, body).await?;
                let written = api.create(&self.caller, &target, body, &options).await?;
                Ok(self.written(form, &target, &written, include))
            }
            "update" => {
                let options = self.query.write("UpdateOptions")?;
                let body = self.object(&target, body).await?;
                let written = api.update(&self.caller, &target, body, &options).await?;
                Ok(self.written(form, &target, &written, include))
            }
            "patch" => {
                let patch = self.patch(&target, body).await?;
                let options = self.query.write("PatchOptions")?;
                let written = api.patch(&self.caller, &target, patch, &options).await?;
                Ok(self.written(form, &target, &written, include))
            }
            "delete" => {
                let options = self.delete_options(body).await?;
                let deleted = api.delete(&self.caller, &target, &options).await?;
                let answer = self.deleted(form, &target, deleted, include);
                Ok(respond::with_warnings(answer, delete_warning(&target, &options).as_slice()))
            }
            _ => {
                let options = self.delete_options(body).await?;
                let selected = self.query.list()?;
                self.query.validate_list(false)?;
                let list = api.delete_collection(&self.caller, &target, &selected, &options).await?;
                let answer = respond::list(form, &*target.resource, list, include);
                Ok(respond::with_warnings(answer, delete_warning(&target, &options).as_slice()))
            }
        }
    }

    /// The form of the answer.
    fn form(&self, target: &Target) -> status::Result<accept::Form> {
        if !target.resource.is_custom() {
            accept::check_routed(self.headers)?;
        }
        let offer = accept::Offer {
            protobuf: has_protobuf(Some(&*target.resource)),
            table: match target.subresource.as_deref() {
                None | Some("scale") => true,
                Some("status") => target.resource.status_has_table(),
                // Kubernetes prints no others.
                Some(_) => false,
            },
        };
        if self.verb == "watch" {
            return accept::negotiate_watch(self.headers, offer);
        }
        let form = accept::negotiate(self.headers, offer)?;
        // These answer with a Status, which is shown whole.
        let answers_status = matches!(target.subresource.as_deref(), Some("binding" | "eviction"));
        let shape = if answers_status && form.shape == Shape::PartialObjectMetadata { Shape::Object } else { form.shape };
        Ok(accept::Form { shape, ..form })
    }

    fn target(&self, found: Option<ResourceRef>) -> status::Result<Target> {
        let path = &self.path;
        if path.group.is_empty() && path.resource == "bindings" {
            return self.bindings();
        }
        let resource = found.ok_or_else(Status::path_not_found)?;
        let is_namespace = path.group.is_empty() && path.resource == "namespaces";
        let mut namespace = path.namespace.clone();
        match resource.scope() {
            Scope::Cluster if path.within => return Err(Status::path_not_found()),
            Scope::Cluster if is_namespace => namespace.clear(),
            // A named object of a namespaced resource needs its namespace.
            Scope::Namespaced if path.within && namespace.is_empty() && !path.name.is_empty() => {
                return Err(Status::bad_request("the path names no namespace"));
            }
            Scope::Namespaced if namespace.is_empty() && !path.name.is_empty() => return Err(Status::path_not_found()),
            _ => {}
        }
        if path.rest.is_some() || path.subresource.as_deref().is_some_and(|s| catalogue::subresource_verbs(&*resource, s).is_empty()) {
            // Custom resources are asked whether they have a subresource only once the object is meant.
            let is_custom = resource.is_custom() && path.rest.is_none();
            return Err(if is_custom { Status::not_found(&resource.group_resource(), &path.name) } else { Status::path_not_found() });
        }
        Ok(Target { resource, subresource: path.subresource.clone(), namespace, name: path.name.clone() })
    }

    /// The old collection of bindings: the pod is named in the body.
    fn bindings(&self) -> status::Result<Target> {
        let path = &self.path;
        let pods = self.chain.api.served().find("", &path.version, "pods").ok_or_else(Status::path_not_found)?;
        if path.namespace.is_empty() || !path.name.is_empty() {
            return Err(Status::path_not_found());
        }
        Ok(Target { resource: pods, subresource: Some("binding".to_owned()), namespace: path.namespace.clone(), name: String::new() })
    }

    /// Refuses a method that the resource does not have.
    fn check_method(&self, target: &Target) -> status::Result<()> {
        let refused = || Status::method_not_supported(&target.resource.group_resource(), self.verb).without_details();
        if self.path.watch && (target.subresource.is_some() || !target.resource.verbs().contains(&"watch")) {
            // What cannot be watched has no deprecated path to watch it by.
            return Err(Status::path_not_found());
        }
        let is_served = matches!(*self.method, Method::GET | Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
        if !is_served || (self.path.watch && *self.method != Method::GET) {
            return Err(refused());
        }
        if self.verb == "watch" && !target.resource.verbs().contains(&"watch") {
            // A list that turns out to be a watch: this one is refused by name.
            return Err(Status::method_not_supported(&target.resource.group_resource(), self.verb));
        }
        let verbs = match &target.subresource {
            None => target.resource.verbs(),
            Some(name) => catalogue::subresource_verbs(&*target.resource, name),
        };
        // Objects are read of all namespaces at once, and written in one.
        let in_no_namespace = target.resource.scope() == Scope::Namespaced && target.namespace.is_empty();
        let misplaced = match self.verb {
            "create" if target.subresource.is_none() => !target.name.is_empty() || in_no_namespace,
            "deletecollection" => in_no_namespace,
            "update" | "patch" => target.name.is_empty(),
            _ => false,
        };
        if !verbs.contains(&self.verb) || misplaced { Err(refused()) } else { Ok(()) }
    }

    /// A question in the form of an object.
    async fn review(&self, review: Review, body: HttpBody) -> status::Result<Answer> {
        if self.path.watch || !self.path.name.is_empty() || review.is_namespaced() == self.path.namespace.is_empty() {
            return Err(Status::path_not_found());
        }
        if self.verb != "create" {
            return Err(Status::method_not_supported(&GroupResource::new("", ""), self.verb).without_details());
        }
        accept::check_routed(self.headers)?;
        let form = accept::negotiate(self.headers, accept::Offer { protobuf: true, table: false })?;
        if form.shape == Shape::PartialObjectMetadataList {
            return Err(Status::not_acceptable(&accept::SERVED));
        }
        let options = self.query.write("CreateOptions")?;
        let body = self.body(&review.kind(), true, body).await?;
        let answer = self.chain.api.review(review, &self.caller, &self.path.namespace, body, &options).await?;
        self.caller.trail.responds(&answer.json);
        let json = match form.shape {
            Shape::PartialObjectMetadata => table::of_any(&answer.json, form.version)?,
            _ => answer.json,
        };
        let answered = respond::encoded(StatusCode::CREATED, form.format, json);
        Ok(respond::with_warnings(answered, &answer.warnings))
    }

    /// The body of a create or update.
    async fn object(&self, target: &Target, body: HttpBody) -> status::Result<Body> {
        self.body(&target.resource.kind(), has_protobuf(Some(&*target.resource)), body).await
    }

    /// A body that is of this kind if it names none.
    async fn body(&self, kind: &GroupVersionKind, protobuf: bool, body: HttpBody) -> status::Result<Body> {
        let format = accept::body_format(self.headers, protobuf)?;
        let bytes = body::read(body).await?;
        Ok(match format {
            Format::Json => Body::Json(bytes),
            Format::Yaml => Body::Yaml(bytes),
            Format::Protobuf => Body::Json(body::protobuf_to_json(&bytes, kind)?),
        })
    }

    async fn patch(&self, target: &Target, body: HttpBody) -> status::Result<Patch> {
        let media = accept::content_type(self.headers).to_owned();
        let known = if target.resource.is_custom() { &CUSTOM_PATCHES[..] } else { &PATCHES };
        if !known.contains(&media.as_str()) {
            let refused = Status::unsupported_media_type(known);
            return Err(if target.resource.is_custom() { refused } else { refused.without_details() });
        }
        let bytes = body::read(body).await?;
        let force = self.query.force();
        if force.is_some() && media != PATCHES[3] {
            let error = Error::forbidden(&machinery::field::Path::new("force"), "is for apply patches only");
            return Err(Status::invalid(&machinery::GroupKind::new("meta.k8s.io", "PatchOptions"), "", &[error]));
        }
        Ok(match media.as_str() {
            "application/json-patch+json" => Patch::Json(bytes),
            "application/merge-patch+json" => Patch::Merge(bytes),
            "application/strategic-merge-patch+json" => Patch::Strategic(bytes),
            _ => Patch::Apply { config: bytes, force: force.unwrap_or(false) },
        })
    }

    /// The options of a delete: the body's, if there is one, else the query's.
    async fn delete_options(&self, body: HttpBody) -> status::Result<DeleteOptions> {
        let bytes = body::read(body).await?;
        if bytes.is_empty() {
            return self.query.delete();
        }
        let json = match accept::body_format(self.headers, true)? {
            Format::Json => serde_json::from_slice::<Value>(&bytes).map_err(|e| e.to_string()),
            Format::Yaml => serde_yaml::from_slice::<Value>(&bytes).map_err(|e| e.to_string()),
            Format::Protobuf => {
                let kind = GroupVersionKind::new("meta.k8s.io", "v1", "DeleteOptions");
                serde_json::from_slice(&body::protobuf_to_json(&bytes, &kind)?).map_err(|e| e.to_string())
            }
        };
        let unfit = |why: String| Status::bad_request(format!("the body does not read as DeleteOptions: {why}"));
        let options = match json.map_err(unfit)? {
            Value::Null => DeleteBody::default(),
            value @ Value::Object(_) => serde_json::from_value::<DeleteBody>(value).map_err(|e| unfit(e.to_string()))?,
            _ => return Err(unfit("it is no object".to_owned())),
        };
        self.caller.trail.requests(None, || options.shown());
        options.options()
    }

    fn written(&self, form: accept::Form, target: &Target, written: &Written, include: Include) -> Answer {
        let code = if written.created { StatusCode::CREATED } else { StatusCode::OK };
        let answer = respond::object(code, form, target, &written.object, include);
        respond::with_warnings(answer, &written.warnings)
    }

    fn deleted(&self, form: accept::Form, target: &Target, deleted: Deleted, include: Include) -> Answer {
        match deleted {
            Deleted::Pending(shown) => respond::object(StatusCode::OK, form, target, &shown, include),
            Deleted::Gone(entry) if target.resource.delete_returns_object() => {
                respond::object(StatusCode::OK, form, target, &crate::verbs::Shown::Entry(entry), include)
            }
            Deleted::Gone(entry) => {
                let status = deletion(target, &entry.json);
                self.caller.trail.answers(&status);
                respond::status(&status, form.format)
            }
        }
    }
}

/// Refuses names that could not be a segment of a path.
fn check_name(name: &str) -> status::Result<()> {
    if matches!(name, "." | "..") || name.contains('%') {
        return Err(Status::bad_request(format!("{name:?} cannot be the name of an object")));
    }
    Ok(())
}

/// The field selector of the deprecated watch of one object, which may be given, too, but must mean that object.
fn one_object(given: &str, name: &str) -> status::Result<String> {
    if given.is_empty() {
        return Ok(format!("metadata.name={name}"));
    }
    match fields::Selector::parse(given) {
        Ok(selector) if selector.exact("metadata.name") != Some(name) => {
            Err(Status::bad_request("the field selector asks for another object than the path does"))
        }
        // What does not parse is refused where selectors are read.
        _ => Ok(given.to_owned()),
    }
}

/// What is to be said to a delete that leaves open what becomes of dependents.
fn delete_warning(target: &Target, options: &DeleteOptions) -> Option<String> {
    let is_open = options.propagation.is_none() && options.orphan_dependents.is_none();
    target.resource.delete_warning().filter(|_| is_open).map(str::to_owned)
}

/// The Status of a finished delete.
fn deletion(target: &Target, json: &[u8]) -> Status {
    #[derive(Deserialize, Default)]
    struct Head {
        metadata: Meta,
    }
    #[derive(Deserialize, Default)]
    struct Meta {
        #[serde(default)]
        uid: String,
    }
    let uid = serde_json::from_slice::<Head>(json).unwrap_or_default().metadata.uid;
    let resource = target.resource.group_resource();
    let details = status::Details {
        name: target.name.clone(),
        group: resource.group.into_owned(),
        kind: resource.resource.into_owned(),
        uid,
        ..status::Details::default()
    };
    Status::success(Some(details))
}

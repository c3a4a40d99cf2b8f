//! A POST to `serviceaccounts/<name>/token`: makes a token for an account, bound to an object if the request says so.

use std::sync::LazyLock;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::field::{Error, Errors, Path};
use machinery::schema::Schema;
use machinery::{GroupKind, GroupResource, Status};
use serde_json::Value;

use super::write::Write;
use super::{Body, Caller, Shown, Target, WriteOptions, Written, body, record_unstored};
use crate::admission::{Operation, World};
use crate::auth::service_accounts::{Bindings, Reference};
use crate::server::ApiServer;

const DEFAULT_SECONDS: i64 = 3600;
const LEAST_SECONDS: i64 = 600;
const MOST_SECONDS: i64 = 1 << 32;

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of::<TokenRequest>);

pub(super) async fn create(
    server: &ApiServer,
    caller: &Caller,
    target: &Target,
    given: Body,
    options: &WriteOptions,
) -> Result<Written, Status> {
    let service_accounts = server.authenticator().service_accounts().filter(|s| s.issues()).ok_or_else(Status::path_not_found)?;
    let mut request: TokenRequest = body::typed(given, options.field_validation, &SCHEMA, "authentication.k8s.io/v1", "TokenRequest")?;
    body::check_address(target, named(&mut request, target))?;
    let spec = request.spec.get_or_insert_default();
    let seconds = *spec.expiration_seconds.get_or_insert(DEFAULT_SECONDS);
    spec.audiences = spec.audiences.take().filter(|audiences| !audiences.is_empty());
    let write = Write::new(server, caller, target, options)?;
    record_unstored(&SCHEMA, write.writer("authentication.k8s.io/v1"), &mut request);
    // What the request names may have been made a moment ago.
    server.feed.catch_up().await?;
    let account = reference(server.world(), "serviceaccounts", &target.namespace, &target.name)?;
    request.metadata.name = Some(target.name.clone());
    request.metadata.namespace = Some(target.namespace.clone());
    request.metadata.uid = Some(account.uid.clone());
    request.metadata.creation_timestamp = Some(Time(write.now));
    let spec = request.spec.get_or_insert_default();
    let audiences = spec.audiences.get_or_insert_with(|| service_accounts.audiences().to_vec()).clone();
    let errors = check(seconds);
    if !errors.is_empty() {
        return Err(Status::invalid(&GroupKind::new("authentication.k8s.io", "TokenRequest"), "", &errors));
    }
    let warnings = write.review(Operation::Create, Some(&request), None)?;
    let mut bindings = Bindings { namespace: target.namespace.clone(), serviceaccount: account, ..Bindings::default() };
    if let Some(bound) = request.spec.as_ref().and_then(|spec| spec.bound_object_ref.as_ref()) {
        bind(server.world(), &mut bindings, bound)?;
    }
    let issued = service_accounts
        .issue(bindings, &audiences, seconds, Timestamp::now())
        .map_err(|error| Status::internal(format!("the token cannot be made: {error}")))?;
    request.status = Some(TokenRequestStatus { expiration_timestamp: Some(Time(issued.expires)), token: Some(issued.token) });
    Ok(Written { object: Shown::Json(encode(&request).into()), created: true, warnings })
}

/// The request with the name and namespace that its path gives it, where it has none itself.
fn named<'a>(request: &'a mut TokenRequest, target: &Target) -> &'a mut TokenRequest {
    let name = request.metadata.name.get_or_insert_default();
    if name.is_empty() {
        name.clone_from(&target.name);
    }
    request
}

fn check(seconds: i64) -> Errors {
    let path = Path::new("spec").child("expirationSeconds");
    if seconds < LEAST_SECONDS {
        return vec![Error::invalid(&path, seconds, "a token lives for ten minutes at least")];
    }
    if seconds > MOST_SECONDS {
        return vec![Error::invalid(&path, seconds, format!("a token lives for {MOST_SECONDS} seconds at most"))];
    }
    Errors::new()
}

/// What a token refers to an object by; 404 if there is none.
fn reference(world: &World, plural: &'static str, namespace: &str, name: &str) -> Result<Reference, Status> {
    let found = world.get("", plural, namespace, name);
    let (uid, _) = found.ok_or_else(|| Status::not_found(&GroupResource::new("", plural), name))?.identity();
    Ok(Reference { name: name.to_owned(), uid })
}

/// Binds the token to the object that the request names.
fn bind(world: &World, bindings: &mut Bindings, bound: &BoundObjectReference) -> Result<(), Status> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (version, kind, name) = (text(&bound.api_version), text(&bound.kind), text(&bound.name));
    let found = match (version.as_str(), kind.as_str()) {
        ("v1", "Pod") => {
            let pod = reference(world, "pods", &bindings.namespace, &name)?;
            bindings.node = running(world, bindings, &name)?;
            bindings.pod = Some(pod.clone());
            pod
        }
        ("v1", "Secret") => bindings.secret.insert(reference(world, "secrets", &bindings.namespace, &name)?).clone(),
        ("v1", "Node") => bindings.node.insert(reference(world, "nodes", "", &name)?).clone(),
        _ => return Err(Status::bad_request(format!("a token cannot be bound to an object of type {version} {kind}"))),
    };
    match bound.uid.as_deref() {
        Some(uid) if !uid.is_empty() && uid != found.uid => {
            let why = format!(
                "the UID in the bound object reference ({uid}) is not that in record ({}). The object might have been deleted and then recreated",
                found.uid
            );
            Err(Status::conflict(&GroupResource::new("", kind), &name, why))
        }
        _ => Ok(()),
    }
}

/// The node of a pod, which must run as the account that the token is for.
fn running(world: &World, bindings: &Bindings, name: &str) -> Result<Option<Reference>, Status> {
    let pod: Option<Pod> = world.object("", "pods", &bindings.namespace, name);
    let spec = pod.and_then(|pod| pod.spec).ok_or_else(|| Status::not_found(&GroupResource::new("", "pods"), name))?;
    let (account, runs_as) = (&bindings.serviceaccount.name, spec.service_account_name.unwrap_or_default());
    if *account != runs_as {
        return Err(Status::bad_request(format!(
            "a token for service account {account:?} cannot be bound to a pod that runs as {runs_as:?}"
        )));
    }
    let node = spec.node_name.filter(|node| !node.is_empty());
    // A node that is gone has no uid to tell.
    Ok(node.map(|node| reference(world, "nodes", "", &node).unwrap_or(Reference { name: node, uid: String::new() })))
}

/// Kubernetes writes the bound object as null where there is none.
fn encode(request: &TokenRequest) -> Vec<u8> {
    use api::Object as _;
    let mut value = request.to_value();
    if let Some(Value::Object(spec)) = value.get_mut("spec") {
        spec.entry("boundObjectRef").or_insert(Value::Null);
    }
    let mut json = Vec::new();
    api::object::write_object(&value, &mut json);
    json
}

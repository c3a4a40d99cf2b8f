//! A POST to `serviceaccounts/<name>/token`: makes a token for an account, bound to an object if the request says so.

use std::sync::LazyLock;

use api::Object;
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

/// By this the audit log tells which token was made.
const ISSUED: &str = "authentication.kubernetes.io/issued-credential-id";
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
    let (mut request, mut warnings) =
        body::typed::<TokenRequest>(given, options.field_validation, &SCHEMA, &["authentication.k8s.io/v1"], "TokenRequest")?;
    let spec = request.spec.get_or_insert_default();
    let seconds = *spec.expiration_seconds.get_or_insert(DEFAULT_SECONDS);
    caller.trail.requests(Some(&request.metadata), || encode(&request));
    check_address(target, &request)?;
    let write = Write::new(server, caller, target, options)?;
    record_unstored(&SCHEMA, write.writer("authentication.k8s.io/v1"), &mut request);
    // What the request names may have been made a moment ago.
    server.feed.catch_up().await?;
    if let Some(spec) = &mut request.spec {
        spec.audiences.take_if(|audiences| audiences.is_empty());
    }
    let mut request = admitted(&write, request)?;
    let account = reference(server.world(), "serviceaccounts", &target.namespace, &target.name)?;
    if let Some(uid) = request.metadata.uid.as_ref().filter(|uid| !uid.is_empty() && **uid != account.uid) {
        let why = format!("the UID in the token request ({uid}) is not the account's ({})", account.uid);
        return Err(Status::conflict(&GroupResource::new("authentication.k8s.io", "TokenRequest"), &target.name, why));
    }
    request.metadata.name = Some(target.name.clone());
    request.metadata.namespace = Some(target.namespace.clone());
    request.metadata.uid = Some(account.uid.clone());
    request.metadata.creation_timestamp = Some(Time(write.now));
    let spec = request.spec.get_or_insert_default();
    let audiences = spec.audiences.get_or_insert_with(|| service_accounts.audiences().to_vec()).clone();
    let errors = check(seconds);
    if !errors.is_empty() {
        return Err(invalid("", &errors));
    }
    let found = write.review(Operation::Create, Some(&request), None).map_err(|status| status.with_warnings(&warnings))?;
    warnings.extend(found);
    let mut bindings = Bindings { namespace: target.namespace.clone(), serviceaccount: account, ..Bindings::default() };
    if let Some(bound) = request.spec.as_ref().and_then(|spec| spec.bound_object_ref.as_ref()) {
        bind(server.world(), &mut bindings, bound)?;
    }
    let issued = service_accounts
        .issue(bindings, &audiences, seconds, Timestamp::now())
        .map_err(|error| Status::internal(format!("the token cannot be made: {error}")))?;
    caller.trail.note(ISSUED, || format!("JTI={}", issued.id));
    request.status = Some(TokenRequestStatus { expiration_timestamp: Some(Time(issued.expires)), token: Some(issued.token) });
    Ok(Written { object: Shown::Json(encode(&request).into()), created: true, warnings })
}

/// The request as admission leaves it.
fn admitted(write: &Write<'_>, request: TokenRequest) -> Result<TokenRequest, Status> {
    let mut object: Box<dyn Object> = Box::new(request);
    write.admit(Operation::Create, &mut object, None)?;
    let left = api::object::downcast_ref::<TokenRequest>(&*object).cloned();
    left.ok_or_else(|| Status::internal("admission made something else of a token request"))
}

/// A request that names an account or a namespace names those of its path.
fn check_address(target: &Target, request: &TokenRequest) -> Result<(), Status> {
    let given = |own: &Option<String>| own.clone().filter(|own| !own.is_empty());
    if let Some(namespace) = given(&request.metadata.namespace).filter(|own| *own != target.namespace) {
        return Err(Status::bad_request(format!("the request's namespace {namespace:?} is not {:?}", target.namespace)));
    }
    match given(&request.metadata.name).filter(|own| *own != target.name) {
        None => Ok(()),
        Some(name) => {
            let error = Error::invalid(&Path::new("metadata").child("name"), &name, "must be the service account's, if there is one");
            Err(invalid(&target.name, &[error]))
        }
    }
}

fn invalid(name: &str, errors: &[Error]) -> Status {
    Status::invalid(&GroupKind::new("authentication.k8s.io", "TokenRequest"), name, errors)
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
    // Whatever the version: objects are of their kind in all.
    let group = version.split_once('/').map_or("", |(group, _)| group);
    if name.is_empty() && matches!((group, kind.as_str()), ("", "Pod" | "Secret" | "Node")) {
        return Err(Status::bad_request("the bound object reference has no name"));
    }
    let found = match (group, kind.as_str()) {
        ("", "Pod") => {
            let pod = reference(world, "pods", &bindings.namespace, &name)?;
            bindings.node = running(world, bindings, &name)?;
            bindings.pod = Some(pod.clone());
            pod
        }
        ("", "Secret") => bindings.secret.insert(reference(world, "secrets", &bindings.namespace, &name)?).clone(),
        ("", "Node") => bindings.node.insert(reference(world, "nodes", "", &name)?).clone(),
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
    let mut value = request.to_value();
    if let Some(Value::Object(spec)) = value.get_mut("spec") {
        spec.entry("boundObjectRef").or_insert(Value::Null);
    }
    let mut json = Vec::new();
    api::object::write_object(&value, &mut json);
    json
}

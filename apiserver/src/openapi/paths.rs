//! The paths of a document: every served resource with its verbs, and the documents that say what is served.

use api::Registry;
use serde_json::{Map, Value};

use super::Flavor;
use super::operation::{Operation, Place, group_name, uncapitalized};
use super::parameters::{self, NAME, NAMESPACE, PATH, PRETTY, Parameter};
use super::schemas::Schemas;
use crate::catalogue::{self, Listed};

/// The verbs of what is passed on by any method.
const ANY_METHOD: [&str; 7] = ["get", "update", "create", "delete", "options", "head", "patch"];

/// The formats of documents.
const DOCUMENTS: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// The paths of everything listed that `wanted` takes.
pub fn paths(registry: &Registry, schemas: &mut Schemas, wanted: impl Fn(&Listed) -> bool) -> Map<String, Value> {
    let mut paths: Map<String, Value> = Map::new();
    for listed in catalogue::all(registry).iter().filter(|l| wanted(l)) {
        let resource = registry.find(listed.group, listed.version, listed.resource);
        let parent = resource.as_deref().map_or_else(|| listed.kind.kind.clone().into_owned(), |r| r.names().kind.to_owned());
        for (path, verbs) in places(listed) {
            let place = Place { listed, resource: resource.as_deref(), parent: &parent, path: &path };
            let item = item(schemas, &place, &verbs);
            paths.insert(path, item);
        }
        let document = format!("{}/", base(listed));
        if !listed.custom && !paths.contains_key(&document) {
            let name = group_name(listed.group);
            let tag = format!("{}_{}", uncapitalized(&name), listed.version);
            let id = format!("get{name}{}APIResources", super::operation::capitalized(listed.version));
            let schema = schemas.resource_list();
            paths.insert(document, alone(schemas, Operation::document(id, &tag, Some(schema), DOCUMENTS)));
        }
    }
    paths
}

/// The path of a document about what is served, or about the server.
pub fn document(schemas: &mut Schemas, path: &str) -> Option<(String, Value)> {
    const TEXT: &[&str] = &["application/json"];
    let operation = match path {
        "api" => Operation::document("getCoreAPIVersions".into(), "core", Some(schemas.versions()), DOCUMENTS),
        "apis" => Operation::document("getAPIVersions".into(), "apis", Some(schemas.group_list()), DOCUMENTS),
        "version" => Operation::document("getCodeVersion".into(), "version", Some(schemas.version_info()), TEXT),
        ".well-known/openid-configuration" => {
            Operation::document("getServiceAccountIssuerOpenIDConfiguration".into(), "WellKnown", None, TEXT)
        }
        "openid/v1/jwks" => {
            Operation::document("getServiceAccountIssuerOpenIDKeyset".into(), "openid", None, &["application/jwk-set+json"])
        }
        other => {
            let name = group_name(other.strip_prefix("apis/").filter(|group| !group.contains('/'))?);
            let schema = schemas.group();
            Operation::document(format!("get{name}APIGroup"), &uncapitalized(&name), Some(schema), DOCUMENTS)
        }
    };
    Some((format!("/{path}/"), alone(schemas, operation)))
}

fn alone(schemas: &Schemas, operation: Operation) -> Value {
    Value::Object(Map::from_iter([("get".to_owned(), operation.render(schemas))]))
}

fn base(listed: &Listed) -> String {
    if listed.group.is_empty() { format!("/api/{}", listed.version) } else { format!("/apis/{}/{}", listed.group, listed.version) }
}

/// The paths at which something listed stands, and the verbs of each.
fn places(listed: &Listed) -> Vec<(String, Vec<&'static str>)> {
    let base = base(listed);
    let below = |base: &str| if listed.namespaced { format!("{base}/namespaces/{{namespace}}") } else { base.to_owned() };
    let all = format!("{}/{}", below(&base), listed.resource);
    if listed.subresource == "proxy" {
        let root = format!("{all}/{{name}}/proxy");
        return vec![(root.clone(), ANY_METHOD.to_vec()), (format!("{root}/{{path}}"), ANY_METHOD.to_vec())];
    }
    if !listed.subresource.is_empty() {
        return vec![(format!("{all}/{{name}}/{}", listed.subresource), listed.verbs.to_vec())];
    }
    let of = |names: &[&'static str]| -> Vec<&'static str> { names.iter().filter(|v| listed.verbs.contains(v)).copied().collect() };
    let mut places = vec![
        (all.clone(), of(&["list", "create", "deletecollection"])),
        (format!("{all}/{{name}}"), of(&["get", "update", "delete", "patch"])),
    ];
    if listed.namespaced {
        places.push((format!("{base}/{}", listed.resource), of(&["list"])));
    }
    if listed.verbs.contains(&"watch") && !listed.custom {
        // The deprecated paths, of which custom resources have none.
        let base = format!("{base}/watch");
        let all = format!("{}/{}", below(&base), listed.resource);
        places.push((format!("{all}/{{name}}"), vec!["watch"]));
        if listed.namespaced {
            places.push((format!("{base}/{}", listed.resource), vec!["watchlist"]));
        }
        places.push((all, vec!["watchlist"]));
    }
    places.retain(|(_, verbs)| !verbs.is_empty());
    places
}

fn method(verb: &str) -> &str {
    match verb {
        "create" => "post",
        "update" => "put",
        "deletecollection" => "delete",
        "list" | "watch" | "watchlist" => "get",
        verb => verb,
    }
}

fn item(schemas: &mut Schemas, place: &Place<'_>, verbs: &[&'static str]) -> Value {
    let mut operations: Vec<(&str, Operation)> = verbs.iter().map(|verb| (method(verb), Operation::of(schemas, place, verb))).collect();
    // What all operations take is said once, of the path.
    let first = operations.first().map(|(_, operation)| operation.parameters.clone()).unwrap_or_default();
    let is_shared = |parameter: &Parameter| operations.iter().all(|(_, operation)| operation.parameters.contains(parameter));
    let mut shared: Vec<Parameter> = first.into_iter().filter(is_shared).collect();
    for (_, operation) in &mut operations {
        operation.parameters.retain(|parameter| !shared.contains(parameter));
    }
    for (part, parameter) in [("{name}", NAME), ("{namespace}", NAMESPACE), ("{path}", PATH)] {
        if place.path.contains(part) {
            shared.push(parameter);
        }
    }
    let subresource = place.listed.subresource;
    if !catalogue::is_passed_on(subresource) || subresource == "log" {
        shared.push(PRETTY);
    }
    let mut item: Map<String, Value> =
        operations.iter().map(|(method, operation)| ((*method).to_owned(), operation.render(schemas))).collect();
    let flavor: Flavor = schemas.flavor();
    let shared = parameters::sorted(shared).iter().map(|parameter| parameter.render(flavor)).collect();
    item.insert("parameters".to_owned(), Value::Array(shared));
    Value::Object(item)
}

//! One operation of a path: what it is called, what it takes, and what it answers.

use api::Resource;
use machinery::GroupVersionKind;
use serde_json::{Map, Value, json};

use super::Flavor;
use super::parameters::{self, Parameter};
use super::schemas::Schemas;
use crate::catalogue::{self, Listed};

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const ANY: &str = "*/*";
const OBJECTS: &[&str] = &[JSON, YAML, PROTOBUF];
const STREAMS: &[&str] = &[JSON, YAML, PROTOBUF, "application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
const LOGS: &[&str] = &["text/plain", JSON, YAML, PROTOBUF];
/// Custom objects have no protobuf form, and are not read from just anything.
const CUSTOM: &[&str] = &[JSON, YAML];

const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
/// Custom objects have no strategies to merge by. Clients tell from this which patches to send.
const CUSTOM_PATCHES: &[&str] = &[PATCHES[0], PATCHES[1], PATCHES[3]];

/// Where an operation stands.
pub struct Place<'a> {
    pub listed: &'a Listed,
    pub resource: Option<&'a dyn Resource>,
    /// The kind of the resource itself, also where its subresource is meant.
    pub parent: &'a str,
    pub path: &'a str,
}

/// An operation before it is written in one dialect or the other.
pub struct Operation {
    id: String,
    tag: Option<String>,
    what: String,
    action: Option<&'static str>,
    kind: Option<GroupVersionKind>,
    /// The parameters that are its own, in the order of their names.
    pub parameters: Vec<Parameter>,
    body: Option<Body>,
    consumes: &'static [&'static str],
    produces: &'static [&'static str],
    /// What it answers; a text where there is none.
    answered: Option<String>,
    codes: &'static [&'static str],
}

struct Body {
    schema: String,
    required: bool,
}

impl Operation {
    /// An operation on a resource, by its verb.
    pub fn of(schemas: &mut Schemas, place: &Place<'_>, verb: &'static str) -> Self {
        let listed = place.listed;
        if catalogue::is_passed_on(listed.subresource) {
            return Self::passed_on(place, verb);
        }
        let object = match place.resource.filter(|r| listed.subresource.is_empty() || r.kind() == listed.kind) {
            Some(resource) => Some(schemas.object(resource)),
            None => schemas.extra(&listed.kind),
        };
        let returns_object = listed.subresource.is_empty() && place.resource.is_some_and(|r| r.delete_returns_object() && !listed.custom);
        let answered = match (verb, place.resource) {
            ("list", Some(resource)) => Some(schemas.list(resource)),
            ("watch" | "watchlist", _) => Some(schemas.watch_event()),
            ("delete", _) if returns_object => object.clone(),
            ("delete" | "deletecollection", _) => Some(schemas.status()),
            _ => object.clone(),
        };
        let body = match verb {
            "create" | "update" => object,
            "patch" => Some(schemas.patch()),
            "delete" | "deletecollection" => Some(schemas.delete_options()),
            _ => None,
        };
        let required = matches!(verb, "create" | "update" | "patch");
        Self {
            id: id(place, verb),
            tag: Some(format!("{}_{}", uncapitalized(&group_name(listed.group)), listed.version)),
            what: format!("{verb} {} {}", listed.kind.kind, listed.subresource).trim().to_owned(),
            action: Some(action(verb)),
            kind: Some(listed.kind.clone()),
            parameters: parameters::of_verb(verb).to_vec(),
            body: body.map(|schema| Body { schema, required }),
            consumes: match verb {
                "patch" if listed.custom => CUSTOM_PATCHES,
                "patch" => PATCHES,
                _ if listed.custom => CUSTOM,
                _ => &[ANY],
            },
            produces: match verb {
                _ if listed.custom => CUSTOM,
                "list" | "watch" | "watchlist" => STREAMS,
                _ => OBJECTS,
            },
            answered,
            codes: codes(verb, listed.custom),
        }
    }

    /// What is not answered by this server: any text may come back.
    fn passed_on(place: &Place<'_>, method: &'static str) -> Self {
        let listed = place.listed;
        let is_log = listed.subresource == "log";
        Self {
            id: id(place, method),
            tag: Some(format!("{}_{}", uncapitalized(&group_name(listed.group)), listed.version)),
            what: format!("{method} {} {}", listed.kind.kind, listed.subresource),
            action: Some(if is_log { "get" } else { "connect" }),
            kind: Some(listed.kind.clone()),
            parameters: parameters::of_passed_on(listed.subresource).to_vec(),
            body: None,
            consumes: &[ANY],
            produces: if is_log { LOGS } else { &[ANY] },
            answered: None,
            codes: &["200"],
        }
    }

    /// A document that is read: what is served, the version.
    pub fn document(id: String, tag: &str, schema: Option<String>, formats: &'static [&'static str]) -> Self {
        Self {
            id,
            tag: Some(tag.to_owned()),
            what: "read a document".to_owned(),
            action: None,
            kind: None,
            parameters: Vec::new(),
            body: None,
            consumes: formats,
            produces: formats,
            answered: schema,
            codes: &["200"],
        }
    }

    /// The operation in a document.
    pub fn render(&self, schemas: &Schemas) -> Value {
        let flavor = schemas.flavor();
        let mut operation = Map::new();
        if let Some(tag) = &self.tag {
            operation.insert("tags".to_owned(), json!([tag]));
        }
        operation.insert("description".to_owned(), json!(self.what));
        operation.insert("operationId".to_owned(), json!(self.id));
        let mut parameters: Vec<Value> = self.parameters.iter().map(|parameter| parameter.render(flavor)).collect();
        match flavor {
            Flavor::V2 => {
                if let Some(body) = &self.body {
                    let mut parameter = json!({ "name": "body", "in": "body", "schema": schemas.reference(&body.schema) });
                    if body.required {
                        parameter["required"] = json!(true);
                    }
                    parameters.insert(0, parameter);
                }
                operation.insert("consumes".to_owned(), json!(self.consumes));
                operation.insert("produces".to_owned(), json!(self.produces));
                operation.insert("schemes".to_owned(), json!(["https"]));
            }
            Flavor::V3 => {
                if let Some(body) = &self.body {
                    let mut request = json!({ "content": content(self.consumes, &schemas.reference(&body.schema)) });
                    if body.required {
                        request["required"] = json!(true);
                    }
                    operation.insert("requestBody".to_owned(), request);
                }
            }
        }
        if !parameters.is_empty() {
            operation.insert("parameters".to_owned(), Value::Array(parameters));
        }
        operation.insert("responses".to_owned(), self.responses(schemas));
        if let Some(action) = self.action {
            operation.insert("x-kubernetes-action".to_owned(), json!(action));
        }
        if let Some(kind) = &self.kind {
            let kind = json!({ "group": kind.group, "version": kind.version, "kind": kind.kind });
            operation.insert("x-kubernetes-group-version-kind".to_owned(), kind);
        }
        Value::Object(operation)
    }

    fn responses(&self, schemas: &Schemas) -> Value {
        let schema = self.answered.as_ref().map_or_else(|| json!({ "type": "string" }), |name| schemas.reference(name));
        let mut responses = Map::new();
        for code in self.codes {
            let what = match *code {
                "201" => "Created",
                "202" => "Accepted",
                _ => "OK",
            };
            let response = match schemas.flavor() {
                Flavor::V2 => json!({ "description": what, "schema": schema }),
                Flavor::V3 => json!({ "description": what, "content": content(self.produces, &schema) }),
            };
            responses.insert((*code).to_owned(), response);
        }
        responses.insert("401".to_owned(), json!({ "description": "Unauthorized" }));
        Value::Object(responses)
    }
}

fn content(media: &[&str], schema: &Value) -> Value {
    media.iter().map(|media| ((*media).to_owned(), json!({ "schema": schema }))).collect::<Map<_, _>>().into()
}

fn codes(verb: &str, custom: bool) -> &'static [&'static str] {
    match verb {
        "create" => &["200", "201", "202"],
        "update" => &["200", "201"],
        // A patch of a custom object is not said to make one.
        "patch" if !custom => &["200", "201"],
        "delete" => &["200", "202"],
        _ => &["200"],
    }
}

fn action(verb: &'static str) -> &'static str {
    match verb {
        "create" => "post",
        "update" => "put",
        verb => verb,
    }
}

/// A group as operation ids name it: `FlowcontrolApiserver`.
pub fn group_name(group: &str) -> String {
    if group.is_empty() {
        return "Core".to_owned();
    }
    let own = group.strip_suffix(".k8s.io").unwrap_or(group);
    own.split('.').map(capitalized).collect()
}

pub fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

pub fn uncapitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

/// Unique within a document: `readCoreV1NamespacedPodStatus`.
fn id(place: &Place<'_>, verb: &str) -> String {
    let (listed, path) = (place.listed, place.path);
    let is_connection = catalogue::is_passed_on(listed.subresource) && listed.subresource != "log";
    let action = match verb {
        _ if is_connection => "connect",
        "get" => "read",
        "update" => "replace",
        "deletecollection" => "delete",
        "watchlist" => "watch",
        verb => verb,
    };
    let method = match verb {
        _ if !is_connection => "",
        "create" => "Post",
        "update" => "Put",
        "get" => "Get",
        "delete" => "Delete",
        "patch" => "Patch",
        "options" => "Options",
        _ => "Head",
    };
    let collection = if verb == "deletecollection" { "Collection" } else { "" };
    let namespaced = if path.contains("{namespace}") { "Namespaced" } else { "" };
    let list = if verb == "watchlist" { "List" } else { "" };
    let everywhere = if listed.namespaced && namespaced.is_empty() { "ForAllNamespaces" } else { "" };
    let with_path = if path.ends_with("{path}") { "WithPath" } else { "" };
    format!(
        "{action}{}{}{collection}{method}{namespaced}{}{}{list}{with_path}{everywhere}",
        group_name(listed.group),
        capitalized(listed.version),
        place.parent,
        capitalized(listed.subresource)
    )
}

//! The paths of a document: every served resource with its verbs, their parameters and what they answer.

use api::{Registry, Resource};
use serde_json::{Map, Value, json};

use super::Flavor;
use super::schemas::Schemas;
use crate::catalogue::{self, Listed};

const JSON_BODIES: [&str; 2] = ["application/json", "application/yaml"];
const PATCH_BODIES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
const CUSTOM_PATCH_BODIES: [&str; 3] = [PATCH_BODIES[0], PATCH_BODIES[1], PATCH_BODIES[3]];
const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";

/// Query parameters by verb: name, type, and what it does.
type Parameter = (&'static str, &'static str, &'static str);

const READ_LIST: &[Parameter] = &[
    ("allowWatchBookmarks", "boolean", "Send bookmarks from time to time."),
    ("continue", "string", "The `continue` of the page before."),
    ("fieldSelector", "string", "Restrict to objects whose fields match."),
    ("labelSelector", "string", "Restrict to objects whose labels match."),
    ("limit", "integer", "At most so many objects a page."),
    ("resourceVersion", "string", "How fresh the answer must be."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    ("sendInitialEvents", "boolean", "Begin a watch with the present objects."),
    ("timeoutSeconds", "integer", "End the watch after so many seconds."),
    ("watch", "boolean", "Stream changes instead of answering a list."),
];
const WRITE: &[Parameter] = &[
    ("dryRun", "string", "`All`: check everything, store nothing."),
    ("fieldManager", "string", "The name of the writer in managedFields."),
    ("fieldValidation", "string", "Ignore, Warn or Strict: what to do about unknown and duplicate fields."),
];
const FORCE: &[Parameter] = &[("force", "boolean", "Apply: take over fields that others own.")];
const DELETE: &[Parameter] = &[
    ("dryRun", "string", "`All`: check everything, store nothing."),
    ("gracePeriodSeconds", "integer", "How long the object may take to end."),
    ("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    ("propagationPolicy", "string", "Orphan, Background or Foreground: what happens to dependents."),
];

const LOG: &[Parameter] = &[
    ("container", "string", "Whose log, if the pod has several containers."),
    ("follow", "boolean", "Go on with what is written from now on."),
    ("insecureSkipTLSVerifyBackend", "boolean", "Take any certificate for the kubelet's."),
    ("limitBytes", "integer", "So much and no more."),
    ("previous", "boolean", "Of the container's last life."),
    ("sinceSeconds", "integer", "From so long ago."),
    ("stream", "string", "All, Stdout or Stderr."),
    ("tailLines", "integer", "So many of the last lines."),
    ("timestamps", "boolean", "Begin each line with its time."),
];
const ATTACH: &[Parameter] = &[
    ("container", "string", "Which one, if the pod has several containers."),
    ("stderr", "boolean", "Give its errors."),
    ("stdin", "boolean", "Take its input."),
    ("stdout", "boolean", "Give its output."),
    ("tty", "boolean", "With a terminal."),
];
const COMMAND: &[Parameter] = &[("command", "string", "The program with its arguments.")];
const PORTS: &[Parameter] = &[("ports", "integer", "The ports, for WebSocket.")];
const PROXY: &[Parameter] = &[("path", "string", "The path to ask for.")];

struct Writer<'a> {
    flavor: Flavor,
    schemas: &'a mut Schemas,
}

/// The paths of everything listed that `wanted` takes.
pub fn paths(registry: &Registry, flavor: Flavor, schemas: &mut Schemas, wanted: impl Fn(&Listed) -> bool) -> Map<String, Value> {
    let mut writer = Writer { flavor, schemas };
    let mut paths: Map<String, Value> = Map::new();
    for listed in catalogue::all(registry).iter().filter(|l| wanted(l)) {
        let resource = registry.find(listed.group, listed.version, listed.resource);
        for (path, verbs) in writer.places(listed) {
            let item = writer.item(listed, resource.as_deref(), &path, &verbs);
            paths.insert(path, item);
        }
    }
    paths
}

impl Writer<'_> {
    /// The paths at which something listed stands, and the verbs of each.
    fn places(&self, listed: &Listed) -> Vec<(String, Vec<&'static str>)> {
        let base =
            if listed.group.is_empty() { format!("/api/{}", listed.version) } else { format!("/apis/{}/{}", listed.group, listed.version) };
        let scope = if listed.namespaced { format!("{base}/namespaces/{{namespace}}") } else { base.clone() };
        let all = format!("{scope}/{}", listed.resource);
        let of = |names: &[&'static str]| -> Vec<&'static str> { names.iter().filter(|v| listed.verbs.contains(v)).copied().collect() };
        if listed.subresource == "proxy" {
            let root = format!("{all}/{{name}}/proxy");
            return vec![(root.clone(), listed.verbs.to_vec()), (format!("{root}/{{path}}"), listed.verbs.to_vec())];
        }
        if !listed.subresource.is_empty() {
            return vec![(format!("{all}/{{name}}/{}", listed.subresource), listed.verbs.to_vec())];
        }
        let mut places = vec![
            (all.clone(), of(&["create", "list", "deletecollection"])),
            (format!("{all}/{{name}}"), of(&["get", "update", "patch", "delete"])),
        ];
        if listed.namespaced {
            places.push((format!("{base}/{}", listed.resource), of(&["list"])));
        }
        places.retain(|(_, verbs)| !verbs.is_empty());
        places
    }

    fn item(&mut self, listed: &Listed, resource: Option<&dyn Resource>, path: &str, verbs: &[&'static str]) -> Value {
        let mut item = Map::new();
        for verb in verbs {
            let method = match *verb {
                "create" => "post",
                "update" => "put",
                "patch" => "patch",
                "delete" | "deletecollection" => "delete",
                _ => "get",
            };
            item.insert(method.to_owned(), self.operation(listed, resource, path, verb));
        }
        let in_path = ["name", "namespace", "path"].into_iter().filter(|p| path.contains(&format!("{{{p}}}")));
        let mut parameters: Vec<Value> = in_path.map(|p| self.parameter(p, "path", "string", "", true)).collect();
        parameters.push(self.parameter("pretty", "query", "string", "Indent the answer.", false));
        item.insert("parameters".to_owned(), Value::Array(parameters));
        Value::Object(item)
    }

    fn operation(&mut self, listed: &Listed, resource: Option<&dyn Resource>, path: &str, verb: &str) -> Value {
        if catalogue::is_passed_on(listed.subresource) {
            return self.passed_on(listed, path, verb);
        }
        let object = match resource.filter(|r| listed.subresource.is_empty() || r.kind() == listed.kind) {
            Some(resource) => Some(self.schemas.object(resource)),
            None => self.schemas.extra(&listed.kind),
        };
        let answered = match (verb, resource) {
            ("list", Some(resource)) => Some(self.schemas.list(resource)),
            ("delete" | "deletecollection", _) => Some(self.schemas.status()),
            _ => object.clone(),
        };
        let mut parameters: Vec<Value> = Vec::new();
        let queries: &[&[Parameter]] = match verb {
            "list" => &[READ_LIST],
            "create" | "update" => &[WRITE],
            "patch" => &[WRITE, FORCE],
            "delete" => &[DELETE],
            "deletecollection" => &[READ_LIST, DELETE],
            _ => &[],
        };
        let mut seen: Vec<&str> = Vec::new();
        for (name, kind, what) in queries.iter().flat_map(|q| q.iter()) {
            if !seen.contains(name) {
                seen.push(name);
                parameters.push(self.parameter(name, "query", kind, what, false));
            }
        }
        let body = match verb {
            "create" | "update" => object,
            "patch" => Some(PATCH.to_owned()),
            "delete" | "deletecollection" => Some(self.schemas.delete_options()),
            _ => None,
        };
        self.finish(listed, path, verb, parameters, body, answered)
    }

    /// What is not answered by this server: any text may come back.
    fn passed_on(&self, listed: &Listed, path: &str, verb: &str) -> Value {
        let options: &[&[Parameter]] = match listed.subresource {
            "log" => &[LOG],
            "exec" => &[COMMAND, ATTACH],
            "attach" => &[ATTACH],
            "portforward" => &[PORTS],
            _ => &[PROXY],
        };
        let all = options.iter().flat_map(|options| options.iter());
        let parameters = all.map(|(name, kind, what)| self.parameter(name, "query", kind, what, false)).collect();
        self.finish(listed, path, verb, parameters, None, None)
    }

    fn finish(
        &self,
        listed: &Listed,
        path: &str,
        verb: &str,
        mut parameters: Vec<Value>,
        body: Option<String>,
        answered: Option<String>,
    ) -> Value {
        let consumes: &[&str] = match verb {
            // By this clients tell which patches to send: custom objects have no strategies to merge by.
            "patch" if listed.custom => &CUSTOM_PATCH_BODIES,
            "patch" => &PATCH_BODIES,
            _ => &JSON_BODIES,
        };
        let action = match verb {
            _ if catalogue::is_passed_on(listed.subresource) && listed.subresource != "log" => "connect",
            "create" => "post",
            "update" => "put",
            verb => verb,
        };
        let mut operation = Map::new();
        operation.insert("operationId".to_owned(), json!(operation_id(listed, path, verb)));
        operation.insert("description".to_owned(), json!(format!("{verb} {} {}", listed.kind.kind, listed.subresource).trim()));
        operation.insert("x-kubernetes-action".to_owned(), json!(action));
        let kind = &listed.kind;
        operation.insert(
            "x-kubernetes-group-version-kind".to_owned(),
            json!({ "group": kind.group, "version": kind.version, "kind": kind.kind }),
        );
        let schema = answered.map_or_else(|| json!({ "type": "string" }), |name| self.schemas.reference(&name));
        match self.flavor {
            Flavor::V2 => {
                if let Some(body) = body {
                    let schema = if body == PATCH { json!({ "type": "object" }) } else { self.schemas.reference(&body) };
                    parameters.push(json!({ "name": "body", "in": "body", "required": matches!(verb, "create" | "update" | "patch"), "schema": schema }));
                    operation.insert("consumes".to_owned(), json!(if verb == "patch" { consumes } else { &["*/*"] }));
                }
                operation.insert("produces".to_owned(), json!(JSON_BODIES));
                operation.insert("schemes".to_owned(), json!(["https"]));
                operation.insert("responses".to_owned(), json!({ "200": { "description": "OK", "schema": schema } }));
            }
            Flavor::V3 => {
                if let Some(body) = body {
                    let schema = if body == PATCH { json!({ "type": "object" }) } else { self.schemas.reference(&body) };
                    let content: Map<String, Value> = consumes.iter().map(|m| ((*m).to_owned(), json!({ "schema": schema }))).collect();
                    operation.insert("requestBody".to_owned(), json!({ "content": content }));
                }
                let content = json!({ "application/json": { "schema": schema } });
                operation.insert("responses".to_owned(), json!({ "200": { "description": "OK", "content": content } }));
            }
        }
        if !parameters.is_empty() {
            operation.insert("parameters".to_owned(), Value::Array(parameters));
        }
        Value::Object(operation)
    }

    fn parameter(&self, name: &str, place: &str, kind: &str, what: &str, required: bool) -> Value {
        let mut parameter = json!({ "name": name, "in": place, "uniqueItems": true });
        if let Some(map) = parameter.as_object_mut() {
            if !what.is_empty() {
                map.insert("description".to_owned(), json!(what));
            }
            if required {
                map.insert("required".to_owned(), json!(true));
            }
            match self.flavor {
                Flavor::V2 => _ = map.insert("type".to_owned(), json!(kind)),
                Flavor::V3 => {
                    map.remove("uniqueItems");
                    map.insert("schema".to_owned(), json!({ "type": kind, "uniqueItems": true }));
                }
            }
        }
        parameter
    }
}

/// Unique within a document, in the style of upstream's: `readCoreV1NamespacedPodStatus`.
fn operation_id(listed: &Listed, path: &str, verb: &str) -> String {
    let action = match verb {
        "get" => "read",
        "update" => "replace",
        "deletecollection" => "deleteCollection",
        verb => verb,
    };
    let group = if listed.group.is_empty() { "core" } else { listed.group.split('.').next().unwrap_or_default() };
    let with_path = if path.ends_with("{path}") { "WithPath" } else { "" };
    let namespaced = if path.contains("{namespace}") { "Namespaced" } else { "" };
    let everywhere = if listed.namespaced && namespaced.is_empty() { "ForAllNamespaces" } else { "" };
    let title = |text: &str| -> String {
        let mut chars = text.chars();
        chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect()
    };
    format!(
        "{action}{}{}{namespaced}{}{}{with_path}{everywhere}",
        title(group),
        title(listed.version),
        title(listed.resource),
        title(listed.subresource)
    )
}

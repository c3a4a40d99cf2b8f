//! The parameters of operations: which a verb takes, in the order in which they are published, which is that of their
//! names.

use serde_json::{Value, json};

use super::Flavor;

/// One parameter: name, type, and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    pub name: &'static str,
    kind: &'static str,
    what: &'static str,
    in_path: bool,
}

const fn query(name: &'static str, kind: &'static str, what: &'static str) -> Parameter {
    Parameter { name, kind, what, in_path: false }
}

const fn in_path(name: &'static str, what: &'static str) -> Parameter {
    Parameter { name, kind: "string", what, in_path: true }
}

pub const NAME: Parameter = in_path("name", "The object's name.");
pub const NAMESPACE: Parameter = in_path("namespace", "The object's namespace.");
pub const PATH: Parameter = in_path("path", "The path to ask for.");
pub const PRETTY: Parameter = query("pretty", "string", "Lay the answer out for reading.");

const CONTINUE: Parameter = query("continue", "string", "The `continue` of the page before.");
const DRY_RUN: Parameter = query("dryRun", "string", "`All`: check everything, store nothing.");
const FIELD_MANAGER: Parameter = query("fieldManager", "string", "The name of the writer in managedFields.");
const FIELD_SELECTOR: Parameter = query("fieldSelector", "string", "Restrict to objects whose fields match.");
const FIELD_VALIDATION: Parameter =
    query("fieldValidation", "string", "Ignore, Warn or Strict: what to do about unknown and duplicate fields.");
const GRACE: Parameter = query("gracePeriodSeconds", "integer", "How long the object may take to end.");
const IGNORE_READ_ERRORS: Parameter =
    query("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean", "Delete what cannot be read, too. This may break the cluster.");
const LABEL_SELECTOR: Parameter = query("labelSelector", "string", "Restrict to objects whose labels match.");
const LIMIT: Parameter = query("limit", "integer", "At most so many objects a page.");
const ORPHAN: Parameter = query("orphanDependents", "boolean", "Deprecated: use propagationPolicy.");
const PROPAGATION: Parameter = query("propagationPolicy", "string", "Orphan, Background or Foreground: what happens to dependents.");
const VERSION: Parameter = query("resourceVersion", "string", "How fresh the answer must be.");
const VERSION_MATCH: Parameter = query("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan.");
const INITIAL_EVENTS: Parameter = query("sendInitialEvents", "boolean", "Begin a watch with the present objects.");
const SHARDS: Parameter = query("shardSelector", "string", "Restrict to a shard, where that is enabled.");
const TIMEOUT: Parameter = query("timeoutSeconds", "integer", "End the watch after so many seconds.");

const LIST: &[Parameter] = &[
    query("allowWatchBookmarks", "boolean", "Send bookmarks from time to time."),
    CONTINUE,
    FIELD_SELECTOR,
    LABEL_SELECTOR,
    LIMIT,
    VERSION,
    VERSION_MATCH,
    INITIAL_EVENTS,
    SHARDS,
    TIMEOUT,
    query("watch", "boolean", "Stream changes instead of answering a list."),
];
const WRITE: &[Parameter] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
const PATCH: &[Parameter] =
    &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, query("force", "boolean", "Apply: take over fields that others own.")];
const DELETE: &[Parameter] = &[DRY_RUN, GRACE, IGNORE_READ_ERRORS, ORPHAN, PROPAGATION];
const DELETE_COLLECTION: &[Parameter] = &[
    CONTINUE,
    DRY_RUN,
    FIELD_SELECTOR,
    GRACE,
    IGNORE_READ_ERRORS,
    LABEL_SELECTOR,
    LIMIT,
    ORPHAN,
    PROPAGATION,
    VERSION,
    VERSION_MATCH,
    INITIAL_EVENTS,
    SHARDS,
    TIMEOUT,
];
const LOG: &[Parameter] = &[
    query("container", "string", "Whose log, if the pod has several containers."),
    query("follow", "boolean", "Go on with what is written from now on."),
    query("insecureSkipTLSVerifyBackend", "boolean", "Take any certificate for the kubelet's."),
    query("limitBytes", "integer", "So much and no more."),
    query("previous", "boolean", "Of the container's last life."),
    query("sinceSeconds", "integer", "From so long ago."),
    query("stream", "string", "All, Stdout or Stderr."),
    query("tailLines", "integer", "So many of the last lines."),
    query("timestamps", "boolean", "Begin each line with its time."),
];
const ATTACH: &[Parameter] = &[
    query("container", "string", "Which one, if the pod has several containers."),
    query("stderr", "boolean", "Give its errors."),
    query("stdin", "boolean", "Take its input."),
    query("stdout", "boolean", "Give its output."),
    query("tty", "boolean", "With a terminal."),
];
const EXEC: &[Parameter] =
    &[query("command", "string", "The program with its arguments."), ATTACH[0], ATTACH[1], ATTACH[2], ATTACH[3], ATTACH[4]];
const PORTS: &[Parameter] = &[query("ports", "integer", "The ports, for WebSocket.")];
const PROXY: &[Parameter] = &[query("path", "string", "The path to ask for.")];

/// The parameters of a verb's own.
pub fn of_verb(verb: &str) -> &'static [Parameter] {
    match verb {
        "list" | "watch" | "watchlist" => LIST,
        "create" | "update" => WRITE,
        "patch" => PATCH,
        "delete" => DELETE,
        "deletecollection" => DELETE_COLLECTION,
        _ => &[],
    }
}

/// The parameters of what is passed on to a node, a pod or a service.
pub fn of_passed_on(subresource: &str) -> &'static [Parameter] {
    match subresource {
        "log" => LOG,
        "exec" => EXEC,
        "attach" => ATTACH,
        "portforward" => PORTS,
        _ => PROXY,
    }
}

impl Parameter {
    /// The parameter in a document.
    pub fn render(&self, flavor: Flavor) -> Value {
        let place = if self.in_path { "path" } else { "query" };
        let mut parameter = match flavor {
            Flavor::V2 => json!({ "uniqueItems": true, "type": self.kind, "description": self.what, "name": self.name, "in": place }),
            Flavor::V3 => {
                json!({ "name": self.name, "in": place, "description": self.what, "schema": { "type": self.kind, "uniqueItems": true } })
            }
        };
        if self.in_path {
            parameter["required"] = json!(true);
        }
        parameter
    }
}

/// Parameters in the order in which a path publishes those that all its operations share.
pub fn sorted(mut shared: Vec<Parameter>) -> Vec<Parameter> {
    shared.sort_by_key(|parameter| (parameter.name, !parameter.in_path));
    shared
}

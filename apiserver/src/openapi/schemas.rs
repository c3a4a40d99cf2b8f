//! The schemas of a document: the published definitions of the API's types, in the flavour's dialect.

use api::Resource;
use k8s_openapi::api::{authentication, authorization, autoscaling, core, policy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, APIGroupList, APIResourceList, APIVersions, DeleteOptions, Status};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use k8s_openapi::apimachinery::pkg::version::Info;
use machinery::GroupVersionKind;
use machinery::schema::{Definitions, referenced};
use machinery::structural::openapi::reduce_to_v2;
use serde_json::{Map, Value, json};

use super::{Flavor, everywhere};

/// What the crate's schemas do not say: required fields in the order of the types, enumerated values, defaults, unions.
const PUBLISHED: &str = include_str!("published.tsv");

const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const WATCH_EVENT: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent";
/// The one kind that is a part of others, too.
const CLAIM: &str = "io.k8s.api.core.v1.PersistentVolumeClaim";

/// Schemas gathered while the paths are written.
pub struct Schemas {
    flavor: Flavor,
    /// The group and version that a document of v3 is about.
    about: Option<(String, String)>,
    definitions: Definitions,
    /// Which kinds a definition is.
    kinds: Vec<(String, GroupVersionKind)>,
    lists: Map<String, Value>,
}

impl Schemas {
    pub fn new(flavor: Flavor, about: Option<(String, String)>) -> Self {
        Self { flavor, about, definitions: Definitions::new(), kinds: Vec::new(), lists: Map::new() }
    }

    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// A reference to a definition.
    pub fn reference(&self, name: &str) -> Value {
        json!({ "$ref": format!("{}{name}", self.prefix()) })
    }

    fn prefix(&self) -> &'static str {
        match self.flavor {
            Flavor::V2 => "#/definitions/",
            Flavor::V3 => "#/components/schemas/",
        }
    }

    /// The name of a resource's own definition.
    pub fn object(&mut self, resource: &dyn Resource) -> String {
        let name = resource.define(&mut self.definitions);
        self.is(&name, resource.kind());
        name
    }

    /// The name of the definition of a resource's lists.
    pub fn list(&mut self, resource: &dyn Resource) -> String {
        let item = self.object(resource);
        let name = format!("{item}List");
        let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
        self.definitions.add::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta>();
        let mut kind = resource.kind();
        kind.kind = resource.list_kind().into_owned().into();
        let described = |what: &str| json!({ "type": "string", "description": what });
        let schema = json!({
            "type": "object",
            "description": format!("A list of {} objects.", resource.names().kind),
            "required": ["items"],
            "properties": {
                "apiVersion": described("The group and version of the items."),
                "kind": described("The list's kind."),
                "metadata": { "$ref": format!("#/$defs/{meta}"), "description": "The list's metadata." },
                "items": { "type": "array", "items": { "$ref": format!("#/$defs/{item}") }, "description": "The objects." },
            },
        });
        self.lists.insert(name.clone(), schema);
        self.is(&name, kind);
        name
    }

    /// The name of the definition of a kind that is no registered resource's: the body of an action or a review.
    pub fn extra(&mut self, kind: &GroupVersionKind) -> Option<String> {
        let definitions = &mut self.definitions;
        let name = match (&*kind.group, &*kind.kind) {
            ("", "Binding") => definitions.add::<core::v1::Binding>(),
            ("policy", "Eviction") => definitions.add::<policy::v1::Eviction>(),
            ("autoscaling", "Scale") => definitions.add::<autoscaling::v1::Scale>(),
            ("authentication.k8s.io", "TokenRequest") => definitions.add::<authentication::v1::TokenRequest>(),
            ("authentication.k8s.io", "TokenReview") => definitions.add::<authentication::v1::TokenReview>(),
            ("authorization.k8s.io", "SelfSubjectRulesReview") => definitions.add::<authorization::v1::SelfSubjectRulesReview>(),
            ("authentication.k8s.io", "SelfSubjectReview") => definitions.add::<authentication::v1::SelfSubjectReview>(),
            ("authorization.k8s.io", "LocalSubjectAccessReview") => definitions.add::<authorization::v1::LocalSubjectAccessReview>(),
            ("authorization.k8s.io", "SelfSubjectAccessReview") => definitions.add::<authorization::v1::SelfSubjectAccessReview>(),
            ("authorization.k8s.io", "SubjectAccessReview") => definitions.add::<authorization::v1::SubjectAccessReview>(),
            _ => return None,
        };
        self.is(&name, kind.clone());
        Some(name)
    }

    pub fn status(&mut self) -> String {
        let name = self.definitions.add::<Status>();
        self.is(&name, GroupVersionKind::new("", "v1", "Status"));
        name
    }

    pub fn delete_options(&mut self) -> String {
        let name = self.definitions.add::<DeleteOptions>();
        self.is_everywhere(&name, "DeleteOptions");
        name
    }

    pub fn patch(&mut self) -> String {
        let schema = json!({ "type": "object", "description": "The body of a patch." });
        self.lists.insert(PATCH.to_owned(), schema);
        PATCH.to_owned()
    }

    pub fn watch_event(&mut self) -> String {
        let object = self.definitions.add::<RawExtension>();
        let schema = json!({
            "type": "object",
            "description": "One event of a watch.",
            "required": ["type", "object"],
            "properties": {
                "type": { "type": "string" },
                "object": { "$ref": format!("#/$defs/{object}"), "description": "The object, or the Status of an error." },
            },
        });
        self.lists.insert(WATCH_EVENT.to_owned(), schema);
        self.is_everywhere(WATCH_EVENT, "WatchEvent");
        WATCH_EVENT.to_owned()
    }

    pub fn resource_list(&mut self) -> String {
        let name = self.definitions.add::<APIResourceList>();
        self.is(&name, GroupVersionKind::new("", "v1", "APIResourceList"));
        name
    }

    pub fn group(&mut self) -> String {
        let name = self.definitions.add::<APIGroup>();
        self.is(&name, GroupVersionKind::new("", "v1", "APIGroup"));
        name
    }

    pub fn group_list(&mut self) -> String {
        self.group();
        let name = self.definitions.add::<APIGroupList>();
        self.is(&name, GroupVersionKind::new("", "v1", "APIGroupList"));
        name
    }

    pub fn versions(&mut self) -> String {
        let name = self.definitions.add::<APIVersions>();
        self.is(&name, GroupVersionKind::new("", "v1", "APIVersions"));
        name
    }

    pub fn version_info(&mut self) -> String {
        self.definitions.add::<Info>()
    }

    /// Names a kind that belongs to every group: in v2 to all of them, in v3 to the document's own.
    fn is_everywhere(&mut self, name: &str, kind: &str) {
        match self.flavor {
            Flavor::V2 => {
                for (group, versions) in everywhere::GROUP_VERSIONS {
                    versions.iter().for_each(|version| self.is(name, GroupVersionKind::new(*group, *version, kind.to_owned())));
                }
            }
            Flavor::V3 => {
                self.is(name, GroupVersionKind::new("", "v1", kind.to_owned()));
                if let Some((group, version)) = self.about.clone() {
                    self.is(name, GroupVersionKind::new(group, version, kind.to_owned()));
                }
            }
        }
    }

    fn is(&mut self, name: &str, kind: GroupVersionKind) {
        if !self.kinds.iter().any(|(n, k)| n == name && *k == kind) {
            self.kinds.push((name.to_owned(), kind));
        }
    }

    /// All schemas, in the flavour's dialect.
    pub fn finish(mut self) -> Map<String, Value> {
        let (flavor, prefix) = (self.flavor, self.prefix());
        if flavor == Flavor::V2 {
            self.definitions.inserted_mut().for_each(reduce_to_v2);
        }
        let mut schemas = self.definitions.into_map();
        schemas.extend(self.lists);
        if schemas.contains_key(CLAIM) && !self.kinds.iter().any(|(name, _)| name == CLAIM) {
            self.kinds.push((CLAIM.to_owned(), GroupVersionKind::new("", "v1", "PersistentVolumeClaim")));
        }
        PUBLISHED.lines().skip(1).filter_map(Published::parse).for_each(|one| one.say_in(&mut schemas));
        for (name, schema) in &mut schemas {
            translate(schema, flavor, prefix);
            special(name, schema, flavor);
            if flavor == Flavor::V2 && name.starts_with("io.k8s.") {
                drop_defaults(schema);
            }
        }
        for (name, kind) in self.kinds {
            let Some(schema) = schemas.get_mut(&name).and_then(Value::as_object_mut) else { continue };
            let kinds = schema.entry("x-kubernetes-group-version-kind").or_insert_with(|| json!([]));
            if let Some(kinds) = kinds.as_array_mut() {
                kinds.push(json!({ "group": kind.group, "version": kind.version, "kind": kind.kind }));
            }
        }
        schemas
    }
}

/// A line of the table: where in which definition what is said.
struct Published<'t> {
    definition: &'t str,
    /// Keys from the definition's root, separated by slashes. No key has one in it.
    place: &'t str,
    value: &'t str,
}

impl<'t> Published<'t> {
    fn parse(line: &'t str) -> Option<Self> {
        let mut columns = line.split('\t');
        Some(Self { definition: columns.next()?, place: columns.next()?, value: columns.next()? })
    }

    fn say_in(&self, schemas: &mut Map<String, Value>) {
        let (owner, key) = self.place.rsplit_once('/').map_or((String::new(), self.place), |(owner, key)| (format!("/{owner}"), key));
        let Some(Value::Object(owner)) = schemas.get_mut(self.definition).and_then(|schema| schema.pointer_mut(&owner)) else { return };
        match serde_json::from_str(self.value).unwrap_or_default() {
            Value::Null => _ = owner.remove(key),
            value => _ = owner.insert(key.to_owned(), value),
        }
    }
}

/// Turns references to the flavour's form, throughout a schema.
fn translate(schema: &mut Value, flavor: Flavor, prefix: &str) {
    match schema {
        Value::Object(map) => {
            map.values_mut().for_each(|v| translate(v, flavor, prefix));
            let Some(target) = referenced(&Value::Object(map.clone())).map(|name| format!("{prefix}{name}")) else { return };
            if flavor == Flavor::V3 && map.len() > 1 {
                // In OpenAPI 3.0 a reference has no siblings.
                map.remove("$ref");
                map.insert("allOf".to_owned(), json!([{ "$ref": target }]));
            } else {
                map.insert("$ref".to_owned(), json!(target));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| translate(v, flavor, prefix)),
        _ => {}
    }
}

/// Takes the defaults out of a schema: the old form of built-in types says nothing of them.
fn drop_defaults(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    schema.remove("default");
    schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut).for_each(drop_defaults);
    for key in ["items", "additionalProperties"] {
        schema.get_mut(key).into_iter().for_each(drop_defaults);
    }
}

/// Types that are no plain JSON type, as upstream publishes them.
fn special(name: &str, schema: &mut Value, flavor: Flavor) {
    let Some(map) = schema.as_object_mut() else { return };
    let one_of = |types: [&str; 2]| json!(types.map(|t| json!({ "type": t })));
    if name.ends_with(".intstr.IntOrString") {
        map.remove("x-kubernetes-int-or-string");
        map.insert("format".to_owned(), json!("int-or-string"));
        match flavor {
            Flavor::V2 => map.insert("type".to_owned(), json!("string")),
            Flavor::V3 => map.insert("oneOf".to_owned(), one_of(["integer", "string"])),
        };
    } else if name.ends_with(".resource.Quantity") {
        map.remove("x-kubernetes-int-or-string");
        match flavor {
            Flavor::V2 => map.insert("type".to_owned(), json!("string")),
            Flavor::V3 => map.insert("oneOf".to_owned(), one_of(["string", "number"])),
        };
    } else if name.contains(".apiextensions.v1.JSON") && !name.ends_with("JSONSchemaProps") {
        // Any JSON; OpenAPI v2 cannot say more.
        map.remove("type");
        map.remove("oneOf");
    }
}

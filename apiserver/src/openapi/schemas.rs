//! The schemas of a document: the published definitions of the API's types, in the flavour's dialect.

use api::Resource;
use k8s_openapi::api::{authentication, authorization, autoscaling, core, policy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Status};
use machinery::GroupVersionKind;
use machinery::schema::{Definitions, referenced};
use machinery::structural::openapi::reduce_to_v2;
use serde_json::{Map, Value, json};

use super::Flavor;

/// Schemas gathered while the paths are written.
pub struct Schemas {
    flavor: Flavor,
    definitions: Definitions,
    /// Which kinds a definition is.
    kinds: Vec<(String, GroupVersionKind)>,
    lists: Map<String, Value>,
}

impl Schemas {
    pub fn new(flavor: Flavor) -> Self {
        Self { flavor, definitions: Definitions::new(), kinds: Vec::new(), lists: Map::new() }
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
        self.is(&name, GroupVersionKind::new("", "v1", "DeleteOptions"));
        name
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
        for (name, schema) in &mut schemas {
            translate(schema, flavor, prefix);
            special(name, schema, flavor);
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

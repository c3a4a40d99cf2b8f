//! Published JSON schemas of the API's types, by name: what OpenAPI documents serve (descriptions included)
//! and what [`Schema`](super::Schema)s are built from.
//!
//! The types come from the `k8s-openapi` crate, whose schemas lack Kubernetes' extensions; `merge-keys.tsv`
//! supplies them, in the words of the OpenAPI extensions (`x-kubernetes-list-type` and so on).

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

const MERGE_KEYS: &str = include_str!("merge-keys.tsv");
const NAME_PREFIX: &str = "io.k8s.";
/// Any JSON: defaults and enumerated values in the schemas of custom resources.
const ANY_JSON: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON";

/// Schemas by name (`io.k8s.api.core.v1.Pod`), closed under reference.
#[derive(Debug)]
pub struct Definitions {
    generator: SchemaGenerator,
    given: Map<String, Value>,
}

impl Default for Definitions {
    fn default() -> Self {
        Self::new()
    }
}

impl Definitions {
    pub fn new() -> Self {
        Self { generator: SchemaSettings::draft2020_12().into_generator(), given: Map::new() }
    }

    /// Adds a type and all that it refers to; returns its name.
    pub fn add<T: JsonSchema>(&mut self) -> String {
        self.generator.subschema_for::<T>();
        T::schema_name().into_owned()
    }

    /// Adds a schema that comes with all of its extensions, under a name of its own.
    pub fn insert(&mut self, name: &str, schema: Value) {
        self.given.insert(name.to_owned(), schema);
    }

    /// The schemas that were inserted, to be changed before they are published.
    pub fn inserted_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        self.given.values_mut()
    }

    /// The definitions, with Kubernetes' extensions. They refer to each other as `#/$defs/<name>`
    /// (see [`referenced`]).
    pub fn into_map(mut self) -> Map<String, Value> {
        let mut definitions = self.generator.take_definitions(false);
        definitions.values_mut().for_each(make_metadata_optional);
        MERGE_KEYS.lines().skip(1).filter_map(Row::parse).for_each(|row| row.annotate(&mut definitions));
        definitions.values_mut().for_each(make_spec_a_value);
        if let Some(json) = definitions.get_mut(ANY_JSON).and_then(Value::as_object_mut) {
            // The crate says that it is an object.
            json.remove("type");
        }
        definitions.extend(self.given);
        definitions
    }
}

/// The name of the definition that a schema is a reference to.
pub fn referenced(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

/// The crate says that an object's metadata is required, because its type is not optional; the API does not.
fn make_metadata_optional(definition: &mut Value) {
    let is_object = definition.pointer("/properties/apiVersion").is_some();
    let Some(definition) = definition.as_object_mut().filter(|_| is_object) else { return };
    if let Some(required) = definition.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| name != "metadata");
        if required.is_empty() {
            definition.remove("required");
        }
    }
}

/// An object's spec is a value that is always there. (The table says so of most kinds.)
fn make_spec_a_value(definition: &mut Value) {
    let is_object = definition.pointer("/properties/apiVersion").is_some();
    if let Some(spec) = definition.pointer_mut("/properties/spec").and_then(Value::as_object_mut).filter(|_| is_object) {
        spec.entry("default").or_insert_with(|| json!({}));
    }
}

/// A row of the table: how one field of one type merges (or a whole type, where no field is named).
struct Row<'t> {
    definition: &'t str,
    field: &'t str,
    kind: &'t str,
    list_keys: &'t str,
    strategy: &'t str,
    merge_key: &'t str,
    default: &'t str,
}

impl<'t> Row<'t> {
    fn parse(line: &'t str) -> Option<Self> {
        let mut columns = line.split('\t');
        let mut next = || columns.next();
        Some(Self {
            definition: next()?,
            field: next()?,
            kind: next()?,
            list_keys: next()?,
            strategy: next()?,
            merge_key: next()?,
            default: next()?,
        })
    }

    fn annotate(&self, definitions: &mut Map<String, Value>) {
        let Some(definition) = definitions.get_mut(&format!("{NAME_PREFIX}{}", self.definition)) else { return };
        let target = if self.field.is_empty() { Some(definition) } else { field_mut(definition, self.field) };
        let Some(schema) = target.and_then(Value::as_object_mut) else { return };
        let mut set = |key: &str, value: Value| schema.insert(key.to_owned(), value);
        match self.kind.strip_prefix("map-type=") {
            Some(map_type) => _ = set("x-kubernetes-map-type", json!(map_type)),
            None if !self.kind.is_empty() => _ = set("x-kubernetes-list-type", json!(self.kind)),
            None => {}
        }
        if !self.list_keys.is_empty() {
            set("x-kubernetes-list-map-keys", self.list_keys.split(',').collect());
        }
        if !self.strategy.is_empty() {
            set("x-kubernetes-patch-strategy", json!(self.strategy));
        }
        if !self.merge_key.is_empty() {
            set("x-kubernetes-patch-merge-key", json!(self.merge_key));
        }
        if let Ok(default) = serde_json::from_str(self.default) {
            set("default", default);
        }
    }
}

fn field_mut<'d>(definition: &'d mut Value, field: &str) -> Option<&'d mut Value> {
    definition.get_mut("properties")?.get_mut(field)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::api::{admissionregistration, apps, autoscaling, batch, core, discovery, networking, policy, rbac, resource, storage};
    use k8s_openapi::{apiextensions_apiserver, kube_aggregator};

    use super::*;

    #[test]
    fn every_row_of_the_table_finds_its_field() {
        let mut definitions = Definitions::new();
        definitions.add::<core::v1::Pod>();
        definitions.add::<core::v1::Service>();
        definitions.add::<core::v1::Node>();
        definitions.add::<core::v1::PersistentVolume>();
        definitions.add::<core::v1::PersistentVolumeClaim>();
        definitions.add::<core::v1::ReplicationController>();
        definitions.add::<apps::v1::Deployment>();
        definitions.add::<apps::v1::StatefulSet>();
        definitions.add::<apps::v1::DaemonSet>();
        definitions.add::<batch::v1::CronJob>();
        definitions.add::<autoscaling::v2::HorizontalPodAutoscaler>();
        definitions.add::<policy::v1::PodDisruptionBudget>();
        definitions.add::<discovery::v1::EndpointSlice>();
        definitions.add::<networking::v1::Ingress>();
        definitions.add::<rbac::v1::ClusterRole>();
        definitions.add::<storage::v1::StorageClass>();
        definitions.add::<resource::v1::ResourceClaim>();
        definitions.add::<admissionregistration::v1::ValidatingWebhookConfiguration>();
        definitions.add::<apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition>();
        definitions.add::<kube_aggregator::pkg::apis::apiregistration::v1::APIService>();
        let map = definitions.into_map();
        let mut found = 0;
        for row in MERGE_KEYS.lines().skip(1).map(|line| Row::parse(line).unwrap()) {
            let Some(definition) = map.get(&format!("{NAME_PREFIX}{}", row.definition)) else { continue };
            let field = definition.pointer(&format!("/properties/{}", row.field));
            assert!(row.field.is_empty() || field.is_some(), "{} has no {}", row.definition, row.field);
            found += 1;
        }
        assert!(found > 200, "{found}");
    }
}

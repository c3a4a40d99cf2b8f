//! [`Shape`]: what the schema of a version means for its objects.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::cel::rules::Rules;
use machinery::decode::{Finding, TypeError};
use machinery::field::{Error, ErrorKind, Errors, Path};
use machinery::schema::{Definitions, Schema};
use machinery::structural::{Structural, openapi};
use serde_json::Value;

/// The schema of one version, compiled.
pub(super) struct Shape {
    /// As the definition has it.
    published: Value,
    structural: Structural,
    /// What the rules in it say of an object's values.
    rules: Option<Rules>,
    /// What field ownership goes by.
    ownership: Schema,
}

/// The schema of an object with metadata like everybody's.
fn with_metadata(mut schema: Value) -> Schema {
    let mut definitions = Definitions::new();
    definitions.add::<ObjectMeta>();
    let mut definitions = definitions.into_map();
    openapi::publish(&mut schema);
    definitions.insert(String::new(), schema);
    Schema::build(&definitions, "")
}

impl Shape {
    /// Compiles the schema of a version.
    pub(super) fn new(schema: &JSONSchemaProps) -> Result<Self, String> {
        let published = serde_json::to_value(schema).map_err(|error| error.to_string())?;
        let structural = Structural::compile(&published).map_err(|error| error.to_string())?;
        Ok(Self { structural, rules: Rules::compile(schema), ownership: with_metadata(published.clone()), published })
    }

    pub(super) fn ownership(&self) -> &Schema {
        &self.ownership
    }

    /// The schema as OpenAPI publishes it.
    pub(super) fn published(&self) -> Value {
        let mut schema = self.published.clone();
        openapi::publish(&mut schema);
        schema
    }

    /// Makes an object fit: metadata as everybody's is, of the rest what the schema knows. What is dropped is a finding, but
    /// for nulls.
    pub(super) fn conform(&self, value: &mut Value, findings: &mut Vec<Finding>) -> Result<(), TypeError> {
        self.conform_applied(value, findings)?;
        self.structural.drop_nulls(value);
        Ok(())
    }

    /// The same, with nulls left where they are.
    pub(super) fn conform_applied(&self, value: &mut Value, findings: &mut Vec<Finding>) -> Result<(), TypeError> {
        if !value.is_object() {
            return Err(TypeError { path: String::new(), expected: "an object", found: value.to_string() });
        }
        for name in ["apiVersion", "kind"] {
            if let Some(other) = value.get(name).filter(|value| !value.is_string()) {
                return Err(TypeError { path: name.to_owned(), expected: "a string", found: other.to_string() });
            }
        }
        self.structural.conform(value, findings)
    }

    /// Drops what the schema does not know, and nulls.
    pub(super) fn prune(&self, value: &mut Value) {
        self.structural.prune(value, &mut Vec::new());
        self.structural.drop_nulls(value);
    }

    /// Fills what the writer left out.
    pub(super) fn default(&self, value: &mut Value) {
        // Where there was too much to fill in, the object is larger than any that can be stored.
        self.structural.default(value);
    }

    /// Everything wrong with an object, or with its change.
    pub(super) fn validate(&self, new: &Value, old: Option<&Value>) -> Errors {
        let mut errors = self.structural.validate(new, old);
        if let Some(rules) = &self.rules {
            if errors.iter().any(blocks_rules) {
                let why = "the rules of the schema were not checked, since the object does not fit it; correct that first";
                errors.push(Error::invalid(&Path::new("<nil>"), Value::Null, why));
            } else {
                errors.extend(rules.validate(new, old).errors);
            }
        }
        errors
    }
}

/// Rules are for objects whose values are of the right types and sizes.
fn blocks_rules(error: &Error) -> bool {
    use ErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    matches!(error.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
}

//! Looking for something in a schema, in all of its parts.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaPropsOrArray, JSONSchemaPropsOrStringArray,
};
use machinery::structural;

use super::{Schema, or_bool, some};
use crate::validate::text;

/// Whether something holds for the schema, or for one within.
pub(super) fn any(schema: &Schema, is: &dyn Fn(&Schema) -> bool) -> bool {
    let mut found = false;
    visit(schema, &mut |schema| found = found || is(schema));
    found
}

/// Visits the schema and all within it.
fn visit<'s>(schema: &'s Schema, see: &mut dyn FnMut(&'s Schema)) {
    see(schema);
    match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => visit(items, see),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter().for_each(|items| visit(items, see)),
        None => {}
    }
    for list in [&schema.all_of, &schema.any_of, &schema.one_of] {
        some(list.as_ref()).iter().for_each(|schema| visit(schema, see));
    }
    schema.not.iter().for_each(|not| visit(not, see));
    for map in [&schema.properties, &schema.pattern_properties, &schema.definitions] {
        map.iter().flat_map(|map| map.values()).for_each(|schema| visit(schema, see));
    }
    for either in [&schema.additional_properties, &schema.additional_items] {
        or_bool(either.as_ref()).into_iter().for_each(|schema| visit(schema, see));
    }
    for dependency in schema.dependencies.iter().flat_map(|map| map.values()) {
        if let JSONSchemaPropsOrStringArray::Schema(schema) = dependency {
            visit(schema, see);
        }
    }
}

/// The formats in a definition's schemas that say nothing, since nobody knows them.
pub(in super::super) fn unknown_formats(definition: &CustomResourceDefinition) -> Vec<&str> {
    let mut unknown = Vec::new();
    let schemas = definition.spec.versions.iter().filter_map(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    for schema in schemas {
        visit(schema, &mut |schema| {
            let format = text(&schema.format);
            if !format.is_empty() && !structural::is_known_format(format, text(&schema.type_)) && !unknown.contains(&format) {
                unknown.push(format);
            }
        });
    }
    unknown
}

//! What a definition's writer left out, and the zeros that say nothing (see `zero`): those within schemas are out of
//! the reach of what removes them for other kinds, since a schema may stand in the place of a boolean.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition, CustomResourceDefinitionStatus, CustomResourceDefinitionVersion, JSONSchemaProps,
    JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, JSONSchemaPropsOrStringArray,
};

use crate::zero;

pub(super) const HTTPS_PORT: i32 = 443;

pub(super) fn fill(definition: &mut CustomResourceDefinition) {
    let spec = &mut definition.spec;
    zero::omit(&mut spec.preserve_unknown_fields);
    let names = &mut spec.names;
    zero::omit(&mut names.short_names);
    zero::omit(&mut names.categories);
    if !names.kind.is_empty() {
        zero::fill(&mut names.singular, names.kind.to_lowercase());
        zero::fill(&mut names.list_kind, format!("{}List", names.kind));
    }
    let none = || CustomResourceConversion { strategy: "None".to_owned(), webhook: None };
    let conversion = spec.conversion.get_or_insert_with(none);
    if let Some(client) = conversion.webhook.as_mut().and_then(|webhook| webhook.client_config.as_mut()) {
        if client.ca_bundle.as_ref().is_some_and(|bundle| bundle.0.is_empty()) {
            client.ca_bundle = None;
        }
        if let Some(service) = &mut client.service {
            service.port.get_or_insert(HTTPS_PORT);
        }
    }
    spec.versions.iter_mut().for_each(tidy_version);
    let storage = spec.versions.iter().find(|version| version.storage).map(|version| version.name.clone());
    let status = keep_status(definition);
    zero::omit(&mut status.stored_versions);
    if status.stored_versions.is_none() {
        status.stored_versions = storage.map(|name| vec![name]);
    }
}

/// The status, with what is always there.
pub(super) fn keep_status(definition: &mut CustomResourceDefinition) -> &mut CustomResourceDefinitionStatus {
    let status = zero::keep(&mut definition.status);
    zero::omit(&mut status.observed_generation);
    let accepted = zero::keep(&mut status.accepted_names);
    zero::omit(&mut accepted.singular);
    zero::omit(&mut accepted.list_kind);
    zero::omit(&mut accepted.short_names);
    zero::omit(&mut accepted.categories);
    for condition in status.conditions.iter_mut().flatten() {
        zero::omit(&mut condition.message);
        zero::omit(&mut condition.reason);
        zero::omit(&mut condition.observed_generation);
    }
    status
}

fn tidy_version(version: &mut CustomResourceDefinitionVersion) {
    zero::omit(&mut version.deprecated);
    zero::omit(&mut version.additional_printer_columns);
    zero::omit(&mut version.selectable_fields);
    for column in version.additional_printer_columns.iter_mut().flatten() {
        zero::omit(&mut column.description);
        zero::omit(&mut column.format);
        zero::omit(&mut column.priority);
    }
    if let Some(schema) = version.schema.as_mut().and_then(|validation| validation.open_api_v3_schema.as_mut()) {
        tidy(schema);
    }
}

/// Takes the zeros out of a schema and of those within. Schemas nest as deeply as a body may, no further.
fn tidy(schema: &mut JSONSchemaProps) {
    for text in [
        &mut schema.id,
        &mut schema.schema,
        &mut schema.description,
        &mut schema.type_,
        &mut schema.format,
        &mut schema.title,
        &mut schema.pattern,
    ] {
        zero::omit(text);
    }
    for flag in [
        &mut schema.exclusive_maximum,
        &mut schema.exclusive_minimum,
        &mut schema.unique_items,
        &mut schema.nullable,
        &mut schema.x_kubernetes_embedded_resource,
        &mut schema.x_kubernetes_int_or_string,
    ] {
        zero::omit(flag);
    }
    zero::omit(&mut schema.enum_);
    zero::omit(&mut schema.required);
    zero::omit(&mut schema.x_kubernetes_list_map_keys);
    zero::omit(&mut schema.x_kubernetes_validations);
    for rule in schema.x_kubernetes_validations.iter_mut().flatten() {
        zero::omit(&mut rule.message);
        zero::omit(&mut rule.message_expression);
        zero::omit(&mut rule.field_path);
    }
    tidy_within(schema);
}

fn tidy_within(schema: &mut JSONSchemaProps) {
    for list in [&mut schema.all_of, &mut schema.any_of, &mut schema.one_of] {
        zero::omit(list);
        list.iter_mut().flatten().for_each(tidy);
    }
    for map in [&mut schema.properties, &mut schema.pattern_properties, &mut schema.definitions] {
        zero::omit(map);
        map.iter_mut().flat_map(|map| map.values_mut()).for_each(tidy);
    }
    if let Some(not) = &mut schema.not {
        tidy(not);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => tidy(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(tidy),
        None => {}
    }
    for either in [&mut schema.additional_items, &mut schema.additional_properties] {
        if let Some(JSONSchemaPropsOrBool::Schema(additional)) = either {
            tidy(additional);
        }
    }
    zero::omit(&mut schema.dependencies);
    for dependency in schema.dependencies.iter_mut().flat_map(|map| map.values_mut()) {
        if let JSONSchemaPropsOrStringArray::Schema(schema) = dependency {
            tidy(schema);
        }
    }
}

//! OpenAPI v3. The schemas of custom resources say more than those of built-in kinds.

mod messages;

use messages::{
    AdditionalProperties, Components, DefaultValue, Document, Info, Items, MediaType, MediaTypes, NamedMediaType, NamedPathItem,
    NamedResponse, NamedSchema, NamedSchemas, NamedSecurityScheme, Operation, Parameter, ParameterOrReference, PathItem, Paths, Reference,
    RequestBody, RequestBodyOrReference, Response, ResponseOrReference, Responses, Schema, SchemaOrReference, SecurityScheme,
    SecuritySchemeOrReference, SecuritySchemes,
};
use prost::Message;
use serde_json::Value;

use super::{any, extensions, strings, text};

/// The document's protobuf bytes.
pub fn encode(v3: &Value) -> Vec<u8> {
    let (info, components) = (v3.get("info"), v3.get("components"));
    Document {
        openapi: text(Some(v3), "openapi"),
        info: Some(Info { title: text(info, "title"), version: text(info, "version") }),
        paths: Some(Paths {
            path: entries(v3.get("paths")).map(|(name, item)| NamedPathItem { name: name.clone(), value: Some(path_item(item)) }).collect(),
        }),
        components: components.map(|components| Components {
            schemas: components.get("schemas").map(named_schemas),
            security_schemes: components.get("securitySchemes").map(security_schemes),
        }),
    }
    .encode_to_vec()
}

fn entries(map: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    map.and_then(Value::as_object).into_iter().flatten()
}

fn items<'v>(owner: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    owner.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn is_set(owner: &Value, key: &str) -> bool {
    owner.get(key).and_then(Value::as_bool).unwrap_or_default()
}

fn path_item(item: &Value) -> PathItem {
    let of = |method: &str| item.get(method).map(operation);
    PathItem {
        get: of("get"),
        put: of("put"),
        post: of("post"),
        delete: of("delete"),
        options: of("options"),
        head: of("head"),
        patch: of("patch"),
        parameters: parameters(item),
    }
}

fn operation(operation: &Value) -> Operation {
    let request_body = operation.get("requestBody").map(|body| RequestBodyOrReference {
        request_body: Some(RequestBody { content: body.get("content").map(media_types), required: is_set(body, "required") }),
    });
    let response = |(code, response): (&String, &Value)| NamedResponse {
        name: code.clone(),
        value: Some(ResponseOrReference {
            response: Some(Response {
                description: text(Some(response), "description"),
                content: response.get("content").map(media_types),
            }),
        }),
    };
    Operation {
        tags: strings(operation, "tags"),
        description: text(Some(operation), "description"),
        operation_id: text(Some(operation), "operationId"),
        parameters: parameters(operation),
        request_body,
        responses: Some(Responses { response_or_reference: entries(operation.get("responses")).map(response).collect() }),
        specification_extension: extensions(operation.as_object()),
    }
}

fn parameters(owner: &Value) -> Vec<ParameterOrReference> {
    let parameter = |value: &Value| Parameter {
        name: text(Some(value), "name"),
        r#in: text(Some(value), "in"),
        description: text(Some(value), "description"),
        required: is_set(value, "required"),
        schema: value.get("schema").map(schema_or_reference),
    };
    items(owner, "parameters").map(|value| ParameterOrReference { parameter: Some(parameter(value)) }).collect()
}

fn media_types(content: &Value) -> MediaTypes {
    let named = |(name, media): (&String, &Value)| NamedMediaType {
        name: name.clone(),
        value: Some(MediaType { schema: media.get("schema").map(schema_or_reference) }),
    };
    MediaTypes { additional_properties: entries(Some(content)).map(named).collect() }
}

fn security_schemes(schemes: &Value) -> SecuritySchemes {
    let scheme = |value: &Value| SecurityScheme {
        r#type: text(Some(value), "type"),
        description: text(Some(value), "description"),
        name: text(Some(value), "name"),
        r#in: text(Some(value), "in"),
    };
    let named = |(name, value): (&String, &Value)| NamedSecurityScheme {
        name: name.clone(),
        value: Some(SecuritySchemeOrReference { security_scheme: Some(scheme(value)) }),
    };
    SecuritySchemes { additional_properties: entries(Some(schemes)).map(named).collect() }
}

fn named_schemas(schemas: &Value) -> NamedSchemas {
    let named = |(name, value): (&String, &Value)| NamedSchema { name: name.clone(), value: Some(schema_or_reference(value)) };
    NamedSchemas { additional_properties: entries(Some(schemas)).map(named).collect() }
}

fn schema_or_reference(value: &Value) -> SchemaOrReference {
    match value.get("$ref") {
        Some(_) => SchemaOrReference { schema: None, reference: Some(Reference { reference: text(Some(value), "$ref") }) },
        None => SchemaOrReference { schema: Some(Box::new(schema(value))), reference: None },
    }
}

fn schema(value: &Value) -> Schema {
    let number = |key: &str| value.get(key).and_then(Value::as_f64).unwrap_or_default();
    let count = |key: &str| value.get(key).and_then(Value::as_i64).unwrap_or_default();
    let schemas = |key: &str| items(value, key).map(schema_or_reference).collect();
    Schema {
        nullable: is_set(value, "nullable"),
        example: value.get("example").map(any),
        title: text(Some(value), "title"),
        multiple_of: number("multipleOf"),
        maximum: number("maximum"),
        exclusive_maximum: is_set(value, "exclusiveMaximum"),
        minimum: number("minimum"),
        exclusive_minimum: is_set(value, "exclusiveMinimum"),
        max_length: count("maxLength"),
        min_length: count("minLength"),
        pattern: text(Some(value), "pattern"),
        max_items: count("maxItems"),
        min_items: count("minItems"),
        unique_items: is_set(value, "uniqueItems"),
        max_properties: count("maxProperties"),
        min_properties: count("minProperties"),
        required: strings(value, "required"),
        r#enum: items(value, "enum").map(any).collect(),
        r#type: text(Some(value), "type"),
        all_of: schemas("allOf"),
        one_of: schemas("oneOf"),
        any_of: schemas("anyOf"),
        not: value.get("not").map(|inner| Box::new(schema(inner))),
        items: value.get("items").map(|inner| Items { schema_or_reference: vec![schema_or_reference(inner)] }),
        properties: value.get("properties").map(named_schemas),
        additional_properties: value.get("additionalProperties").map(|inner| Box::new(additional(inner))),
        default: value.get("default").map(default_value),
        description: text(Some(value), "description"),
        format: text(Some(value), "format"),
        specification_extension: extensions(value.as_object()),
    }
}

fn additional(value: &Value) -> AdditionalProperties {
    match value.as_bool() {
        Some(any) => AdditionalProperties { schema_or_reference: None, boolean: Some(any) },
        None => AdditionalProperties { schema_or_reference: Some(Box::new(schema_or_reference(value))), boolean: None },
    }
}

fn default_value(value: &Value) -> DefaultValue {
    DefaultValue { number: value.as_f64(), boolean: value.as_bool(), string: value.as_str().map(str::to_owned) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_either_itself_or_a_reference() {
        let document = json!({
            "openapi": "3.0.0",
            "info": { "title": "T", "version": "1" },
            "paths": { "/a/": { "get": { "operationId": "getA", "parameters": [{ "name": "p", "in": "query", "schema": { "type": "string" } }],
                "responses": { "200": { "description": "OK", "content": { "application/json": { "schema": { "$ref": "#/x" } } } } } } } },
            "components": { "schemas": { "x": {
                "type": "object", "default": {}, "properties": { "n": { "type": "integer", "default": 3 }, "s": { "allOf": [{ "$ref": "#/y" }], "default": "a" } },
                "additionalProperties": false, "x-kubernetes-action": "list",
            } } },
        });
        let decoded = Document::decode(&*encode(&document)).unwrap();
        let operation = decoded.paths.unwrap().path.remove(0).value.unwrap().get.unwrap();
        let response = operation.responses.unwrap().response_or_reference.remove(0).value.unwrap().response.unwrap();
        let answered = response.content.unwrap().additional_properties.remove(0).value.unwrap().schema.unwrap();
        assert_eq!((answered.schema, answered.reference.unwrap().reference), (None, "#/x".to_owned()));
        let x = decoded.components.unwrap().schemas.unwrap().additional_properties.remove(0).value.unwrap().schema.unwrap();
        let of = |number, string: Option<&str>| DefaultValue { number, boolean: None, string: string.map(str::to_owned) };
        assert_eq!(x.default, Some(of(None, None)), "an object has no place in a default");
        assert_eq!(x.additional_properties.unwrap().boolean, Some(false));
        assert_eq!(x.specification_extension[0].value.as_ref().unwrap().yaml, "\"list\"");
        let property =
            |at: usize| x.properties.as_ref().unwrap().additional_properties[at].value.as_ref().unwrap().schema.as_ref().unwrap();
        assert_eq!((&property(0).default, &property(1).default), (&Some(of(Some(3.0), None)), &Some(of(None, Some("a")))));
        assert_eq!(property(1).all_of[0].reference.as_ref().unwrap().reference, "#/y");
    }
}

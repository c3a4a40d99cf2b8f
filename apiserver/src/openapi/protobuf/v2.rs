//! OpenAPI v2, which older kubectls ask for in this form.

use prost::Message;
use serde_json::Value;

use super::{Any, NamedAny, any, extensions, strings, text};

#[derive(Clone, PartialEq, Message)]
struct Document {
    #[prost(string, tag = "1")]
    swagger: String,
    #[prost(message, optional, tag = "2")]
    info: Option<Info>,
    #[prost(message, optional, tag = "8")]
    paths: Option<Paths>,
    #[prost(message, optional, tag = "9")]
    definitions: Option<NamedSchemas>,
}

#[derive(Clone, PartialEq, Message)]
struct Info {
    #[prost(string, tag = "1")]
    title: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Paths {
    #[prost(message, repeated, tag = "2")]
    path: Vec<NamedPathItem>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedPathItem {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<PathItem>,
}

#[derive(Clone, PartialEq, Message)]
struct PathItem {
    #[prost(message, optional, tag = "2")]
    get: Option<Operation>,
    #[prost(message, optional, tag = "3")]
    put: Option<Operation>,
    #[prost(message, optional, tag = "4")]
    post: Option<Operation>,
    #[prost(message, optional, tag = "5")]
    delete: Option<Operation>,
    #[prost(message, optional, tag = "6")]
    options: Option<Operation>,
    #[prost(message, optional, tag = "7")]
    head: Option<Operation>,
    #[prost(message, optional, tag = "8")]
    patch: Option<Operation>,
    #[prost(message, repeated, tag = "9")]
    parameters: Vec<ParametersItem>,
}

#[derive(Clone, PartialEq, Message)]
struct Operation {
    #[prost(string, repeated, tag = "1")]
    tags: Vec<String>,
    #[prost(string, tag = "3")]
    description: String,
    #[prost(string, tag = "5")]
    operation_id: String,
    #[prost(string, repeated, tag = "6")]
    produces: Vec<String>,
    #[prost(string, repeated, tag = "7")]
    consumes: Vec<String>,
    #[prost(message, repeated, tag = "8")]
    parameters: Vec<ParametersItem>,
    #[prost(message, optional, tag = "9")]
    responses: Option<Responses>,
    #[prost(string, repeated, tag = "10")]
    schemes: Vec<String>,
    #[prost(message, repeated, tag = "13")]
    vendor_extension: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
struct ParametersItem {
    #[prost(message, optional, tag = "1")]
    parameter: Option<Parameter>,
}

/// One of its two fields is set.
#[derive(Clone, PartialEq, Message)]
struct Parameter {
    #[prost(message, optional, tag = "1")]
    body: Option<BodyParameter>,
    #[prost(message, optional, tag = "2")]
    other: Option<NonBodyParameter>,
}

#[derive(Clone, PartialEq, Message)]
struct BodyParameter {
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    r#in: String,
    #[prost(bool, tag = "4")]
    required: bool,
    #[prost(message, optional, tag = "5")]
    schema: Option<Schema>,
}

/// One of its two fields is set.
#[derive(Clone, PartialEq, Message)]
struct NonBodyParameter {
    #[prost(message, optional, tag = "3")]
    query: Option<QueryParameter>,
    #[prost(message, optional, tag = "4")]
    path: Option<PathParameter>,
}

#[derive(Clone, PartialEq, Message)]
struct QueryParameter {
    #[prost(string, tag = "2")]
    r#in: String,
    #[prost(string, tag = "3")]
    description: String,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "6")]
    r#type: String,
    #[prost(bool, tag = "20")]
    unique_items: bool,
}

#[derive(Clone, PartialEq, Message)]
struct PathParameter {
    #[prost(bool, tag = "1")]
    required: bool,
    #[prost(string, tag = "2")]
    r#in: String,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "5")]
    r#type: String,
    #[prost(bool, tag = "19")]
    unique_items: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Responses {
    #[prost(message, repeated, tag = "1")]
    response_code: Vec<NamedResponse>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedResponse {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<ResponseValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseValue {
    #[prost(message, optional, tag = "1")]
    response: Option<Response>,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(string, tag = "1")]
    description: String,
    #[prost(message, optional, tag = "2")]
    schema: Option<SchemaItem>,
}

#[derive(Clone, PartialEq, Message)]
struct SchemaItem {
    #[prost(message, optional, tag = "1")]
    schema: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedSchemas {
    #[prost(message, repeated, tag = "1")]
    additional_properties: Vec<NamedSchema>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedSchema {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct Schema {
    #[prost(string, tag = "1")]
    reference: String,
    #[prost(string, tag = "2")]
    format: String,
    #[prost(string, tag = "4")]
    description: String,
    #[prost(message, optional, tag = "5")]
    default: Option<Any>,
    #[prost(string, repeated, tag = "19")]
    required: Vec<String>,
    #[prost(message, optional, boxed, tag = "21")]
    additional_properties: Option<Box<AdditionalProperties>>,
    #[prost(message, optional, tag = "22")]
    r#type: Option<Strings>,
    #[prost(message, optional, tag = "23")]
    items: Option<Items>,
    #[prost(message, optional, tag = "25")]
    properties: Option<NamedSchemas>,
    #[prost(message, repeated, tag = "31")]
    vendor_extension: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
struct AdditionalProperties {
    #[prost(message, optional, boxed, tag = "1")]
    schema: Option<Box<Schema>>,
}

#[derive(Clone, PartialEq, Message)]
struct Strings {
    #[prost(string, repeated, tag = "1")]
    value: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Items {
    #[prost(message, repeated, tag = "1")]
    schema: Vec<Schema>,
}

/// The document's protobuf bytes.
pub fn encode(v2: &Value) -> Vec<u8> {
    let info = v2.get("info");
    let entries = |key: &str| v2.get(key).and_then(Value::as_object).into_iter().flatten();
    Document {
        swagger: text(Some(v2), "swagger"),
        info: Some(Info { title: text(info, "title"), version: text(info, "version") }),
        paths: Some(Paths {
            path: entries("paths").map(|(name, item)| NamedPathItem { name: name.clone(), value: Some(path_item(item)) }).collect(),
        }),
        definitions: Some(NamedSchemas { additional_properties: entries("definitions").map(named_schema).collect() }),
    }
    .encode_to_vec()
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
    let responses = operation.get("responses").and_then(Value::as_object).into_iter().flatten();
    let response_code = responses
        .map(|(name, response)| {
            let schema = response.get("schema").filter(|s| !s.is_null()).map(|s| SchemaItem { schema: Some(schema(s)) });
            let response = Response { description: text(Some(response), "description"), schema };
            NamedResponse { name: name.clone(), value: Some(ResponseValue { response: Some(response) }) }
        })
        .collect();
    Operation {
        tags: strings(operation, "tags"),
        description: text(Some(operation), "description"),
        operation_id: text(Some(operation), "operationId"),
        produces: strings(operation, "produces"),
        consumes: strings(operation, "consumes"),
        parameters: parameters(operation),
        responses: Some(Responses { response_code }),
        schemes: strings(operation, "schemes"),
        vendor_extension: extensions(operation.as_object()),
    }
}

fn parameters(owner: &Value) -> Vec<ParametersItem> {
    let all = owner.get("parameters").and_then(Value::as_array).into_iter().flatten();
    all.map(|p| ParametersItem { parameter: Some(parameter(p)) }).collect()
}

fn parameter(value: &Value) -> Parameter {
    let (name, place, kind) = (text(Some(value), "name"), text(Some(value), "in"), text(Some(value), "type"));
    let required = value.get("required").and_then(Value::as_bool).unwrap_or(false);
    match place.as_str() {
        "body" => {
            Parameter { body: Some(BodyParameter { name, r#in: place, required, schema: value.get("schema").map(schema) }), other: None }
        }
        "path" => {
            let path = PathParameter { required, r#in: place, name, r#type: kind, unique_items: true };
            Parameter { body: None, other: Some(NonBodyParameter { query: None, path: Some(path) }) }
        }
        _ => {
            let query =
                QueryParameter { r#in: place, description: text(Some(value), "description"), name, r#type: kind, unique_items: true };
            Parameter { body: None, other: Some(NonBodyParameter { query: Some(query), path: None }) }
        }
    }
}

fn named_schema((name, value): (&String, &Value)) -> NamedSchema {
    NamedSchema { name: name.clone(), value: Some(schema(value)) }
}

fn schema(value: &Value) -> Schema {
    let kind = value.get("type").and_then(Value::as_str);
    let properties = value.get("properties").and_then(Value::as_object);
    let additional = value.get("additionalProperties").filter(|v| v.is_object());
    Schema {
        reference: text(Some(value), "$ref"),
        format: text(Some(value), "format"),
        description: text(Some(value), "description"),
        default: value.get("default").map(any),
        required: strings(value, "required"),
        additional_properties: additional.map(|v| Box::new(AdditionalProperties { schema: Some(Box::new(schema(v))) })),
        r#type: kind.map(|k| Strings { value: vec![k.to_owned()] }),
        items: value.get("items").map(|v| Items { schema: vec![schema(v)] }),
        properties: properties.map(|p| NamedSchemas { additional_properties: p.iter().map(named_schema).collect() }),
        vendor_extension: extensions(value.as_object()),
    }
}

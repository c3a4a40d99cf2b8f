//! The messages of `openapi.v3`.

use prost::Message;

use super::super::{Any, NamedAny};

#[derive(Clone, PartialEq, Message)]
pub struct Document {
    #[prost(string, tag = "1")]
    pub openapi: String,
    #[prost(message, optional, tag = "2")]
    pub info: Option<Info>,
    #[prost(message, optional, tag = "4")]
    pub paths: Option<Paths>,
    #[prost(message, optional, tag = "5")]
    pub components: Option<Components>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Info {
    #[prost(string, tag = "1")]
    pub title: String,
    #[prost(string, tag = "6")]
    pub version: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Paths {
    #[prost(message, repeated, tag = "1")]
    pub path: Vec<NamedPathItem>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NamedPathItem {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<PathItem>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PathItem {
    #[prost(message, optional, tag = "4")]
    pub get: Option<Operation>,
    #[prost(message, optional, tag = "5")]
    pub put: Option<Operation>,
    #[prost(message, optional, tag = "6")]
    pub post: Option<Operation>,
    #[prost(message, optional, tag = "7")]
    pub delete: Option<Operation>,
    #[prost(message, optional, tag = "8")]
    pub options: Option<Operation>,
    #[prost(message, optional, tag = "9")]
    pub head: Option<Operation>,
    #[prost(message, optional, tag = "10")]
    pub patch: Option<Operation>,
    #[prost(message, repeated, tag = "13")]
    pub parameters: Vec<ParameterOrReference>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Operation {
    #[prost(string, repeated, tag = "1")]
    pub tags: Vec<String>,
    #[prost(string, tag = "3")]
    pub description: String,
    #[prost(string, tag = "5")]
    pub operation_id: String,
    #[prost(message, repeated, tag = "6")]
    pub parameters: Vec<ParameterOrReference>,
    #[prost(message, optional, tag = "7")]
    pub request_body: Option<RequestBodyOrReference>,
    #[prost(message, optional, tag = "8")]
    pub responses: Option<Responses>,
    #[prost(message, repeated, tag = "13")]
    pub specification_extension: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ParameterOrReference {
    #[prost(message, optional, tag = "1")]
    pub parameter: Option<Parameter>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Parameter {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub r#in: String,
    #[prost(string, tag = "3")]
    pub description: String,
    #[prost(bool, tag = "4")]
    pub required: bool,
    #[prost(message, optional, tag = "10")]
    pub schema: Option<SchemaOrReference>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RequestBodyOrReference {
    #[prost(message, optional, tag = "1")]
    pub request_body: Option<RequestBody>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RequestBody {
    #[prost(message, optional, tag = "2")]
    pub content: Option<MediaTypes>,
    #[prost(bool, tag = "3")]
    pub required: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct Responses {
    #[prost(message, repeated, tag = "2")]
    pub response_or_reference: Vec<NamedResponse>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NamedResponse {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<ResponseOrReference>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResponseOrReference {
    #[prost(message, optional, tag = "1")]
    pub response: Option<Response>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Response {
    #[prost(string, tag = "1")]
    pub description: String,
    #[prost(message, optional, tag = "3")]
    pub content: Option<MediaTypes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct MediaTypes {
    #[prost(message, repeated, tag = "1")]
    pub additional_properties: Vec<NamedMediaType>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NamedMediaType {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<MediaType>,
}

#[derive(Clone, PartialEq, Message)]
pub struct MediaType {
    #[prost(message, optional, tag = "1")]
    pub schema: Option<SchemaOrReference>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Components {
    #[prost(message, optional, tag = "1")]
    pub schemas: Option<NamedSchemas>,
    #[prost(message, optional, tag = "7")]
    pub security_schemes: Option<SecuritySchemes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SecuritySchemes {
    #[prost(message, repeated, tag = "1")]
    pub additional_properties: Vec<NamedSecurityScheme>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NamedSecurityScheme {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<SecuritySchemeOrReference>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SecuritySchemeOrReference {
    #[prost(message, optional, tag = "1")]
    pub security_scheme: Option<SecurityScheme>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SecurityScheme {
    #[prost(string, tag = "1")]
    pub r#type: String,
    #[prost(string, tag = "2")]
    pub description: String,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub r#in: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct NamedSchemas {
    #[prost(message, repeated, tag = "1")]
    pub additional_properties: Vec<NamedSchema>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NamedSchema {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<SchemaOrReference>,
}

/// One of its two fields is set.
#[derive(Clone, PartialEq, Message)]
pub struct SchemaOrReference {
    #[prost(message, optional, boxed, tag = "1")]
    pub schema: Option<Box<Schema>>,
    #[prost(message, optional, tag = "2")]
    pub reference: Option<Reference>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Reference {
    #[prost(string, tag = "1")]
    pub reference: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Schema {
    #[prost(bool, tag = "1")]
    pub nullable: bool,
    #[prost(message, optional, tag = "7")]
    pub example: Option<Any>,
    #[prost(string, tag = "9")]
    pub title: String,
    #[prost(double, tag = "10")]
    pub multiple_of: f64,
    #[prost(double, tag = "11")]
    pub maximum: f64,
    #[prost(bool, tag = "12")]
    pub exclusive_maximum: bool,
    #[prost(double, tag = "13")]
    pub minimum: f64,
    #[prost(bool, tag = "14")]
    pub exclusive_minimum: bool,
    #[prost(int64, tag = "15")]
    pub max_length: i64,
    #[prost(int64, tag = "16")]
    pub min_length: i64,
    #[prost(string, tag = "17")]
    pub pattern: String,
    #[prost(int64, tag = "18")]
    pub max_items: i64,
    #[prost(int64, tag = "19")]
    pub min_items: i64,
    #[prost(bool, tag = "20")]
    pub unique_items: bool,
    #[prost(int64, tag = "21")]
    pub max_properties: i64,
    #[prost(int64, tag = "22")]
    pub min_properties: i64,
    #[prost(string, repeated, tag = "23")]
    pub required: Vec<String>,
    #[prost(message, repeated, tag = "24")]
    pub r#enum: Vec<Any>,
    #[prost(string, tag = "25")]
    pub r#type: String,
    #[prost(message, repeated, tag = "26")]
    pub all_of: Vec<SchemaOrReference>,
    #[prost(message, repeated, tag = "27")]
    pub one_of: Vec<SchemaOrReference>,
    #[prost(message, repeated, tag = "28")]
    pub any_of: Vec<SchemaOrReference>,
    #[prost(message, optional, boxed, tag = "29")]
    pub not: Option<Box<Schema>>,
    #[prost(message, optional, tag = "30")]
    pub items: Option<Items>,
    #[prost(message, optional, tag = "31")]
    pub properties: Option<NamedSchemas>,
    #[prost(message, optional, boxed, tag = "32")]
    pub additional_properties: Option<Box<AdditionalProperties>>,
    #[prost(message, optional, tag = "33")]
    pub default: Option<DefaultValue>,
    #[prost(string, tag = "34")]
    pub description: String,
    #[prost(string, tag = "35")]
    pub format: String,
    #[prost(message, repeated, tag = "36")]
    pub specification_extension: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Items {
    #[prost(message, repeated, tag = "1")]
    pub schema_or_reference: Vec<SchemaOrReference>,
}

/// One of its two fields is set.
#[derive(Clone, PartialEq, Message)]
pub struct AdditionalProperties {
    #[prost(message, optional, boxed, tag = "1")]
    pub schema_or_reference: Option<Box<SchemaOrReference>>,
    #[prost(bool, optional, tag = "2")]
    pub boolean: Option<bool>,
}

/// One of its fields is set; none where the default is a list or an object, which have no place in it.
#[derive(Clone, PartialEq, Message)]
pub struct DefaultValue {
    #[prost(double, optional, tag = "1")]
    pub number: Option<f64>,
    #[prost(bool, optional, tag = "2")]
    pub boolean: Option<bool>,
    #[prost(string, optional, tag = "3")]
    pub string: Option<String>,
}

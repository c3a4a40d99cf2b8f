//! Questions in the form of objects: who am I, whose token is this, may somebody do something. They are created, answered
//! in their status, and never stored. Every door serves them by [`ApiServer::review`].

mod access;
mod rules;
mod selectors;
mod token;

use std::sync::LazyLock;

use api::Object;
use api::kind::Typed;
use api::strategy::UserInfo;
use bytes::Bytes;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{self as authentication, SelfSubjectReview, TokenReview};
use k8s_openapi::api::authorization::v1::{LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use machinery::apply::Writer;
use machinery::schema::Schema;
use machinery::{GroupKind, GroupVersionKind, Status, status};
use serde_json::Value;

use crate::server::ApiServer;
use crate::verbs::{Body, Caller, WriteOptions, read_unstored, record_unstored};

/// A review that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Review {
    Token,
    SelfSubject,
    SelfAccess,
    SelfRules,
    Access,
    LocalAccess,
}

static TOKEN: LazyLock<Schema> = LazyLock::new(Schema::of::<TokenReview>);
static SELF_SUBJECT: LazyLock<Schema> = LazyLock::new(Schema::of::<SelfSubjectReview>);
static SELF_ACCESS: LazyLock<Schema> = LazyLock::new(Schema::of::<SelfSubjectAccessReview>);
static SELF_RULES: LazyLock<Schema> = LazyLock::new(Schema::of::<SelfSubjectRulesReview>);
static ACCESS: LazyLock<Schema> = LazyLock::new(Schema::of::<SubjectAccessReview>);
static LOCAL_ACCESS: LazyLock<Schema> = LazyLock::new(Schema::of::<LocalSubjectAccessReview>);

impl Review {
    /// The review that a resource's name stands for.
    pub fn find(group: &str, version: &str, resource: &str) -> Option<Self> {
        match (group, version, resource) {
            ("authentication.k8s.io", "v1", "tokenreviews") => Some(Self::Token),
            ("authentication.k8s.io", "v1", "selfsubjectreviews") => Some(Self::SelfSubject),
            ("authorization.k8s.io", "v1", "selfsubjectaccessreviews") => Some(Self::SelfAccess),
            ("authorization.k8s.io", "v1", "selfsubjectrulesreviews") => Some(Self::SelfRules),
            ("authorization.k8s.io", "v1", "subjectaccessreviews") => Some(Self::Access),
            ("authorization.k8s.io", "v1", "localsubjectaccessreviews") => Some(Self::LocalAccess),
            _ => None,
        }
    }

    /// The kind of its objects.
    pub fn kind(self) -> GroupVersionKind {
        let (group, kind) = match self {
            Self::Token => ("authentication.k8s.io", "TokenReview"),
            Self::SelfSubject => ("authentication.k8s.io", "SelfSubjectReview"),
            Self::SelfAccess => ("authorization.k8s.io", "SelfSubjectAccessReview"),
            Self::SelfRules => ("authorization.k8s.io", "SelfSubjectRulesReview"),
            Self::Access => ("authorization.k8s.io", "SubjectAccessReview"),
            Self::LocalAccess => ("authorization.k8s.io", "LocalSubjectAccessReview"),
        };
        GroupVersionKind::new(group, "v1", kind)
    }

    /// Whether it is created within a namespace.
    pub fn is_namespaced(self) -> bool {
        self == Self::LocalAccess
    }
}

/// An answered question.
#[derive(Debug)]
pub struct Reviewed {
    pub json: Bytes,
    pub warnings: Vec<String>,
}

/// A question on its way to its answer.
struct Asked<'a> {
    server: &'a ApiServer,
    caller: &'a Caller,
    options: &'a WriteOptions,
    warnings: Vec<String>,
}

impl ApiServer {
    /// Answers a review. Nothing is stored. `namespace` is empty for reviews of the cluster.
    pub async fn review(
        &self,
        review: Review,
        caller: &Caller,
        namespace: &str,
        body: Body,
        options: &WriteOptions,
    ) -> status::Result<Reviewed> {
        let mut asked = Asked { server: self, caller, options, warnings: Vec::new() };
        let json = match review {
            Review::Token => {
                let question = asked.read(body, &TOKEN)?;
                encode(&token::answer(&mut asked, question).await?)
            }
            Review::SelfSubject => {
                asked.read::<SelfSubjectReview>(body, &SELF_SUBJECT)?;
                encode(&self_subject(&caller.user))
            }
            Review::SelfAccess => {
                let question = asked.read(body, &SELF_ACCESS)?;
                encode(&access::of_caller(&asked, question)?)
            }
            Review::SelfRules => {
                let question = asked.read(body, &SELF_RULES)?;
                encode(&rules::of_caller(&asked, &question)?)
            }
            Review::Access => {
                let question = asked.read(body, &ACCESS)?;
                encode(&access::of_subject(&asked, question)?)
            }
            Review::LocalAccess => {
                let question = asked.read(body, &LOCAL_ACCESS)?;
                encode(&access::within(&asked, question, namespace)?)
            }
        };
        Ok(Reviewed { json, warnings: asked.warnings })
    }
}

impl Asked<'_> {
    /// The question, with its sender recorded.
    fn read<T: Typed>(&mut self, body: Body, schema: &Schema) -> status::Result<T> {
        let (mut review, warnings) = read_unstored::<T>(body, self.options.field_validation, schema, &[T::API_VERSION], T::KIND)?;
        self.warnings = warnings;
        if T::KIND != <LocalSubjectAccessReview as k8s_openapi::Resource>::KIND {
            // The others are in no namespace, whatever they say.
            review.meta_mut().namespace = None;
        }
        self.caller.trail.requests(Some(review.meta()), || review.json());
        let writer = Writer {
            manager: self.options.field_manager.as_deref().unwrap_or(&self.caller.agent),
            api_version: T::API_VERSION,
            subresource: "",
            now: Timestamp::now(),
        };
        record_unstored(schema, writer, &mut review);
        Ok(review)
    }
}

fn encode(answered: &impl Typed) -> Bytes {
    let mut value = answered.to_value();
    if let Some(spec) = value.get_mut("spec") {
        forget_empty(spec);
    }
    let mut json = Vec::new();
    api::object::write_object(&value, &mut json);
    json.into()
}

/// A question is shown without what it leaves empty; a requirement has a key and an operator nevertheless.
fn forget_empty(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.retain(|key, value| {
            if key != "extra" {
                forget_empty(value);
            }
            match value {
                Value::String(text) => !text.is_empty() || matches!(key.as_str(), "key" | "operator"),
                Value::Array(items) => !items.is_empty(),
                Value::Object(fields) => key != "extra" || !fields.is_empty(),
                other => !other.is_null(),
            }
        }),
        Value::Array(items) => items.iter_mut().for_each(forget_empty),
        _ => {}
    }
}

/// Nothing is kept of the question.
fn self_subject(user: &UserInfo) -> SelfSubjectReview {
    SelfSubjectReview {
        metadata: ObjectMeta { creation_timestamp: Some(Time(Timestamp::now())), ..ObjectMeta::default() },
        status: Some(authentication::SelfSubjectReviewStatus { user_info: Some(shown(user)) }),
    }
}

/// A user as reviews show one.
fn shown(user: &UserInfo) -> authentication::UserInfo {
    authentication::UserInfo {
        username: Some(user.name.clone()),
        uid: Some(user.uid.clone()).filter(|uid| !uid.is_empty()),
        groups: Some(user.groups.clone()).filter(|groups| !groups.is_empty()),
        extra: Some(user.extra.clone()).filter(|extra| !extra.is_empty()),
    }
}

/// These 422s name the group alone.
fn refuse(group: &'static str, errors: machinery::field::Errors) -> status::Result<()> {
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(&GroupKind::new(group, ""), "", &errors)) }
}

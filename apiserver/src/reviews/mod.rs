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
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::apply::Writer;
use machinery::schema::Schema;
use machinery::{GroupKind, GroupVersionKind, Status, status};

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

/// A question on its way to its answer.
struct Asked<'a> {
    server: &'a ApiServer,
    caller: &'a Caller,
    options: &'a WriteOptions,
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
    ) -> status::Result<Bytes> {
        let asked = Asked { server: self, caller, options };
        Ok(match review {
            Review::Token => encode(&token::answer(&asked, asked.read(body, &TOKEN)?).await?),
            Review::SelfSubject => encode(&self_subject(asked.read(body, &SELF_SUBJECT)?, &caller.user)),
            Review::SelfAccess => encode(&access::of_caller(&asked, asked.read(body, &SELF_ACCESS)?)?),
            Review::SelfRules => encode(&rules::of_caller(&asked, asked.read(body, &SELF_RULES)?)?),
            Review::Access => encode(&access::of_subject(&asked, asked.read(body, &ACCESS)?)?),
            Review::LocalAccess => encode(&access::within(&asked, asked.read(body, &LOCAL_ACCESS)?, namespace)?),
        })
    }
}

impl Asked<'_> {
    /// The question, with its sender recorded.
    fn read<T: Typed>(&self, body: Body, schema: &Schema) -> status::Result<T> {
        let mut review: T = read_unstored(body, self.options.field_validation, schema, T::API_VERSION, T::KIND)?;
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
    let mut json = Vec::new();
    answered.write_json(&mut json);
    json.into()
}

fn self_subject(mut review: SelfSubjectReview, user: &UserInfo) -> SelfSubjectReview {
    review.metadata.creation_timestamp = Some(Time(Timestamp::now()));
    review.status = Some(authentication::SelfSubjectReviewStatus { user_info: Some(shown(user)) });
    review
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

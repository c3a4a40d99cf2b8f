//! Questions in the form of objects: who am I, may somebody do something. They are created, answered in their
//! status, and never stored.

use axum::body::Body as HttpBody;
use http::StatusCode;
use k8s_openapi::Resource;
use k8s_openapi::api::authentication::v1::{self as authentication, SelfSubjectReview};
use k8s_openapi::api::authorization::v1::{
    LocalSubjectAccessReview, NonResourceAttributes, ResourceAttributes, SelfSubjectAccessReview, SubjectAccessReview,
    SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use machinery::field::{Error, Errors, Path};
use machinery::{GroupKind, GroupResource, GroupVersionKind, Status, status};
use serde::{Serialize, de::DeserializeOwned};

use api::strategy::UserInfo;

use super::accept::{self, Form, Format, Shape};
use super::body;
use super::path::ResourcePath;
use super::resource::Call;
use super::respond::{self, Answer};
use crate::auth::{Attributes, Decision};

/// A review that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Review {
    SelfSubject,
    SelfAccess,
    Access,
    LocalAccess,
}

/// The review that a path names.
pub fn find(path: &ResourcePath) -> Option<Review> {
    match (path.group.as_str(), path.version.as_str(), path.resource.as_str()) {
        ("authentication.k8s.io", "v1", "selfsubjectreviews") => Some(Review::SelfSubject),
        ("authorization.k8s.io", "v1", "selfsubjectaccessreviews") => Some(Review::SelfAccess),
        ("authorization.k8s.io", "v1", "subjectaccessreviews") => Some(Review::Access),
        ("authorization.k8s.io", "v1", "localsubjectaccessreviews") => Some(Review::LocalAccess),
        _ => None,
    }
}

impl Review {
    pub async fn serve(self, call: &Call<'_>, form: Form, http_body: HttpBody) -> status::Result<Answer> {
        let local = self == Self::LocalAccess;
        if !call.path.name.is_empty() || local == call.path.namespace.is_empty() {
            return Err(Status::path_not_found());
        }
        if call.verb != "create" {
            return Err(Status::method_not_supported(&GroupResource::new("", ""), call.verb).without_details());
        }
        if form.shape != Shape::Object {
            return Err(Status::not_acceptable(&accept::SERVED));
        }
        let format = accept::body_format(call.headers)?;
        let bytes = body::read(http_body).await?;
        let answer = match self {
            Self::SelfSubject => encode(&self_subject(decode(&bytes, format)?, &call.caller.user)),
            Self::SelfAccess => encode(&self_access(call, decode(&bytes, format)?)?),
            Self::Access => encode(&access(call, decode(&bytes, format)?)?),
            Self::LocalAccess => encode(&local_access(call, decode(&bytes, format)?)?),
        }?;
        Ok(respond::encoded(StatusCode::CREATED, form.format, answer.into()))
    }
}

fn decode<T: DeserializeOwned + Resource>(bytes: &[u8], format: Format) -> status::Result<T> {
    let read = match format {
        Format::Protobuf => {
            let json = body::protobuf_to_json(bytes, &GroupVersionKind::new(T::GROUP, T::VERSION, T::KIND))?;
            serde_json::from_slice(&json).map_err(|e| e.to_string())
        }
        Format::Json => serde_json::from_slice(bytes).map_err(|e| e.to_string()),
        Format::Yaml => serde_yaml::from_slice(bytes).map_err(|e| e.to_string()),
    };
    read.map_err(|e| Status::bad_request(format!("the body does not read as this review: {e}")))
}

fn encode(value: &impl Serialize) -> status::Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Status::internal(e.to_string()))
}

fn self_subject(mut review: SelfSubjectReview, user: &UserInfo) -> SelfSubjectReview {
    review.metadata.creation_timestamp = Some(Time(jiff::Timestamp::now()));
    review.status = Some(authentication::SelfSubjectReviewStatus {
        user_info: Some(authentication::UserInfo {
            username: Some(user.name.clone()),
            uid: Some(user.uid.clone()).filter(|u| !u.is_empty()),
            groups: Some(user.groups.clone()),
            extra: Some(user.extra.clone()).filter(|e| !e.is_empty()),
        }),
    });
    review
}

fn self_access(call: &Call<'_>, mut review: SelfSubjectAccessReview) -> status::Result<SelfSubjectAccessReview> {
    let spec = &review.spec;
    let mut errors = Errors::new();
    one_kind_of_attributes(spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref(), &mut errors);
    refuse(errors)?;
    review.status = Some(decide(call, &call.caller.user, spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref()));
    Ok(review)
}

fn access(call: &Call<'_>, mut review: SubjectAccessReview) -> status::Result<SubjectAccessReview> {
    refuse(validate(&review.spec, &review.metadata))?;
    review.status = Some(decide_for(call, &review.spec));
    Ok(review)
}

fn local_access(call: &Call<'_>, mut review: LocalSubjectAccessReview) -> status::Result<LocalSubjectAccessReview> {
    let namespace = &call.path.namespace;
    if review.metadata.namespace.as_ref().is_some_and(|n| n != namespace) {
        return Err(Status::bad_request("the namespace of the object is not the request's"));
    }
    review.metadata.namespace = Some(namespace.clone());
    let mut bare = review.metadata.clone();
    bare.namespace = None;
    let mut errors = validate(&review.spec, &bare);
    let spec = Path::new("spec");
    if review.spec.resource_attributes.as_ref().is_some_and(|r| r.namespace.as_ref() != Some(namespace)) {
        let path = spec.child("resourceAttributes").child("namespace");
        errors.push(Error::invalid(
            &path,
            &review.spec.resource_attributes.as_ref().and_then(|r| r.namespace.clone()),
            "must be the review's",
        ));
    }
    if errors.is_empty() && review.spec.non_resource_attributes.is_some() {
        errors.push(Error::invalid(&spec.child("nonResourceAttributes"), "", "is not for reviews within a namespace"));
    }
    refuse(errors)?;
    review.status = Some(decide_for(call, &review.spec));
    Ok(review)
}

fn validate(spec: &SubjectAccessReviewSpec, metadata: &ObjectMeta) -> Errors {
    let mut errors = Errors::new();
    one_kind_of_attributes(spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref(), &mut errors);
    let nobody = spec.user.as_deref().unwrap_or_default().is_empty() && spec.groups.iter().flatten().next().is_none();
    if nobody {
        errors.push(Error::invalid(&Path::new("spec").child("user"), "", "a user or a group is needed"));
    }
    let mut rest = metadata.clone();
    rest.managed_fields = None;
    if rest != ObjectMeta::default() {
        errors.push(Error::invalid(&Path::new("metadata"), "", "must be empty"));
    }
    errors
}

fn one_kind_of_attributes(resource: Option<&ResourceAttributes>, path: Option<&NonResourceAttributes>, errors: &mut Errors) {
    let spec = Path::new("spec");
    match (resource, path) {
        (Some(_), Some(_)) => {
            errors.push(Error::invalid(&spec.child("nonResourceAttributes"), "", "cannot be combined with resourceAttributes"))
        }
        (None, None) => {
            errors.push(Error::invalid(&spec.child("resourceAttributes"), "", "either these or nonResourceAttributes are needed"))
        }
        _ => {}
    }
}

fn refuse(errors: Errors) -> status::Result<()> {
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(&GroupKind::new("authorization.k8s.io", ""), "", &errors)) }
}

fn decide_for(call: &Call<'_>, spec: &SubjectAccessReviewSpec) -> SubjectAccessReviewStatus {
    let user = UserInfo {
        name: spec.user.clone().unwrap_or_default(),
        uid: spec.uid.clone().unwrap_or_default(),
        groups: spec.groups.clone().unwrap_or_default(),
        extra: spec.extra.clone().unwrap_or_default(),
    };
    decide(call, &user, spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref())
}

fn decide(
    call: &Call<'_>,
    user: &UserInfo,
    resource: Option<&ResourceAttributes>,
    path: Option<&NonResourceAttributes>,
) -> SubjectAccessReviewStatus {
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    let decision = match (resource, path) {
        (Some(r), _) => {
            let (verb, group, kind) = (text(&r.verb), text(&r.group), text(&r.resource));
            let (namespace, name) = (text(&r.namespace), text(&r.name));
            let subresource = r.subresource.as_deref().filter(|s| !s.is_empty());
            let attributes =
                Attributes::Resource { verb: &verb, group: &group, resource: &kind, subresource, namespace: &namespace, name: &name };
            call.chain.authorizer.authorize(user, &attributes)
        }
        (None, Some(p)) => {
            let (verb, path) = (text(&p.verb), text(&p.path));
            call.chain.authorizer.authorize(user, &Attributes::Path { verb: &verb, path: &path })
        }
        (None, None) => Decision::NoOpinion { reason: String::new() },
    };
    let (allowed, reason) = match decision {
        Decision::Allow => (true, None),
        Decision::NoOpinion { reason } => (false, Some(reason).filter(|r| !r.is_empty())),
    };
    SubjectAccessReviewStatus { allowed, reason, ..SubjectAccessReviewStatus::default() }
}

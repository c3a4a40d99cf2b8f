//! Access reviews: may somebody do something?

use api::strategy::UserInfo;
use k8s_openapi::api::authorization::v1::{
    LocalSubjectAccessReview, NonResourceAttributes, ResourceAttributes, SelfSubjectAccessReview, SubjectAccessReview,
    SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::field::{Error, Errors, Path};
use machinery::{Status, status};

use super::{Asked, refuse, selectors};
use crate::auth::authorize::ResourceAccess;
use crate::auth::{Attributes, Authorizer as _, Decision};

const GROUP: &str = "authorization.k8s.io";

pub(super) fn of_caller(asked: &Asked<'_>, mut review: SelfSubjectAccessReview) -> status::Result<SelfSubjectAccessReview> {
    let spec = &review.spec;
    let mut errors = Errors::new();
    check_attributes(spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref(), &mut errors);
    check_metadata(&review.metadata, &mut errors);
    refuse(GROUP, errors)?;
    let user = &asked.caller.user;
    review.status = Some(asked.decide(user, spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref()));
    Ok(review)
}

pub(super) fn of_subject(asked: &Asked<'_>, mut review: SubjectAccessReview) -> status::Result<SubjectAccessReview> {
    refuse(GROUP, validate(&review.spec, &review.metadata))?;
    review.status = Some(asked.decide_for(&review.spec));
    Ok(review)
}

pub(super) fn within(asked: &Asked<'_>, mut review: LocalSubjectAccessReview, namespace: &str) -> status::Result<LocalSubjectAccessReview> {
    if review.metadata.namespace.as_deref().is_some_and(|own| !own.is_empty() && own != namespace) {
        return Err(Status::bad_request("the namespace of the object is not the request's"));
    }
    let bare = ObjectMeta { namespace: None, ..review.metadata.clone() };
    review.metadata.namespace = Some(namespace.to_owned());
    let mut errors = validate(&review.spec, &bare);
    let spec = Path::new("spec");
    let resource = review.spec.resource_attributes.as_ref();
    if resource.is_some_and(|r| r.namespace.as_deref() != Some(namespace)) {
        let path = spec.child("resourceAttributes").child("namespace");
        errors.push(Error::invalid(&path, &resource.and_then(|r| r.namespace.clone()), "must be the review's"));
    }
    if review.spec.non_resource_attributes.is_some() {
        errors.push(Error::invalid(&spec.child("nonResourceAttributes"), "", "is not for reviews within a namespace"));
    }
    refuse(GROUP, errors)?;
    review.status = Some(asked.decide_for(&review.spec));
    Ok(review)
}

fn validate(spec: &SubjectAccessReviewSpec, metadata: &ObjectMeta) -> Errors {
    let mut errors = Errors::new();
    check_attributes(spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref(), &mut errors);
    if spec.user.as_deref().unwrap_or_default().is_empty() && spec.groups.iter().flatten().next().is_none() {
        errors.push(Error::invalid(&Path::new("spec").child("user"), "", "a user or a group is needed"));
    }
    check_metadata(metadata, &mut errors);
    errors
}

fn check_metadata(metadata: &ObjectMeta, errors: &mut Errors) {
    let rest = ObjectMeta { managed_fields: None, ..metadata.clone() };
    if rest != ObjectMeta::default() {
        errors.push(Error::invalid(&Path::new("metadata"), "", "must be empty"));
    }
}

fn check_attributes(resource: Option<&ResourceAttributes>, path: Option<&NonResourceAttributes>, errors: &mut Errors) {
    let spec = Path::new("spec");
    match (resource, path) {
        (Some(_), Some(_)) => {
            errors.push(Error::invalid(&spec.child("nonResourceAttributes"), "", "cannot be combined with resourceAttributes"));
        }
        (None, None) => {
            errors.push(Error::invalid(&spec.child("resourceAttributes"), "", "either these or nonResourceAttributes are needed"));
        }
        _ => {}
    }
    if let Some(resource) = resource {
        errors.extend(selectors::check(resource, &spec.child("resourceAttributes")));
    }
}

impl Asked<'_> {
    fn decide_for(&self, spec: &SubjectAccessReviewSpec) -> SubjectAccessReviewStatus {
        let user = UserInfo {
            name: spec.user.clone().unwrap_or_default(),
            uid: spec.uid.clone().unwrap_or_default(),
            groups: spec.groups.clone().unwrap_or_default(),
            extra: spec.extra.clone().unwrap_or_default(),
        };
        self.decide(&user, spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref())
    }

    fn decide(
        &self,
        user: &UserInfo,
        resource: Option<&ResourceAttributes>,
        path: Option<&NonResourceAttributes>,
    ) -> SubjectAccessReviewStatus {
        let access = self.server.access();
        let mut evaluation_error = None;
        let decision = match (resource, path) {
            (Some(r), _) => {
                let (selector, said) = selectors::read(r);
                evaluation_error = said;
                let attributes = ResourceAccess {
                    verb: text(&r.verb),
                    group: text(&r.group),
                    resource: text(&r.resource),
                    subresource: r.subresource.as_deref().filter(|s| !s.is_empty()),
                    namespace: text(&r.namespace),
                    name: text(&r.name),
                    field_selector: &selector,
                };
                access.authorize(user, &Attributes::Resource(attributes))
            }
            (None, Some(p)) => access.authorize(user, &Attributes::Path { verb: text(&p.verb), path: text(&p.path) }),
            (None, None) => Decision::no_opinion(),
        };
        let (allowed, reason) = match decision {
            Decision::Allow(grounds) => (true, grounds.to_string()),
            Decision::NoOpinion { reason } => (false, reason),
        };
        let reason = Some(reason).filter(|reason| !reason.is_empty());
        SubjectAccessReviewStatus { allowed, reason, evaluation_error, ..SubjectAccessReviewStatus::default() }
    }
}

fn text(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

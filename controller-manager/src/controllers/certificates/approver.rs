//! Approves nodes' client certificates: a node may have its own renewed, and a bootstrapper ask for a node's first,
//! if roles let them.

use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReviewSpec};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use runtime::signing::CertificateRequest;

use super::{Signer, condition, has_condition};
use crate::controller::{Controller, Key, Wake};
use crate::plan::{Guard, Plan, Write};
use crate::world::{Change, Kind, World};

pub struct CertificateApprover;

impl Controller for CertificateApprover {
    fn name(&self) -> &'static str {
        "certificatesigningrequest-approving-controller"
    }

    fn account(&self) -> Option<&'static str> {
        Some("certificate-controller")
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::CertificateSigningRequest]
    }

    fn wakes(&self, _world: &World, change: &Change<'_>, wake: &mut Wake) {
        if let Change::CertificateSigningRequest(delta) = change {
            wake.key(&delta.newest().header().key);
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(request) = world.signing_requests.get(key) else { return plan };
        let decided = has_condition(request, "Approved") || has_condition(request, "Denied");
        if decided || request.header().is_terminating() || Signer::of(request) != Some(Signer::KubeletClient) {
            return plan;
        }
        let Ok(asked) = CertificateRequest::from_pem(&request.spec.request.0) else { return plan };
        if Signer::KubeletClient.check(&asked, request.spec.usages.as_deref().unwrap_or_default()).is_err() {
            return plan;
        }
        let (right, message) = if request.spec.username.as_deref() == Some(asked.common_name.as_str()) {
            ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.")
        } else {
            ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.")
        };
        let mut approved = request.to_object();
        approved.status.get_or_insert_default().conditions.get_or_insert_default().push(condition("Approved", "AutoApproved", message));
        plan.write(Write::update_view(approved, "approval").guarded(Guard::Permitted(Box::new(may_have(request, right)))));
        plan
    }
}

/// Whether who asked may have a certificate of this sort.
fn may_have(request: &CertificateSigningRequest, right: &str) -> SubjectAccessReviewSpec {
    let spec = &request.spec;
    let attributes = ResourceAttributes {
        verb: Some("create".to_owned()),
        group: Some("certificates.k8s.io".to_owned()),
        version: Some("*".to_owned()),
        resource: Some("certificatesigningrequests".to_owned()),
        subresource: Some(right.to_owned()),
        ..ResourceAttributes::default()
    };
    SubjectAccessReviewSpec {
        user: spec.username.clone(),
        uid: spec.uid.clone(),
        groups: spec.groups.clone(),
        extra: spec.extra.clone(),
        resource_attributes: Some(attributes),
        non_resource_attributes: None,
    }
}

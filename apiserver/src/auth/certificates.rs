//! Admission of certificate signing requests: who approves or signs for a signer must be allowed to, by a right on the
//! signer's name; and nobody asks for a certificate that makes an administrator.

use api::Object;
use api::object::downcast_ref;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use machinery::Status;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::authorize::{Attributes, Authorizer as _, ResourceAccess};
use super::rbac::MASTERS;
use crate::admission::{Operation, Plugin, Request};

const GROUP: &str = "certificates.k8s.io";
const PLURAL: &str = "certificatesigningrequests";
const API_CLIENT: &str = "kubernetes.io/kube-apiserver-client";

/// CertificateApproval.
pub struct Approval;
/// CertificateSigning.
pub struct Signing;
/// CertificateSubjectRestriction.
pub struct SubjectRestriction;

impl Plugin for Approval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    fn validate(&self, request: &Request<'_>, _object: Option<&dyn Object>, _warnings: &mut Vec<String>) -> Result<(), Status> {
        match request.old.and_then(downcast_ref::<CertificateSigningRequest>) {
            Some(old) if request.is(GROUP, PLURAL, Some("approval")) => may(request, "approve", old),
            _ => Ok(()),
        }
    }
}

impl Plugin for Signing {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    fn validate(&self, request: &Request<'_>, object: Option<&dyn Object>, _warnings: &mut Vec<String>) -> Result<(), Status> {
        if !request.is(GROUP, PLURAL, Some("status")) {
            return Ok(());
        }
        let both =
            (request.old.and_then(downcast_ref::<CertificateSigningRequest>), object.and_then(downcast_ref::<CertificateSigningRequest>));
        let (Some(old), Some(new)) = both else { return Ok(()) };
        // Anybody who may write the status may write it again as it is.
        if old.status == new.status { Ok(()) } else { may(request, "sign", old) }
    }
}

impl Plugin for SubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn validate(&self, request: &Request<'_>, object: Option<&dyn Object>, _warnings: &mut Vec<String>) -> Result<(), Status> {
        if request.operation != Operation::Create || !request.is(GROUP, PLURAL, None) {
            return Ok(());
        }
        let Some(asked) = object.and_then(downcast_ref::<CertificateSigningRequest>) else { return Ok(()) };
        if asked.spec.signer_name != API_CLIENT || !organizations(&asked.spec.request.0).iter().any(|group| group == MASTERS) {
            return Ok(());
        }
        Err(forbidden(request, asked, format!("use of {API_CLIENT} signer with {MASTERS} group is not allowed")))
    }
}

/// Whether the writer has a right on the signer: by its full name, or on all of its domain.
fn may(request: &Request<'_>, verb: &str, object: &CertificateSigningRequest) -> Result<(), Status> {
    let signer = object.spec.signer_name.as_str();
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    let allowed = |name: &str| {
        let access = ResourceAccess { verb, group: GROUP, resource: "signers", name, ..ResourceAccess::default() };
        request.access.authorize(request.user, &Attributes::Resource(access)).is_allowed()
    };
    if allowed(signer) || allowed(&format!("{domain}/*")) {
        return Ok(());
    }
    Err(forbidden(request, object, format!("user not permitted to {verb} requests with signerName {signer:?}")))
}

fn forbidden(request: &Request<'_>, object: &CertificateSigningRequest, why: String) -> Status {
    Status::forbidden(&request.target.resource.group_resource(), object.metadata.name.as_deref().unwrap_or_default(), why)
}

/// The organizations that a request in PEM form names. Validation has refused what does not read.
fn organizations(pem: &[u8]) -> Vec<String> {
    let read = |subject: &X509Name<'_>| -> Vec<String> {
        subject.iter_organization().filter_map(|organization| organization.as_str().ok().map(str::to_owned)).collect()
    };
    of_subject(pem, read).unwrap_or_default()
}

/// The common name that a request in PEM form asks for; empty if it has none. None: it does not read.
pub(super) fn common_name(pem: &[u8]) -> Option<String> {
    of_subject(pem, |subject| subject.iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned())
}

fn of_subject<T>(pem: &[u8], read: impl FnOnce(&X509Name<'_>) -> T) -> Option<T> {
    let (_, pem) = parse_x509_pem(pem).ok()?;
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).ok()?;
    Some(read(&request.certification_request_info.subject))
}

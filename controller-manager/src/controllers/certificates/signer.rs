//! Signs the requests that have been approved, or says why not.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use runtime::signing::{Authority, CertificateRequest};

use super::{Signer, condition, has_condition};
use crate::controller::{Controller, Key, Wake};
use crate::plan::{Plan, Write};
use crate::world::{Change, Kind, World};

pub struct CertificateSigner {
    pub authority: Arc<Authority>,
    /// How long certificates live at most.
    pub longest: Duration,
}

impl Controller for CertificateSigner {
    fn name(&self) -> &'static str {
        "certificatesigningrequest-signing-controller"
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

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(request) = world.signing_requests.get(key) else { return plan };
        let is_issued = request.status.as_ref().is_some_and(|status| status.certificate.is_some());
        let is_due = has_condition(request, "Approved") && !has_condition(request, "Denied") && !has_condition(request, "Failed");
        let Some(signer) = Signer::of(request).filter(|_| is_due && !is_issued && !request.header().is_terminating()) else { return plan };
        let mut answered = request.to_object();
        let status = answered.status.get_or_insert_default();
        match self.sign(signer, request, now) {
            Ok(pem) => status.certificate = Some(ByteString(pem.into_bytes())),
            Err(why) => status.conditions.get_or_insert_default().push(condition("Failed", "SignerValidationFailure", &why)),
        }
        plan.write(Write::update_status(answered));
        plan
    }
}

impl CertificateSigner {
    fn sign(&self, signer: Signer, request: &CertificateSigningRequest, now: Timestamp) -> Result<String, String> {
        let asked = CertificateRequest::from_pem(&request.spec.request.0).map_err(|error| error.to_string())?;
        let usages = request.spec.usages.as_deref().unwrap_or_default();
        signer.check(&asked, usages)?;
        let longest = SignedDuration::try_from(self.longest).unwrap_or(SignedDuration::MAX);
        let wanted = request.spec.expiration_seconds.map(|seconds| SignedDuration::from_secs(seconds.into()));
        self.authority.sign(&asked, usages, now, wanted.map_or(longest, |wanted| wanted.min(longest))).map_err(|error| error.to_string())
    }
}

//! CertificateSigningRequest: asks a signer for a certificate. Who asked is recorded by the server; one party
//! approves, another signs, each through a subresource of its own.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition as Condition, CertificateSigningRequestStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::validation;
use crate::columns;
use crate::kind::{Column, Kind, Names, Scope, SelectableField, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::zero;

pub struct CertificateSigningRequests;

impl Kind for CertificateSigningRequests {
    type Object = CertificateSigningRequest;

    const NAMES: Names = Names {
        group: "certificates.k8s.io",
        version: "v1",
        kind: "CertificateSigningRequest",
        plural: "certificatesigningrequests",
        singular: "certificatesigningrequest",
        short: &["csr"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "certificatesigningrequests";
    const SELECTABLE: &'static [&'static str] = &["spec.signerName"];
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::AGE,
        Column::text("SignerName", "Who is to sign."),
        Column::text("Requestor", "Who asked."),
        Column::text("RequestedDuration", "For how long."),
        Column::text("Condition", "How far it has come."),
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::path_segment(name, prefix)
    }

    fn default(request: &mut CertificateSigningRequest) {
        let spec = &mut request.spec;
        zero::omit(&mut spec.usages);
        zero::omit(&mut spec.username);
        zero::omit(&mut spec.uid);
        zero::omit(&mut spec.groups);
        zero::omit(&mut spec.extra);
        let status = zero::keep(&mut request.status);
        zero::omit(&mut status.conditions);
        if status.certificate.as_ref().is_some_and(|certificate| certificate.0.is_empty()) {
            status.certificate = None;
        }
        for condition in status.conditions.iter_mut().flatten() {
            zero::omit(&mut condition.message);
            zero::omit(&mut condition.reason);
        }
    }

    fn prepare_create(cx: &Context<'_>, request: &mut CertificateSigningRequest) {
        let spec = &mut request.spec;
        spec.username = Some(cx.user.name.clone());
        spec.uid = Some(cx.user.uid.clone());
        spec.groups = Some(cx.user.groups.clone());
        spec.extra = Some(cx.user.extra.clone());
        zero::omit(&mut spec.uid);
        zero::omit(&mut spec.groups);
        zero::omit(&mut spec.extra);
        request.status = Some(CertificateSigningRequestStatus::default());
    }

    fn validate_create(_cx: &Context<'_>, request: &CertificateSigningRequest) -> Errors {
        validation::check(request)
    }

    fn update() -> &'static dyn UpdateStrategy<CertificateSigningRequest> {
        &Update
    }

    fn subresources() -> Vec<Subresource<CertificateSigningRequest>> {
        vec![Subresource { name: "status", view: View::Object(&Signing) }, Subresource { name: "approval", view: View::Object(&Approval) }]
    }

    fn selectable_fields(request: &CertificateSigningRequest) -> Vec<SelectableField> {
        vec![("spec.signerName", Cow::Owned(request.spec.signer_name.clone()))]
    }

    fn row(request: &CertificateSigningRequest, now: Timestamp) -> Vec<Value> {
        let spec = &request.spec;
        let seconds = spec.expiration_seconds.map(|s| machinery::table::human_duration(s.into()));
        vec![
            columns::name(&request.metadata),
            columns::age(&request.metadata, now),
            json!(columns::or_none(spec.signer_name.clone())),
            json!(spec.username.as_deref().unwrap_or_default()),
            json!(seconds.unwrap_or_else(|| columns::NONE.to_owned())),
            json!(progress(request)),
        ]
    }
}

fn progress(request: &CertificateSigningRequest) -> String {
    let of = |kind: &str| validation::conditions(request).iter().any(|condition| condition.type_ == kind);
    let mut words = vec![match (of("Denied"), of("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }];
    if of("Failed") {
        words.push("Failed");
    }
    if request.status.as_ref().is_some_and(|s| s.certificate.is_some()) {
        words.push("Issued");
    }
    words.join(",")
}

struct Update;

impl UpdateStrategy<CertificateSigningRequest> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut CertificateSigningRequest, old: &CertificateSigningRequest) {
        new.spec.clone_from(&old.spec);
        new.status.clone_from(&old.status);
    }

    fn validate(&self, _cx: &Context<'_>, new: &CertificateSigningRequest, old: &CertificateSigningRequest) -> Errors {
        validation::check_update(new, old, false)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec", "status"]
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::WholeThenChange
    }
}

/// What a signer writes: the certificate, or why there is none.
struct Signing;

impl UpdateStrategy<CertificateSigningRequest> for Signing {
    fn prepare(&self, cx: &Context<'_>, new: &mut CertificateSigningRequest, old: &CertificateSigningRequest) {
        new.spec.clone_from(&old.spec);
        validation::keep_decisions(new, old);
        date_conditions(cx, new, old);
    }

    fn validate(&self, _cx: &Context<'_>, new: &CertificateSigningRequest, old: &CertificateSigningRequest) -> Errors {
        let mut errors = validation::check_update(new, old, false);
        let certificate = |request: &CertificateSigningRequest| request.status.as_ref().and_then(|s| s.certificate.clone());
        let (is, was) = (certificate(new), certificate(old));
        if was.is_some() && is != was {
            errors.push(Error::forbidden(&Path::new("status").child("certificate"), "cannot change once it is set"));
        }
        errors
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::WholeThenChange
    }
}

/// What an approver writes: conditions only.
struct Approval;

impl UpdateStrategy<CertificateSigningRequest> for Approval {
    fn prepare(&self, cx: &Context<'_>, new: &mut CertificateSigningRequest, old: &CertificateSigningRequest) {
        new.spec.clone_from(&old.spec);
        zero::keep(&mut new.status).certificate = old.status.as_ref().and_then(|s| s.certificate.clone());
        date_conditions(cx, new, old);
    }

    fn validate(&self, _cx: &Context<'_>, new: &CertificateSigningRequest, old: &CertificateSigningRequest) -> Errors {
        validation::check_update(new, old, true)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec", "status.certificate"]
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::WholeThenChange
    }
}

/// Conditions are dated by the server: when they were last written, and when their status last changed.
fn date_conditions(cx: &Context<'_>, new: &mut CertificateSigningRequest, old: &CertificateSigningRequest) {
    let before = validation::conditions(old).to_vec();
    let same = |a: &Condition, b: &Condition| a.type_ == b.type_ && a.status == b.status;
    for condition in zero::keep(&mut new.status).conditions.iter_mut().flatten() {
        let known = before.iter().find(|before| same(before, condition));
        condition.last_update_time.get_or_insert(Time(cx.now));
        if condition.last_transition_time.is_none() {
            condition.last_transition_time = known.and_then(|k| k.last_transition_time.clone()).or(Some(Time(cx.now)));
        }
    }
}

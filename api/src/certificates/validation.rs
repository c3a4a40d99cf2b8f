//! What may be wrong with a signing request, its conditions and the certificate that was issued.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition as Condition};
use machinery::field::{Error, Errors, Path};
use machinery::names;

use crate::validate;

const REQUEST: &str = "CERTIFICATE REQUEST";
const LEAST_SECONDS: i32 = 600;
const MOST_DOMAIN_BYTES: usize = 253;
/// A domain, a slash, and a path of as many.
const MOST_SIGNER_BYTES: usize = 571;
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// The conditions that approvers set.
const DECISIONS: [&str; 2] = ["Approved", "Denied"];

pub(super) fn conditions(request: &CertificateSigningRequest) -> &[Condition] {
    request.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default()
}

pub(super) fn check(request: &CertificateSigningRequest) -> Errors {
    let spec = &request.spec;
    let path = Path::new("spec");
    let mut errors = Errors::new();
    if let Err(why) = pem(REQUEST, first_block(&spec.request.0)) {
        errors.push(Error::invalid(&path.child("request"), "", why));
    }
    let usages = spec.usages.as_deref().unwrap_or_default();
    let usages_path = path.child("usages");
    if usages.is_empty() {
        errors.push(Error::required(&usages_path, ""));
    }
    for (i, usage) in usages.iter().enumerate() {
        if !USAGES.contains(&usage.as_str()) {
            errors.push(Error::not_supported(&usages_path.index(i), usage, &USAGES));
        }
        if usages[..i].contains(usage) {
            errors.push(Error::duplicate(&usages_path.index(i), usage));
        }
    }
    errors.extend(check_signer(&path.child("signerName"), &spec.signer_name));
    if let Some(seconds) = spec.expiration_seconds.filter(|seconds| *seconds < LEAST_SECONDS) {
        errors.push(Error::invalid(&path.child("expirationSeconds"), seconds, format!("may not be less than {LEAST_SECONDS}")));
    }
    errors.extend(check_conditions(request));
    errors
}

/// The first block of a PEM text, up to the end of a request. What stands around it is not looked at, as Go does not.
fn first_block(text: &[u8]) -> &[u8] {
    let find = |text: &[u8], what: &str| text.windows(what.len()).position(|window| window == what.as_bytes());
    let begin = match find(text, "-----BEGIN ") {
        Some(begin) if begin == 0 || text[begin - 1] == b'\n' => begin,
        _ => return text,
    };
    let end = format!("-----END {REQUEST}-----");
    find(&text[begin..], &end).map_or(text, |at| &text[begin..begin + at + end.len()])
}

fn check_signer(path: &Path, name: &str) -> Errors {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    if name == "kubernetes.io/legacy-unknown" {
        return vec![Error::invalid(path, name, "is not allowed in this version")];
    }
    let Some((domain, rest)) = name.split_once('/').filter(|(_, rest)| !rest.contains('/')) else {
        return vec![Error::invalid(path, name, "must be a domain and a path, such as \"example.com/signer\"")];
    };
    let mut errors = Errors::new();
    if domain.len() > MOST_DOMAIN_BYTES {
        errors.push(Error::too_long(path, MOST_DOMAIN_BYTES));
    }
    // The first bad label is enough to say of a domain.
    let wrong = domain.split('.').map(|label| names::dns1123_label(label, false)).find(|wrong| !wrong.is_empty());
    errors.extend(validate::complaints(path, domain, wrong.unwrap_or_default()));
    if !domain.contains('.') {
        errors.push(Error::invalid(path, domain, "the domain must have two labels at least"));
    }
    for label in rest.split('.') {
        errors.extend(validate::complaints(path, name, names::dns1123_label(label, false)));
    }
    if name.len() > MOST_SIGNER_BYTES {
        errors.push(Error::too_long(path, MOST_SIGNER_BYTES));
    }
    errors
}

fn check_conditions(request: &CertificateSigningRequest) -> Errors {
    let path = Path::new("status").child("conditions");
    let mut errors = Errors::new();
    let all = conditions(request);
    for (i, condition) in all.iter().enumerate() {
        let path = path.index(i);
        if condition.type_.is_empty() {
            errors.push(Error::required(&path.child("type"), ""));
        }
        // These say that something happened, and cannot unhappen.
        let final_one = matches!(condition.type_.as_str(), "Approved" | "Denied" | "Failed");
        let statuses: &[&str] = if final_one { &["True"] } else { &["False", "True", "Unknown"] };
        errors.extend(validate::one_of(&path.child("status"), Some(&condition.status), statuses));
        if all[..i].iter().any(|before| before.type_ == condition.type_) {
            errors.push(Error::duplicate(&path.child("type"), &condition.type_));
        }
    }
    let has = |kind: &str| all.iter().any(|condition| condition.type_ == kind);
    if has("Approved") && has("Denied") {
        errors.push(Error::invalid(&path, "Denied", "Approved and Denied conditions are mutually exclusive"));
    }
    errors
}

/// Puts what was decided back as it was, where it is still there and in its place.
pub(super) fn keep_decisions(new: &mut CertificateSigningRequest, old: &CertificateSigningRequest) {
    for kind in DECISIONS {
        let was: Vec<&Condition> = of_kind(old, kind);
        if was.len() != of_kind(new, kind).len() {
            continue;
        }
        let is =
            new.status.iter_mut().flat_map(|status| status.conditions.iter_mut().flatten()).filter(|condition| condition.type_ == kind);
        is.zip(was).for_each(|(is, was)| is.clone_from(was));
    }
}

fn of_kind<'r>(request: &'r CertificateSigningRequest, kind: &str) -> Vec<&'r Condition> {
    conditions(request).iter().filter(|condition| condition.type_ == kind).collect()
}

/// `decides`: the view of the object by which requests are approved and denied. What is final is never taken away.
pub(super) fn check_update(new: &CertificateSigningRequest, old: &CertificateSigningRequest, decides: bool) -> Errors {
    let path = Path::new("status").child("conditions");
    let mut errors = check_conditions(new);
    for kind in ["Approved", "Denied", "Failed"] {
        if of_kind(new, kind).len() < of_kind(old, kind).len() {
            errors.push(Error::forbidden(&path, format!("updates may not remove a condition of type {kind:?}")));
        }
    }
    for kind in DECISIONS.iter().filter(|_| !decides) {
        let (is, was) = (of_kind(new, kind), of_kind(old, kind));
        if is.len() > was.len() || is.len() == was.len() && is != was {
            errors.push(Error::forbidden(&path, format!("updates may not add or change a condition of type {kind:?}")));
        }
    }
    let certificate = |request: &CertificateSigningRequest| request.status.as_ref().and_then(|s| s.certificate.clone());
    let issued = certificate(new);
    if let Some(issued) = issued.as_ref().filter(|_| issued != certificate(old))
        && let Err(why) = pem("CERTIFICATE", &issued.0)
    {
        errors.push(Error::invalid(&Path::new("status").child("certificate"), "", why));
    }
    errors
}

/// Whether the text is one or more PEM blocks of that type, each a DER sequence as long as it says.
pub(crate) fn pem(kind: &str, text: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(text).map_err(|_| "is not PEM".to_owned())?;
    let (begin, end) = (format!("-----BEGIN {kind}-----"), format!("-----END {kind}-----"));
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(format!("must be a PEM block of type {kind:?}"));
    }
    while !rest.is_empty() {
        let body = rest.strip_prefix(begin.as_str()).ok_or_else(|| format!("must be a PEM block of type {kind:?}"))?;
        let (body, after) = body.split_once(end.as_str()).ok_or_else(|| "the PEM block has no end".to_owned())?;
        let base64: String = body.split_whitespace().collect();
        let der = STANDARD.decode(base64).map_err(|_| "the PEM block is not base64".to_owned())?;
        if !is_sequence(&der) {
            return Err("the PEM block holds no DER sequence".to_owned());
        }
        rest = after.trim_start();
    }
    Ok(())
}

fn is_sequence(der: &[u8]) -> bool {
    let (Some(0x30), Some(first)) = (der.first(), der.get(1)) else { return false };
    let length_bytes = usize::from(first & 0x7f);
    if first & 0x80 == 0 {
        return der.len() == 2 + length_bytes;
    }
    let Some(length) = der.get(2..2 + length_bytes).filter(|_| (1..=4).contains(&length_bytes)) else { return false };
    let length = length.iter().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
    der.len() == 2 + length_bytes + length
}

//! The built-in signers of certificate signing requests: what each of them takes, who approves by itself, and who signs.

mod approver;
mod signer;
#[cfg(test)]
mod tests;

use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition as Condition};
use runtime::signing::CertificateRequest;

pub use approver::CertificateApprover;
pub use signer::CertificateSigner;

const NODE_PREFIX: &str = "system:node:";
const NODES: &str = "system:nodes";

/// A signer that is served here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signer {
    ApiClient,
    KubeletClient,
    KubeletServing,
}

impl Signer {
    fn of(request: &CertificateSigningRequest) -> Option<Self> {
        match request.spec.signer_name.as_str() {
            "kubernetes.io/kube-apiserver-client" => Some(Self::ApiClient),
            "kubernetes.io/kube-apiserver-client-kubelet" => Some(Self::KubeletClient),
            "kubernetes.io/kubelet-serving" => Some(Self::KubeletServing),
            _ => None,
        }
    }

    /// Whether the signer may sign what is asked for; why not, if not.
    fn check(self, asked: &CertificateRequest, usages: &[String]) -> Result<(), &'static str> {
        match self {
            Self::ApiClient => {
                only(usages, "client auth", &["digital signature", "key encipherment"])?;
            }
            Self::KubeletClient => {
                is_node(asked)?;
                if asked.dns_names + asked.addresses + asked.other_names > 0 {
                    return Err("a node's client certificate has no alternative names");
                }
                for_keys(usages, "client auth")?;
            }
            Self::KubeletServing => {
                is_node(asked)?;
                if asked.dns_names + asked.addresses == 0 {
                    return Err("a node's serving certificate names a host or an address");
                }
                if asked.other_names > 0 {
                    return Err("a node's serving certificate has no alternative names but hosts and addresses");
                }
                for_keys(usages, "server auth")?;
            }
        }
        Ok(())
    }
}

fn is_node(asked: &CertificateRequest) -> Result<(), &'static str> {
    if asked.organizations != [NODES] {
        return Err("the subject's organization is not system:nodes alone");
    }
    if asked.common_name.strip_prefix(NODE_PREFIX).is_none_or(str::is_empty) {
        return Err("the subject's common name is no node's");
    }
    Ok(())
}

/// The usages that a key is for: a signature always, and encipherment where the key can do so.
fn for_keys(usages: &[String], purpose: &str) -> Result<(), &'static str> {
    only(usages, purpose, &["digital signature", "key encipherment"])?;
    if usages.iter().any(|usage| usage == "digital signature") { Ok(()) } else { Err("the usages lack digital signature") }
}

fn only(usages: &[String], needed: &str, more: &[&str]) -> Result<(), &'static str> {
    if !usages.iter().any(|usage| usage == needed) {
        return Err("the usages lack what the signer signs for");
    }
    let is_fine = |usage: &String| usage == needed || more.contains(&usage.as_str());
    if usages.iter().all(is_fine) { Ok(()) } else { Err("there is a usage that the signer does not sign for") }
}

fn has_condition(request: &CertificateSigningRequest, kind: &str) -> bool {
    request.status.iter().flat_map(|status| status.conditions.iter().flatten()).any(|condition| condition.type_ == kind)
}

fn condition(kind: &str, reason: &str, message: &str) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        ..Condition::default()
    }
}

//! Bootstrap tokens: secrets in `kube-system` by which a new node asks for its certificate.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::strategy::UserInfo;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

use super::authenticate::{AUTHENTICATED, Refused};
use crate::admission::World;

const NAMESPACE: &str = "kube-system";
const TYPE: &str = "bootstrap.kubernetes.io/token";
const GROUP: &str = "system:bootstrappers";

/// The id and the secret of a token `abcdef.0123456789abcdef`. None: the text is no bootstrap token.
fn parts(token: &str) -> Option<(&str, &str)> {
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    token.split_once('.').filter(|(id, secret)| id.len() == 6 && secret.len() == 16 && is_plain(id) && is_plain(secret))
}

/// Who bears a bootstrap token.
pub(super) fn authenticate(world: &World, token: &str, now: Timestamp) -> Result<Arc<UserInfo>, Refused> {
    let (id, secret) = parts(token).ok_or(Refused::Unknown)?;
    let name = format!("bootstrap-token-{id}");
    let kept: Secret = world.object("", "secrets", NAMESPACE, &name).ok_or(Refused::Absent("there is no such bootstrap token".into()))?;
    let refuse = |why: &str| Refused::Because(format!("the bootstrap token {id} is refused: {why}"));
    let value = |key: &str| {
        let value = kept.data.as_ref().and_then(|data| data.get(key)).map(|value| value.0.as_slice());
        value.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
    };
    if kept.type_.as_deref() != Some(TYPE) || kept.metadata.deletion_timestamp.is_some() {
        return Err(refuse("its secret is not of the type, or is going"));
    }
    // Digests take as long to compare wherever they differ.
    if ring::digest::digest(&ring::digest::SHA256, value("token-secret").as_bytes()).as_ref()
        != ring::digest::digest(&ring::digest::SHA256, secret.as_bytes()).as_ref()
    {
        return Err(refuse("it is not the one that is kept"));
    }
    if value("token-id") != id {
        return Err(refuse("its secret has another id"));
    }
    let expiration = value("expiration");
    if !expiration.is_empty() && !expiration.parse::<Timestamp>().is_ok_and(|at| at > now) {
        return Err(refuse("it has expired"));
    }
    if value("usage-bootstrap-authentication") != "true" {
        return Err(refuse("it is not for authentication"));
    }
    let groups = extra_groups(value("auth-extra-groups")).ok_or_else(|| refuse("its groups are not bootstrappers'"))?;
    let groups = [GROUP.to_owned()].into_iter().chain(groups).chain([AUTHENTICATED.to_owned()]).collect();
    Ok(Arc::new(UserInfo { name: format!("system:bootstrap:{id}"), groups, ..UserInfo::default() }))
}

/// Further groups all begin as the bootstrappers' own does: a secret makes nobody an administrator.
fn extra_groups(list: &str) -> Option<Vec<String>> {
    let is_fine = |group: &str| {
        let rest = group.strip_prefix("system:bootstrappers:");
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        rest.is_some_and(|rest| {
            rest.len() <= 256
                && rest.bytes().all(|byte| plain(byte) || matches!(byte, b':' | b'-'))
                && rest.bytes().last().is_some_and(plain)
        })
    };
    // Each once, in the order of their names.
    let groups: BTreeSet<&str> = list.split(',').filter(|group| !group.is_empty()).collect();
    groups.iter().all(|group| is_fine(group)).then(|| groups.iter().map(|group| (*group).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_groups_have_a_form() {
        assert_eq!(parts("abcdef.0123456789abcdef"), Some(("abcdef", "0123456789abcdef")));
        for wrong in ["abcdef.0123456789abcde", "ABCDEF.0123456789abcdef", "abcdef", "abcdef.0123456789abcde.", ""] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
        assert_eq!(extra_groups("system:bootstrappers:a,system:bootstrappers:b:c").map(|groups| groups.len()), Some(2));
        let twice = "system:bootstrappers:b,system:bootstrappers:a,system:bootstrappers:b";
        assert_eq!(extra_groups(twice).unwrap_or_default(), ["system:bootstrappers:a", "system:bootstrappers:b"]);
        assert_eq!(extra_groups("").map(|groups| groups.len()), Some(0));
        for wrong in ["system:masters", "system:bootstrappers:", "system:bootstrappers:a-", "system:bootstrappers:A"] {
            assert_eq!(extra_groups(wrong), None, "{wrong}");
        }
    }
}

//! The APIServices of this server's own groups: under which priorities they are registered.

/// The group that is not registered in itself.
pub(crate) const OWN_GROUP: &str = "apiregistration.k8s.io";
/// On APIServices that the server makes at its start.
pub(crate) const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// The priority of each group; the greatest comes first in discovery.
const GROUPS: [(&str, u32); 20] = [
    ("", 18_000),
    ("apps", 17_800),
    ("events.k8s.io", 17_750),
    ("authentication.k8s.io", 17_700),
    ("authorization.k8s.io", 17_600),
    ("autoscaling", 17_500),
    ("batch", 17_400),
    ("certificates.k8s.io", 17_300),
    ("networking.k8s.io", 17_200),
    ("policy", 17_100),
    ("rbac.authorization.k8s.io", 17_000),
    ("storage.k8s.io", 16_800),
    ("apiextensions.k8s.io", 16_700),
    ("admissionregistration.k8s.io", 16_700),
    ("scheduling.k8s.io", 16_600),
    ("coordination.k8s.io", 16_500),
    ("node.k8s.io", 16_300),
    ("discovery.k8s.io", 16_200),
    ("resource.k8s.io", 16_200),
    ("flowcontrol.apiserver.k8s.io", 16_100),
];

/// Of a group, and of a version within it.
pub(crate) fn priorities(group: &str, version: &str) -> (u32, u32) {
    const OTHER_GROUPS: u32 = 1_000;
    let of_group = GROUPS.iter().find(|(known, _)| *known == group).map_or(OTHER_GROUPS, |(_, priority)| *priority);
    let of_version = match (group, version) {
        ("", _) => 1,
        ("autoscaling", "v2") => 30,
        ("flowcontrol.apiserver.k8s.io", _) => 21,
        _ => 15,
    };
    (of_group, of_version)
}

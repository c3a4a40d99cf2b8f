//! Discovery: which groups, versions and resources are served, in the legacy documents and in the aggregated one.

use api::Registry;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::GroupVersionKind;
use serde::Serialize;

use crate::catalogue::{self, Listed};

/// Groups in the order in which upstream lists them; it decides which of two groups with a kind of one name a
/// client takes. Others follow by name.
const ORDER: &[&str] = &[
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];

/// The documents, made once.
pub struct Discovery {
    groups: Vec<Group>,
}

struct Group {
    name: &'static str,
    /// Preferred version first.
    versions: Vec<Version>,
}

struct Version {
    name: &'static str,
    resources: Vec<Listed>,
}

impl Discovery {
    pub fn new(registry: &Registry) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for listed in catalogue::all(registry) {
            let at = groups.iter().position(|g| g.name == listed.group).unwrap_or_else(|| {
                groups.push(Group { name: listed.group, versions: Vec::new() });
                groups.len() - 1
            });
            let versions = &mut groups[at].versions;
            match versions.iter_mut().find(|v| v.name == listed.version) {
                Some(version) => version.resources.push(listed),
                None => versions.push(Version { name: listed.version, resources: vec![listed] }),
            }
        }
        for group in &mut groups {
            // v2 before v1: the newest of the stable versions is preferred.
            group.versions.sort_by_key(|version| std::cmp::Reverse(age(version.name)));
        }
        let place = |name: &str| ORDER.iter().position(|o| *o == name).unwrap_or(ORDER.len());
        groups.sort_by(|a, b| (place(a.name), a.name).cmp(&(place(b.name), b.name)));
        Self { groups }
    }

    /// `/apis`.
    pub fn group_list(&self) -> impl Serialize {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct GroupList {
            kind: &'static str,
            api_version: &'static str,
            groups: Vec<ApiGroup>,
        }
        let groups = self.groups.iter().filter(|g| !g.name.is_empty()).map(|g| api_group(g, false)).collect();
        GroupList { kind: "APIGroupList", api_version: "v1", groups }
    }

    /// `/apis/<group>`.
    pub fn group(&self, name: &str) -> Option<impl Serialize + use<>> {
        self.groups.iter().find(|g| g.name == name).map(|g| api_group(g, true))
    }

    /// `/api/v1` and `/apis/<group>/<version>`.
    pub fn resources(&self, group: &str, version: &str) -> Option<impl Serialize + use<'_>> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct ResourceList<'a> {
            kind: &'static str,
            #[serde(skip_serializing_if = "str::is_empty")]
            api_version: &'static str,
            group_version: String,
            resources: Vec<ApiResource<'a>>,
        }
        let found = self.groups.iter().find(|g| g.name == group)?.versions.iter().find(|v| v.name == version)?;
        Some(ResourceList {
            kind: "APIResourceList",
            // The core group's document, the oldest, has none.
            api_version: if group.is_empty() { "" } else { "v1" },
            group_version: group_version(group, version),
            resources: found.resources.iter().map(api_resource).collect(),
        })
    }

    pub fn has_group(&self, name: &str) -> bool {
        self.groups.iter().any(|g| g.name == name)
    }

    /// The aggregated document, `apidiscovery.k8s.io/v2`, of the core group or of all others.
    pub fn aggregated(&self, core: bool) -> impl Serialize {
        let items = self.groups.iter().filter(|g| g.name.is_empty() == core).map(aggregated_group).collect();
        aggregated::List { kind: "APIGroupDiscoveryList", api_version: "apidiscovery.k8s.io/v2", metadata: aggregated::Empty {}, items }
    }

    /// Group and version of everything served, for OpenAPI's index.
    pub fn group_versions(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.groups.iter().flat_map(|g| g.versions.iter().map(|v| (g.name, v.name)))
    }
}

/// The order of versions: stable ones after those in beta and these after those in alpha, each by their numbers; names that
/// are no version numbers before all of them.
fn age(version: &str) -> (u8, u64, u64, std::cmp::Reverse<&str>) {
    let stage = |rest: &str| -> Option<(u8, u64, u64)> {
        let (major, rest) = number(rest)?;
        Some(match rest {
            "" => (3, major, 0),
            _ => match (rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
                (Some(minor), _) => (2, major, number(minor).filter(|(_, rest)| rest.is_empty())?.0),
                (_, Some(minor)) => (1, major, number(minor).filter(|(_, rest)| rest.is_empty())?.0),
                _ => return None,
            },
        })
    };
    let (stage, major, minor) = version.strip_prefix('v').and_then(stage).unwrap_or_default();
    (stage, major, minor, std::cmp::Reverse(version))
}

/// The number at the head of a text.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiGroup {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<&'static str>,
    name: &'static str,
    versions: Vec<GroupVersion>,
    preferred_version: GroupVersion,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupVersion {
    group_version: String,
    version: &'static str,
}

fn api_group(group: &Group, alone: bool) -> ApiGroup {
    let versions: Vec<GroupVersion> =
        group.versions.iter().map(|v| GroupVersion { group_version: group_version(group.name, v.name), version: v.name }).collect();
    let preferred_version = versions.first().cloned().unwrap_or_else(|| GroupVersion { group_version: String::new(), version: "" });
    ApiGroup { kind: alone.then_some("APIGroup"), api_version: alone.then_some("v1"), name: group.name, versions, preferred_version }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiResource<'a> {
    name: String,
    singular_name: &'a str,
    namespaced: bool,
    /// Where they differ from the document's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    kind: &'a str,
    verbs: &'a [&'a str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    short_names: &'a [&'a str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    categories: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_version_hash: Option<String>,
}

/// Kinds that upstream still stores in their first version, by which their hashes are made.
const STORED_AS_V1BETA1: [&str; 3] = ["CustomResourceDefinition", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"];

/// By which clients notice that a resource came to be stored in another version.
fn storage_version_hash(stored: &GroupVersionKind) -> String {
    let is_early = crate::catalogue::is_built_in(&stored.group) && STORED_AS_V1BETA1.contains(&&*stored.kind);
    let version = if is_early { "v1beta1" } else { &stored.version };
    let named = format!("{}/{version}/{}", stored.group, stored.kind);
    STANDARD.encode(&ring::digest::digest(&ring::digest::SHA256, named.as_bytes()).as_ref()[..8])
}

fn api_resource(listed: &Listed) -> ApiResource<'_> {
    let foreign = foreign(listed);
    ApiResource {
        name: if listed.subresource.is_empty() {
            listed.resource.to_owned()
        } else {
            format!("{}/{}", listed.resource, listed.subresource)
        },
        singular_name: listed.singular,
        namespaced: listed.namespaced,
        group: foreign.then_some(&*listed.kind.group),
        version: foreign.then_some(&*listed.kind.version),
        kind: &listed.kind.kind,
        verbs: listed.verbs,
        short_names: listed.short,
        categories: listed.categories,
        storage_version_hash: listed.stored.as_ref().map(storage_version_hash),
    }
}

fn foreign(listed: &Listed) -> bool {
    listed.kind.group != listed.group || listed.kind.version != listed.version
}

/// `apidiscovery.k8s.io/v2`.
mod aggregated {
    use serde::Serialize;

    #[derive(Serialize)]
    pub(super) struct Empty {}

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct List<'a> {
        pub(super) kind: &'static str,
        pub(super) api_version: &'static str,
        pub(super) metadata: Empty,
        pub(super) items: Vec<Group<'a>>,
    }

    #[derive(Serialize)]
    pub(super) struct Group<'a> {
        pub(super) metadata: Meta<'a>,
        pub(super) versions: Vec<Version<'a>>,
    }

    #[derive(Serialize)]
    pub(super) struct Meta<'a> {
        #[serde(skip_serializing_if = "str::is_empty")]
        pub(super) name: &'a str,
    }

    #[derive(Serialize)]
    pub(super) struct Version<'a> {
        pub(super) version: &'a str,
        pub(super) resources: Vec<Resource<'a>>,
        pub(super) freshness: &'static str,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Resource<'a> {
        pub(super) resource: &'a str,
        pub(super) response_kind: Kind<'a>,
        pub(super) scope: &'static str,
        pub(super) singular_resource: &'a str,
        pub(super) verbs: &'a [&'a str],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        pub(super) short_names: &'a [&'a str],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        pub(super) categories: &'a [&'a str],
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub(super) subresources: Vec<Subresource<'a>>,
    }

    #[derive(Serialize)]
    pub(super) struct Kind<'a> {
        pub(super) group: &'a str,
        pub(super) version: &'a str,
        pub(super) kind: &'a str,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Subresource<'a> {
        pub(super) subresource: &'a str,
        pub(super) response_kind: Kind<'a>,
        pub(super) verbs: &'a [&'a str],
    }
}

fn aggregated_group(group: &Group) -> aggregated::Group<'_> {
    let versions =
        group.versions.iter().map(|v| aggregated::Version { version: v.name, resources: aggregated_resources(v), freshness: "Current" });
    aggregated::Group { metadata: aggregated::Meta { name: group.name }, versions: versions.collect() }
}

fn response_kind(listed: &Listed) -> aggregated::Kind<'_> {
    // Group and version are told only where they differ from the document's own, and of custom resources.
    let (group, version) = if foreign(listed) || listed.custom { (&*listed.kind.group, &*listed.kind.version) } else { ("", "") };
    aggregated::Kind { group, version, kind: &listed.kind.kind }
}

fn aggregated_resources(version: &Version) -> Vec<aggregated::Resource<'_>> {
    let mut resources: Vec<aggregated::Resource<'_>> = Vec::new();
    // Subresources follow their resource in the catalogue's order.
    for listed in &version.resources {
        if listed.subresource.is_empty() {
            resources.push(aggregated::Resource {
                resource: listed.resource,
                response_kind: response_kind(listed),
                scope: if listed.namespaced { "Namespaced" } else { "Cluster" },
                singular_resource: listed.singular,
                verbs: listed.verbs,
                short_names: listed.short,
                categories: listed.categories,
                subresources: Vec::new(),
            });
        } else if let Some(parent) = resources.last_mut().filter(|r| r.resource == listed.resource) {
            let response_kind = response_kind(listed);
            parent.subresources.push(aggregated::Subresource { subresource: listed.subresource, response_kind, verbs: listed.verbs });
        }
    }
    resources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_versions_come_first_and_newer_ones_before_older() {
        let mut versions = ["foo10", "v1", "v11alpha2", "v10", "v2", "v3beta1", "v12alpha1", "v11beta2", "foo1", "v1beta"];
        versions.sort_by_key(|version| std::cmp::Reverse(age(version)));
        assert_eq!(versions, ["v10", "v2", "v1", "v11beta2", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10", "v1beta"]);
    }
}

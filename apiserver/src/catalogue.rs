//! What is served, beyond what the kinds say of themselves: the subresources that need more than their own object
//! (binding, eviction, token), and the resources that are only ever created, never kept (access reviews). Discovery, the
//! doors and authorization read the same lists, so that nothing is announced that is not there.

use std::collections::HashSet;
use std::sync::LazyLock;

use api::resource::ErasedView;
use api::{Registry, Resource};
use machinery::GroupVersionKind;

/// A resource or subresource that no kind describes.
#[derive(Clone, Copy, Debug)]
pub struct Extra {
    pub group: &'static str,
    pub version: &'static str,
    /// Plural name.
    pub resource: &'static str,
    /// Empty for a resource of its own.
    pub subresource: &'static str,
    pub singular: &'static str,
    /// Group, version and kind of the bodies.
    pub kind: (&'static str, &'static str, &'static str),
    pub namespaced: bool,
    pub verbs: &'static [&'static str],
}

const fn review(group: &'static str, resource: &'static str, singular: &'static str, kind: &'static str, namespaced: bool) -> Extra {
    Extra { group, version: "v1", resource, subresource: "", singular, kind: (group, "v1", kind), namespaced, verbs: &["create"] }
}

const fn pod_action(subresource: &'static str, group: &'static str, kind: &'static str) -> Extra {
    Extra {
        group: "",
        version: "v1",
        resource: "pods",
        subresource,
        singular: "",
        kind: (group, "v1", kind),
        namespaced: true,
        verbs: &["create"],
    }
}

/// What is passed on to a node, a pod or a service, by [`crate::connect`].
const fn passed_on(resource: &'static str, subresource: &'static str, kind: &'static str, verbs: &'static [&'static str]) -> Extra {
    Extra { group: "", version: "v1", resource, subresource, singular: "", kind: ("", "v1", kind), namespaced: true, verbs }
}

const STREAMED: &[&str] = &["create", "get"];
const PROXIED: &[&str] = &["create", "delete", "get", "patch", "update"];

/// All of them.
pub const EXTRAS: &[Extra] = &[
    Extra {
        group: "",
        version: "v1",
        resource: "bindings",
        subresource: "",
        singular: "binding",
        kind: ("", "v1", "Binding"),
        namespaced: true,
        verbs: &["create"],
    },
    pod_action("binding", "", "Binding"),
    pod_action("eviction", "policy", "Eviction"),
    passed_on("pods", "attach", "PodAttachOptions", STREAMED),
    passed_on("pods", "exec", "PodExecOptions", STREAMED),
    passed_on("pods", "log", "Pod", &["get"]),
    passed_on("pods", "portforward", "PodPortForwardOptions", STREAMED),
    passed_on("pods", "proxy", "PodProxyOptions", PROXIED),
    passed_on("services", "proxy", "ServiceProxyOptions", PROXIED),
    Extra { namespaced: false, ..passed_on("nodes", "proxy", "NodeProxyOptions", PROXIED) },
    Extra {
        group: "",
        version: "v1",
        resource: "serviceaccounts",
        subresource: "token",
        singular: "",
        kind: ("authentication.k8s.io", "v1", "TokenRequest"),
        namespaced: true,
        verbs: &["create"],
    },
    review("authentication.k8s.io", "tokenreviews", "tokenreview", "TokenReview", false),
    review("authentication.k8s.io", "selfsubjectreviews", "selfsubjectreview", "SelfSubjectReview", false),
    review("authorization.k8s.io", "localsubjectaccessreviews", "localsubjectaccessreview", "LocalSubjectAccessReview", true),
    review("authorization.k8s.io", "selfsubjectaccessreviews", "selfsubjectaccessreview", "SelfSubjectAccessReview", false),
    review("authorization.k8s.io", "selfsubjectrulesreviews", "selfsubjectrulesreview", "SelfSubjectRulesReview", false),
    review("authorization.k8s.io", "subjectaccessreviews", "subjectaccessreview", "SubjectAccessReview", false),
];

const OBJECT_VIEW: &[&str] = &["get", "patch", "update"];
/// `finalize` takes whole objects only.
const FINALIZE: &[&str] = &["update"];

/// One served resource or subresource, for discovery and OpenAPI.
pub struct Listed {
    pub group: &'static str,
    pub version: &'static str,
    pub resource: &'static str,
    pub subresource: &'static str,
    pub singular: &'static str,
    pub kind: GroupVersionKind,
    pub namespaced: bool,
    pub verbs: &'static [&'static str],
    pub short: &'static [&'static str],
    pub categories: &'static [&'static str],
    /// The kind in which objects are kept; None for what is not kept, and for subresources.
    pub stored: Option<GroupVersionKind>,
    pub custom: bool,
}

/// Everything served, sorted by group, version, resource and subresource.
pub fn all(registry: &Registry) -> Vec<Listed> {
    let mut listed: Vec<Listed> = EXTRAS.iter().map(of_extra).collect();
    for resource in registry.all() {
        let names = *resource.names();
        let namespaced = resource.scope() == api::kind::Scope::Namespaced;
        let base = |subresource, singular, kind, verbs| Listed {
            group: names.group,
            version: names.version,
            resource: names.plural,
            subresource,
            singular,
            kind,
            namespaced,
            verbs,
            short: &[],
            categories: &[],
            stored: None,
            custom: resource.is_custom(),
        };
        listed.push(Listed {
            short: names.short,
            categories: names.categories,
            // Component statuses are asked for anew each time.
            stored: (names.plural != "componentstatuses").then(|| resource.stored_kind()),
            ..base("", names.singular, resource.kind(), resource.announced_verbs())
        });
        for subresource in resource.subresources() {
            let kind = match subresource.view {
                ErasedView::Object(_) => resource.kind(),
                ErasedView::Scale(_) => GroupVersionKind::new("autoscaling", "v1", "Scale"),
            };
            listed.push(base(subresource.name, "", kind, view_verbs(subresource.name)));
        }
    }
    listed.sort_by(|a, b| (a.group, a.version, a.resource, a.subresource).cmp(&(b.group, b.version, b.resource, b.subresource)));
    listed
}

fn of_extra(extra: &Extra) -> Listed {
    let (group, version, kind) = extra.kind;
    Listed {
        group: extra.group,
        version: extra.version,
        resource: extra.resource,
        subresource: extra.subresource,
        singular: extra.singular,
        kind: GroupVersionKind::new(group, version, kind),
        namespaced: extra.namespaced,
        verbs: extra.verbs,
        short: &[],
        categories: &[],
        stored: None,
        custom: false,
    }
}

/// Whether a group is one of this server's own.
pub fn is_built_in(group: &str) -> bool {
    static GROUPS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
        let registry = Registry::built_in();
        registry.all().iter().map(|resource| resource.names().group).chain(EXTRAS.iter().map(|extra| extra.group)).collect()
    });
    GROUPS.contains(group)
}

fn view_verbs(subresource: &str) -> &'static [&'static str] {
    if subresource == "finalize" { FINALIZE } else { OBJECT_VIEW }
}

/// Whether requests for a subresource are passed on, and no verb of this server's own.
pub fn is_passed_on(subresource: &str) -> bool {
    matches!(subresource, "attach" | "exec" | "log" | "portforward" | "proxy")
}

/// The verbs of a resource's subresource; empty if it is not served, or passed on.
pub fn subresource_verbs(resource: &dyn Resource, name: &str) -> &'static [&'static str] {
    if resource.subresource(name).is_some() {
        return view_verbs(name);
    }
    let names = resource.names();
    let extra = EXTRAS
        .iter()
        .find(|e| e.group == names.group && e.resource == names.plural && e.subresource == name && !name.is_empty() && !is_passed_on(name));
    extra.map_or(&[], |e| e.verbs)
}

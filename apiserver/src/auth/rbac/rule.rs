//! [`Rule`]: a rule of a role, and what it covers: a request, or another rule.

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::auth::{Attributes, authorize::ResourceAccess};

const ALL: &str = "*";

/// A rule of a role. Its lists are short, so that looking through them is cheaper than hashing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub verbs: List,
    pub groups: List,
    pub resources: List,
    /// Empty: all.
    pub names: List,
    pub paths: List,
}

type List = Box<[Box<str>]>;

impl From<&PolicyRule> for Rule {
    fn from(rule: &PolicyRule) -> Self {
        let of = |list: Option<&Vec<String>>| list.into_iter().flatten().map(|item| item.as_str().into()).collect();
        Self {
            verbs: rule.verbs.iter().map(|verb| verb.as_str().into()).collect(),
            groups: of(rule.api_groups.as_ref()),
            resources: of(rule.resources.as_ref()),
            names: of(rule.resource_names.as_ref()),
            paths: of(rule.non_resource_urls.as_ref()),
        }
    }
}

impl From<&Rule> for PolicyRule {
    fn from(rule: &Rule) -> Self {
        let of = |list: &List| list.iter().map(|item| item.to_string()).collect::<Vec<_>>();
        let some = |list: &List| (!list.is_empty()).then(|| of(list));
        Self {
            verbs: of(&rule.verbs),
            api_groups: some(&rule.groups),
            resources: some(&rule.resources),
            resource_names: some(&rule.names),
            non_resource_urls: some(&rule.paths),
        }
    }
}

/// The rules of a role.
pub fn compile(rules: Option<&Vec<PolicyRule>>) -> Box<[Rule]> {
    rules.into_iter().flatten().map(Rule::from).collect()
}

/// The rules of somebody who may do everything.
pub fn everything() -> [Rule; 2] {
    let all = || List::from([ALL.into()]);
    let none = List::default;
    [
        Rule { verbs: all(), groups: all(), resources: all(), names: none(), paths: none() },
        Rule { verbs: all(), groups: none(), resources: none(), names: none(), paths: all() },
    ]
}

impl Rule {
    /// Whether the rule allows a request.
    pub fn allows(&self, attributes: &Attributes<'_>) -> bool {
        match attributes {
            Attributes::Path { verb, path } => has(&self.verbs, verb) && self.paths.iter().any(|p| path_matches(p, path)),
            Attributes::Resource(ResourceAccess { verb, group, resource, subresource, name, .. }) => {
                has(&self.verbs, verb)
                    && has(&self.groups, group)
                    && self.resources.iter().any(|r| resource_matches(r, resource, *subresource))
                    && (self.names.is_empty() || self.names.iter().any(|n| **n == **name))
            }
        }
    }

    /// Whether the rule allows all that a rule of one verb, one group and one resource, or of one verb and one path,
    /// allows.
    fn covers(&self, one: &Single<'_>) -> bool {
        match one {
            Single::Path { verb, path } => {
                has(&self.verbs, verb) && self.paths.iter().any(|own| **own == **path || path_matches(own, path))
            }
            Single::Resource { verb, group, resource, name } => {
                has(&self.verbs, verb)
                    && has(&self.groups, group)
                    && self.resources.iter().any(|own| resource_covers(own, resource))
                    && (self.names.is_empty() || name.is_some_and(|name| self.names.iter().any(|own| **own == *name)))
            }
        }
    }
}

/// The smallest part of a rule: what one rule of the other side has to cover.
enum Single<'a> {
    Path { verb: &'a str, path: &'a str },
    Resource { verb: &'a str, group: &'a str, resource: &'a str, name: Option<&'a str> },
}

/// The parts of `wanted` that no rule of `held` covers, as rules of their own.
pub fn uncovered(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let mut missing = Vec::new();
    for rule in wanted {
        each_single(rule, |single| {
            if !held.iter().any(|own| own.covers(&single)) {
                missing.push(single.rule());
            }
        });
    }
    missing
}

fn each_single(rule: &Rule, mut each: impl FnMut(Single<'_>)) {
    for verb in &rule.verbs {
        for path in &rule.paths {
            each(Single::Path { verb, path });
        }
        for group in &rule.groups {
            for resource in &rule.resources {
                if rule.names.is_empty() {
                    each(Single::Resource { verb, group, resource, name: None });
                }
                for name in &rule.names {
                    each(Single::Resource { verb, group, resource, name: Some(name) });
                }
            }
        }
    }
}

impl Single<'_> {
    fn rule(&self) -> Rule {
        let one = |text: &str| List::from([text.into()]);
        match self {
            Self::Path { verb, path } => {
                Rule { verbs: one(verb), groups: List::default(), resources: List::default(), names: List::default(), paths: one(path) }
            }
            Self::Resource { verb, group, resource, name } => Rule {
                verbs: one(verb),
                groups: one(group),
                resources: one(resource),
                names: name.map(one).unwrap_or_default(),
                paths: List::default(),
            },
        }
    }
}

fn has(list: &[Box<str>], wanted: &str) -> bool {
    list.iter().any(|item| **item == *wanted || **item == *ALL)
}

fn resource_matches(rule: &str, resource: &str, subresource: Option<&str>) -> bool {
    match (rule.split_once('/'), subresource) {
        _ if rule == ALL => true,
        (Some((ALL, own)), Some(wanted)) => own == wanted,
        (Some((kind, own)), Some(wanted)) => kind == resource && own == wanted,
        (None, None) => rule == resource,
        _ => false,
    }
}

/// Whether what a rule says of `own` says it of all that `wanted` stands for.
fn resource_covers(own: &str, wanted: &str) -> bool {
    own == ALL || own == wanted || matches!((own.split_once('/'), wanted.split_once('/')), (Some((ALL, a)), Some((_, b))) if a == b)
}

fn path_matches(rule: &str, path: &str) -> bool {
    match rule.strip_suffix(ALL) {
        Some(prefix) => path.starts_with(prefix),
        None => rule == path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> List {
        text.split(' ').filter(|item| !item.is_empty()).map(|item| if item == "core" { "".into() } else { item.into() }).collect()
    }

    fn rule(verbs: &str, groups: &str, resources: &str, names: &str, paths: &str) -> Rule {
        Rule { verbs: list(verbs), groups: list(groups), resources: list(resources), names: list(names), paths: list(paths) }
    }

    fn resource<'a>(verb: &'a str, group: &'a str, text: &'a str, name: &'a str) -> Attributes<'a> {
        let (resource, subresource) = text.split_once('/').map_or((text, None), |(r, s)| (r, Some(s)));
        Attributes::Resource(ResourceAccess { verb, group, resource, subresource, name, ..ResourceAccess::default() })
    }

    #[test]
    fn rules_allow_what_they_name() {
        let scale = rule("update", "*", "*/scale", "", "");
        assert!(scale.allows(&resource("update", "apps", "deployments/scale", "d")));
        assert!(!scale.allows(&resource("update", "apps", "deployments", "d")));
        let apps = rule("get", "apps", "*", "", "");
        assert!(apps.allows(&resource("get", "apps", "deployments/status", "d")) && !apps.allows(&resource("get", "", "pods", "p")));
        let named = rule("get", "core", "configmaps", "one", "");
        assert!(named.allows(&resource("get", "", "configmaps", "one")));
        assert!(!named.allows(&resource("get", "", "configmaps", "two")) && !named.allows(&resource("get", "", "configmaps", "")));
        let paths = rule("get", "", "", "", "/healthz /api/*");
        let path = |path| Attributes::Path { verb: "get", path };
        assert!(paths.allows(&path("/healthz")) && paths.allows(&path("/api/v1")) && !paths.allows(&path("/healthz/etcd")));
    }

    #[test]
    fn what_is_not_held_is_uncovered() {
        let held = [
            rule("get list", "core", "pods */status", "", ""),
            rule("update", "core", "configmaps", "one", ""),
            rule("get", "", "", "", "/logs/*"),
        ];
        let covered = |wanted: Rule| uncovered(&held, &[wanted]).is_empty();
        assert!(covered(rule("get", "core", "pods", "", "")) && covered(rule("get", "core", "pods", "p", "")));
        assert!(covered(rule("list", "core", "nodes/status", "", "")) && !covered(rule("get", "core", "nodes", "", "")));
        assert!(covered(rule("update", "core", "configmaps", "one", "")));
        assert!(!covered(rule("update", "core", "configmaps", "", "")) && !covered(rule("update", "core", "configmaps", "two", "")));
        assert!(!covered(rule("*", "core", "pods", "", "")) && !covered(rule("get", "*", "pods", "", "")));
        assert!(!covered(rule("get", "core", "*", "", "")));
        assert!(covered(rule("get", "", "", "", "/logs/a/*")) && covered(rule("get", "", "", "", "/logs/*")));
        assert!(!covered(rule("get", "", "", "", "/*")));
        let missing = uncovered(&held, &[rule("get delete", "core", "pods", "", "")]);
        assert_eq!(missing, [rule("delete", "core", "pods", "", "")]);
        assert!(uncovered(&everything(), &held).is_empty());
    }
}

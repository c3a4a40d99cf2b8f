//! [`BootstrapPolicy`]: authorization by the roles and bindings that every Kubernetes cluster starts with
//! (`bootstrap-rbac.tsv`), held fixed. Administrators (`system:masters`) may do everything, the control plane's own
//! components what upstream's roles give them, other authenticated users discovery and self reviews.

use std::collections::HashMap;

use api::strategy::UserInfo;

use super::authorize::{Attributes, Authorizer, Decision};

const TABLE: &str = include_str!("bootstrap-rbac.tsv");

/// A rule of a role. Lists are sorted by nothing: they are short.
#[derive(Debug)]
struct Rule {
    groups: Vec<&'static str>,
    resources: Vec<&'static str>,
    paths: Vec<&'static str>,
    names: Vec<&'static str>,
    verbs: Vec<&'static str>,
    /// Where the rule holds; None: everywhere.
    namespace: Option<&'static str>,
}

/// The fixed policy.
pub struct BootstrapPolicy {
    users: HashMap<String, Vec<usize>>,
    groups: HashMap<String, Vec<usize>>,
    rules: Vec<Rule>,
}

impl Default for BootstrapPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl BootstrapPolicy {
    pub fn new() -> Self {
        let mut policy = Self { users: HashMap::new(), groups: HashMap::new(), rules: Vec::new() };
        let mut roles: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
        let rows: Vec<Vec<&'static str>> = TABLE.lines().skip(1).map(|line| line.split('\t').collect()).collect();
        for row in rows.iter().filter(|r| r.len() >= 7 && matches!(r[0], "ClusterRole" | "Role")) {
            let rule = Rule {
                groups: row[2].split(',').collect(),
                resources: list(row[3]),
                paths: list(row[4]),
                names: list(row[5]),
                verbs: list(row[6]),
                namespace: (row[0] == "Role").then(|| row[1].split('/').next().unwrap_or_default()),
            };
            policy.rules.push(rule);
            roles.entry((row[0], row[1])).or_default().push(policy.rules.len() - 1);
        }
        for row in rows.iter().filter(|r| r.len() >= 4 && matches!(r[0], "clusterrolebinding" | "rolebinding")) {
            policy.bind(row, &roles);
        }
        policy.bind_components(&roles);
        policy
    }

    fn bind(&mut self, row: &[&'static str], roles: &HashMap<(&str, &str), Vec<usize>>) {
        let Some((kind, role)) = row[2].trim_start_matches("role=").split_once('/') else { return };
        let namespaced;
        let role = if kind == "Role" {
            namespaced = format!("{}/{role}", row[1].split('/').next().unwrap_or_default());
            namespaced.as_str()
        } else {
            role
        };
        let Some(rules) = roles.get(&(kind, role)) else { return };
        for subject in list(row[3].trim_start_matches("subjects=")) {
            match subject.split_once(':') {
                Some(("User", name)) => self.users.entry(name.to_owned()).or_default().extend(rules),
                Some(("Group", name)) => self.groups.entry(name.to_owned()).or_default().extend(rules),
                _ => {}
            }
        }
    }

    /// Kubernetes gives nodes their rights by the Node authorizer, and each controller a service account of its own.
    /// Here nodes have the role, and the controller manager has all its controllers' roles.
    fn bind_components(&mut self, roles: &HashMap<(&str, &str), Vec<usize>>) {
        if let Some(rules) = roles.get(&("ClusterRole", "system:node")) {
            self.groups.entry("system:nodes".to_owned()).or_default().extend(rules);
        }
        let manager = self.users.entry("system:kube-controller-manager".to_owned()).or_default();
        for ((kind, name), rules) in roles {
            if *kind == "ClusterRole" && name.starts_with("system:controller:") {
                manager.extend(rules);
            }
        }
    }

    fn rules_of<'a>(&'a self, user: &'a UserInfo) -> impl Iterator<Item = &'a Rule> {
        let own = self.users.get(&user.name).into_iter().flatten();
        let by_group = user.groups.iter().filter_map(|g| self.groups.get(g)).flatten();
        own.chain(by_group).map(|i| &self.rules[*i])
    }
}

fn list(text: &'static str) -> Vec<&'static str> {
    text.split(',').filter(|item| !item.is_empty()).collect()
}

impl Authorizer for BootstrapPolicy {
    fn authorize(&self, user: &UserInfo, attributes: &Attributes<'_>) -> Decision {
        // Holds whatever the policy says, so that nobody can lock the administrator out.
        if user.groups.iter().any(|g| g == "system:masters") || self.rules_of(user).any(|rule| rule.covers(attributes)) {
            return Decision::Allow;
        }
        Decision::NoOpinion { reason: String::new() }
    }
}

impl Rule {
    fn covers(&self, attributes: &Attributes<'_>) -> bool {
        match attributes {
            Attributes::Path { verb, path } => contains(&self.verbs, verb) && self.paths.iter().any(|p| path_matches(p, path)),
            Attributes::Resource { verb, group, resource, subresource, namespace, name } => {
                contains(&self.verbs, verb)
                    && !self.resources.is_empty()
                    && self.groups.iter().any(|g| g == group || *g == "*")
                    && self.resources.iter().any(|r| resource_matches(r, resource, *subresource))
                    && (self.names.is_empty() || self.names.contains(name))
                    && self.namespace.is_none_or(|n| n == *namespace)
            }
        }
    }
}

fn contains(verbs: &[&str], verb: &str) -> bool {
    verbs.iter().any(|v| *v == verb || *v == "*")
}

fn resource_matches(rule: &str, resource: &str, subresource: Option<&str>) -> bool {
    match (rule.split_once('/'), subresource) {
        _ if rule == "*" => true,
        (Some(("*", sub)), Some(s)) => sub == s,
        (Some((r, sub)), Some(s)) => r == resource && sub == s,
        (None, None) => rule == resource,
        _ => false,
    }
}

fn path_matches(rule: &str, path: &str) -> bool {
    match rule.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => rule == path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, groups: &[&str]) -> UserInfo {
        UserInfo { name: name.into(), groups: groups.iter().map(|g| (*g).into()).collect(), ..UserInfo::default() }
    }

    fn may(user: &UserInfo, verb: &str, group: &str, resource: &str, subresource: Option<&str>, namespace: &str, name: &str) -> bool {
        let attributes = Attributes::Resource { verb, group, resource, subresource, namespace, name };
        BootstrapPolicy::new().authorize(user, &attributes) == Decision::Allow
    }

    #[test]
    fn components_have_their_roles_and_no_more() {
        let scheduler = user("system:kube-scheduler", &["system:authenticated"]);
        assert!(may(&scheduler, "create", "", "pods", Some("binding"), "a", "p"));
        assert!(may(&scheduler, "update", "coordination.k8s.io", "leases", None, "kube-system", "kube-scheduler"));
        assert!(!may(&scheduler, "get", "", "secrets", None, "a", "s"));
        let node = user("system:node:n", &["system:nodes", "system:authenticated"]);
        assert!(may(&node, "patch", "", "nodes", Some("status"), "", "n"));
        assert!(!may(&node, "create", "apps", "deployments", None, "a", ""));
        let manager = user("system:kube-controller-manager", &["system:authenticated"]);
        assert!(may(&manager, "create", "", "pods", None, "a", ""));
        assert!(may(&manager, "delete", "apps", "replicasets", None, "a", "r"));
    }

    #[test]
    fn administrators_may_and_strangers_may_not() {
        assert!(may(&user("admin", &["system:masters"]), "delete", "", "nodes", None, "", "n"));
        assert!(!may(&user("ann", &["system:authenticated"]), "list", "", "pods", None, "a", ""));
        let anonymous = user("system:anonymous", &["system:unauthenticated"]);
        let allowed = |path| BootstrapPolicy::new().authorize(&anonymous, &Attributes::Path { verb: "get", path }) == Decision::Allow;
        assert!(allowed("/livez") && allowed("/version") && !allowed("/metrics") && !allowed("/apis"));
    }
}

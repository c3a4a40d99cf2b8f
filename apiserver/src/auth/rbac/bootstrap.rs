//! The roles and bindings that every cluster starts with, read from `bootstrap.tsv`, and how those that are there are
//! brought up to date: what is missing is added, what an administrator added stays, and an object whose annotation
//! says `autoupdate: "false"` is left alone.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::{AggregationRule, ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::GROUP;
use super::rule::{self, Rule};

const TABLE: &str = include_str!("bootstrap.tsv");

const BOOTSTRAPPING: (&str, &str) = ("kubernetes.io/bootstrapping", "rbac-defaults");
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// An agent that plays many nodes is none of them: it has their role by a binding, as no node has.
const SIMULATED_NODES: &str = "kybern:simulated-nodes";
const NODE_ROLE: &str = "system:node";

/// Everything that a cluster starts with.
#[derive(Default)]
pub struct Defaults {
    pub cluster_roles: Vec<ClusterRole>,
    pub cluster_role_bindings: Vec<ClusterRoleBinding>,
    pub roles: Vec<Role>,
    pub role_bindings: Vec<RoleBinding>,
}

impl Defaults {
    pub fn read() -> Self {
        let mut defaults = Self::default();
        for line in TABLE.lines().skip(1) {
            let cells: Vec<&str> = line.split('\t').collect();
            match cells.as_slice() {
                ["ClusterRole", name, rule @ .., labels, aggregates] => defaults.cluster_rule(name, policy_rule(rule), labels, aggregates),
                ["Role", name, rule @ .., _, _] => defaults.rule(name, policy_rule(rule)),
                ["clusterrolebinding", name, role, subjects, ..] => {
                    let (role_ref, subjects) = (role_ref(role), read_subjects(subjects));
                    defaults.cluster_role_bindings.push(ClusterRoleBinding { metadata: metadata(name), role_ref, subjects });
                }
                ["rolebinding", name, role, subjects, ..] => {
                    let (role_ref, subjects) = (role_ref(role), read_subjects(subjects));
                    defaults.role_bindings.push(RoleBinding { metadata: metadata(name), role_ref, subjects });
                }
                _ => {}
            }
        }
        defaults.bind_own(SIMULATED_NODES, NODE_ROLE, SIMULATED_NODES);
        defaults
    }

    /// A row is a rule; the rows of a role follow each other.
    fn cluster_rule(&mut self, name: &str, rule: PolicyRule, labels: &str, aggregates: &str) {
        if self.cluster_roles.last().is_none_or(|last| last.metadata.name.as_deref() != Some(name)) {
            let mut metadata = metadata(name);
            if let Some((label, value)) = labels.split_once('=') {
                metadata.labels.get_or_insert_default().insert(format!("rbac.authorization.k8s.io/{label}"), value.to_owned());
            }
            // The table is this program's own, and a test reads it.
            let selectors: Option<Vec<LabelSelector>> = serde_json::from_str(aggregates).ok();
            let aggregation_rule = selectors.map(|selectors| AggregationRule { cluster_role_selectors: Some(selectors) });
            self.cluster_roles.push(ClusterRole { metadata, aggregation_rule, rules: None });
        }
        if let Some(role) = self.cluster_roles.last_mut() {
            role.rules.get_or_insert_default().push(rule);
        }
    }

    fn rule(&mut self, name: &str, rule: PolicyRule) {
        let wanted = metadata(name);
        let same = |last: &Role| (&last.metadata.namespace, &last.metadata.name) == (&wanted.namespace, &wanted.name);
        match self.roles.last_mut().filter(|last| same(last)) {
            Some(role) => role.rules.get_or_insert_default().push(rule),
            None => self.roles.push(Role { metadata: wanted, rules: Some(vec![rule]) }),
        }
    }

    /// A binding that upstream has not.
    fn bind_own(&mut self, name: &str, role: &str, user: &str) {
        let role_ref = RoleRef { api_group: Some(GROUP.to_owned()), kind: "ClusterRole".to_owned(), name: role.to_owned() };
        let subjects = Some(vec![subject("User", user)]);
        self.cluster_role_bindings.push(ClusterRoleBinding { metadata: metadata(name), role_ref, subjects });
    }

    /// The rules of one of the cluster roles.
    pub fn rules_of(&self, name: &str) -> Box<[Rule]> {
        let role = self.cluster_roles.iter().find(|role| role.metadata.name.as_deref() == Some(name));
        rule::compile(role.and_then(|role| role.rules.as_ref()))
    }
}

/// `name`, or `namespace/name`.
fn metadata(name: &str) -> ObjectMeta {
    let (namespace, name) = name.split_once('/').map_or((None, name), |(namespace, name)| (Some(namespace.to_owned()), name));
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace,
        labels: Some(BTreeMap::from([(BOOTSTRAPPING.0.to_owned(), BOOTSTRAPPING.1.to_owned())])),
        annotations: Some(BTreeMap::from([(AUTO_UPDATE.to_owned(), "true".to_owned())])),
        ..ObjectMeta::default()
    }
}

/// The cells for groups, resources, paths, names and verbs.
fn policy_rule(cells: &[&str]) -> PolicyRule {
    let list = |cell: &str| -> Vec<String> { cell.split(',').map(str::to_owned).collect() };
    let some = |at: usize| cells.get(at).filter(|cell| !cell.is_empty()).map(|cell| list(cell));
    let resources = some(1);
    PolicyRule {
        // The empty text is a group: the core one.
        api_groups: resources.is_some().then(|| list(cells.first().copied().unwrap_or_default())),
        resources,
        non_resource_urls: some(2),
        resource_names: some(3),
        verbs: some(4).unwrap_or_default(),
    }
}

fn role_ref(cell: &str) -> RoleRef {
    let (kind, name) = cell.trim_start_matches("role=").split_once('/').unwrap_or_default();
    RoleRef { api_group: Some(GROUP.to_owned()), kind: kind.to_owned(), name: name.to_owned() }
}

fn read_subjects(cell: &str) -> Option<Vec<Subject>> {
    let list = cell.trim_start_matches("subjects=").split(',').filter_map(|item| item.split_once(':'));
    let subjects: Vec<Subject> = list.map(|(kind, name)| subject(kind, name)).collect();
    (!subjects.is_empty()).then_some(subjects)
}

/// Service accounts are named `namespace/name`.
fn subject(kind: &str, name: &str) -> Subject {
    match name.split_once('/').filter(|_| kind == "ServiceAccount") {
        Some((namespace, name)) => {
            Subject { kind: kind.to_owned(), namespace: Some(namespace.to_owned()), name: name.to_owned(), api_group: None }
        }
        None => Subject { kind: kind.to_owned(), namespace: None, name: name.to_owned(), api_group: Some(GROUP.to_owned()) },
    }
}

/// An object that a cluster starts with.
pub trait Reconciled: api::Object + Clone {
    /// Adds what is missing in `present`.
    fn amend(&self, present: &mut Self) -> Amendment;
}

/// What it takes to bring an object up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amendment {
    Nothing,
    Update,
    /// What differs cannot be changed: a binding's role.
    Replace,
}

impl Amendment {
    fn of(changed: bool) -> Self {
        if changed { Self::Update } else { Self::Nothing }
    }
}

/// Adds labels and annotations that are missing. None: the object wants to be left alone.
fn amend_metadata(wanted: &ObjectMeta, present: &mut ObjectMeta) -> Option<bool> {
    if present.annotations.as_ref().and_then(|annotations| annotations.get(AUTO_UPDATE)).is_some_and(|value| value == "false") {
        return None;
    }
    let mut changed = false;
    for (wanted, present) in [(&wanted.labels, &mut present.labels), (&wanted.annotations, &mut present.annotations)] {
        for (key, value) in wanted.iter().flatten() {
            if present.as_ref().is_none_or(|present| !present.contains_key(key)) {
                present.get_or_insert_default().insert(key.clone(), value.clone());
                changed = true;
            }
        }
    }
    Some(changed)
}

fn amend_rules(wanted: Option<&Vec<PolicyRule>>, present: &mut Option<Vec<PolicyRule>>) -> bool {
    let missing = rule::uncovered(&rule::compile(present.as_ref()), &rule::compile(wanted));
    if missing.is_empty() {
        return false;
    }
    present.get_or_insert_default().extend(missing.iter().map(PolicyRule::from));
    true
}

fn amend_subjects(wanted: Option<&Vec<Subject>>, present: &mut Option<Vec<Subject>>) -> bool {
    let missing: Vec<Subject> =
        wanted.into_iter().flatten().filter(|one| present.as_ref().is_none_or(|present| !present.contains(one))).cloned().collect();
    let changed = !missing.is_empty();
    if changed {
        present.get_or_insert_default().extend(missing);
    }
    changed
}

impl Reconciled for ClusterRole {
    fn amend(&self, present: &mut Self) -> Amendment {
        let Some(mut changed) = amend_metadata(&self.metadata, &mut present.metadata) else { return Amendment::Nothing };
        match &self.aggregation_rule {
            // A controller keeps the rules of an aggregated role.
            Some(rule) => {
                let wanted = rule.cluster_role_selectors.iter().flatten();
                let has = present.aggregation_rule.get_or_insert_default().cluster_role_selectors.get_or_insert_default();
                let missing: Vec<_> = wanted.filter(|selector| !has.contains(selector)).cloned().collect();
                changed |= !missing.is_empty();
                has.extend(missing);
            }
            None => changed |= amend_rules(self.rules.as_ref(), &mut present.rules),
        }
        Amendment::of(changed)
    }
}

impl Reconciled for Role {
    fn amend(&self, present: &mut Self) -> Amendment {
        let Some(changed) = amend_metadata(&self.metadata, &mut present.metadata) else { return Amendment::Nothing };
        Amendment::of(amend_rules(self.rules.as_ref(), &mut present.rules) | changed)
    }
}

impl Reconciled for ClusterRoleBinding {
    fn amend(&self, present: &mut Self) -> Amendment {
        let Some(changed) = amend_metadata(&self.metadata, &mut present.metadata) else { return Amendment::Nothing };
        if present.role_ref != self.role_ref {
            return Amendment::Replace;
        }
        Amendment::of(amend_subjects(self.subjects.as_ref(), &mut present.subjects) | changed)
    }
}

impl Reconciled for RoleBinding {
    fn amend(&self, present: &mut Self) -> Amendment {
        let Some(changed) = amend_metadata(&self.metadata, &mut present.metadata) else { return Amendment::Nothing };
        if present.role_ref != self.role_ref {
            return Amendment::Replace;
        }
        Amendment::of(amend_subjects(self.subjects.as_ref(), &mut present.subjects) | changed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads_whole() {
        let defaults = Defaults::read();
        let rules: usize = defaults.cluster_roles.iter().filter_map(|role| role.rules.as_ref()).map(Vec::len).sum();
        let count = |kind: &str| TABLE.lines().filter(|line| line.starts_with(&format!("{kind}\t"))).count();
        assert_eq!(rules, count("ClusterRole"));
        let (own, bindings): (Vec<_>, Vec<_>) =
            defaults.cluster_role_bindings.iter().partition(|binding| binding.metadata.name.as_deref() == Some(SIMULATED_NODES));
        assert_eq!((bindings.len(), own.len()), (count("clusterrolebinding"), 1));
        assert_eq!(defaults.role_bindings.len(), count("rolebinding"));
        assert_eq!(defaults.roles.iter().flat_map(|role| role.rules.iter().flatten()).count(), count("Role"));
        let edit = defaults.cluster_roles.iter().find(|role| role.metadata.name.as_deref() == Some("edit")).unwrap();
        assert!(edit.aggregation_rule.is_some());
        assert!(edit.metadata.labels.as_ref().unwrap().contains_key("rbac.authorization.k8s.io/aggregate-to-admin"));
    }

    #[test]
    fn only_what_is_missing_is_added() {
        let wanted = Defaults::read().cluster_roles.into_iter().find(|role| role.metadata.name.as_deref() == Some("system:node")).unwrap();
        let mut same = wanted.clone();
        assert_eq!(wanted.amend(&mut same), Amendment::Nothing);
        let mut poorer = wanted.clone();
        poorer.rules.as_mut().unwrap().remove(0);
        poorer.rules.as_mut().unwrap().push(policy_rule(&["example.com", "things", "", "", "get"]));
        assert_eq!(wanted.amend(&mut poorer), Amendment::Update);
        assert!(poorer.rules.as_ref().unwrap().iter().any(|rule| rule.resources.as_ref().is_some_and(|r| r[0] == "things")));
        assert_eq!(wanted.amend(&mut poorer), Amendment::Nothing);
        let mut alone = ClusterRole::default();
        alone.metadata.annotations = Some(BTreeMap::from([(AUTO_UPDATE.to_owned(), "false".to_owned())]));
        assert_eq!(wanted.amend(&mut alone), Amendment::Nothing);
    }
}

//! Keeps the rules of aggregated ClusterRoles: the sum of those that their selectors choose, each rule once, in the
//! order of the roles' names.

use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use machinery::labels::Selector;
use serde_json::json;

use crate::controller::{Controller, Key, Wake};
use crate::plan::{Plan, Write};
use crate::world::{Change, Kind, Whole, World};

pub struct ClusterRoleAggregationController;

impl Controller for ClusterRoleAggregationController {
    fn name(&self) -> &'static str {
        "clusterrole-aggregation-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::ClusterRole]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        if let Change::ClusterRole(_) = change {
            // Any of them may choose the role that changed, or have chosen it.
            world.cluster_roles.all().filter(|role| role.aggregation_rule.is_some()).for_each(|role| wake.key(&role.header().key));
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(role) = world.cluster_roles.get(key) else { return plan };
        if role.aggregation_rule.is_none() || role.header().is_terminating() {
            return plan;
        }
        let rules = sum(world, role);
        if role.rules.as_deref().unwrap_or_default() != rules {
            // A role that chooses none has no rules.
            let content = if rules.is_empty() { json!({}) } else { json!({ "rules": rules }) };
            plan.write(Write::apply(role, self.name(), content));
        }
        plan
    }
}

fn sum(world: &World, role: &Whole<ClusterRole>) -> Vec<PolicyRule> {
    let selectors = role.aggregation_rule.iter().flat_map(|rule| rule.cluster_role_selectors.iter().flatten());
    let mut rules: Vec<PolicyRule> = Vec::new();
    // A selector that does not read chooses nothing; the API server takes none.
    for selector in selectors.filter_map(|selector| Selector::of(Some(selector)).ok()) {
        let mut chosen: Vec<_> = world.cluster_roles.all().filter(|other| selector.matches(&other.header().labels)).collect();
        chosen.retain(|other| other.header().key != role.header().key);
        chosen.sort_by(|a, b| a.header().name().cmp(b.header().name()));
        for rule in chosen.into_iter().flat_map(|other| other.rules.iter().flatten()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::laws::{Scenario, check};

    fn role(name: &str, label: &str, resource: &str) -> Value {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name, "labels": {label: "true"}},
            "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}],
        })
    }

    fn aggregated(name: &str, label: &str, chooses: &str) -> Value {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name, "labels": {label: "true"}},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {chooses: "true"}}]},
        })
    }

    #[test]
    fn a_role_is_the_sum_of_those_it_chooses() {
        let server = check(&Scenario {
            controllers: &[&ClusterRoleAggregationController],
            phases: &[
                &|s| s.create(aggregated("admin", "none", "to-admin")),
                &|s| s.create(aggregated("edit", "to-admin", "to-edit")),
                &|s| s.create(role("pods", "to-edit", "pods")),
                &|s| s.create(role("secrets", "to-admin", "secrets")),
                &|s| s.create(role("twice", "to-admin", "pods")),
                &|s| s.create(role("nodes", "to-edit", "nodes")),
                &|s| s.delete("clusterroles", "nodes"),
            ],
            ..Scenario::default()
        });
        let resources = |name: &str| -> Vec<String> {
            let role = server.get("clusterroles", "", name).unwrap();
            role["rules"].as_array().unwrap().iter().map(|rule| rule["resources"][0].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(resources("edit"), ["pods"]);
        assert_eq!(resources("admin"), ["pods", "secrets"]);
    }
}

//! Checks the expressions of a policy against the kinds that it names, for its status: a policy is accepted whatever its
//! expressions ask objects for, and whoever wrote it is told what these do not have.

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::{ExpressionWarning, ValidatingAdmissionPolicySpec};
use machinery::cel::{Declared, Type};
use machinery::field::Path;
use machinery::{GroupVersionKind, GroupVersionResource};

use super::environment::{Visible, Wanted, compile};

/// Of how many kinds a rule's are looked at.
pub const MOST_KINDS: usize = 10;

/// The resources that the policy names, rule by rule: those of rules with wildcards are nobody's in particular.
pub fn resources(spec: &ValidatingAdmissionPolicySpec) -> Vec<Vec<GroupVersionResource>> {
    let rules = spec.match_constraints.iter().flat_map(|constraints| constraints.resource_rules.iter().flatten());
    let named = |texts: &Option<Vec<String>>| {
        let texts: BTreeSet<String> = texts.iter().flatten().cloned().collect();
        if texts.iter().any(|text| text.contains('*')) { BTreeSet::new() } else { texts }
    };
    let of_rule = |rule: &k8s_openapi::api::admissionregistration::v1::NamedRuleWithOperations| {
        let plurals: BTreeSet<&String> = rule.resources.iter().flatten().filter(|plural| !plural.contains(['*', '/'])).collect();
        let versions = named(&rule.api_versions);
        let mut found = Vec::new();
        for group in &named(&rule.api_groups) {
            for version in &versions {
                found.extend(plurals.iter().map(|plural| GroupVersionResource::new(group.clone(), version.clone(), (*plural).clone())));
            }
        }
        found
    };
    rules.map(of_rule).collect()
}

/// What the expressions ask of objects of these kinds, or of parameters, that there is not.
pub fn check(
    spec: &ValidatingAdmissionPolicySpec,
    kinds: &[(GroupVersionKind, Declared)],
    params: Option<&Declared>,
) -> Vec<ExpressionWarning> {
    let environments: Vec<_> = kinds.iter().map(|(kind, object)| (kind, visible(spec, object, params).environment())).collect();
    let mut warnings = Vec::new();
    let mut look = |path: Path, expression: &str| {
        let wrong = environments.iter().filter_map(|(kind, environment)| {
            let why = compile(expression, environment, Wanted::Anything).err()?;
            Some(format!("{}, Kind={}: {why}\n", kind.api_version(), kind.kind))
        });
        let wrong: Vec<String> = wrong.collect();
        if !wrong.is_empty() {
            warnings.push(ExpressionWarning { field_ref: path.to_string(), warning: wrong.join("\n") });
        }
    };
    for (i, validation) in spec.validations.iter().flatten().enumerate() {
        let path = Path::new("spec").child("validations").index(i);
        look(path.child("expression"), &validation.expression);
        if let Some(message) = validation.message_expression.as_deref().filter(|message| !message.is_empty()) {
            look(path.child("messageExpression"), message);
        }
    }
    warnings
}

/// What the validations see of an object of this type. Variables that do not fit it may be anything.
fn visible(spec: &ValidatingAdmissionPolicySpec, object: &Declared, params: Option<&Declared>) -> Visible {
    let mut visible = Visible {
        params: spec.param_kind.is_some(),
        authorizer: true,
        object: Some(object.clone()),
        params_type: params.cloned(),
        ..Visible::default()
    };
    for variable in spec.variables.iter().flatten() {
        let program = compile(&variable.expression, &visible.environment(), Wanted::Anything);
        let found = program.map_or(Type::Dyn, |program| program.result().clone());
        visible.variables.push((variable.name.clone(), found));
    }
    visible
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::ConfigMap;
    use machinery::schema::Schema;
    use serde_json::{Value, json};

    use super::*;

    fn spec(spec: Value) -> ValidatingAdmissionPolicySpec {
        serde_json::from_value(spec).unwrap_or_default()
    }

    #[test]
    fn fields_that_there_are_not_are_told_of() {
        let deployment = (GroupVersionKind::new("apps", "v1", "Deployment"), Schema::of::<Deployment>().declared("Deployment"));
        let params = Schema::of::<ConfigMap>().declared("ConfigMap");
        let warned = |expression: &str| {
            let policy = spec(json!({
                "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
                "variables": [{"name": "n", "expression": "object.spec.replicas"}, {"name": "bad", "expression": "object.nothing"}],
                "validations": [{"expression": expression, "messageExpression": "'n is ' + string(variables.n)"}],
            }));
            let found = check(&policy, std::slice::from_ref(&deployment), Some(&params));
            found.into_iter().map(|warning| warning.field_ref).collect::<Vec<_>>()
        };
        for right in [
            "object.spec.replicas > 1 && oldObject.metadata.name == 'a'",
            "object.spec.template.spec.containers.all(c, c.image.startsWith('x') && c.resources.limits['cpu'] == 1)",
            "object.metadata.labels['a'] == params.data['b'] && object.metadata.creationTimestamp < timestamp('2024-01-01T00:00:00Z')",
            "variables.n > 1 && variables.bad.anything",
            "object.spec.strategy.rollingUpdate.maxSurge == 1",
        ] {
            assert_eq!(warned(right), [""; 0], "{right}");
        }
        for wrong in ["object.spec.replica > 1", "object.spec.replicas > 'a'", "params.datum == {}", "variables.n == 'a'", "oldObject.foo"]
        {
            assert_eq!(warned(wrong), ["spec.validations[0].expression"], "{wrong}");
        }
    }

    #[test]
    fn rules_with_wildcards_name_nothing() {
        let named = |groups: &[&str], versions: &[&str], plurals: &[&str]| {
            let rule = json!({"apiGroups": groups, "apiVersions": versions, "resources": plurals, "operations": ["*"]});
            resources(&spec(json!({"matchConstraints": {"resourceRules": [rule]}}))).concat().len()
        };
        assert_eq!(named(&["apps", ""], &["v1"], &["deployments", "pods/status", "*"]), 2);
        assert_eq!(named(&["apps", "*"], &["v1"], &["deployments"]), 0);
        assert_eq!(named(&["apps"], &["*"], &["deployments"]), 0);
    }
}

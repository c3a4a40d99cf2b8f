//! Policies in force: each bound one compiled, and kept until it or its binding changes.

use std::collections::HashMap;
use std::sync::Arc;

use api::admissionregistration::environment::{Visible, Wanted, compile};
use api::object::downcast_ref;
use arc_swap::ArcSwap;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, ValidatingAdmissionPolicy as Policy, ValidatingAdmissionPolicyBinding as Binding, ValidatingAdmissionPolicySpec,
    Variable as Declared,
};
use machinery::cel::Program;

use super::activation::Variable;
use crate::admission::World;
use crate::log::{Entry, Snapshot};

const GROUP: &str = "admissionregistration.k8s.io";

/// A policy with its expressions.
pub(super) struct Compiled {
    pub name: String,
    pub spec: ValidatingAdmissionPolicySpec,
    /// Why the policy cannot be evaluated; one that was validated can.
    pub expressions: Result<Expressions, String>,
    entry: Arc<Entry>,
}

pub(super) struct Expressions {
    pub conditions: Vec<Program>,
    pub variables: Vec<Variable>,
    /// Of each validation, whether it holds, and what is said if it does not.
    pub validations: Vec<(Program, Option<Program>)>,
}

/// A binding with its policy.
pub(super) struct Bound {
    pub name: String,
    pub binding: Binding,
    pub policy: Arc<Compiled>,
}

/// All bindings that have a policy, as of two snapshots.
#[derive(Default)]
struct State {
    seen: Option<(Arc<Snapshot>, Arc<Snapshot>)>,
    bound: Arc<Vec<Bound>>,
}

/// Keeps up with the logs of policies and bindings.
#[derive(Default)]
pub(super) struct Index {
    state: ArcSwap<State>,
}

impl Index {
    /// The policies that are in force now.
    pub fn bound(&self, world: &World) -> Arc<Vec<Bound>> {
        let logs = world.log(GROUP, "validatingadmissionpolicies").zip(world.log(GROUP, "validatingadmissionpolicybindings"));
        let Some((policies, bindings)) = logs else { return Arc::default() };
        let now = (policies.snapshot(), bindings.snapshot());
        let state = self.state.load();
        if let Some(seen) = &state.seen
            && seen.0.version == now.0.version
            && seen.1.version == now.1.version
        {
            return state.bound.clone();
        }
        let before: HashMap<&str, &Arc<Compiled>> = state.bound.iter().map(|bound| (bound.policy.name.as_str(), &bound.policy)).collect();
        let mut compiled: HashMap<String, Arc<Compiled>> = HashMap::new();
        let mut bound = Vec::new();
        for entry in now.1.entries.values() {
            let Ok(object) = entry.kept_object(bindings.resource()) else { continue };
            let Some(binding) = downcast_ref::<Binding>(&*object) else { continue };
            let name = &binding.spec.policy_name;
            let Some(policy) = now.0.get(name) else { continue };
            let policy = match (compiled.get(name), before.get(name.as_str())) {
                (Some(known), _) => known.clone(),
                (None, Some(known)) if Arc::ptr_eq(&known.entry, policy) => Arc::clone(known),
                _ => {
                    let Ok(object) = policy.kept_object(policies.resource()) else { continue };
                    let Some(found) = downcast_ref::<Policy>(&*object) else { continue };
                    Arc::new(Compiled::new(found, policy.clone()))
                }
            };
            compiled.insert(name.clone(), policy.clone());
            let name = binding.metadata.name.clone().unwrap_or_default();
            bound.push(Bound { name, binding: binding.clone(), policy });
        }
        let bound = Arc::new(bound);
        // Who else saw the same makes the same of it.
        self.state.store(Arc::new(State { seen: Some(now), bound: bound.clone() }));
        bound
    }
}

impl Compiled {
    fn new(policy: &Policy, entry: Arc<Entry>) -> Self {
        let spec = policy.spec.clone().unwrap_or_default();
        Self { name: policy.metadata.name.clone().unwrap_or_default(), expressions: expressions(&spec), spec, entry }
    }
}

fn expressions(spec: &ValidatingAdmissionPolicySpec) -> Result<Expressions, String> {
    let params = spec.param_kind.is_some();
    let conditions = conditions(spec.match_conditions.as_deref().unwrap_or_default(), params)?;
    let mut visible = Visible { params, authorizer: true, ..Visible::default() };
    let variables = variables(spec.variables.as_deref().unwrap_or_default(), &mut visible)?;
    let environment = visible.environment();
    let of_messages = Visible { authorizer: false, ..visible }.environment();
    let mut validations = Vec::new();
    for validation in spec.validations.iter().flatten() {
        let message = validation.message_expression.as_deref();
        let message = message.map(|text| compile(text, &of_messages, Wanted::Message)).transpose()?;
        validations.push((compile(&validation.expression, &environment, Wanted::Condition)?, message));
    }
    Ok(Expressions { conditions, variables, validations })
}

pub(super) fn conditions(conditions: &[MatchCondition], params: bool) -> Result<Vec<Program>, String> {
    let environment = Visible::of_conditions(params).environment();
    conditions.iter().map(|condition| compile(&condition.expression, &environment, Wanted::Condition)).collect()
}

/// The variables, each of which becomes visible to those after it.
pub(super) fn variables(declared: &[Declared], visible: &mut Visible) -> Result<Vec<Variable>, String> {
    let mut variables = Vec::new();
    for variable in declared {
        let program = compile(&variable.expression, &visible.environment(), Wanted::Anything)?;
        visible.variables.push((variable.name.clone(), program.result().clone()));
        variables.push((variable.name.clone(), program));
    }
    Ok(variables)
}

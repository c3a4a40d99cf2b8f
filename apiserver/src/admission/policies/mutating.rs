//! MutatingAdmissionPolicy: what is changed in an object, as a configuration that is laid over it or as a JSON patch.

use api::Object;
use api::admissionregistration::environment::{Visible, Wanted, compile};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingAdmissionPolicy as Policy, MutatingAdmissionPolicyBinding as Binding, MutatingAdmissionPolicySpec as Spec,
};
use machinery::cel::Program;
use machinery::decode::{self, FieldValidation};
use machinery::patch::{self, json};
use machinery::schema::{Cursor, ListMerge, Node};
use machinery::{Status, apply};
use serde_json::Value as Json;

use super::activation::{Activation, Facts, Variable};
use super::index::{Index, Kinds};
use super::{conditions, is_exempt, is_meant, matching, params, refused, variables};
use crate::admission::{Operation, Plugin, Request};

#[derive(Default)]
pub struct MutatingAdmissionPolicy {
    index: Index<Mutating>,
}

struct Mutating;

type Bound = super::index::Bound<Mutating>;

struct Expressions {
    conditions: Vec<Program>,
    variables: Vec<Variable>,
    mutations: Vec<Mutation>,
}

enum Mutation {
    Configuration(Program),
    Patch(Program),
}

impl Kinds for Mutating {
    type Policy = Policy;
    type Binding = Binding;
    type Expressions = Expressions;

    const POLICIES: &'static str = "mutatingadmissionpolicies";
    const BINDINGS: &'static str = "mutatingadmissionpolicybindings";

    fn policy_of(binding: &Binding) -> &str {
        binding.spec.as_ref().and_then(|spec| spec.policy_name.as_deref()).unwrap_or_default()
    }

    fn compile(policy: &Policy) -> Result<Expressions, String> {
        policy.spec.as_ref().map_or_else(|| Err("the policy is empty".to_owned()), expressions)
    }
}

fn expressions(spec: &Spec) -> Result<Expressions, String> {
    let params = spec.param_kind.is_some();
    let conditions = conditions(spec.match_conditions.as_deref(), params)?;
    let mut visible = Visible { params, authorizer: true, mutations: true, ..Visible::default() };
    let variables = variables(spec.variables.as_deref(), &mut visible)?;
    let environment = visible.environment();
    let mut mutations = Vec::new();
    for mutation in spec.mutations.iter().flatten() {
        let configuration = mutation.apply_configuration.as_ref().and_then(|one| one.expression.as_deref());
        let patch = mutation.json_patch.as_ref().and_then(|one| one.expression.as_deref());
        mutations.push(match (configuration, patch) {
            (Some(text), _) => Mutation::Configuration(compile(text, &environment, Wanted::Configuration)?),
            (None, Some(text)) => Mutation::Patch(compile(text, &environment, Wanted::Patch)?),
            (None, None) => return Err("a mutation changes nothing".to_owned()),
        });
    }
    Ok(Expressions { conditions, variables, mutations })
}

impl Plugin for MutatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        "MutatingAdmissionPolicy"
    }

    fn rewrite(&self, request: &Request<'_>, object: &mut Box<dyn Object>, again: bool) -> Result<bool, Status> {
        let bound = self.index.bound(request.world);
        if bound.is_empty() || request.operation == Operation::Delete || is_exempt(request) {
            return Ok(false);
        }
        let mut changed = false;
        for bound in bound.iter() {
            let Some(spec) = &bound.policy.policy.spec else { continue };
            if (again && spec.reinvocation_policy.as_deref() != Some("IfNeeded")) || !concerns(bound, spec, request, &**object) {
                continue;
            }
            match carry_out(bound, spec, request, object) {
                Ok(did) => changed |= did,
                Err(_) if spec.failure_policy.as_deref() == Some("Ignore") => {}
                Err(why) => {
                    let (policy, binding) = (&bound.policy.name, &bound.name);
                    let message = format!("policy '{policy}' with binding '{binding}' denied request: {why}");
                    return Err(refused(request, Some(&**object), &message));
                }
            }
        }
        Ok(changed)
    }
}

fn concerns(bound: &Bound, spec: &Spec, request: &Request<'_>, object: &dyn Object) -> bool {
    let resources = bound.binding.spec.as_ref().and_then(|spec| spec.match_resources.as_ref());
    spec.match_constraints.as_ref().is_some_and(|constraints| matching::matches(constraints, request, Some(object)))
        && resources.is_none_or(|resources| matching::matches(resources, request, Some(object)))
}

/// Changes an object as a policy wants it, with each set of parameters. Says whether anything is other than before.
fn carry_out(bound: &Bound, spec: &Spec, request: &Request<'_>, object: &mut Box<dyn Object>) -> Result<bool, String> {
    let expressions = bound.policy.expressions.as_ref().map_err(String::clone)?;
    let reference = bound.binding.spec.as_ref().and_then(|spec| spec.param_ref.as_ref());
    let mut changed = false;
    for params in params::find(spec.param_kind.as_ref(), reference, request)? {
        let facts = Facts::new(request, Some(&**object));
        if !is_meant(&expressions.conditions, &Activation::new(&facts, &params, &expressions.variables))? {
            continue;
        }
        for mutation in &expressions.mutations {
            // Each sees what those before it made.
            let facts = Facts::new(request, Some(&**object));
            let activation = Activation::new(&facts, &params, &expressions.variables);
            if let Some(value) = mutate(mutation, &activation, request, facts.object())? {
                *object = replace(request, &**object, value)?;
                changed = true;
            }
        }
    }
    Ok(changed)
}

/// The object after one mutation; None where it is as before.
fn mutate<'v>(mutation: &'v Mutation, activation: &Activation<'v>, request: &Request<'_>, object: &Json) -> Result<Option<Json>, String> {
    let (Mutation::Configuration(program) | Mutation::Patch(program)) = mutation;
    let value = activation.evaluate(program).map_err(|error| error.to_string())?;
    let value = value.to_json().map_err(|error| error.to_string())?;
    let schema = request.target.resource.schema();
    let after = match mutation {
        Mutation::Configuration(_) => {
            check_granular(schema.cursor(), &value)?;
            apply::merge(schema, object.clone(), &value)
        }
        Mutation::Patch(_) => match json::Patch::parse(&value).and_then(|patch| patch.apply(object.clone())) {
            Ok(after) => after,
            // A test says for which objects a patch is meant.
            Err(patch::Error::TestFailed(_)) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        },
    };
    Ok((after != *object).then_some(after))
}

/// A configuration may not name parts of what is replaced as a whole: what it does not name would be lost.
fn check_granular(at: Cursor<'_>, config: &Json) -> Result<(), String> {
    let atomic = match at.node() {
        Node::Struct { atomic, .. } | Node::Map { atomic, .. } => *atomic,
        Node::List { .. } => at.list_merge().is_none_or(|merge| *merge == ListMerge::Atomic),
        Node::Any | Node::Scalar(_) => false,
    };
    if atomic {
        return Err("an ApplyConfiguration may not change lists, maps and objects that are atomic".to_owned());
    }
    match config {
        Json::Object(fields) => {
            fields.iter().try_for_each(|(name, value)| at.child(name).map_or(Ok(()), |below| check_granular(below, value)))
        }
        Json::Array(elements) => match at.items() {
            Some(below) => elements.iter().try_for_each(|element| check_granular(below, element)),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The typed object of what a mutation made, with defaults. Which object it is does not change.
fn replace(request: &Request<'_>, before: &dyn Object, mut value: Json) -> Result<Box<dyn Object>, String> {
    let resource = &request.target.resource;
    let mut findings = Vec::new();
    decode::conform(&mut value, resource.schema(), &mut findings).map_err(|error| error.to_string())?;
    FieldValidation::Strict.judge(findings).map_err(|error| error.to_string())?;
    let mut object = resource.decode(value)?;
    let (meta, old) = (object.meta_mut(), before.meta());
    meta.name.clone_from(&old.name);
    meta.generate_name.clone_from(&old.generate_name);
    meta.namespace.clone_from(&old.namespace);
    meta.uid.clone_from(&old.uid);
    meta.resource_version.clone_from(&old.resource_version);
    meta.generation = old.generation;
    meta.creation_timestamp.clone_from(&old.creation_timestamp);
    meta.deletion_timestamp.clone_from(&old.deletion_timestamp);
    meta.managed_fields.clone_from(&old.managed_fields);
    resource.default(&mut *object);
    Ok(object)
}

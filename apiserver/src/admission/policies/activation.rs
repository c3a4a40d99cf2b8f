//! What a policy's expressions are evaluated on, and the budget that they share. Variables are evaluated when first asked
//! for, and kept.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use api::Object;
use machinery::cel::{self, CALL_LIMIT, Check, Fields, Map, Program, Stop, Value};
use serde_json::{Value as Json, json};

use super::authorizer::Asker;
use super::matching;
use crate::admission::Request;

/// What all expressions of one policy may cost for one request.
const BUDGET: u64 = 10_000_000;
/// How deep evaluations of variables may stand in each other. What a variable names is evaluated before it, so that a long
/// chain of them takes no stack; only those that hide what they need come deeper.
const DEEPEST: u32 = 2;

/// A request as JSON, made once for all policies.
pub(super) struct Facts<'r> {
    object: Json,
    old: Json,
    request: Json,
    namespace: Json,
    resource: Rc<Check>,
    asker: Asker<'r>,
}

impl<'r> Facts<'r> {
    pub fn new(request: &Request<'r>, object: Option<&dyn Object>) -> Self {
        let target = request.target;
        let names = target.resource.names();
        let namespace = match target.namespace.as_str() {
            "" => Json::Null,
            name => {
                let entry = request.world.get("", "namespaces", "", name);
                let log = request.world.log("", "namespaces");
                let found = entry.zip(log).and_then(|(entry, log)| entry.kept_object(log.resource()).ok());
                found.map_or(Json::Null, |namespace| namespace.to_value())
            }
        };
        let resource = Check {
            group: names.group.to_owned(),
            resource: Some(names.plural.to_owned()),
            subresource: target.subresource.clone().unwrap_or_default(),
            namespace: target.namespace.clone(),
            name: matching::name_of(request, object).to_owned(),
            ..Check::default()
        };
        let as_json = |object: Option<&dyn Object>| object.map_or(Json::Null, |object| target.resource.encode(object));
        Self {
            object: as_json(object),
            old: as_json(request.old),
            request: describe(request, object),
            namespace,
            resource: Rc::new(resource),
            asker: Asker { access: request.access, user: request.user },
        }
    }

    pub fn object(&self) -> &Json {
        &self.object
    }
}

/// The request as webhooks are told of it.
fn describe(request: &Request<'_>, object: Option<&dyn Object>) -> Json {
    let target = request.target;
    let names = target.resource.names();
    let kind = json!({"group": names.group, "version": names.version, "kind": names.kind});
    let resource = json!({"group": names.group, "version": names.version, "resource": names.plural});
    let subresource = target.subresource.clone().unwrap_or_default();
    let user = request.user;
    json!({
        "kind": kind,
        "resource": resource,
        "subResource": subresource,
        "requestKind": kind,
        "requestResource": resource,
        "requestSubResource": subresource,
        "name": matching::name_of(request, object),
        "namespace": target.namespace,
        "operation": matching::operation_name(request.operation),
        "userInfo": {"username": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra},
        "dryRun": request.dry_run,
    })
}

/// A variable of a policy.
pub(super) struct Variable {
    name: String,
    program: Program,
    /// The places of those that it needs, and of those that they need, in the order in which they are declared.
    needs: Vec<usize>,
}

impl Variable {
    /// A variable that is declared after `before`.
    pub fn new(name: &str, program: Program, before: &[Self]) -> Self {
        let named = program.fields_used("variables");
        let mut needs: Vec<usize> = Vec::new();
        for (place, one) in before.iter().enumerate().filter(|(_, one)| named.contains(&one.name.as_str())) {
            needs.extend(&one.needs);
            needs.push(place);
        }
        needs.sort_unstable();
        needs.dedup();
        Self { name: name.to_owned(), program, needs }
    }
}

/// The values for one policy, one set of its parameters and one request.
pub(super) struct Activation<'v>(Rc<State<'v>>);

struct State<'v> {
    facts: &'v Facts<'v>,
    params: &'v Json,
    variables: &'v [Variable],
    known: RefCell<HashMap<&'v str, Result<Value<'v>, Stop>>>,
    depth: Cell<u32>,
    budget: Cell<u64>,
    me: Weak<State<'v>>,
}

impl<'v> Activation<'v> {
    pub fn new(facts: &'v Facts<'v>, params: &'v Json, variables: &'v [Variable]) -> Self {
        Self(Rc::new_cyclic(|me| State {
            facts,
            params,
            variables,
            known: RefCell::default(),
            depth: Cell::new(0),
            budget: Cell::new(BUDGET),
            me: me.clone(),
        }))
    }

    pub fn evaluate(&self, program: &'v Program) -> Result<Value<'v>, Stop> {
        self.0.evaluate(program)
    }
}

impl Drop for Activation<'_> {
    /// A variable may hold the variables, and so itself.
    fn drop(&mut self) {
        self.0.known.borrow_mut().clear();
    }
}

impl<'v> State<'v> {
    fn evaluate(&self, program: &'v Program) -> Result<Value<'v>, Stop> {
        let budget = self.budget.get();
        let inputs = program.environment().variables();
        let inputs = inputs.iter().map(|(name, declared)| self.input(name, declared)).collect();
        let evaluation = program.evaluate(inputs, CALL_LIMIT.min(budget));
        // Variables that were needed have been paid for by the way.
        self.budget.set(self.budget.get().saturating_sub(evaluation.cost));
        evaluation.value
    }

    fn input(&self, name: &str, declared: &'v cel::Declared) -> Option<Value<'v>> {
        let facts = self.facts;
        Some(match name {
            "object" => Value::from_json(&facts.object, declared),
            "oldObject" => Value::from_json(&facts.old, declared),
            "request" => Value::from_json(&facts.request, declared),
            "namespaceObject" => Value::from_json(&facts.namespace, declared),
            "params" => Value::from_json(self.params, declared),
            "authorizer" => Value::Authorizer(&facts.asker, None),
            "authorizer.requestResource" => Value::Check(&facts.asker, facts.resource.clone()),
            "variables" => Value::Map(Map::Lazy(self.me.upgrade()?)),
            _ => return None,
        })
    }

    fn variable(&self, place: usize) -> Result<Value<'v>, Stop> {
        // An error among them matters only to who needs that one.
        self.variables[place].needs.iter().for_each(|need| drop(self.one_variable(*need)));
        self.one_variable(place)
    }

    fn one_variable(&self, place: usize) -> Result<Value<'v>, Stop> {
        let Variable { name, program, .. } = &self.variables[place];
        if let Some(known) = self.known.borrow().get(name.as_str()) {
            return known.clone();
        }
        if self.depth.get() >= DEEPEST {
            return Err(Stop::failed(format!("variable {name} is hidden too deep in others")));
        }
        self.depth.set(self.depth.get() + 1);
        let value = self.evaluate(program);
        self.depth.set(self.depth.get() - 1);
        self.known.borrow_mut().insert(name, value.clone());
        value
    }
}

impl<'v> Fields<'v> for State<'v> {
    fn field(&self, name: &str) -> Option<Result<Value<'v>, Stop>> {
        let place = self.variables.iter().position(|variable| variable.name == name)?;
        Some(self.variable(place))
    }
}

//! Policies in force: each bound one compiled, and kept until it or its binding changes.

use std::collections::HashMap;
use std::sync::Arc;

use api::object::downcast_ref;
use arc_swap::ArcSwap;

use crate::admission::World;
use crate::log::{Entry, Snapshot};

const GROUP: &str = "admissionregistration.k8s.io";

/// A kind of policies with its bindings.
pub(super) trait Kinds: 'static {
    type Policy: Clone + Send + Sync + 'static;
    type Binding: Clone + Send + Sync + 'static;
    /// A policy's expressions.
    type Expressions: Send + Sync + 'static;

    /// The names of both resources.
    const POLICIES: &'static str;
    const BINDINGS: &'static str;

    fn policy_of(binding: &Self::Binding) -> &str;
    /// The error says why a policy cannot be evaluated; one that was validated can.
    fn compile(policy: &Self::Policy) -> Result<Self::Expressions, String>;
}

/// A policy with its expressions.
pub(super) struct Compiled<K: Kinds> {
    pub name: String,
    pub policy: K::Policy,
    pub expressions: Result<K::Expressions, String>,
    entry: Arc<Entry>,
}

/// A binding with its policy.
pub(super) struct Bound<K: Kinds> {
    pub name: String,
    pub binding: K::Binding,
    pub policy: Arc<Compiled<K>>,
}

/// All bindings that have a policy, as of two snapshots.
struct State<K: Kinds> {
    seen: Option<(Arc<Snapshot>, Arc<Snapshot>)>,
    bound: Arc<Vec<Bound<K>>>,
}

/// Keeps up with the logs of policies and bindings.
pub(super) struct Index<K: Kinds> {
    state: ArcSwap<State<K>>,
}

impl<K: Kinds> Default for Index<K> {
    fn default() -> Self {
        Self { state: ArcSwap::from_pointee(State { seen: None, bound: Arc::default() }) }
    }
}

impl<K: Kinds> Index<K> {
    /// The policies that are in force now, by the names of their bindings.
    pub fn bound(&self, world: &World) -> Arc<Vec<Bound<K>>> {
        let Some((policies, bindings)) = world.log(GROUP, K::POLICIES).zip(world.log(GROUP, K::BINDINGS)) else { return Arc::default() };
        let now = (policies.snapshot(), bindings.snapshot());
        let state = self.state.load();
        if let Some(seen) = &state.seen
            && seen.0.version == now.0.version
            && seen.1.version == now.1.version
        {
            return state.bound.clone();
        }
        let before = state.bound.iter().map(|bound| (bound.policy.name.as_str(), &bound.policy));
        let before: HashMap<&str, &Arc<Compiled<K>>> = before.collect();
        let mut compiled: HashMap<String, Arc<Compiled<K>>> = HashMap::new();
        let mut bound = Vec::new();
        for entry in now.1.entries.values() {
            let Ok(object) = entry.kept_object(bindings.resource()) else { continue };
            let Some(binding) = downcast_ref::<K::Binding>(&*object) else { continue };
            let name = K::policy_of(binding);
            let Some(policy) = now.0.get(name) else { continue };
            let policy = match (compiled.get(name), before.get(name)) {
                (Some(known), _) => known.clone(),
                (None, Some(known)) if Arc::ptr_eq(&known.entry, policy) => Arc::clone(known),
                _ => {
                    let Ok(object) = policy.kept_object(policies.resource()) else { continue };
                    let Some(found) = downcast_ref::<K::Policy>(&*object) else { continue };
                    let expressions = K::compile(found);
                    Arc::new(Compiled { name: name.to_owned(), policy: found.clone(), expressions, entry: policy.clone() })
                }
            };
            compiled.insert(name.to_owned(), policy.clone());
            bound.push(Bound { name: object.meta().name.clone().unwrap_or_default(), binding: binding.clone(), policy });
        }
        let bound = Arc::new(bound);
        // Who else saw the same makes the same of it.
        self.state.store(Arc::new(State { seen: Some(now), bound: bound.clone() }));
        bound
    }
}

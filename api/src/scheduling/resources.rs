//! Amounts of resources, as whole numbers that add and compare fast, and what a pod asks for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Node, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use machinery::quantity::{Quantity, Scale};

/// A resource list as Kubernetes writes it.
pub type List = BTreeMap<String, Text>;

/// What a container without requests counts as when nodes are compared (never when they are filled).
const ASSUMED_CPU_MILLI: i64 = 100;
const ASSUMED_MEMORY_BYTES: i64 = 200 << 20;

/// Amounts by resource. Sums saturate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub cpu_milli: i64,
    pub memory_bytes: i64,
    pub ephemeral_storage_bytes: i64,
    /// How many pods; a pod itself asks for one.
    pub pods: i64,
    /// Every other resource (devices, huge pages), in its own whole units.
    pub other: BTreeMap<String, i64>,
}

impl Resources {
    pub fn of_list(list: &List) -> Self {
        let mut sum = Self::default();
        for (name, amount) in list {
            *sum.amount_mut(name) = in_units(name, Quantity::of(amount));
        }
        sum
    }

    /// What the node has for pods.
    pub fn allocatable(node: &Node) -> Self {
        let list = node.status.as_ref().and_then(|s| s.allocatable.as_ref());
        list.map(Self::of_list).unwrap_or_default()
    }

    /// What the pod asks for: the larger of what its containers need together and of what any step of its
    /// initialization needs, and the overhead of its runtime. While containers are being resized, the larger of
    /// what they have and what they are to get. `pods` is 1.
    pub fn requested(pod: &Pod) -> Self {
        let Some(spec) = &pod.spec else { return Self { pods: 1, ..Self::default() } };
        let statuses = |init: bool| {
            let status = pod.status.as_ref()?;
            if init { status.init_container_statuses.as_deref() } else { status.container_statuses.as_deref() }
        };
        let of = |container: &Container, init: bool| {
            let mut wanted = requests(container).map(Self::of_list).unwrap_or_default();
            if let Some(status) = statuses(init).and_then(|all| all.iter().find(|s| s.name == container.name)) {
                wanted.raise(&Self::held(status));
            }
            wanted
        };
        Self { pods: 1, ..aggregate(spec, of) }
    }

    /// What a pod of this spec asks for before it has a status.
    pub fn requested_by(spec: &PodSpec) -> Self {
        let of = |container: &Container, _| requests(container).map(Self::of_list).unwrap_or_default();
        Self { pods: 1, ..aggregate(spec, of) }
    }

    /// As [`Resources::requested_by`], with an assumed CPU and memory for containers that name none: what
    /// the least allocated node is judged by, so that pods without requests are spread too.
    pub fn assumed_by(spec: &PodSpec) -> Self {
        let of = |container: &Container, _| {
            let list = requests(container);
            let mut wanted = list.map(Self::of_list).unwrap_or_default();
            let lacks = |name: &str| list.is_none_or(|l| !l.contains_key(name));
            if lacks("cpu") {
                wanted.cpu_milli = ASSUMED_CPU_MILLI;
            }
            if lacks("memory") {
                wanted.memory_bytes = ASSUMED_MEMORY_BYTES;
            }
            wanted
        };
        Self { pods: 1, ..aggregate(spec, of) }
    }

    /// What a running container holds already.
    fn held(status: &ContainerStatus) -> Self {
        let mut held = status.allocated_resources.as_ref().map(Self::of_list).unwrap_or_default();
        if let Some(actual) = status.resources.as_ref().and_then(|r| r.requests.as_ref()) {
            held.raise(&Self::of_list(actual));
        }
        held
    }

    pub fn amount(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.cpu_milli,
            "memory" => self.memory_bytes,
            "ephemeral-storage" => self.ephemeral_storage_bytes,
            "pods" => self.pods,
            other => self.other.get(other).copied().unwrap_or_default(),
        }
    }

    pub fn amount_mut(&mut self, name: &str) -> &mut i64 {
        match name {
            "cpu" => &mut self.cpu_milli,
            "memory" => &mut self.memory_bytes,
            "ephemeral-storage" => &mut self.ephemeral_storage_bytes,
            "pods" => &mut self.pods,
            other => self.other.entry(other.to_owned()).or_default(),
        }
    }

    pub fn add(&mut self, more: &Self) {
        self.combine(more, i64::saturating_add);
    }

    pub fn subtract(&mut self, less: &Self) {
        self.combine(less, i64::saturating_sub);
    }

    /// Raises each amount to the other's, where that is larger.
    pub fn raise(&mut self, to: &Self) {
        self.combine(to, i64::max);
    }

    fn combine(&mut self, other: &Self, with: fn(i64, i64) -> i64) {
        self.cpu_milli = with(self.cpu_milli, other.cpu_milli);
        self.memory_bytes = with(self.memory_bytes, other.memory_bytes);
        self.ephemeral_storage_bytes = with(self.ephemeral_storage_bytes, other.ephemeral_storage_bytes);
        self.pods = with(self.pods, other.pods);
        for (name, amount) in &other.other {
            let mine = self.other.entry(name.clone()).or_default();
            *mine = with(*mine, *amount);
        }
    }

    /// The names of the resources of which `free` has less than is asked for here, in the order in which Kubernetes
    /// reports them. What is not asked for is not looked at: a node may be overfull and take the pod.
    pub fn insufficient<'a>(&'a self, free: &Self) -> Vec<&'a str> {
        let known = [
            ("pods", self.pods, free.pods),
            ("cpu", self.cpu_milli, free.cpu_milli),
            ("memory", self.memory_bytes, free.memory_bytes),
            ("ephemeral-storage", self.ephemeral_storage_bytes, free.ephemeral_storage_bytes),
        ];
        let known = known.into_iter().filter(|(_, asked, free)| *asked > 0 && asked > free).map(|(name, ..)| name);
        let other = self.other.iter().filter(|(name, asked)| **asked > 0 && **asked > free.amount(name));
        known.chain(other.map(|(name, _)| name.as_str())).collect()
    }
}

/// Rounds amounts up to thousandths, beyond which Kubernetes keeps none in most lists.
pub(crate) fn round_up(list: &mut Option<List>) {
    let is_finer = |amount: &&mut Text| amount.0.ends_with(['n', 'u']);
    for amount in list.iter_mut().flat_map(|list| list.values_mut()).filter(is_finer) {
        *amount = Quantity::of(amount).round_up(Scale::Milli).into();
    }
}

/// CPU counts in thousandths, everything else in ones; fractions round up.
fn in_units(name: &str, amount: Quantity) -> i64 {
    if name == "cpu" { amount.milli_value() } else { amount.value() }
}

fn requests(container: &Container) -> Option<&List> {
    container.resources.as_ref()?.requests.as_ref()
}

/// Whether an init container goes on running beside the pod's containers (a sidecar).
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// Sums the containers' amounts as they are needed over the pod's life, with what the pod as a whole asks for; `of` gives a
/// container's own, and is told whether it is an init container.
fn aggregate(spec: &PodSpec, of: impl Fn(&Container, bool) -> Resources) -> Resources {
    let mut together = over_life(spec, of);
    // What the pod asks for as a whole stands above its containers' sums.
    for (name, amount) in spec.resources.iter().filter_map(|r| r.requests.as_ref()).flatten() {
        *together.amount_mut(name) = in_units(name, Quantity::of(amount));
    }
    if let Some(overhead) = &spec.overhead {
        together.add(&Resources::of_list(overhead));
    }
    together
}

/// Amounts of which there can be more.
trait Amounts: Clone + Default {
    fn add(&mut self, more: &Self);
    fn raise(&mut self, to: &Self);
}

impl Amounts for Resources {
    fn add(&mut self, more: &Self) {
        Resources::add(self, more);
    }

    fn raise(&mut self, to: &Self) {
        Resources::raise(self, to);
    }
}

/// What the containers need together, or any step of their initialization, whichever is more.
fn over_life<A: Amounts>(spec: &PodSpec, of: impl Fn(&Container, bool) -> A) -> A {
    let mut together = A::default();
    for container in &spec.containers {
        together.add(&of(container, false));
    }
    let mut sidecars = A::default();
    let mut initializing = A::default();
    for container in spec.init_containers.iter().flatten() {
        let wanted = of(container, true);
        if is_sidecar(container) {
            together.add(&wanted);
            sidecars.add(&wanted);
            initializing.raise(&sidecars);
        } else {
            let mut step = sidecars.clone();
            step.add(&wanted);
            initializing.raise(&step);
        }
    }
    together.raise(&initializing);
    together
}

/// What a pod's containers name together over its life, exactly and as they write it: a resource that none names is absent,
/// and one of which they name zero is not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums(BTreeMap<String, Quantity>);

impl Sums {
    pub(crate) fn of_requests(spec: &PodSpec) -> Self {
        over_life(spec, |container, _| Self::of_list(requests(container)))
    }

    pub(crate) fn of_limits(spec: &PodSpec) -> Self {
        over_life(spec, |container, _| Self::of_list(container.resources.as_ref().and_then(|r| r.limits.as_ref())))
    }

    fn of_list(list: Option<&List>) -> Self {
        Self(list.into_iter().flatten().map(|(name, amount)| (name.clone(), Quantity::of(amount))).collect())
    }

    pub(crate) fn only(mut self, wanted: impl Fn(&str) -> bool) -> Self {
        self.0.retain(|name, _| wanted(name));
        self
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Quantity)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }
}

impl Amounts for Sums {
    fn add(&mut self, more: &Self) {
        for (name, amount) in more.iter() {
            self.0.entry(name.to_owned()).and_modify(|mine| *mine += amount).or_insert(amount);
        }
    }

    fn raise(&mut self, to: &Self) {
        for (name, amount) in to.iter() {
            self.0.entry(name.to_owned()).and_modify(|mine| *mine = (*mine).max(amount)).or_insert(amount);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(value: serde_json::Value) -> PodSpec {
        serde_json::from_value(value).unwrap()
    }

    fn asks(name: &str, cpu: &str, memory: &str) -> serde_json::Value {
        json!({"name": name, "resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    #[test]
    fn containers_add_up_and_initialization_counts_at_its_peak() {
        let mut sidecar = asks("s", "100m", "50");
        sidecar["restartPolicy"] = "Always".into();
        let spec = spec(json!({
            "containers": [asks("a", "1", "100"), asks("b", "500m", "100")],
            "initContainers": [asks("first", "2", "10"), sidecar, asks("second", "1900m", "400")],
            "overhead": {"cpu": "10m", "acme.io/gpu": "1"},
        }));
        let sum = Resources::requested_by(&spec);
        assert_eq!((sum.cpu_milli, sum.memory_bytes, sum.pods), (2010, 450, 1));
        assert_eq!(sum.amount("acme.io/gpu"), 1);
    }

    #[test]
    fn a_pod_may_ask_as_a_whole() {
        let spec = spec(json!({"containers": [asks("a", "1", "100")], "resources": {"requests": {"cpu": "3"}}}));
        assert_eq!(Resources::requested_by(&spec).cpu_milli, 3000);
    }

    #[test]
    fn a_resize_counts_what_is_held_still() {
        let pod: Pod = serde_json::from_value(json!({
            "spec": {"containers": [asks("a", "1", "100")]},
            "status": {"containerStatuses": [{
                "name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "allocatedResources": {"cpu": "2"},
            }]},
        }))
        .unwrap();
        let sum = Resources::requested(&pod);
        assert_eq!((sum.cpu_milli, sum.memory_bytes), (2000, 100));
    }

    #[test]
    fn only_what_is_asked_for_can_lack() {
        let free = Resources { cpu_milli: -5, memory_bytes: 10, pods: 1, ..Resources::default() };
        let asked = Resources { memory_bytes: 11, pods: 1, other: [("x".to_owned(), 1)].into(), ..Resources::default() };
        assert_eq!(asked.insufficient(&free), ["memory", "x"]);
    }

    #[test]
    fn containers_without_requests_are_assumed_to_need_a_little() {
        let sum = Resources::assumed_by(&spec(json!({"containers": [{"name": "a"}, asks("b", "1", "100")]})));
        assert_eq!((sum.cpu_milli, sum.memory_bytes), (1100, (200 << 20) + 100));
    }
}

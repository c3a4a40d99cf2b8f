use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde_json::{Value, json};

use super::*;
use crate::fixture::{node, pod};
use crate::plugins::default_profile;

fn a_node() -> impl Strategy<Value = Value> {
    let taints = prop::sample::select(vec![
        json!([]),
        json!([{"key": "k", "effect": "PreferNoSchedule"}]),
        json!([{"key": "k", "effect": "PreferNoSchedule"}, {"key": "l", "effect": "PreferNoSchedule"}]),
        json!([{"key": "k", "effect": "NoSchedule"}]),
    ]);
    (1..6i64, 1..6i64, 1..5i64, prop::sample::select(vec!["x", "y"]), taints).prop_map(|(cpu, memory, pods, zone, taints)| {
        let allocatable = json!({"cpu": cpu.to_string(), "memory": format!("{memory}Gi"), "pods": pods.to_string()});
        json!({"allocatable": allocatable, "labels": {"zone": zone}, "taints": taints})
    })
}

/// What differs between workloads.
fn a_spec() -> impl Strategy<Value = Value> {
    let requests = prop::sample::select(vec![
        json!({}),
        json!({"cpu": "500m"}),
        json!({"cpu": "1", "memory": "512Mi"}),
        json!({"cpu": "2", "memory": "2Gi"}),
    ]);
    let ports = prop::sample::select(vec![json!([]), json!([{"containerPort": 80, "hostPort": 80}])]);
    let preferred = json!([{"weight": 5, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["x"]}]}}]);
    let affinity =
        prop::sample::select(vec![json!(null), json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}})]);
    let term = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "a"}}});
    let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": [term]});
    let rules = prop::sample::select(vec![
        json!({}),
        json!({}),
        json!({"affinity": {"podAntiAffinity": required}}),
        json!({"affinity": {"podAffinity": required}}),
        json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "a"}}}]}),
        json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": "a"}}}]}),
    ]);
    (requests, ports, affinity, rules, prop::sample::select(vec!["a", "b"])).prop_map(|(requests, ports, affinity, rules, app)| {
        let container = json!({"name": "c", "ports": ports, "resources": {"requests": requests}});
        let mut spec = json!({"affinity": affinity, "containers": [container], "labels": {"app": app}});
        for (field, value) in rules.as_object().unwrap() {
            spec[field] = value.clone();
        }
        spec
    })
}

#[derive(Clone, Debug)]
enum Step {
    /// A pod of the n-th shape comes.
    Place(usize),
    /// The n-th of the placed pods goes.
    Remove(usize),
    /// The n-th node becomes another.
    Change(usize, Value),
    RemoveNode(usize),
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3usize).prop_map(Step::Place),
        2 => any::<prop::sample::Index>().prop_map(|at| Step::Remove(at.index(64))),
        1 => (0..6usize, a_node()).prop_map(|(at, node)| Step::Change(at, node)),
        1 => (0..6usize).prop_map(Step::RemoveNode),
    ]
}

fn assert_not_overcommitted(cluster: &Cluster) {
    for node in cluster.iter() {
        let (has, taken) = (node.allocatable(), node.requested());
        assert!(taken.cpu_milli <= has.cpu_milli && taken.memory_bytes <= has.memory_bytes && taken.pods <= has.pods, "{}", node.name());
        let ports = node.ports();
        assert!(ports.iter().enumerate().all(|(at, port)| ports[at + 1..].iter().all(|other| !port.conflicts(other))));
    }
}

proptest! {
    /// However long a placement is carried along, it stands as one made anew; and nobody gets what is not there.
    #[test]
    fn a_placement_kept_is_as_good_as_a_new_one(
        nodes in prop::collection::vec(a_node(), 1..6),
        specs in prop::collection::vec(a_spec(), 3),
        steps in prop::collection::vec(a_step(), 1..60),
        seed: u64,
    ) {
        let profile = default_profile();
        let mut random = SmallRng::seed_from_u64(seed);
        let mut cluster = Cluster::default();
        for (i, spec) in nodes.iter().enumerate() {
            cluster.set_node(&format!("n{i}").into(), &node(spec));
        }
        let shapes: Vec<_> = specs.iter().enumerate().map(|(i, spec)| pod(&format!("shape-{i}"), spec.clone())).collect();
        shapes.iter().for_each(|pod| cluster.announce(pod));
        let mut kept: Vec<_> = shapes.iter().map(|pod| Placement::new(pod.clone(), &profile, &cluster, &mut random)).collect();
        let (mut placed, mut moved) = (Vec::new(), false);
        for (count, step) in steps.into_iter().enumerate() {
            match step {
                Step::Place(shape) => {
                    kept[shape].refresh(&profile, &cluster, &mut random);
                    let mut new = Placement::new(shapes[shape].clone(), &profile, &cluster, &mut random);
                    for row in 0..cluster.rows() {
                        let id = NodeId::at(row);
                        prop_assert_eq!(kept[shape].fits(id), new.fits(id));
                        if new.fits(id) {
                            prop_assert_eq!(kept[shape].total(id), new.total(id));
                        }
                    }
                    let (best, best_of_new) = (kept[shape].best(), new.best());
                    prop_assert_eq!(best.map(|id| new.total(id)), best_of_new.map(|id| new.total(id)));
                    if let Some(id) = best {
                        let pod = Pod { key: machinery::NamespacedName::new("shop", format!("p{count}")), ..Pod::clone(&shapes[shape]) };
                        cluster.assume(&pod, id);
                        placed.push(pod.key);
                    }
                }
                Step::Remove(at) if !placed.is_empty() => {
                    cluster.remove_pod(&placed.swap_remove(at % placed.len()));
                }
                Step::Remove(_) => {}
                Step::Change(at, spec) => {
                    moved = true;
                    cluster.set_node(&format!("n{at}").into(), &node(&spec));
                }
                Step::RemoveNode(at) => {
                    moved = true;
                    cluster.remove_node(&format!("n{at}"));
                }
            }
            // A node that has shrunk may hold more than it has.
            if !moved {
                assert_not_overcommitted(&cluster);
            }
        }
    }
}

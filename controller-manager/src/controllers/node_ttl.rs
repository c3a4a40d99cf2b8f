//! How long kubelets may keep secrets and config maps, said in an annotation of each node: the larger the cluster, the
//! longer. There is some play between the sizes, so that a cluster at the border of two does not have all of its nodes
//! written again and again.

use jiff::Timestamp;
use serde_json::json;

use crate::controller::{Controller, Key, Wake};
use crate::plan::{Plan, Write};
use crate::world::{Change, Delta, Kind, TTL_ANNOTATION, World};

pub struct NodeTtlController;

/// How many nodes there are, and the seconds that are right for as many.
struct Size {
    least: usize,
    most: usize,
    seconds: i64,
}

const SIZES: [Size; 5] = [
    Size { least: 0, most: 100, seconds: 0 },
    Size { least: 90, most: 500, seconds: 15 },
    Size { least: 450, most: 1000, seconds: 30 },
    Size { least: 900, most: 2000, seconds: 60 },
    Size { least: 1800, most: usize::MAX, seconds: 300 },
];

impl Controller for NodeTtlController {
    fn name(&self) -> &'static str {
        "ttl-controller"
    }

    fn account(&self) -> Option<&'static str> {
        Some("ttl-controller")
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Node]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        let Change::Node(delta) = change else { return };
        let count = world.nodes.len();
        let crosses = match delta {
            Delta::Added(_) => SIZES.iter().any(|size| size.most.checked_add(1) == Some(count)),
            Delta::Removed(_) => SIZES.iter().any(|size| count + 1 == size.least),
            Delta::Changed { .. } => false,
        };
        match delta.after() {
            _ if crosses => world.nodes.all().for_each(|node| wake.key(&node.key)),
            Some(node) if delta.before().is_none_or(|before| before.ttl_seconds != node.ttl_seconds) => wake.key(&node.key),
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(node) = world.nodes.get(key) else { return plan };
        let others = world.nodes.all().filter_map(|node| node.ttl_seconds);
        let wanted = wanted(world.nodes.len(), node.ttl_seconds, others);
        if node.ttl_seconds != Some(wanted) && !node.is_terminating() {
            plan.write(Write::patch(&**node, json!({"metadata": {"annotations": {TTL_ANNOTATION: wanted.to_string()}}})));
        }
        plan
    }
}

/// What a node that says `present` is to say among so many: the same, as long as that is right; else what others say, or
/// what a cluster that has grown to this size says.
fn wanted(count: usize, present: Option<i64>, mut others: impl Iterator<Item = i64>) -> i64 {
    let right: Vec<i64> = SIZES.iter().filter(|size| (size.least..=size.most).contains(&count)).map(|size| size.seconds).collect();
    let is_right = |seconds: &i64| right.contains(seconds);
    present.filter(is_right).or_else(|| others.find(is_right)).or_else(|| right.first().copied()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laws::{Scenario, check};
    use crate::simulator::Simulator;

    #[test]
    fn nodes_say_what_is_right_for_the_size_of_the_cluster() {
        let alone = |count, present| wanted(count, present, std::iter::empty());
        assert_eq!([1, 100, 101, 501, 1001, 2001].map(|count| alone(count, None)), [0, 0, 15, 30, 60, 300]);
        // Within the play, what was said stays, and new nodes say the same as others.
        assert_eq!((alone(101, Some(0)), alone(90, Some(15)), alone(89, Some(15))), (15, 15, 0));
        assert_eq!(wanted(95, None, [15].into_iter()), 15);
        assert_eq!(wanted(1900, Some(30), [30, 300].into_iter()), 300);
    }

    #[test]
    fn a_node_says_it_again_when_somebody_has_changed_it() {
        let node = |name: &str| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
        let phases: &[&dyn Fn(&mut Simulator)] = &[
            &|s| {
                s.create(node("a"));
                s.create(node("b"));
            },
            &|s| s.change("nodes", "b", |node| node["metadata"]["annotations"][TTL_ANNOTATION] = json!("soon")),
        ];
        let server = check(&Scenario { controllers: &[&NodeTtlController], phases, ..Scenario::default() });
        assert!(server.all("nodes").all(|node| node["metadata"]["annotations"][TTL_ANNOTATION] == "0"));
    }
}

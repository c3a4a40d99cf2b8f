use rand::SeedableRng;
use serde_json::{Value, json};

use super::*;
use crate::fixture::{asking, bound, node, pod};
use crate::plugins::default_profile;

struct World {
    scheduler: Scheduler,
    now: Instant,
}

impl World {
    fn new(nodes: &[(&str, Value)]) -> Self {
        let scheduler = Scheduler::new("default-scheduler", default_profile(), Duration::from_secs(300), SmallRng::seed_from_u64(7));
        let mut world = Self { scheduler, now: Instant::now() };
        for (name, spec) in nodes {
            world.node(name, spec.clone());
        }
        world
    }

    fn node(&mut self, name: &str, spec: Value) {
        self.scheduler.apply(Event::Node { name: name.into(), new: Some(Arc::new(node(&spec))) }, self.now);
    }

    fn pod(&mut self, pod: &Arc<Pod>) {
        self.scheduler.apply(Event::Pod { key: pod.key.clone(), new: Some(pod.clone()) }, self.now);
    }

    fn gone(&mut self, pod: &Pod) {
        self.scheduler.apply(Event::Pod { key: pod.key.clone(), new: None }, self.now);
    }

    /// Each decision in a line.
    fn decide(&mut self) -> Vec<String> {
        let decisions = self.scheduler.decide(usize::MAX, self.now);
        let line = |decision| match decision {
            Decision::Bind { pod, node, .. } => format!("{} -> {node}", pod.key.name),
            Decision::Unschedulable { pod, preemption: Some(preemption), .. } => {
                let victims: Vec<_> = preemption.victims.iter().map(|victim| &*victim.key.name).collect();
                format!("{} waits for {} on {}", pod.key.name, victims.join(" "), preemption.node)
            }
            Decision::Unschedulable { pod, message, .. } => format!("{}: {message}", pod.key.name),
            Decision::Gated { pod, message } => format!("{}: {message}", pod.key.name),
        };
        decisions.into_iter().map(line).collect()
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

fn of_cpu(cpu: &str) -> Value {
    json!({"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "20"}})
}

#[test]
fn the_message_counts_reasons() {
    let tainted = json!({"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]});
    let mut world = World::new(&[("a", of_cpu("1")), ("b", of_cpu("1")), ("c", tainted.clone()), ("d", json!({"unschedulable": true}))]);
    world.pod(&asking("p", json!({"cpu": "2"})));
    assert_eq!(
        world.decide(),
        ["p: 0/4 nodes are available: 1 node(s) had untolerated taint {k: v}, 1 node(s) were unschedulable, 2 Insufficient cpu. \
          preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling."]
    );
    let mut empty = World::new(&[]);
    empty.pod(&pod("p", json!({})));
    assert_eq!(empty.decide(), ["p: no nodes available to schedule pods"]);
}

#[test]
fn a_pod_is_retried_when_something_helps_and_only_then() {
    let mut world = World::new(&[("a", of_cpu("1"))]);
    world.pod(&asking("p", json!({"cpu": "2"})));
    assert_eq!(world.decide().len(), 1);
    world.wait(20);
    world.node("b", of_cpu("1"));
    assert!(world.decide().is_empty(), "another node that is too small is no help");
    world.node("a", of_cpu("3"));
    assert_eq!(world.decide(), ["p -> a"]);
}

#[test]
fn a_pod_may_claim_to_be_on_a_node_that_is_not_there() {
    let mut world = World::new(&[("a", of_cpu("1"))]);
    let two = json!({"cpu": "2"});
    world.pod(&asking("p", two.clone()));
    assert_eq!(world.decide().len(), 1);
    world.pod(&bound(&asking("ghost", two.clone()), "nowhere"));
    world.pod(&asking("q", two));
    assert_eq!(world.decide().len(), 1, "q fares as p did");
    world.node("nowhere", of_cpu("8"));
    world.wait(20);
    assert_eq!(world.decide(), ["p -> nowhere", "q -> nowhere"]);
}

#[test]
fn a_pod_that_leaves_makes_room() {
    let mut world = World::new(&[("a", of_cpu("2"))]);
    let (p, q) = (asking("p", json!({"cpu": "2"})), asking("q", json!({"cpu": "2"})));
    world.pod(&p);
    world.pod(&q);
    let why = "q: 0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: \
               1 No preemption victims found for incoming pod.";
    assert_eq!(world.decide(), ["p -> a", why]);
    world.scheduler.bound(&p, world.now);
    world.pod(&bound(&p, "a"));
    world.wait(20);
    assert!(world.decide().is_empty());
    world.gone(&p);
    assert_eq!(world.decide(), ["q -> a"]);
}

#[test]
fn a_failed_binding_gives_back_what_it_took() {
    let mut world = World::new(&[("a", of_cpu("2"))]);
    let p = asking("p", json!({"cpu": "2"}));
    world.pod(&p);
    assert_eq!(world.decide(), ["p -> a"]);
    assert_eq!(world.scheduler.cluster().by_name("a").unwrap().requested().cpu_milli, 2000);
    world.scheduler.not_bound(&p, world.now);
    assert_eq!(world.scheduler.cluster().by_name("a").unwrap().requested().cpu_milli, 0);
    assert!(world.decide().is_empty(), "it waits out its backoff");
    world.wait(1);
    assert_eq!(world.decide(), ["p -> a"]);
}

#[test]
fn others_pods_and_dying_pods_are_left_alone() {
    let mut world = World::new(&[("a", of_cpu("2"))]);
    world.pod(&pod("other", json!({"schedulerName": "mine"})));
    world.pod(&Arc::new(Pod { deleting: true, ..Pod::clone(&pod("dying", json!({}))) }));
    world.pod(&pod("gated", json!({"schedulingGates": [{"name": "g"}]})));
    assert!(world.decide().is_empty());
    world.pod(&pod("gated", json!({})));
    assert_eq!(world.decide(), ["gated -> a"]);
}

#[test]
fn a_pod_of_the_same_name_is_another_pod() {
    let mut world = World::new(&[("a", of_cpu("2"))]);
    let old = asking("p", json!({"cpu": "2"}));
    world.pod(&old);
    assert_eq!(world.decide(), ["p -> a"]);
    let new = Arc::new(Pod { uid: "another".into(), ..Pod::clone(&old) });
    world.pod(&new);
    world.scheduler.bound(&old, world.now);
    assert_eq!(world.decide(), ["p -> a"]);
    world.scheduler.not_bound(&old, world.now);
    assert!(world.scheduler.cluster().is_assumed(&new.key), "the older one's failure is not the newer one's");
}

#[test]
fn equal_pods_are_spread_over_equal_nodes() {
    let nodes: Vec<_> = (0..10).map(|i| format!("n{i}")).collect();
    let mut world = World::new(&nodes.iter().map(|name| (name.as_str(), of_cpu("4"))).collect::<Vec<_>>());
    for i in 0..40 {
        world.pod(&asking(&format!("p{i}"), json!({"cpu": "1"})));
    }
    assert_eq!(world.decide().len(), 40);
    assert!(world.scheduler.cluster().iter().all(|node| node.requested().cpu_milli == 4000));
}

#[test]
fn a_preemptor_gets_the_room_that_was_made_for_it() {
    let mut world = World::new(&[("a", of_cpu("2"))]);
    let asking = |name: &str, priority: i32| {
        pod(name, json!({"priority": priority, "containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]}))
    };
    let (low, vip) = (asking("low", 0), asking("vip", 100));
    world.pod(&bound(&low, "a"));
    world.pod(&vip);
    assert_eq!(world.decide(), ["vip waits for low on a"]);
    world.wait(20);
    world.pod(&bound(&Pod { deleting: true, ..Pod::clone(&low) }, "a"));
    world.gone(&low);
    // One that came in between does not get it.
    world.pod(&asking("middle", 50));
    let decisions = world.decide();
    assert!(decisions.contains(&"vip -> a".to_owned()), "{decisions:?}");
    assert_eq!(world.scheduler.cluster().by_name("a").unwrap().requested().cpu_milli, 2000);
}

use serde_json::json;

use super::*;
use crate::fixture::pod;
use crate::plugins::PrioritySort;

fn queue() -> (Queue<PrioritySort>, Instant) {
    (Queue::new(PrioritySort, Duration::from_secs(300)), Instant::now())
}

fn names(queue: &mut Queue<PrioritySort>, now: Instant) -> Vec<String> {
    std::iter::from_fn(|| queue.pop(now)).map(|pod| pod.key.name.to_string()).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn higher_priority_first_then_whoever_came_first() {
    let (mut queue, now) = queue();
    for (name, priority) in [("a", 0), ("b", 10), ("c", 0), ("d", 10)] {
        queue.put(&pod(name, json!({"priority": priority})), false, now);
    }
    assert_eq!(names(&mut queue, now), ["b", "d", "a", "c"]);
}

#[test]
fn a_failed_pod_waits_longer_each_time() {
    let (mut queue, mut now) = queue();
    let p = pod("p", json!({}));
    queue.put(&p, false, now);
    for wait in [1, 2, 4, 8, 10, 10] {
        assert_eq!(names(&mut queue, now), ["p"]);
        queue.failed(&p.key, now);
        assert_eq!(queue.next_due(), Some(now + seconds(wait)));
        queue.flush(now + seconds(wait) - Duration::from_millis(1));
        assert!(!queue.has_active());
        now += seconds(wait);
        queue.flush(now);
    }
}

#[test]
fn an_unschedulable_pod_waits_for_what_helps_it() {
    let (mut queue, now) = queue();
    let (p, q) = (pod("p", json!({})), pod("q", json!({"priority": 1})));
    let mut by = PluginSet::default();
    by.insert(3);
    for pod in [&p, &q] {
        queue.put(pod, false, now);
        queue.pop(now);
        queue.unschedulable(&pod.key, by);
    }
    queue.react(now + seconds(5), |rejected_by, pod| {
        assert_eq!(rejected_by, by);
        pod.shape.priority == 1
    });
    assert_eq!(names(&mut queue, now), ["q"]);
    assert_eq!(queue.counts(), Counts { unschedulable: 1, ..Counts::default() });
    // Within its backoff it waits that out.
    queue.react(now, |_, _| true);
    assert_eq!(queue.counts(), Counts { backoff: 1, ..Counts::default() });
}

#[test]
fn patience_ends() {
    let (mut queue, now) = queue();
    let p = pod("p", json!({}));
    queue.put(&p, false, now);
    queue.pop(now);
    queue.unschedulable(&p.key, PluginSet::default());
    queue.flush_unschedulable(now + seconds(299));
    assert!(!queue.has_active());
    queue.flush_unschedulable(now + seconds(300));
    assert!(queue.has_active());
}

#[test]
fn gates_hold_a_pod_back_and_are_told_once() {
    let (mut queue, now) = queue();
    let gated = pod("p", json!({"schedulingGates": [{"name": "a"}]}));
    assert!(queue.put(&gated, true, now) && !queue.put(&gated, true, now));
    assert_eq!(queue.counts(), Counts { gated: 1, ..Counts::default() });
    assert!(!queue.put(&pod("p", json!({})), false, now));
    assert_eq!(names(&mut queue, now), ["p"]);
    queue.remove(&gated.key);
    assert_eq!(queue.counts(), Counts::default());
}

#[test]
fn a_changed_pod_is_tried_again_and_an_unchanged_one_is_not() {
    let (mut queue, now) = queue();
    let p = pod("p", json!({}));
    queue.put(&p, false, now);
    queue.pop(now);
    queue.unschedulable(&p.key, PluginSet::default());
    queue.put(&p, false, now + seconds(20));
    assert!(!queue.has_active());
    queue.put(&pod("p", json!({"tolerations": [{"operator": "Exists"}]})), false, now + seconds(20));
    assert!(queue.has_active());
}

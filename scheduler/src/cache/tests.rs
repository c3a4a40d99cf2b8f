use serde_json::json;

use super::*;
use crate::fixture::{asking, bound, node};

#[test]
fn a_pod_is_counted_once_whatever_is_told_in_what_order() {
    let mut cluster = Cluster::default();
    let pod = asking("p", json!({"cpu": "1", "acme.io/gpu": "2"}));
    // The pod is known before its node.
    cluster.set_pod(&bound(&pod, "a"));
    assert!(cluster.by_name("a").is_none() && cluster.is_empty());
    cluster.set_node(&"a".into(), &node(&json!({"allocatable": {"cpu": "4", "acme.io/gpu": "4"}})));
    cluster.set_pod(&bound(&pod, "a"));
    let a = cluster.by_name("a").unwrap();
    assert_eq!((a.requested().cpu_milli, a.requested().pods, a.free_other("acme.io/gpu")), (1000, 1, 2));
    // It moves, as a new pod of the same name.
    cluster.set_pod(&bound(&pod, "b"));
    assert_eq!(cluster.by_name("a").unwrap().requested(), Basic::default());
    assert!(cluster.remove_pod(&pod.key).is_some() && cluster.remove_pod(&pod.key).is_none());
    assert_eq!(cluster.rows(), 2);
    cluster.remove_node("a");
    cluster.set_node(&"c".into(), &node(&json!({})));
    assert_eq!((cluster.rows(), cluster.len()), (2, 1), "rows are used again");
    assert_eq!(cluster.by_name("c").unwrap().allocatable_other("acme.io/gpu"), 0, "and hold nothing of who was there");
}

#[test]
fn an_assumed_pod_counts_until_it_is_confirmed_or_forgotten() {
    let mut cluster = Cluster::default();
    cluster.set_node(&"a".into(), &node(&json!({})));
    let pod = asking("p", json!({"cpu": "1"}));
    let id = cluster.by_name("a").unwrap().id();
    cluster.assume(&pod, id);
    assert!(cluster.is_assumed(&pod.key));
    let cursor = cluster.cursor();
    cluster.set_pod(&bound(&pod, "a"));
    assert!(!cluster.is_assumed(&pod.key));
    assert_eq!(cluster.touched_since(cursor), Some(&[][..]), "a confirmation changes nothing");
    assert_eq!(cluster.by_name("a").unwrap().requested().cpu_milli, 1000);
    cluster.remove_pod(&pod.key);
    assert_eq!(cluster.touched_since(cursor), Some(&[id][..]));
}

#[test]
fn a_record_that_was_cut_is_not_mistaken_for_an_empty_one() {
    let mut cluster = Cluster::default();
    let start = cluster.cursor();
    for _ in 0..3000 {
        cluster.set_node(&"a".into(), &node(&json!({})));
    }
    assert_eq!(cluster.touched_since(start), None);
    assert_eq!(cluster.touched_since(cluster.cursor()), Some(&[][..]));
}

#[test]
fn the_epoch_rises_with_what_nodes_are_called_by() {
    let mut cluster = Cluster::default();
    cluster.set_node(&"a".into(), &node(&json!({"labels": {"zone": "x"}})));
    let before = cluster.epoch();
    cluster.set_node(&"a".into(), &node(&json!({"labels": {"zone": "x"}, "unschedulable": true})));
    assert_eq!(cluster.epoch(), before);
    cluster.set_node(&"a".into(), &node(&json!({"labels": {"zone": "y"}})));
    assert!(cluster.epoch() > before && cluster.symbol("x").is_none());
}

use serde_json::{Value, json};

use super::*;
use crate::fixture::{Nodes, pod};
use crate::pod::Labels;

fn zones() -> Nodes {
    Nodes::default()
        .with("x1", json!({"labels": {"zone": "x"}}))
        .with("x2", json!({"labels": {"zone": "x"}}))
        .with("y", json!({"labels": {"zone": "y"}}))
        .with("nowhere", json!({}))
}

fn term(app: &str) -> Value {
    json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": app}}})
}

fn required(kind: &str, terms: &[Value]) -> Value {
    json!({kind: {"requiredDuringSchedulingIgnoredDuringExecution": terms}})
}

fn with(app: &str, affinity: &Value) -> Value {
    json!({"labels": {"app": app}, "affinity": affinity})
}

impl Nodes {
    fn passing_announced(mut self, spec: Value) -> String {
        let pod = pod("p", spec);
        self.0.announce(&pod);
        self.passing(&InterPodAffinity, &pod).join(" ")
    }
}

#[test]
fn affinity_follows_peers_into_their_domain() {
    let spec = || with("web", &required("podAffinity", &[term("db")]));
    let db = pod("db", json!({"labels": {"app": "db"}}));
    assert_eq!(zones().running("x1", &db).passing_announced(spec()), "x1 x2");
    assert_eq!(zones().passing_announced(spec()), "");
    let mut nodes = zones();
    nodes.0.announce(&pod("p", spec()));
    assert_eq!(nodes.reasons(&InterPodAffinity, &pod("p", spec())), ["node(s) didn't match pod affinity rules"]);
    let mut both = spec();
    both["affinity"] = required("podAffinity", &[term("db"), term("cache")]);
    let cache = pod("cache", json!({"labels": {"app": "cache"}}));
    assert_eq!(zones().running("x1", &db).running("x1", &cache).passing_announced(both), "", "no pod satisfies both terms");
}

#[test]
fn the_first_of_a_group_may_go_wherever_there_is_a_domain() {
    let spec = || with("db", &required("podAffinity", &[term("db")]));
    assert_eq!(zones().passing_announced(spec()), "x1 x2 y");
    assert_eq!(zones().running("y", &pod("first", spec())).passing_announced(spec()), "y");
}

#[test]
fn anti_affinity_holds_both_ways() {
    let shy = || with("db", &required("podAntiAffinity", &[term("db")]));
    assert_eq!(zones().running("x1", &pod("first", shy())).passing_announced(shy()), "nowhere y");
    // The one that is there minds, though the one that comes does not.
    let plain = json!({"labels": {"app": "db"}});
    assert_eq!(zones().running("x1", &pod("first", shy())).passing_announced(plain.clone()), "nowhere y");
    assert_eq!(zones().running("x1", &pod("first", plain)).passing_announced(shy()), "nowhere y");
    assert_eq!(zones().running("x1", &pod("first", shy())).passing_announced(json!({"labels": {"app": "web"}})), "nowhere x1 x2 y");
}

#[test]
fn namespaces_can_be_selected() {
    let everywhere = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "db"}},
        "namespaceSelector": {"matchLabels": {"team": "a"}}});
    let spec = || with("web", &required("podAffinity", std::slice::from_ref(&everywhere)));
    let db = pod("db", json!({"labels": {"app": "db"}}));
    assert_eq!(zones().running("x1", &db).passing_announced(spec()), "");
    let mut nodes = zones().running("x1", &db);
    nodes.0.announce(&pod("p", spec()));
    nodes.0.set_namespace(&"shop".into(), Some([("team", "a")].into_iter().collect::<Labels>()));
    assert_eq!(nodes.passing_announced(spec()), "x1 x2");
}

#[test]
fn counts_follow_pods_that_come_and_go() {
    let spec = with("web", &required("podAffinity", &[term("db")]));
    let web = pod("p", spec);
    let mut nodes = zones();
    nodes.0.announce(&web);
    let nodes = nodes.running("y", &pod("db", json!({"labels": {"app": "db"}})));
    assert_eq!(nodes.passing(&InterPodAffinity, &web), ["y"]);
    let nodes = nodes.without("db");
    assert!(nodes.passing(&InterPodAffinity, &web).is_empty());
}

#[test]
fn preferences_of_both_sides_add_up() {
    let preferred = |kind: &str, weight: i32, app: &str| json!({kind: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": weight, "podAffinityTerm": term(app)}]}});
    let scores = |there: Value, comes: Value| {
        let comes = pod("p", comes);
        let mut nodes = zones().running("x1", &pod("q", there));
        nodes.0.announce(&comes);
        nodes.scores(&InterPodAffinity, &comes).into_iter().map(|(_, score)| score).collect::<Vec<_>>()
    };
    let db = || json!({"labels": {"app": "db"}});
    // Of nowhere, x1, x2 and y.
    assert_eq!(scores(db(), with("web", &preferred("podAffinity", 10, "db"))), [0, 200, 200, 0]);
    assert_eq!(scores(db(), with("web", &preferred("podAntiAffinity", 10, "db"))), [200, 0, 0, 200]);
    assert_eq!(scores(with("web", &preferred("podAffinity", 10, "db")), db()), [0, 200, 200, 0]);
    assert_eq!(scores(with("db", &required("podAffinity", &[term("db")])), db()), [0, 200, 200, 0]);
    assert!(scores(db(), db()).is_empty());
}

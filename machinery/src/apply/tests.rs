#![allow(clippy::unwrap_used)]

use k8s_openapi::api::{apps, core};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, Time};
use serde_json::{Value, json};

use super::*;
use crate::Status;

/// An object under field management, and the clock of its writes.
struct Tracked {
    schema: Schema,
    api_version: &'static str,
    object: Option<Value>,
    managed: Vec<Entry>,
    seconds: i64,
}

fn config_map() -> Tracked {
    Tracked { schema: Schema::of::<core::v1::ConfigMap>(), api_version: "v1", object: None, managed: Vec::new(), seconds: 0 }
}

fn deployment() -> Tracked {
    Tracked { schema: Schema::of::<apps::v1::Deployment>(), api_version: "apps/v1", object: None, managed: Vec::new(), seconds: 0 }
}

impl Tracked {
    fn write<T>(&mut self, manager: &str, write: impl FnOnce(&Target<'_>, Option<&Value>, Vec<Entry>, Writer<'_>) -> T) -> T {
        self.seconds += 1;
        let now = jiff::Timestamp::from_second(self.seconds).unwrap();
        let reset = Set::of_fields(&["status"]);
        let target = Target { schema: &self.schema, reset: &reset, versions: &OneVersion };
        let writer = Writer { manager, api_version: self.api_version, subresource: "", now };
        write(&target, self.object.as_ref(), self.managed.clone(), writer)
    }

    fn update(&mut self, manager: &str, new: Value) {
        self.managed = self.write(manager, |target, live, managed, writer| updated(target, live, &new, managed, writer));
        self.object = Some(new);
    }

    fn try_apply(&mut self, manager: &str, config: &Value, force: bool) -> Result<bool, Error> {
        let applied = self.write(manager, |target, live, managed, writer| apply(target, live, config, managed, writer, force))?;
        self.managed = applied.managed;
        let changed = applied.object.is_some();
        self.object = applied.object.or(self.object.take());
        Ok(changed)
    }

    #[track_caller]
    fn apply(&mut self, manager: &str, config: Value) -> bool {
        self.try_apply(manager, &config, false).unwrap()
    }

    #[track_caller]
    fn conflicts(&mut self, manager: &str, config: Value) -> Vec<String> {
        match self.try_apply(manager, &config, false) {
            Err(Error::Conflicts(conflicts)) => conflicts.into_iter().map(|conflict| conflict.path).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn owns(&self, manager: &str, operation: Operation, expected: Value) {
        let entry = self.managed.iter().find(|entry| entry.manager == manager && entry.operation == operation);
        let fields = entry.map_or(Value::Null, |entry| entry.fields.to_tree());
        assert_eq!(fields, expected, "{manager}");
    }

    fn at(&self, pointer: &str) -> &Value {
        self.object.as_ref().unwrap().pointer(pointer).unwrap_or(&Value::Null)
    }
}

/// [`update`] on trees.
pub(super) fn updated(target: &Target<'_>, live: Option<&Value>, new: &Value, managed: Vec<Entry>, writer: Writer<'_>) -> Vec<Entry> {
    let (live, new) = (live.map(Value::to_string), new.to_string());
    update(target, live.as_deref().map(Text::new), Text::new(&new), managed, writer)
}

fn paint(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "paint"}, "data": data})
}

#[test]
fn creators_own_what_is_there_but_not_the_frame() {
    let mut web = deployment();
    web.update("maker", json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "generation": 1, "labels": {"app": "web"}, "generateName": "w"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "Recreate"},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "a", "image": "i", "ports": [{"containerPort": 8080}], "resources": {}}], "securityContext": {}},
            },
        },
        "status": {"replicas": 3},
    }));
    web.owns(
        "maker",
        Operation::Update,
        json!({
            "f:metadata": {"f:generateName": {}, "f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:strategy": {"f:type": {}},
                "f:template": {
                    "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                    "f:spec": {
                        "f:containers": {"k:{\"name\":\"a\"}": {
                            ".": {}, "f:image": {}, "f:name": {}, "f:resources": {},
                            "f:ports": {".": {}, "k:{\"containerPort\":8080,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
                        }},
                        "f:securityContext": {},
                    },
                },
            },
        }),
    );
}

#[test]
fn updates_take_ownership_and_removals_end_it() {
    let mut map = config_map();
    map.apply("ann", paint(json!({"wall": "white", "door": "red"})));
    map.update("editor", paint(json!({"wall": "green", "door": "red"})));
    map.owns("ann", Operation::Apply, json!({"f:data": {"f:door": {}}}));
    map.owns("editor", Operation::Update, json!({"f:data": {"f:wall": {}}}));
    assert_eq!(map.conflicts("ann", paint(json!({"wall": "white", "door": "red"}))), [".data.wall"]);
    map.update("editor", paint(json!({"wall": "green"})));
    map.owns("ann", Operation::Apply, Value::Null);
    assert_eq!(map.managed[0].time, Some(Time(jiff::Timestamp::from_second(2).unwrap())), "removing does not count as writing");
}

#[test]
fn an_unchanged_apply_changes_nothing() {
    let mut map = config_map();
    assert!(map.apply("ann", paint(json!({"wall": "white"}))));
    let before = map.managed.clone();
    assert!(!map.apply("ann", paint(json!({"wall": "white"}))));
    assert_eq!(map.managed, before);
}

#[test]
fn who_joins_the_owners_without_a_change_has_no_time() {
    let mut map = config_map();
    map.apply("ann", paint(json!({"wall": "white"})));
    assert!(!map.apply("bob", paint(json!({"wall": "white"}))));
    let times = |map: &Tracked| map.managed.iter().map(|entry| (entry.manager.clone(), entry.time.is_some())).collect::<Vec<_>>();
    assert_eq!(times(&map), [("bob".into(), false), ("ann".into(), true)]);
    map.apply("bob", paint(json!({"wall": "white", "door": "red"})));
    assert_eq!(times(&map), [("ann".into(), true), ("bob".into(), true)]);
}

#[test]
fn appliers_share_equal_values_and_conflict_on_others() {
    let mut map = config_map();
    map.update("creator", paint(json!({"wall": "white", "door": "red"})));
    assert_eq!(map.conflicts("ann", paint(json!({"wall": "pink"}))), [".data.wall"]);
    map.apply("ann", paint(json!({"wall": "white", "attic": "dark"})));
    map.owns("ann", Operation::Apply, json!({"f:data": {"f:attic": {}, "f:wall": {}}}));
    map.owns("creator", Operation::Update, json!({"f:data": {".": {}, "f:door": {}, "f:wall": {}}}));
    map.try_apply("ann", &paint(json!({"wall": "pink"})), true).unwrap();
    map.owns("ann", Operation::Apply, json!({"f:data": {"f:wall": {}}}));
    map.owns("creator", Operation::Update, json!({"f:data": {".": {}, "f:door": {}}}));
    assert_eq!(*map.at("/data"), json!({"door": "red", "wall": "pink"}));
}

#[test]
fn what_an_applier_no_longer_names_goes_unless_somebody_holds_it() {
    let container = |name: &str| json!({"name": name, "image": "i"});
    let config = |containers: Value, labels: Value| json!({"metadata": {"name": "web", "labels": labels}, "spec": {"template": {"spec": {"containers": containers}}}});
    let mut web = deployment();
    web.apply("ann", config(json!([container("one"), container("two")]), json!({"a": "1", "b": "2"})));
    web.apply("bob", json!({"metadata": {"name": "web", "labels": {"b": "2"}}}));
    web.apply("ann", json!({"metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": [container("two")]}}}}));
    assert_eq!(*web.at("/spec/template/spec/containers"), json!([container("two")]));
    assert_eq!(*web.at("/metadata/labels"), json!({"b": "2"}));
    web.apply("bob", json!({"metadata": {"name": "web"}}));
    assert_eq!(*web.at("/metadata"), json!({"name": "web"}), "an emptied map goes with its last key");
    web.owns("bob", Operation::Apply, Value::Null);
}

#[test]
fn merged_lists_take_the_order_of_the_configuration() {
    let config = |names: &[&str]| {
        let containers: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        json!({"metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": containers}}}})
    };
    let mut web = deployment();
    web.apply("ann", config(&["a", "b", "c"]));
    web.apply("bob", config(&["x", "c", "a", "y"]));
    let containers = web.at("/spec/template/spec/containers").as_array().unwrap();
    let names: Vec<&str> = containers.iter().map(|container| container["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["b", "x", "c", "a", "y"]);
}

#[test]
fn finalizers_are_a_set_of_shared_elements() {
    let config = |finalizers: Value| json!({"metadata": {"name": "held", "finalizers": finalizers}});
    let mut map = config_map();
    map.apply("ann", config(json!(["a", "both"])));
    map.apply("bob", config(json!(["both", "b"])));
    assert_eq!(*map.at("/metadata/finalizers"), json!(["a", "both", "b"]));
    map.apply("ann", json!({"metadata": {"name": "held"}}));
    assert_eq!(*map.at("/metadata/finalizers"), json!(["both", "b"]));
    map.apply("bob", config(json!([])));
    assert_eq!(*map.at("/metadata/finalizers"), Value::Null);
    assert!(map.managed.is_empty());
}

#[test]
fn kubectl_takes_over_from_client_side_apply() {
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let last = r#"{"apiVersion":"v1","data":{"a":"1","b":"2"},"kind":"ConfigMap","metadata":{"name":"paint"}}"#;
    let mut map = config_map();
    let mut made = paint(json!({"a": "1", "b": "2"}));
    made["metadata"]["annotations"] = json!({annotation: last});
    map.update("kubectl-client-side-apply", made);
    assert_eq!(map.conflicts("other", paint(json!({"a": "nine"}))), [".data.a"]);
    map.apply("kubectl", paint(json!({"a": "nine"})));
    assert_eq!(*map.at("/data"), json!({"a": "nine", "b": "2"}));
    let expected = r#"{"apiVersion":"v1","data":{"a":"nine"},"kind":"ConfigMap","metadata":{"name":"paint"}}"#;
    assert_eq!(map.object.as_ref().unwrap()["metadata"]["annotations"][annotation], format!("{expected}\n"));
    map.owns("kubectl", Operation::Apply, json!({"f:data": {"f:a": {}}}));
    map.update("editor", {
        let mut object = map.object.clone().unwrap();
        object["data"]["a"] = json!("ten");
        object
    });
    assert_eq!(map.conflicts("kubectl", paint(json!({"a": "nine"}))), [".data.a"], "somebody changed it since");
}

#[test]
fn cleared_entries_stay_cleared_until_the_first_apply() {
    let mut map = config_map();
    map.update("maker", paint(json!({"a": "1"})));
    map.managed = starting_entries(map.managed, Some(&[ManagedFieldsEntry::default()]));
    map.update("later", paint(json!({"a": "1", "b": "2"})));
    assert!(map.managed.is_empty());
    assert_eq!(map.conflicts("applier", paint(json!({"a": "9"}))), [".data.a"]);
    map.apply("applier", paint(json!({"a": "1", "c": "3"})));
    map.owns("before-first-apply", Operation::Update, json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}}));
    map.owns("applier", Operation::Apply, json!({"f:data": {"f:a": {}, "f:c": {}}}));
}

#[test]
fn entries_that_clients_send_count_where_they_can_be_read() {
    let mut map = config_map();
    map.update("maker", paint(json!({"a": "1"})));
    let sent: Vec<ManagedFieldsEntry> = map.managed.iter().map(ManagedFieldsEntry::from).collect();
    assert_eq!(starting_entries(Vec::new(), Some(&sent)), map.managed);
    assert_eq!(starting_entries(map.managed.clone(), Some(&sent)), map.managed);
    assert_eq!(starting_entries(map.managed.clone(), Some(&[])), []);
    let garbage = ManagedFieldsEntry { operation: Some("Steal".into()), ..sent[0].clone() };
    assert_eq!(starting_entries(map.managed.clone(), Some(&[garbage])), map.managed);
    let mut text = Vec::new();
    write_entries(&map.managed, &mut text);
    assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), serde_json::to_value(&sent).unwrap());
    let text = String::from_utf8(text).unwrap() + ",x";
    assert_eq!(read_entries(&text), Some((map.managed.clone(), ",x")));
    for cut in 0..text.len() - 2 {
        assert_eq!(read_entries(&text[..cut]), None);
    }
}

#[test]
fn the_oldest_updates_are_put_together() {
    let mut map = config_map();
    let mut data = serde_json::Map::new();
    for writer in 0..13 {
        data.insert(format!("k{writer}"), json!("v"));
        map.update(&format!("writer-{writer}"), paint(Value::Object(data.clone())));
    }
    assert_eq!(map.managed.len(), 10);
    map.owns("ancient-changes", Operation::Update, json!({"f:data": {".": {}, "f:k0": {}, "f:k1": {}, "f:k2": {}, "f:k3": {}}}));
    assert_eq!(map.managed[0].manager, "ancient-changes");
    assert_eq!(map.managed[9].manager, "writer-12");
}

#[test]
fn configurations_that_do_not_fit_are_refused() {
    let mut web = deployment();
    let spec = |spec: Value| json!({"metadata": {"name": "web"}, "spec": {"template": {"spec": spec}}});
    for (config, code, word) in [
        (spec(json!({"containers": "many"})), 500, "list"),
        (spec(json!({"containers": [{"name": "a", "colour": "red"}]})), 500, "[name=\"a\"].colour"),
        (spec(json!({"containers": [{"name": "a"}, {"name": "a"}]})), 500, "twice"),
        (spec(json!({"containers": [{"name": 7}]})), 500, "a string"),
        (json!({"metadata": {"name": "web", "managedFields": []}}), 400, "managedFields"),
    ] {
        let status = Status::from(web.try_apply("ann", &config, false).unwrap_err());
        assert_eq!(status.code, code, "{config}");
        assert!(status.message.contains(word), "{}", status.message);
    }
    assert!(web.apply("ann", spec(json!({"containers": [{"image": "i"}]}))), "a missing key is its default");
}

#[test]
fn conflicts_are_answered_with_their_fields() {
    let mut web = deployment();
    let config = |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}});
    web.apply("ann", config("1"));
    let status = Status::from(web.try_apply("bob", &config("2"), false).unwrap_err());
    let details = status.details.unwrap();
    assert_eq!((status.code, status.reason.as_str(), details.kind.as_str()), (409, "Conflict", ""));
    assert_eq!(details.causes[0].field, ".spec.template.spec.containers[name=\"web\"].image");
    assert_eq!(details.causes[0].reason, "FieldManagerConflict");
    assert!(details.causes[0].message.contains("\"ann\""));
}

/// Two versions of a kind in which a field has two names.
struct Renamed {
    schema: Schema,
    from: &'static str,
    to: &'static str,
}

impl Versions for Renamed {
    fn convert(&self, object: Text<'_>, api_version: &str) -> Option<(&Schema, String)> {
        let mut object = object.to_value();
        let data = object.get_mut("data")?.as_object_mut()?;
        if let Some(value) = data.remove(self.from) {
            data.insert(self.to.into(), value);
        }
        (api_version == "old/v1").then(|| (&self.schema, object.to_string()))
    }
}

#[test]
fn managers_of_other_versions_are_asked_in_theirs() {
    let mut map = config_map();
    map.api_version = "old/v1";
    map.apply("ann", paint(json!({"colour": "red"})));
    map.update("gone", paint(json!({"colour": "red", "x": "1"})));
    map.managed[1].api_version = "older/v1".into();

    let versions = Renamed { schema: Schema::of::<core::v1::ConfigMap>(), from: "paint", to: "colour" };
    let none = Set::new();
    let target = Target { schema: &map.schema, reset: &none, versions: &versions };
    let writer = Writer { manager: "bob", api_version: "new/v1", subresource: "", now: jiff::Timestamp::UNIX_EPOCH };
    let live = paint(json!({"paint": "red"}));
    let blue = paint(json!({"paint": "blue"}));
    let error = apply(&target, Some(&live), &blue, map.managed.clone(), writer, false).unwrap_err();
    assert!(matches!(error, Error::Conflicts(conflicts) if conflicts[0].path == ".data.colour"));
    let managed = updated(&target, Some(&live), &blue, map.managed.clone(), writer);
    let managers: Vec<&str> = managed.iter().map(|entry| entry.manager.as_str()).collect();
    assert_eq!(managers, ["bob"], "one lost its field, the other its version");
}

#[test]
fn writers_through_a_subresource_are_apart() {
    let mut web = deployment();
    let replicas = |replicas: i32| json!({"metadata": {"name": "web"}, "spec": {"replicas": replicas}});
    web.apply("ann", json!({"metadata": {"name": "web"}, "spec": {"paused": true, "replicas": 1}}));
    web.managed = web
        .write("ann", |target, live, managed, writer| {
            apply(target, live, &replicas(2), managed, Writer { subresource: "scale", ..writer }, true)
        })
        .unwrap()
        .managed;
    let owners: Vec<_> = web.managed.iter().map(|entry| (entry.subresource.as_str(), entry.fields.set().unwrap().leaf_paths())).collect();
    assert_eq!(owners, [("", vec![".spec.paused".to_owned()]), ("scale", vec![".spec.replicas".to_owned()])]);
    assert_eq!(web.conflicts("ann", json!({"metadata": {"name": "web"}, "spec": {"paused": true, "replicas": 0}})), [".spec.replicas"]);
}

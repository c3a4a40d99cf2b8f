//! Laws of field management, on generated configurations.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplate;
use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::{Value, json};

use super::*;

/// A configuration with a map, a set, a list map in a list map, an atomic list and scalars. `words` are the keys that
/// it may use.
fn config(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let some = move || subsequence(words.to_vec(), 0..=words.len());
    let value = || prop_oneof![Just("1"), Just("2")];
    let labels = prop::collection::btree_map(prop::sample::select(words.to_vec()), value(), 0..=words.len());
    let container = (some(), value(), some()).prop_map(|(env, image, args)| (env, image, args));
    let containers = some().prop_flat_map(move |names| {
        let count = names.len();
        (Just(names).prop_shuffle(), prop::collection::vec(container.clone(), count))
    });
    (labels, some(), containers).prop_map(move |(labels, finalizers, (names, containers))| {
        let containers: Vec<Value> = names
            .into_iter()
            .zip(containers)
            .map(|(name, (env, image, args))| {
                let env: Vec<Value> = env.into_iter().map(|name| json!({"name": name, "value": image})).collect();
                json!({"name": name, "image": image, "args": args, "env": env})
            })
            .collect();
        let mut config = json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "t"}});
        if !labels.is_empty() {
            config["metadata"]["labels"] = json!(labels);
        }
        if !finalizers.is_empty() {
            config["metadata"]["finalizers"] = json!(finalizers);
        }
        if !containers.is_empty() {
            config["template"] = json!({"spec": {"containers": containers}});
        }
        config
    })
}

/// Something like an object: fields that a PodTemplate has, and whatever in them.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!("")),
        Just(json!(0)),
        Just(json!(false)),
        Just(json!("a")),
        Just(json!(80)),
    ];
    let names = [
        "metadata",
        "creationTimestamp",
        "labels",
        "finalizers",
        "template",
        "spec",
        "containers",
        "name",
        "env",
        "ports",
        "containerPort",
        "resources",
        "securityContext",
    ];
    leaf.prop_recursive(6, 40, 4, move |below| {
        prop_oneof![
            prop::collection::btree_map(prop::sample::select(names.to_vec()), below.clone(), 0..5).prop_map(|fields| json!(fields)),
            prop::collection::vec(below, 0..3).prop_map(Value::Array),
        ]
    })
}

const WORDS: &[&str] = &["a", "b", "c<\"\\"];
const OTHER_WORDS: &[&str] = &["x", "y", "z"];

struct Server {
    schema: Schema,
    object: Option<Value>,
    managed: Vec<Entry>,
}

impl Server {
    fn new() -> Self {
        thread_local!(static SCHEMA: Schema = Schema::of::<PodTemplate>());
        Self { schema: SCHEMA.with(Clone::clone), object: None, managed: Vec::new() }
    }

    fn target<'t>(schema: &'t Schema, reset: &'t Set<'t>) -> Target<'t> {
        Target { schema, reset, versions: &OneVersion }
    }

    fn writer(manager: &str) -> Writer<'_> {
        Writer { manager, api_version: "v1", subresource: "", now: jiff::Timestamp::UNIX_EPOCH }
    }

    fn apply(&mut self, manager: &str, config: &Value) -> bool {
        let reset = Set::new();
        let target = Self::target(&self.schema, &reset);
        let applied = apply(&target, self.object.as_ref(), config, self.managed.clone(), Self::writer(manager), true).unwrap();
        self.managed = applied.managed;
        let changed = applied.object.is_some();
        self.object = applied.object.or(self.object.take());
        changed
    }

    fn update(&mut self, manager: &str, new: Value) {
        let reset = Set::new();
        let target = Self::target(&self.schema, &reset);
        self.managed = tests::updated(&target, self.object.as_ref(), &new, self.managed.clone(), Self::writer(manager));
        self.object = Some(new);
    }

    /// What everybody owns, by manager.
    fn owned(&self) -> BTreeMap<String, Set<'_>> {
        self.managed.iter().map(|entry| (format!("{} {:?}", entry.manager, entry.operation), entry.fields.set().unwrap())).collect()
    }
}

/// The object with its keyed lists in one order.
fn sorted(mut object: Value) -> Value {
    fn sort(value: &mut Value) {
        match value {
            Value::Object(fields) => fields.iter_mut().filter(|(name, _)| *name != "args").for_each(|(_, value)| sort(value)),
            Value::Array(items) => {
                items.iter_mut().for_each(sort);
                items.sort_by_key(|item| item.get("name").unwrap_or(item).to_string());
            }
            _ => {}
        }
    }
    sort(&mut object);
    object
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sets_survive_encoding(config in config(WORDS)) {
        let schema = Schema::of::<PodTemplate>();
        let set = fields_of(&schema, &config).unwrap();
        let text = codec::encode(&set);
        let decoded = codec::decode(&mut serde_json::Deserializer::from_str(&text)).unwrap();
        prop_assert_eq!(&decoded, &set);
        prop_assert_eq!(codec::encode(&decoded), text.clone());
        prop_assert_eq!(codec::count_common(Text::new(&text), &set).unwrap(), set.len());
    }

    #[test]
    fn set_algebra_holds(a in config(WORDS), b in config(WORDS)) {
        let schema = Schema::of::<PodTemplate>();
        let (a, b) = (fields_of(&schema, &a).unwrap(), fields_of(&schema, &b).unwrap());
        let both = a.intersection(&b);
        prop_assert_eq!(a.clone().union(b.clone()), b.clone().union(a.clone()));
        prop_assert_eq!(&both, &b.intersection(&a));
        prop_assert_eq!(a.clone().difference(&b).union(both.clone()), a.clone());
        prop_assert!(a.clone().difference(&b).intersection(&b).is_empty());
        prop_assert_eq!(a.clone().union(b.clone()).len() + both.len(), a.len() + b.len());
    }

    #[test]
    fn applying_twice_is_applying_once(first in config(WORDS), second in config(WORDS), own in config(WORDS)) {
        let mut server = Server::new();
        server.update("maker", first);
        server.apply("other", &second);
        server.apply("me", &own);
        let (object, managed) = (server.object.clone(), server.managed.clone());
        prop_assert!(!server.apply("me", &own));
        prop_assert_eq!(&server.object, &object);
        prop_assert_eq!(&server.managed, &managed);
    }

    #[test]
    fn appliers_of_different_fields_commute(mine in config(WORDS), theirs in config(OTHER_WORDS), mine_again in config(WORDS)) {
        let (mut one, mut other) = (Server::new(), Server::new());
        one.apply("me", &mine);
        one.apply("they", &theirs);
        one.apply("me", &mine_again);
        other.apply("me", &mine);
        other.apply("me", &mine_again);
        other.apply("they", &theirs);
        prop_assert_eq!(one.owned(), other.owned());
        prop_assert_eq!(sorted(one.object.clone().unwrap()), sorted(other.object.clone().unwrap()));
    }

    #[test]
    fn appliers_and_updaters_of_different_fields_commute(base in config(WORDS), theirs in config(OTHER_WORDS), label in "[1-9]") {
        let labelled = |server: &Server| {
            let mut object = server.object.clone().unwrap();
            object["metadata"]["labels"]["u"] = json!(label);
            object
        };
        let (mut one, mut other) = (Server::new(), Server::new());
        for server in [&mut one, &mut other] {
            // With a label already, so that neither of the two is the one that makes the map.
            let mut base = base.clone();
            base["metadata"]["labels"]["base"] = json!("1");
            server.update("maker", base);
        }
        one.update("me", labelled(&one));
        one.apply("they", &theirs);
        other.apply("they", &theirs);
        other.update("me", labelled(&other));
        prop_assert_eq!(one.owned(), other.owned());
        prop_assert_eq!(sorted(one.object.clone().unwrap()), sorted(other.object.clone().unwrap()));
    }

    #[test]
    fn an_applier_leaves_no_trace_when_it_names_nothing(base in config(WORDS), config in config(OTHER_WORDS)) {
        let mut server = Server::new();
        server.apply("base", &base);
        let before = server.object.clone();
        server.apply("me", &config);
        server.apply("me", &json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "t"}}));
        prop_assert_eq!(server.object.map(sorted), before.map(sorted));
        prop_assert!(server.managed.iter().all(|entry| entry.manager == "base"));
    }

    #[test]
    fn what_is_made_is_a_change_from_nothing(config in config(WORDS), anything in anything()) {
        let structs = Server::new().schema;
        let custom = Schema { of_structs: false, ..structs.clone() };
        let framed = json!({"metadata": anything, "template": {"metadata": anything, "spec": {"containers": [anything, anything]}}});
        let never = Set::of_fields(&["metadata", "metadata.name", "template.spec"]);
        let reset = Set::of_fields(&["template.metadata", "spec"]);
        for object in [config, anything, framed] {
            let text = object.to_string();
            let tape = crate::tape::Tape::read(&text).unwrap();
            for schema in [&structs, &custom] {
                let Changes { written, nameless, .. } = Changes::between(schema, None, Text::new(&text));
                let made = |reset| made::encode_made(schema, tape.root(), made::ButFor { never: &never, reset });
                if nameless {
                    prop_assert_eq!(made(&Set::new()), None, "{}", text);
                } else {
                    let written = written.without(&reset).difference(&never);
                    prop_assert_eq!(made(&reset), (!written.is_empty()).then(|| codec::encode(&written)), "{}", text);
                }
            }
        }
    }

    #[test]
    fn a_write_within_a_field_is_a_write(base in config(WORDS), mine in config(WORDS), theirs in config(OTHER_WORDS)) {
        let mut server = Server::new();
        server.update("maker", base);
        server.update("they", theirs);
        let live = server.object.clone().unwrap();
        let mut new = live.clone();
        new["metadata"] = mine["metadata"].clone();
        let [old, own] = [&live, &new].map(|object| object["metadata"].to_string());
        let reset = Set::of_fields(&["metadata.finalizers"]);
        let target = Server::target(&server.schema, &reset);
        for manager in ["maker", "me"] {
            let writer = Server::writer(manager);
            let within = update_within(&target, "metadata", (Text::new(&old), Text::new(&own)), server.managed.clone(), writer);
            prop_assert_eq!(within, tests::updated(&target, Some(&live), &new, server.managed.clone(), writer));
        }
    }

    #[test]
    fn updates_are_owned_by_their_writers_alone(first in config(WORDS), second in config(WORDS)) {
        let mut server = Server::new();
        server.update("first", first.clone());
        // Objects in which nobody owns anything are not tracked.
        prop_assume!(!server.managed.is_empty());
        server.update("second", second.clone());
        let schema = server.schema.clone();
        let (first, second) = (first.to_string(), second.to_string());
        let nothing = Set::new();
        let changes = Target::changes(&Server::target(&schema, &nothing), Some(Text::new(&first)), Text::new(&second));
        let owned = server.owned();
        let (one, two) = (owned.get("first Update").unwrap_or(&nothing), owned.get("second Update").unwrap_or(&nothing));
        prop_assert!(one.intersection(two).is_empty());
        prop_assert_eq!(two, &changes.written);
        prop_assert!(one.intersection(&changes.removed).is_empty());
    }
}

//! Kinds as the API server drives them: what is invalid and where, what defaults make of a minimal object, and
//! what updates keep. Expected fields and reasons are those that Kubernetes 1.36 answers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admission;
mod apps;
mod autoscaling;
mod batch;
mod certificates;
mod core;
mod flowcontrol;
mod networks;
mod pods;
mod rbac;
mod resources;
mod storage;

use api::object::Object;
use api::resource::{ErasedUpdate, ErasedView};
use api::strategy::{Context, UserInfo};
use api::{Registry, ResourceRef};
use machinery::field::Errors;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

/// `(reason without "FieldValue", field)` pairs.
type Found = Vec<(String, String)>;

fn found(errors: &Errors) -> Found {
    errors.iter().map(|e| (e.kind.reason().trim_start_matches("FieldValue").to_owned(), e.field.to_string())).collect()
}

/// Reads `Invalid spec.a; Required spec.b`.
fn expected(text: &str) -> Found {
    text.split("; ")
        .filter(|t| !t.is_empty())
        .map(|t| t.split_once(' ').map(|(reason, field)| (reason.to_owned(), field.to_owned())).unwrap())
        .collect()
}

/// A resource under test.
struct Kit(ResourceRef);

/// Sets the value at a path such as `spec.ports.0.name`, making objects on the way; null removes.
fn set(target: &mut Value, path: &str, value: Value) {
    let (step, rest) = path.split_once('.').map_or((path, None), |(step, rest)| (step, Some(rest)));
    // Keys with dots are written with slashes in their stead.
    let step = step.replace('|', ".");
    let slot = match target {
        Value::Array(items) => &mut items[step.parse::<usize>().unwrap()],
        other => {
            if !other.is_object() {
                *other = json!({});
            }
            let fields = other.as_object_mut().unwrap();
            if rest.is_none() && value.is_null() {
                fields.remove(&step);
                return;
            }
            fields.entry(step).or_insert(Value::Null)
        }
    };
    match rest {
        Some(rest) => set(slot, rest, value),
        None => *slot = value,
    }
}

/// `base` with other values at some paths.
fn with(base: &Value, changes: &[(&str, Value)]) -> Value {
    let mut object = base.clone();
    for (path, value) in changes {
        set(&mut object, path, value.clone());
    }
    object
}

impl Kit {
    fn of(group: &str, version: &str, plural: &str) -> Self {
        Self(Registry::built_in().find(group, version, plural).unwrap_or_else(|| panic!("{plural}.{group} is served")))
    }

    fn decode(&self, value: Value) -> Box<dyn Object> {
        let mut object = self.0.decode(value).expect("the object decodes");
        self.0.default(&mut *object);
        object
    }

    /// An object as a POST makes it, and what is wrong with it.
    fn create(&self, value: Value) -> (Box<dyn Object>, Found) {
        let user = UserInfo::default();
        let cx = Context { now: jiff::Timestamp::UNIX_EPOCH, user: &user };
        let mut object = self.decode(value);
        object.meta_mut().uid = Some("u1".to_owned());
        self.0.prepare_create(&cx, &mut *object);
        let errors = self.0.validate_create(&cx, &*object);
        (object, found(&errors))
    }

    fn created(&self, value: Value) -> Box<dyn Object> {
        let (mut object, errors) = self.create(value);
        assert_eq!(errors, Found::new(), "{}", self.0.encode(&*object));
        self.0.complete(&mut *object);
        object
    }

    /// The created object as clients see it.
    fn golden(&self, value: Value) -> Value {
        let mut stored = Vec::new();
        self.created(value).write_json(&mut stored);
        serde_json::from_slice(&self.0.present(&stored)).unwrap()
    }

    /// Each change of `base`, by itself, is refused as it says.
    fn refuses(&self, base: &Value, cases: &[(&[(&str, Value)], &str)]) {
        self.created(base.clone());
        for (changes, want) in cases {
            let (_, errors) = self.create(with(base, changes));
            assert_eq!(errors, expected(want), "{changes:?}");
        }
    }

    fn strategy(&self, subresource: &str) -> &dyn ErasedUpdate {
        match self.0.subresource(subresource).map(|s| &s.view) {
            Some(ErasedView::Object(strategy)) => &**strategy,
            Some(ErasedView::Scale(_)) => panic!("{subresource} is a scale"),
            None => self.0.update(),
        }
    }

    /// A stored object after changes under a view of it (`""`: the main resource), and what is wrong with them.
    fn update(&self, old: &dyn Object, subresource: &str, changes: &[(&str, Value)]) -> (Box<dyn Object>, Found) {
        let user = UserInfo::default();
        let cx = Context { now: jiff::Timestamp::UNIX_EPOCH, user: &user };
        let mut new = self.decode(with(&self.0.encode(old), changes));
        let strategy = self.strategy(subresource);
        strategy.prepare(&cx, &mut *new, old);
        let (whole, change) = (strategy.validate(&cx, &*new, old), strategy.validate_change(&*new, old));
        let errors = match strategy.repeated_metadata() {
            Repeated::ChangeThenWhole => [change, whole],
            _ => [whole, change],
        };
        (new, found(&errors.concat()))
    }

    fn refuses_updates(&self, old: &dyn Object, subresource: &str, cases: &[(&[(&str, Value)], &str)]) {
        for (changes, want) in cases {
            assert_eq!(self.update(old, subresource, changes).1, expected(want), "{changes:?}");
        }
    }

    fn updated(&self, old: &dyn Object, subresource: &str, changes: &[(&str, Value)]) -> Value {
        let (new, errors) = self.update(old, subresource, changes);
        assert_eq!(errors, Found::new(), "{changes:?}");
        self.0.encode(&*new)
    }

    fn row(&self, object: &dyn Object) -> Value {
        json!(self.0.row(object, jiff::Timestamp::UNIX_EPOCH))
    }
}

//! Objects made from a kind's schema: full ones, and ones with whatever fields, zeros among them.

use api::Resource;
use machinery::schema::{Cursor, Node, NodeId, Scalar};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

/// Makes one object.
pub struct Maker<'r> {
    resource: &'r dyn Resource,
    /// Which fields and zeros there are; None: all fields, no zeros.
    random: Option<StdRng>,
    /// Of types that have alternatives, take the other one.
    other: bool,
    /// So that no two values are alike.
    count: u64,
    /// The types that are being made; those that contain themselves end there.
    within: Vec<NodeId>,
}

impl<'r> Maker<'r> {
    pub fn full(resource: &'r dyn Resource, other: bool) -> Self {
        Self { resource, random: None, other, count: 0, within: Vec::new() }
    }

    pub fn random(resource: &'r dyn Resource, random: StdRng) -> Self {
        Self { random: Some(random), ..Self::full(resource, false) }
    }

    pub fn object(mut self) -> Value {
        let resource = self.resource;
        let mut object = self.value(resource.schema().cursor());
        object["apiVersion"] = resource.kind().api_version().into();
        object["kind"] = resource.names().kind.into();
        object
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.random.as_mut().is_some_and(|random| random.random_bool(probability))
    }

    /// Elements of a list or a map.
    fn some(&mut self) -> usize {
        self.random.as_mut().map_or(2, |random| random.random_range(1..3))
    }

    fn value(&mut self, at: Cursor<'_>) -> Value {
        match at.node() {
            Node::Struct { fields, .. } => {
                let mut object = Map::new();
                // Within objects, whole objects stand in one place: in stateful sets, which claims they make.
                let is_claim = !self.within.is_empty() && ["apiVersion", "kind", "metadata"].iter().all(|name| fields.get(name).is_some());
                for (name, field) in fields.iter() {
                    if is_claim && (name == "apiVersion" || name == "kind") {
                        let text = if name == "kind" { "PersistentVolumeClaim" } else { "v1" };
                        object.insert(name.to_owned(), text.into());
                        continue;
                    }
                    let is_left_out = self.chance(0.4) && !field.required;
                    let made = element_of(at.at(field.node)).unwrap_or(field.node);
                    if is_left_out || self.within.contains(&made) {
                        continue;
                    }
                    if ["additionalItems", "additionalProperties", "dependencies", "items"].contains(&name) && fields.get("$ref").is_some()
                    {
                        object.insert(name.to_owned(), self.schema_or_other(name));
                        continue;
                    }
                    self.within.push(made);
                    object.insert(name.to_owned(), self.value(at.at(field.node)));
                    self.within.pop();
                }
                Value::Object(object)
            }
            Node::Map { values, .. } => (0..self.some()).map(|_| (self.text(), self.value(at.at(*values)))).collect::<Map<_, _>>().into(),
            Node::List { items, .. } => (0..self.some()).map(|_| self.value(at.at(*items))).collect(),
            Node::Any => json!({"any": [self.text(), self.number(), {"deep": null}]}),
            Node::Scalar(scalar) => self.scalar(*scalar),
        }
    }

    /// A schema, or what may stand in its place.
    fn schema_or_other(&mut self, name: &str) -> Value {
        let schema = json!({"description": self.text(), "maximum": 2.5});
        match (name, self.other) {
            ("dependencies", false) => json!({"a": schema}),
            ("dependencies", true) => json!({"a": [self.text()]}),
            (_, false) => schema,
            ("items", true) => json!([schema]),
            (_, true) => true.into(),
        }
    }

    fn text(&mut self) -> String {
        self.count += 1;
        format!("t{}<é>", self.count)
    }

    fn number(&mut self) -> i64 {
        self.count += 1;
        i64::try_from(self.count).unwrap()
    }

    fn scalar(&mut self, scalar: Scalar) -> Value {
        let zero = self.chance(0.3);
        let other = self.other || self.chance(0.5);
        let number = self.number();
        match scalar {
            Scalar::String | Scalar::Bytes if zero => "".into(),
            Scalar::Boolean => (!zero).into(),
            Scalar::Int32 | Scalar::Int64 | Scalar::Double | Scalar::IntOrString if zero => 0.into(),
            Scalar::String => self.text().into(),
            Scalar::Bytes => "/+8=".into(),
            Scalar::Int32 if other => i32::MIN.into(),
            Scalar::Int64 if other => i64::MIN.into(),
            Scalar::Int32 | Scalar::Int64 => number.into(),
            Scalar::Double => (number as f64 + 0.5).into(),
            Scalar::IntOrString if other => format!("{number}%").into(),
            Scalar::IntOrString => number.into(),
            Scalar::Quantity if zero => "0".into(),
            Scalar::Quantity => format!("{number}001m").into(),
            Scalar::Time => format!("2026-01-02T03:{:02}:{:02}Z", number / 60 % 60, number % 60).into(),
            Scalar::MicroTime => format!("2026-01-02T03:04:05.{:06}Z", number % 1_000_000).into(),
        }
    }
}

/// The type of what a list or a map has in it.
fn element_of(at: Cursor<'_>) -> Option<NodeId> {
    match at.node() {
        Node::Map { values, .. } => Some(*values),
        Node::List { items, .. } => Some(*items),
        _ => None,
    }
}

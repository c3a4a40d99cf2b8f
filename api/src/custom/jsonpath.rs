//! The paths by which definitions name fields of their objects: in columns, selectable fields and the scale subresource.
//! They are the part of JSONPath that Kubernetes has for these: names, elements, wildcards and simple filters, of which the
//! first match counts.

use serde_json::Value;

/// A path, read once.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    /// An element of a list; negative ones count from the end.
    Element(i64),
    /// Every element, or every value.
    Each,
    /// The elements for which a field compares as given.
    Where {
        field: Vec<String>,
        equal: bool,
        value: Value,
    },
    /// Descends to every depth.
    Deep,
}

impl JsonPath {
    /// Reads a path such as `.spec.replicas` or `.status.conditions[?(@.type=="Ready")].status`. None: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("..") {
                steps.push(Step::Deep);
                let (name, after) = name(after);
                if !name.is_empty() {
                    steps.push(Step::Field(name));
                }
                rest = after;
            } else if let Some(after) = rest.strip_prefix('.') {
                let (name, after) = name(after);
                match name.as_str() {
                    // `.` alone is the object itself, and `.[` begins a bracket.
                    "" if after.is_empty() || after.starts_with('[') => {}
                    "" => return None,
                    "*" => steps.push(Step::Each),
                    _ => steps.push(Step::Field(name)),
                }
                rest = after;
            } else if let Some(after) = rest.strip_prefix('[') {
                let end = closing(after)?;
                steps.push(bracket(after[..end].trim())?);
                rest = &after[end + 1..];
            } else {
                return None;
            }
        }
        Some(Self(steps))
    }

    /// The first value at this path.
    pub fn first<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        find(&self.0, value)
    }

    /// What is in the way of a path of names: a value that is no object, above the last name.
    pub fn obstacle<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        let names = self.names()?;
        let mut at = value;
        for name in names {
            let Value::Object(fields) = at else { return Some(at) };
            at = fields.get(name)?;
        }
        None
    }

    /// The names of a path that has names only.
    pub fn names(&self) -> Option<Vec<&str>> {
        self.0.iter().map(|step| if let Step::Field(name) = step { Some(name.as_str()) } else { None }).collect()
    }

    /// Puts a value at a path of names, making objects on the way. False where something else is in the way.
    pub fn set(&self, target: &mut Value, value: Value) -> bool {
        let Some(names) = self.names() else { return false };
        let mut at = target;
        for name in names {
            if at.is_null() {
                *at = Value::Object(serde_json::Map::new());
            }
            let Value::Object(map) = at else { return false };
            at = map.entry(name).or_insert(Value::Null);
        }
        *at = value;
        true
    }
}

/// A name up to the next `.` or `[`; a backslash takes the character behind it as it is.
fn name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return (name, &text[at..]),
            c => name.push(c),
        }
    }
    (name, "")
}

/// Where the bracket that is open ends; brackets in quotes do not count.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn bracket(inner: &str) -> Option<Step> {
    if inner == "*" {
        return Some(Step::Each);
    }
    if let Some(quoted) = unquoted(inner) {
        return Some(Step::Field(quoted.to_owned()));
    }
    if let Some(condition) = inner.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        let (equal, (left, right)) = match condition.split_once("!=") {
            Some(sides) => (false, sides),
            None => (true, condition.split_once("==")?),
        };
        let mut field = Vec::new();
        let mut rest = left.trim().strip_prefix('@')?;
        while let Some(after) = rest.strip_prefix('.') {
            let (step, after) = name(after);
            field.push(step);
            rest = after;
        }
        let right = right.trim();
        let value = unquoted(right).map(Value::from).or_else(|| serde_json::from_str(right).ok())?;
        return rest.is_empty().then_some(Step::Where { field, equal, value });
    }
    inner.parse().ok().map(Step::Element)
}

fn unquoted(text: &str) -> Option<&str> {
    ['\'', '"'].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

fn find<'v>(steps: &[Step], value: &'v Value) -> Option<&'v Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(value) };
    match step {
        Step::Field(name) => find(rest, value.get(name)?),
        Step::Element(index) => {
            let list = value.as_array()?;
            let at = if *index < 0 { list.len().checked_sub(index.unsigned_abs() as usize)? } else { *index as usize };
            find(rest, list.get(at)?)
        }
        Step::Each => children(value).find_map(|child| find(rest, child)),
        Step::Where { field, equal, value: wanted } => children(value)
            .filter(|child| {
                let found = field.iter().try_fold(*child, |at, name| at.get(name));
                found.is_some_and(|found| (found == wanted) == *equal)
            })
            .find_map(|child| find(rest, child)),
        Step::Deep => find(rest, value).or_else(|| children(value).find_map(|child| find(steps, child))),
    }
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(map) => Box::new(map.values()),
        _ => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_find_the_first_value() {
        let object = json!({
            "metadata": {"annotations": {"e.org/a": "x"}},
            "spec": {"ports": [{"name": "a", "n": 1}, {"name": "b", "n": 2}]},
            "status": {"conditions": [{"type": "Live", "status": "True"}, {"type": "Ready", "status": "False"}]},
        });
        for (path, found) in [
            (".spec.ports[1].n", json!(2)),
            (".spec.ports[-1].name", json!("b")),
            (".spec.ports[*].name", json!("a")),
            (".metadata.annotations.e\\.org/a", json!("x")),
            (".metadata.annotations['e.org/a']", json!("x")),
            (r#".status.conditions[?(@.type=="Ready")].status"#, json!("False")),
            (r#".status.conditions[?(@.type != 'Live')].type"#, json!("Ready")),
            ("..n", json!(1)),
        ] {
            assert_eq!(JsonPath::parse(path).unwrap().first(&object), Some(&found), "{path}");
        }
        assert_eq!(JsonPath::parse(".spec.nothing.there").unwrap().first(&object), None);
        for bad in ["spec", ".spec..", ".a[", ".a[x]"] {
            let parsed = JsonPath::parse(bad);
            assert!(parsed.is_none_or(|path| path.first(&object).is_none_or(|found| *found == object["spec"])), "{bad}");
        }
    }

    #[test]
    fn a_path_of_names_can_be_set() {
        let path = JsonPath::parse(".spec.n").unwrap();
        let mut object = json!({});
        assert!(path.set(&mut object, json!(3)));
        assert_eq!(object, json!({"spec": {"n": 3}}));
        assert!(!path.set(&mut json!({"spec": "text"}), json!(3)));
    }
}

//! JSON patch (RFC 6902) as Kubernetes applies it. It departs from the RFC where clients rely on it: `replace` of a
//! missing key adds it, a `test` for `null` holds where nothing is, negative indices count from the end, and the
//! whole document can be replaced, and nothing else be done to it.

use std::borrow::Cow;
use std::io;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::Error;

/// How many operations one patch may hold.
pub const MAX_OPERATIONS: usize = 10_000;

/// How many bytes of JSON the `copy` operations of one patch may copy in all.
pub const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;

/// How deep a patched object may nest. JSON readers stop at 128; lists and watch events wrap the object further.
pub const MAX_DEPTH: usize = 120;

/// How many values may be looked at in all to keep to [`MAX_DEPTH`]: a patch that moves a large object to and fro
/// is stopped before it costs seconds.
const MAX_MEASURED_VALUES: usize = 4_000_000;

/// How many elements of lists may be moved aside in all: operations at the head of a long list move all of it.
const MAX_SHIFTED_ELEMENTS: usize = 100_000_000;

const OPERATION_FIELDS: [&str; 4] = ["op", "path", "from", "value"];

/// A decoded JSON patch.
#[derive(Clone, Debug)]
pub struct Patch<'a> {
    operations: Vec<Operation<'a>>,
    unknown_fields: Vec<String>,
}

#[derive(Clone, Debug)]
struct Operation<'a> {
    kind: &'a str,
    path: Option<Pointer<'a>>,
    from: Option<Pointer<'a>>,
    value: &'a Value,
}

impl<'a> Patch<'a> {
    /// Reads a patch document. An operation of an unknown kind, or one that lacks its path, fails only when it is
    /// applied: the answer is another then.
    pub fn parse(document: &'a Value) -> Result<Self, Error> {
        let operations = match document {
            Value::Array(operations) => operations.as_slice(),
            // As Go reads a list.
            Value::Null => &[],
            _ => return Err(Error::Malformed("a JSON patch is a list of operations".into())),
        };
        if operations.len() > MAX_OPERATIONS {
            return Err(Error::TooManyOperations { count: operations.len() });
        }
        let unknown_fields = operations.iter().enumerate().flat_map(|(at, operation)| {
            let names = operation.as_object().into_iter().flat_map(|fields| fields.keys());
            names.filter(|name| !OPERATION_FIELDS.contains(&name.as_str())).map(move |name| format!("[{at}].{name}"))
        });
        let unknown_fields = unknown_fields.collect();
        let operations = operations.iter().map(Operation::parse).collect::<Result<_, _>>()?;
        Ok(Self { operations, unknown_fields })
    }

    /// Fields of operations that mean nothing, such as `[0].valeu`; strict field validation refuses them.
    pub fn unknown_fields(&self) -> &[String] {
        &self.unknown_fields
    }

    /// The object after all operations.
    pub fn apply(&self, mut object: Value) -> Result<Value, Error> {
        let mut bounds = Bounds::default();
        for operation in &self.operations {
            operation.apply(&mut object, &mut bounds)?;
        }
        Ok(object)
    }
}

static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

impl<'a> Operation<'a> {
    fn parse(document: &'a Value) -> Result<Self, Error> {
        let fields = match document {
            Value::Object(fields) => fields,
            // An operation without anything, which fails when it is applied.
            Value::Null => &*NOTHING,
            _ => return Err(Error::Malformed("an operation of a JSON patch is an object".into())),
        };
        let text = |name: &str| match fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(Error::Malformed(format!("{name:?} of an operation is a string"))),
        };
        Ok(Self {
            kind: text("op")?.unwrap_or("unknown"),
            path: text("path")?.map(Pointer),
            from: text("from")?.map(Pointer),
            value: fields.get("value").unwrap_or(&Value::Null),
        })
    }

    fn path(&self) -> Result<Pointer<'a>, Error> {
        self.path.ok_or_else(|| Error::DoesNotApply(format!("{} operation without a path", self.kind)))
    }

    fn from(&self) -> Result<Pointer<'a>, Error> {
        self.from.ok_or_else(|| Error::DoesNotApply(format!("{} operation without a from", self.kind)))
    }

    fn apply(&self, object: &mut Value, bounds: &mut Bounds) -> Result<(), Error> {
        match self.kind {
            "add" => {
                let path = self.path()?;
                bounds.nest(path, self.value)?;
                path.target(object)?.add(self.value.clone(), bounds)
            }
            "remove" => self.path()?.target(object)?.remove(bounds).map(drop),
            "replace" => {
                let path = self.path()?;
                bounds.nest(path, self.value)?;
                if path.0.is_empty() && (self.value.is_object() || self.value.is_array()) {
                    *object = self.value.clone();
                    return Ok(());
                }
                path.target(object)?.set(self.value.clone(), bounds)
            }
            "test" => {
                let path = self.path()?;
                let found = path.target(object)?.get()?;
                // A missing key equals null.
                match found.unwrap_or(&Value::Null) == self.value {
                    true => Ok(()),
                    false => Err(Error::TestFailed(path.error("testing the value failed").to_string())),
                }
            }
            "move" => {
                let (from, path) = (self.from()?, self.path()?);
                let moved = from.target(object)?.remove(bounds)?;
                bounds.nest(path, &moved)?;
                path.target(object)?.add(moved, bounds)
            }
            "copy" => {
                let (from, path) = (self.from()?, self.path()?);
                let copied = from.target(object)?.get()?.unwrap_or(&Value::Null);
                bounds.copy(copied)?;
                bounds.nest(path, copied)?;
                let copied = copied.clone();
                path.target(object)?.add(copied, bounds)
            }
            other => Err(Error::DoesNotApply(format!("unknown kind of operation: {other:?}"))),
        }
    }
}

/// What a patch has used up of what it may.
#[derive(Default)]
struct Bounds {
    copied_bytes: usize,
    measured_values: usize,
    shifted_elements: usize,
}

impl Bounds {
    fn copy(&mut self, value: &Value) -> Result<(), Error> {
        let mut counter = ByteCounter(0);
        serde_json::to_writer(&mut counter, value).map_err(|error| Error::DoesNotApply(error.to_string()))?;
        self.copied_bytes += counter.0;
        if self.copied_bytes > MAX_COPIED_BYTES {
            return Err(Error::DoesNotApply(format!("the copy operations copy more than {MAX_COPIED_BYTES} bytes")));
        }
        Ok(())
    }

    /// Checks that `value` can stand at `path`.
    fn nest(&mut self, path: Pointer<'_>, value: &Value) -> Result<(), Error> {
        let depth = path.tokens().count() + self.depth(value);
        if depth > MAX_DEPTH || self.measured_values > MAX_MEASURED_VALUES {
            return Err(path.error("the object would nest too deep"));
        }
        Ok(())
    }

    fn shift(&mut self, pointer: Pointer<'_>, elements: usize) -> Result<(), Error> {
        self.shifted_elements += elements;
        if self.shifted_elements > MAX_SHIFTED_ELEMENTS { Err(pointer.error("the patch moves too many elements of lists")) } else { Ok(()) }
    }

    fn depth(&mut self, value: &Value) -> usize {
        self.measured_values += 1;
        match value {
            Value::Array(items) => 1 + items.iter().map(|item| self.depth(item)).max().unwrap_or(0),
            Value::Object(fields) => 1 + fields.values().map(|field| self.depth(field)).max().unwrap_or(0),
            _ => 0,
        }
    }
}

struct ByteCounter(usize);

impl io::Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A JSON pointer (RFC 6901).
#[derive(Clone, Copy, Debug)]
struct Pointer<'a>(&'a str);

impl<'a> Pointer<'a> {
    fn error(self, why: &str) -> Error {
        Error::DoesNotApply(format!("{why}: {:?}", self.0))
    }

    /// What stands before the first slash is ignored, as upstream does.
    fn tokens(self) -> impl DoubleEndedIterator<Item = Cow<'a, str>> {
        self.0.split_once('/').into_iter().flat_map(|(_, tokens)| tokens.split('/')).map(unescape)
    }

    /// The place that the pointer names, whether or not there is something.
    fn target(self, object: &mut Value) -> Result<Target<'a, '_>, Error> {
        let mut tokens = self.tokens();
        let Some(key) = tokens.next_back() else { return Err(self.error("the whole document is no place to patch")) };
        let mut container = object;
        for token in tokens {
            container = match container {
                Value::Object(fields) => fields.get_mut(token.as_ref()),
                Value::Array(items) => index(&token, items.len()).and_then(|at| items.get_mut(at)),
                _ => None,
            }
            .ok_or_else(|| self.error("there is nothing on the way to the path"))?;
        }
        match container {
            Value::Object(_) | Value::Array(_) => Ok(Target { pointer: self, container, key }),
            _ => Err(self.error("there is no object or list above the path")),
        }
    }
}

fn unescape(token: &str) -> Cow<'_, str> {
    if token.contains('~') { Cow::Owned(token.replace("~1", "/").replace("~0", "~")) } else { Cow::Borrowed(token) }
}

/// The place in a list of `len` elements that a token names; negative numbers count from the end.
fn index(token: &str, len: usize) -> Option<usize> {
    let at: i64 = token.parse().ok()?;
    let at = if at < 0 { i64::try_from(len).ok()?.checked_add(at)? } else { at };
    usize::try_from(at).ok()
}

/// A key of an object or an index of a list.
struct Target<'a, 'v> {
    pointer: Pointer<'a>,
    container: &'v mut Value,
    key: Cow<'a, str>,
}

impl<'v> Target<'_, 'v> {
    /// The value there. A missing key is nothing, a missing index an error.
    fn get(self) -> Result<Option<&'v Value>, Error> {
        match self.container {
            Value::Object(fields) => Ok(fields.get(self.key.as_ref())),
            Value::Array(items) => match index(&self.key, items.len()).and_then(|at| items.get(at)) {
                Some(item) => Ok(Some(item)),
                None => Err(self.pointer.error("there is no such index")),
            },
            _ => Ok(None),
        }
    }

    /// Puts `value` there; in a list it is inserted.
    fn add(self, value: Value, bounds: &mut Bounds) -> Result<(), Error> {
        match self.container {
            Value::Array(items) if self.key == "-" => items.push(value),
            Value::Array(items) => match index(&self.key, items.len() + 1) {
                Some(at) if at <= items.len() => {
                    bounds.shift(self.pointer, items.len() - at)?;
                    items.insert(at, value);
                }
                _ => return Err(self.pointer.error("there is no such index")),
            },
            Value::Object(fields) => {
                fields.insert(self.key.into_owned(), value);
            }
            _ => {}
        }
        Ok(())
    }

    /// Puts `value` in the place of what is there. A missing key is added.
    fn set(self, value: Value, bounds: &mut Bounds) -> Result<(), Error> {
        let Value::Array(items) = self.container else { return self.add(value, bounds) };
        match index(&self.key, items.len()).and_then(|at| items.get_mut(at)) {
            Some(item) => *item = value,
            None => return Err(self.pointer.error("there is no such index")),
        }
        Ok(())
    }

    fn remove(self, bounds: &mut Bounds) -> Result<Value, Error> {
        let removed = match self.container {
            Value::Object(fields) => fields.remove(self.key.as_ref()),
            Value::Array(items) => match index(&self.key, items.len()).filter(|at| *at < items.len()) {
                Some(at) => {
                    bounds.shift(self.pointer, items.len() - at)?;
                    Some(items.remove(at))
                }
                None => None,
            },
            _ => None,
        };
        removed.ok_or_else(|| self.pointer.error("there is nothing at the path"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(object: Value, patch: Value) -> Result<Value, Error> {
        Patch::parse(&patch)?.apply(object)
    }

    #[track_caller]
    fn refused(object: Value, patch: Value) {
        assert!(matches!(patched(object, patch), Err(Error::DoesNotApply(_) | Error::TestFailed(_))));
    }

    #[test]
    fn lists_are_inserted_into_appended_to_and_counted_from_the_end() {
        let patch = json!([
            {"op": "add", "path": "/args/0", "value": "a"},
            {"op": "add", "path": "/args/2", "value": "c"},
            {"op": "add", "path": "/args/-", "value": "e"},
        ]);
        assert_eq!(patched(json!({"args": ["b", "d"]}), patch).unwrap(), json!({"args": ["a", "b", "c", "d", "e"]}));
        let patch = json!([
            {"op": "replace", "path": "/args/1", "value": "B"},
            {"op": "remove", "path": "/args/0"},
            {"op": "replace", "path": "/args/-1", "value": "E"},
            {"op": "add", "path": "/args/-1", "value": "F"},
        ]);
        assert_eq!(patched(json!({"args": ["a", "b", "c", "d", "e"]}), patch).unwrap(), json!({"args": ["B", "c", "d", "E", "F"]}));
        for (op, path) in [("add", "/l/2"), ("add", "/l/-3"), ("replace", "/l/1"), ("remove", "/l/1"), ("remove", "/l/x"), ("test", "/l/7")]
        {
            refused(json!({"l": [0]}), json!([{"op": op, "path": path, "value": 1}]));
        }
    }

    #[test]
    fn pointers_escape_slash_and_tilde() {
        let patch = json!([
            {"op": "replace", "path": "/m/example.org~1owner", "value": "bea"},
            {"op": "add", "path": "/m/~01", "value": "~1"},
        ]);
        assert_eq!(patched(json!({"m": {}}), patch).unwrap(), json!({"m": {"example.org/owner": "bea", "~1": "~1"}}));
    }

    #[test]
    fn tests_moves_and_copies() {
        let patch = json!([
            {"op": "test", "path": "/a", "value": {"b": 1}},
            {"op": "move", "from": "/a/b", "path": "/c"},
            {"op": "copy", "from": "/c", "path": "/d"},
            {"op": "test", "path": "/absent", "value": null},
        ]);
        assert_eq!(patched(json!({"a": {"b": 1}}), patch).unwrap(), json!({"a": {}, "c": 1, "d": 1}));
        refused(json!({"a": 1}), json!([{"op": "test", "path": "/a", "value": 2}]));
        refused(json!({"a": 1}), json!([{"op": "test", "path": "/a", "value": null}]));
        refused(json!({"a": 1}), json!([{"op": "move", "from": "/b", "path": "/a"}]));
        refused(json!({"a": {"b": 1}}), json!([{"op": "move", "from": "/a", "path": "/a/b"}]));
    }

    #[test]
    fn bad_paths_and_operations_do_not_apply() {
        let object = json!({"name": "x", "data": {"v": "1"}});
        for patch in [
            json!([{"op": "remove", "path": "/data/nope"}]),
            json!([{"op": "add", "path": "/labels/tier", "value": 1}]),
            json!([{"op": "replace", "path": "/labels/tier", "value": 1}]),
            json!([{"op": "add", "path": "/name/x", "value": 1}]),
            json!([{"op": "frobnicate", "path": "/data/v"}]),
            json!([{"op": "add", "value": 1}]),
            json!([{"op": "replace", "path": "", "value": "x"}]),
        ] {
            refused(object.clone(), patch);
        }
        for patch in [json!({"op": "remove"}), json!([1]), json!([{"op": "add", "path": 1}]), json!("x")] {
            assert!(matches!(patched(object.clone(), patch), Err(Error::Malformed(_))));
        }
        assert_eq!(patched(object.clone(), json!(null)), Ok(object));
    }

    #[test]
    fn unknown_fields_are_told() {
        let document = json!([{"op": "add", "path": "/a", "value": 1}, {"op": "add", "path": "/b", "valeu": 1}]);
        assert_eq!(Patch::parse(&document).unwrap().unknown_fields(), ["[1].valeu"]);
    }

    #[test]
    fn patches_are_bounded() {
        let many = Value::Array(vec![json!({"op": "test", "path": "/a", "value": 1}); MAX_OPERATIONS + 1]);
        assert_eq!(patched(json!({"a": 1}), many), Err(Error::TooManyOperations { count: MAX_OPERATIONS + 1 }));

        let doubling = Value::Array(vec![json!({"op": "copy", "from": "/a", "path": "/a/-"}); 40]);
        refused(json!({"a": ["x".repeat(1000)]}), doubling);

        let nested = |levels: usize| (0..levels).fold(json!(1), |below, _| json!({"a": below}));
        let path = "/a".repeat(60);
        let deepen = json!([{"op": "add", "path": "/b", "value": nested(61)}, {"op": "move", "from": "/b", "path": path}]);
        refused(nested(60), deepen.clone());
        assert!(patched(nested(60), json!([deepen[0]])).is_ok());
    }
}

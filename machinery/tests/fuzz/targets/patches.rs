//! The three kinds of patches. None makes an object deeper or larger than its bounds, all give the same every time, a
//! patch that fails leaves nothing changed, and what is a law of one kind holds.

use machinery::decode::conform;
use machinery::patch::json::{MAX_COPIED_BYTES, MAX_DEPTH, Patch};
use machinery::patch::{Error, merge, strategic};
use serde_json::{Map, Value, json};

use super::{depth, schema_of, size, trees, without_nulls};

pub fn json(input: &[u8]) {
    let Some([object, document]) = trees(input) else { return };
    let Ok(patch) = Patch::parse(&document) else { return };
    // Null is a patch without operations.
    let operations = document.as_array().map_or(&[][..], Vec::as_slice);
    let outcome = patch.apply(object.clone());
    match outcome {
        Ok(patched) => {
            // One operation after the other comes to the same. (Of many, that would take long.)
            let one_by_one =
                operations.iter().take(64).try_fold(object.clone(), |object, operation| Patch::parse(&json!([operation]))?.apply(object));
            assert!(operations.len() > 64 || one_by_one == Ok(patched.clone()));
            assert!(depth(&patched) <= depth(&object).max(MAX_DEPTH));
            assert!(size(&patched) <= size(&object) + size(&document) + MAX_COPIED_BYTES + 8 * operations.len());
            // The patch that sets each field anew.
            let undone = Patch::parse(&replacing(&patched, &object)).unwrap().apply(patched.clone());
            assert_eq!(undone.ok(), Some(object).filter(Value::is_object).filter(|_| patched.is_object()).or(Some(patched)));
        }
        Err(Error::DoesNotApply(_) | Error::TestFailed(_)) => {}
        Err(other) => panic!("{other}"),
    }
}

/// A patch from one object to another, a field of the top level at a time; an empty one for what is no object.
fn replacing(from: &Value, to: &Value) -> Value {
    let (Some(from), Some(to)) = (from.as_object(), to.as_object()) else { return json!([]) };
    let path = |name: &str| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    let removed = from.keys().filter(|name| !to.contains_key(*name)).map(|name| json!({"op": "remove", "path": path(name)}));
    let added = to.iter().map(|(name, value)| json!({"op": "add", "path": path(name), "value": value}));
    removed.chain(added).collect()
}

pub fn merge(input: &[u8]) {
    let Some([object, patch]) = trees(input) else { return };
    let Ok(once) = merge::apply(object.clone(), &patch) else {
        assert!(!patch.is_object());
        return;
    };
    assert!(depth(&once) <= depth(&object).max(depth(&patch)));
    assert!(size(&once) <= size(&object) + size(&patch));
    assert_eq!(merge::apply(once.clone(), &patch).unwrap(), once);
    // The difference of two objects leads from one to the other.
    let target = merge::apply(json!({}), &patch).unwrap();
    if let Some(difference) = difference(&object, &target) {
        assert_eq!(merge::apply(object, &difference).unwrap(), target);
    }
}

/// The merge patch that leads from one object to another that has no nulls in objects.
fn difference(from: &Value, to: &Value) -> Option<Value> {
    let (from, to) = (from.as_object()?, to.as_object()?);
    let mut patch: Map<String, Value> =
        from.keys().filter(|name| !to.contains_key(*name)).map(|name| (name.clone(), Value::Null)).collect();
    for (name, value) in to {
        match from.get(name) {
            Some(present) if present == value => {}
            Some(present) if present.is_object() && value.is_object() => {
                patch.insert(name.clone(), difference(present, value)?);
            }
            _ => {
                patch.insert(name.clone(), value.clone());
            }
        }
    }
    Some(Value::Object(patch))
}

pub fn strategic(input: &[u8]) {
    let Some([mut object, patch]) = trees(input) else { return };
    let schema = schema_of(&object);
    // What is patched is an object that is stored.
    if conform(&mut object, schema, &mut Vec::new()).is_err() {
        return;
    }
    let outcome = strategic::apply(schema, object.clone(), &patch);
    assert_eq!(strategic::apply(schema, object.clone(), &patch), outcome, "the same every time");
    let Ok(once) = outcome else { return };
    assert!(depth(&once) <= depth(&object).max(depth(&patch)));
    assert!(size(&once) <= size(&object) + size(&patch));
    // What does not fit its type is refused, and nobody patches it again.
    let is_kept = conform(&mut once.clone(), schema, &mut Vec::new()).is_ok();
    if is_kept
        && !input.contains(&b'$')
        && let Ok(twice) = strategic::apply(schema, once, &patch)
    {
        // The first time, a list may be taken over as it stands, with elements that are there twice and nulls; it merges only then.
        let thrice = strategic::apply(schema, twice.clone(), &patch).unwrap();
        assert_eq!(without_nulls(thrice), without_nulls(twice), "it comes to rest");
    }
}

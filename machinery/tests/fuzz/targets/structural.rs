//! Schemas of custom resources, and objects of them: a schema, an object and the object that was there before. Whatever
//! they are, pruning and defaulting are done once for all, and nothing is invented.

use machinery::decode::Finding;
use machinery::field::Path;
use machinery::structural::Structural;
use serde_json::Value;

use super::{depth, size, trees};

pub fn run(input: &[u8]) {
    let Some([schema, object, old]) = trees(input) else { return };
    // Bodies that are nested more deeply than that are refused when they are read.
    assert!(depth(&schema) <= machinery::json::MOST_DEPTH);
    let Ok(schema) = Structural::compile(&schema) else { return };
    schema.validate_defaults(&Path::new("schema"));
    // Whatever is stored has been made to fit.
    let Some(object) = fit(&schema, object) else { return };
    let alone = schema.validate(&object, None);
    if alone.is_empty() {
        let mut again = object.clone();
        assert_eq!(schema.validate(&again, Some(&object)), [], "what is right stays right");
        again["metadata"] = Value::Null;
        schema.validate(&again, Some(&object));
    }
    if let Some(old) = fit(&schema, old) {
        schema.validate(&object, Some(&old));
    }
}

fn fit(schema: &Structural, object: Value) -> Option<Value> {
    let mut pruned = object.clone();
    let mut findings = Vec::new();
    schema.conform(&mut pruned, &mut findings).ok()?;
    assert!(size(&pruned) <= size(&object) + 1024, "nothing is added by pruning");
    assert!(findings.iter().all(|finding| matches!(finding, Finding::Unknown(_))));
    let mut again = pruned.clone();
    let mut none = Vec::new();
    schema.conform(&mut again, &mut none).unwrap();
    assert_eq!((&again, &*none), (&pruned, &[][..]), "pruning twice is pruning once");
    let mut filled = pruned;
    schema.drop_nulls(&mut filled);
    if !schema.default(&mut filled) {
        return None;
    }
    let mut again = filled.clone();
    assert!(schema.default(&mut again));
    assert_eq!(again, filled, "defaulting twice is defaulting once");
    Some(filled)
}

//! CEL: whatever compiles ends within its limits, the same way each time, and nothing that is wrong makes it panic.

use std::sync::{Arc, LazyLock};

use machinery::cel::{Declared, Environment, Program, Stop, Value};
use serde_json::{Value as Json, json};

const LIMIT: u64 = 20_000;

pub fn cel(input: &[u8]) {
    static ENVIRONMENT: LazyLock<Arc<Environment>> =
        LazyLock::new(|| Arc::new(Environment::new().variable("x", Declared::any()).with_bind().with_mutations()));
    static X: LazyLock<Json> =
        LazyLock::new(|| json!({"a": 1, "b": [1, 2, 3], "s": "text é", "d": 1.5, "m": {"k": "v", "n": [{"z": null}]}, "t": true}));
    let Ok(source) = std::str::from_utf8(input) else { return };
    let Ok(program) = Program::compile(source, &ENVIRONMENT) else { return };
    let _ = program.estimated_cost();
    let first = program.evaluate(vec![Some(Value::from_any(&X))], LIMIT);
    let second = program.evaluate(vec![Some(Value::from_any(&X))], LIMIT);
    assert_eq!(first.cost, second.cost);
    assert_eq!(first.value.as_ref().err(), second.value.as_ref().err());
    if first.cost > LIMIT {
        assert_eq!(first.value.err(), Some(Stop::Cost), "no value is worth more than the limit");
    }
}

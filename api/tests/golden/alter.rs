//! Objects with something odd in them, as clients may send it.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// The JSON of the object with one thing altered: another value somewhere, or a key that no type has or that comes twice.
pub fn altered(object: &Value, random: &mut StdRng) -> String {
    let mut object = object.clone();
    let places = places(&object);
    let place = &places[random.random_range(0..places.len())];
    let odd = [
        json!(null),
        json!({}),
        json!([]),
        json!([null]),
        json!({"a": null}),
        json!(""),
        json!(0),
        json!(-1),
        json!(1.0),
        json!(5e9),
        json!(1e300),
        json!(false),
        json!("0.5"),
        json!(" 1"),
        json!("1000m"),
        json!("2026-01-02T03:04:05+01:00"),
        json!("2026-01-02T03:04:05.6Z"),
        json!("2026-01-02T03:04:05.600000Z"),
        json!("YQ==\n"),
    ];
    let slot = object.pointer_mut(place).unwrap();
    match random.random_range(0..4) {
        0 | 1 => *slot = odd[random.random_range(0..odd.len())].clone(),
        2 => _ = slot.as_object_mut().map(|fields| fields.insert("noSuchField".to_owned(), json!({"a": 1}))),
        _ => {}
    }
    let text = if random.random_bool(0.5) { object.to_string() } else { serde_json::to_string_pretty(&object).unwrap() };
    if random.random_range(0..4) == 0 { repeated(&text, random) } else { text }
}

/// The places of all values in this one, as pointers.
fn places(value: &Value) -> Vec<String> {
    let below = |step: &str, value: &Value| -> Vec<String> {
        let step = step.replace('~', "~0").replace('/', "~1");
        places(value).into_iter().map(|place| format!("/{step}{place}")).collect()
    };
    let inside: Vec<String> = match value {
        Value::Object(fields) => fields.iter().flat_map(|(name, value)| below(name, value)).collect(),
        Value::Array(items) => items.iter().enumerate().flat_map(|(at, value)| below(&at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    std::iter::once(String::new()).chain(inside).collect()
}

/// The text with the first key of one of its objects again before it.
fn repeated(text: &str, random: &mut StdRng) -> String {
    let opens: Vec<_> = text.match_indices("{\"").map(|(at, _)| at + 1).collect();
    let Some(at) = opens.get(random.random_range(0..opens.len().max(1))) else { return text.to_owned() };
    let key = text[*at..].split(':').next().unwrap_or_default();
    format!("{}{key}:null,{}", &text[..*at], &text[*at..])
}

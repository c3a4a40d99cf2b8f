//! JSON that stays text: its parts are those of the tree, and text that is no JSON breaks nothing.

use machinery::text::Text;
use serde_json::Value;

pub fn scan(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    walk(Text::new(&text), 0);
    let Ok(value) = serde_json::from_str::<Value>(&text) else { return };
    let compact = value.to_string();
    same(Text::new(&compact), &value);
}

/// Goes through everything, whatever it is.
fn walk(text: Text<'_>, depth: usize) {
    if depth < 5 {
        text.fields().into_iter().for_each(|(_, value)| walk(value, depth + 1));
        text.items().for_each(|item| walk(item, depth + 1));
    }
    assert!(text.is(text));
}

fn same(text: Text<'_>, value: &Value) {
    assert_eq!(text.to_value(), *value);
    match value {
        Value::Object(fields) => {
            let found = text.fields();
            assert_eq!(found.len(), fields.len());
            for ((name, text), (field, value)) in found.into_iter().zip(fields) {
                assert_eq!(name, *field);
                same(text, value);
            }
        }
        Value::Array(items) => {
            assert_eq!(text.items().count(), items.len());
            text.items().zip(items).for_each(|(text, item)| same(text, item));
        }
        _ => assert_eq!(text.items().count() + text.fields().len(), 0),
    }
}

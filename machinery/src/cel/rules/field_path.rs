//! `.spec.containers['a']`: the field below a rule's place at which violations are reported.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps as Schema;

use super::declare::values;
use crate::field::Path;

/// The path that a text names, and the schema of what is there, if the schema has such a field; the error says why it has
/// not. Selectable fields are named like that, too.
pub fn resolve<'s>(text: &str, mut schema: &'s Schema) -> Result<(Path, &'s Schema), String> {
    let mut path = Path::root();
    let mut rest = text;
    if rest.is_empty() {
        return Err("is empty".to_owned());
    }
    while !rest.is_empty() {
        let (name, after) = step(rest)?;
        if let Some(properties) = schema.properties.as_ref().filter(|properties| !properties.is_empty()) {
            schema = properties.get(&name).ok_or_else(|| format!("`{name}` is no field of the schema"))?;
            path = path.child(&name);
        } else if let Some(below) = values(schema) {
            schema = below;
            path = path.key(&name);
        } else {
            return Err(format!("`{name}` is no field of the schema"));
        }
        rest = after;
    }
    Ok((path, schema))
}

/// The first name of a path, and what follows.
fn step(text: &str) -> Result<(String, &str), String> {
    if let Some(rest) = text.strip_prefix('.') {
        let (name, after) = rest.split_at(rest.find(['.', '[', ']']).unwrap_or(rest.len()));
        return if name.is_empty() { Err("a name is missing after `.`".to_owned()) } else { Ok((name.to_owned(), after)) };
    }
    let quoted = text.strip_prefix("['").ok_or("each step begins with `.` or `['`")?;
    let mut name = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => {
                let after = quoted[at + 1..].strip_prefix(']').ok_or("`]` is missing")?;
                return Ok((name, after));
            }
            '\\' => match chars.next() {
                Some((_, c @ ('\'' | '\\'))) => name.push(c),
                Some((_, 'n')) => name.push('\n'),
                Some((_, 't')) => name.push('\t'),
                Some((_, 'r')) => name.push('\r'),
                _ => return Err("unknown escape".to_owned()),
            },
            c => name.push(c),
        }
    }
    Err("a quote is not closed".to_owned())
}

//! Paths to fields as definitions write them, `.spec.list` or `.spec['a.b']`, and the schemas they lead to.

use super::{Schema, or_bool};

/// Whether steps may stand in brackets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Brackets {
    Allowed,
    Refused,
}

/// Where a path leads.
pub(super) struct Found<'s> {
    pub(super) steps: Vec<String>,
    /// None where the schema says nothing of the value.
    pub(super) schema: Option<&'s Schema>,
}

/// Follows a path. The error says why it leads nowhere.
pub(super) fn find<'s>(schema: &'s Schema, path: &str, brackets: Brackets) -> Result<Found<'s>, &'static str> {
    let (mut rest, mut steps, mut at) = (path, Vec::new(), Some(schema));
    while !rest.is_empty() {
        let step;
        (step, rest) = next(rest, brackets)?;
        let schema = at.ok_or("leads below what the schema describes")?;
        at = match (&schema.properties, &schema.additional_properties) {
            (Some(properties), _) if !properties.is_empty() => Some(properties.get(&step).ok_or("leads to no field")?),
            (_, Some(additional)) => or_bool(Some(additional)),
            _ => return Err("leads to no field"),
        };
        steps.push(step);
    }
    Ok(Found { steps, schema: at })
}

/// The first step of a path, and the rest.
fn next(path: &str, brackets: Brackets) -> Result<(String, &str), &'static str> {
    if let Some(rest) = path.strip_prefix('.') {
        let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
        return if end == 0 { Err("has an empty step") } else { Ok((rest[..end].to_owned(), &rest[end..])) };
    }
    let quoted = path.strip_prefix("['").ok_or("must have '.' before each step")?;
    if brackets == Brackets::Refused {
        return Err("must have no brackets");
    }
    let (mut step, mut chars) = (String::new(), quoted.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Ok((step, quoted[at + 1..].strip_prefix(']').ok_or("has a bracket that does not end")?)),
            '\\' => step.push(match chars.next() {
                Some((_, c @ ('\\' | '\'' | '"'))) => c,
                Some((_, 'n')) => '\n',
                Some((_, 't')) => '\t',
                Some((_, 'r')) => '\r',
                _ => return Err("has an escape that means nothing"),
            }),
            c => step.push(c),
        }
    }
    Err("has a quote that does not end")
}

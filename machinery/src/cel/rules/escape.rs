//! Names of properties in expressions: what CEL cannot have in a name is spelled out.

use crate::cel::lexer::WORDS;
use crate::cel::parser::RESERVED;

/// The name of a property in expressions; None where it has none, and rules cannot refer to it.
pub fn escape(name: &str) -> Option<String> {
    if WORDS.contains(&name) || RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let first = name.chars().next()?;
    let begins = first.is_ascii_alphabetic() || matches!(first, '_' | '.' | '-' | '/');
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/');
    if !begins || !name.chars().all(known) {
        return None;
    }
    let name = name.replace("__", "__underscores__");
    Some(name.replace('.', "__dot__").replace('-', "__dash__").replace('/', "__slash__"))
}

//! The grammars of names. Each function returns what is wrong, in words; an empty list means that the name is good.
//! `prefix` says that the text is a `generateName`: a trailing dash is then allowed, since a suffix follows.

fn grammar(text: &str, prefix: bool, most_bytes: usize, allowed: fn(u8) -> bool, ends: fn(u8) -> bool, what: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > most_bytes {
        wrong.push(format!("must be no more than {most_bytes} bytes"));
    }
    let masked = if prefix { text.strip_suffix('-').unwrap_or(text) } else { text };
    let bytes = masked.as_bytes();
    let good = bytes.iter().all(|b| allowed(*b)) && bytes.first().is_some_and(|b| ends(*b)) && bytes.last().is_some_and(|b| ends(*b));
    if !good {
        wrong.push(what.to_owned());
    }
    wrong
}

fn lower_alphanumeric(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

/// A DNS subdomain (RFC 1123): labels joined by dots, 253 bytes at most.
pub fn dns1123_subdomain(name: &str, prefix: bool) -> Vec<String> {
    const WHAT: &str = "must consist of lower case letters, digits, '-' or '.', and begin and end with a letter or digit";
    let mut wrong = grammar(name, prefix, 253, |b| lower_alphanumeric(b) || b == b'-' || b == b'.', lower_alphanumeric, WHAT);
    let masked = if prefix { name.strip_suffix('-').unwrap_or(name) } else { name };
    if wrong.is_empty() && masked.split('.').any(|label| label.is_empty() || label.starts_with('-') || label.ends_with('-')) {
        wrong.push(WHAT.to_owned());
    }
    wrong
}

/// A DNS label (RFC 1123), 63 bytes at most.
pub fn dns1123_label(name: &str, prefix: bool) -> Vec<String> {
    const WHAT: &str = "must consist of lower case letters, digits or '-', and begin and end with a letter or digit";
    grammar(name, prefix, 63, |b| lower_alphanumeric(b) || b == b'-', lower_alphanumeric, WHAT)
}

/// A key of a ConfigMap's or Secret's data.
pub fn config_map_key(key: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if key.len() > 253 {
        wrong.push("must be no more than 253 bytes".to_owned());
    }
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        wrong.push("must consist of letters, digits, '-', '_' or '.'".to_owned());
    }
    if key == "." || key.starts_with("..") {
        wrong.push("must not be '.' or begin with '..'".to_owned());
    }
    wrong
}

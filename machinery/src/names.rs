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

fn alphanumeric(b: u8) -> bool {
    b.is_ascii_alphanumeric()
}

/// A name within a namespace of names: `name` or `dns.subdomain/name`. The grammar of label and annotation keys,
/// finalizers, condition types and resources.
pub fn qualified_name(name: &str) -> Vec<String> {
    const PART: &str = "must consist of letters, digits, '-', '_' or '.', and begin and end with a letter or digit";
    let mut wrong = Vec::new();
    let part = match name.split_once('/') {
        None => name,
        Some((_, rest)) if rest.contains('/') => {
            return vec![format!("a qualified name {PART}, with an optional DNS subdomain and one '/' before it")];
        }
        Some(("", rest)) => {
            wrong.push("the part before '/' must not be empty".to_owned());
            rest
        }
        Some((prefix, rest)) => {
            wrong.extend(dns1123_subdomain(prefix, false).into_iter().map(|why| format!("the part before '/' {why}")));
            rest
        }
    };
    if part.is_empty() {
        wrong.push("the name must not be empty".to_owned());
    }
    wrong.extend(grammar(part, false, 63, |b| alphanumeric(b) || matches!(b, b'-' | b'_' | b'.'), alphanumeric, PART));
    wrong
}

/// What a finalizer needs besides being a qualified name: a domain, unless it is one of Kubernetes' own.
pub fn finalizer_domain(name: &str) -> Vec<String> {
    const OWN: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];
    if name.contains('/') || OWN.contains(&name) {
        return Vec::new();
    }
    vec!["must be one of Kubernetes' own finalizers or have a domain and '/' before it".to_owned()]
}

/// The value of a label: empty, or like the last part of a qualified name.
pub fn label_value(value: &str) -> Vec<String> {
    const WHAT: &str = "must be empty or consist of letters, digits, '-', '_' or '.', and begin and end with a letter or digit";
    if value.is_empty() {
        return Vec::new();
    }
    grammar(value, false, 63, |b| alphanumeric(b) || matches!(b, b'-' | b'_' | b'.'), alphanumeric, WHAT)
}

/// A DNS label as RFC 1035 had it: it begins with a letter.
pub fn dns1035_label(name: &str, prefix: bool) -> Vec<String> {
    const WHAT: &str = "must consist of lower case letters, digits or '-', begin with a letter and end with a letter or digit";
    let mut wrong = grammar(name, prefix, 63, |b| lower_alphanumeric(b) || b == b'-', lower_alphanumeric, WHAT);
    if wrong.is_empty() && !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        wrong.push(WHAT.to_owned());
    }
    wrong
}

/// A name that only has to be one segment of a URL path.
pub fn path_segment(name: &str, prefix: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    if !prefix && matches!(name, "." | "..") {
        wrong.push("may not be '.' or '..'".to_owned());
    }
    wrong.extend(["/", "%"].iter().filter(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")));
    wrong
}

/// The name of a port (an IANA service name).
pub fn port_name(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.len() > 15 {
        wrong.push("must be no more than 15 bytes".to_owned());
    }
    if name.is_empty() || !name.bytes().all(|b| lower_alphanumeric(b) || b == b'-') {
        wrong.push("must consist of lower case letters, digits or '-'".to_owned());
    }
    if !name.bytes().any(|b| b.is_ascii_lowercase()) {
        wrong.push("must contain a letter".to_owned());
    }
    if name.contains("--") {
        wrong.push("must not contain '--'".to_owned());
    }
    if name.starts_with('-') || name.ends_with('-') {
        wrong.push("must not begin or end with '-'".to_owned());
    }
    wrong
}

/// The number of a port.
pub fn port_number(number: i32) -> Vec<String> {
    if (1..=65535).contains(&number) { Vec::new() } else { vec!["must be between 1 and 65535".to_owned()] }
}

/// The name of an HTTP header.
pub fn http_header_name(name: &str) -> Vec<String> {
    if !name.is_empty() && name.bytes().all(|b| alphanumeric(b) || b == b'-') {
        Vec::new()
    } else {
        vec!["must consist of letters, digits or '-'".to_owned()]
    }
}

/// The name of an environment variable: printable ASCII but '='.
pub fn environment_variable(name: &str) -> Vec<String> {
    if !name.is_empty() && name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') {
        Vec::new()
    } else {
        vec!["must consist of printable ASCII characters other than '='".to_owned()]
    }
}

/// An identifier as C has them.
pub fn c_identifier(name: &str) -> Vec<String> {
    let good = |b: u8| alphanumeric(b) || b == b'_';
    if !name.is_empty() && name.bytes().all(good) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        Vec::new()
    } else {
        vec!["must consist of letters, digits or '_', and not begin with a digit".to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammars() {
        for good in ["a", "A.b-c_9", "example.com/Name", "a.b/c"] {
            assert!(qualified_name(good).is_empty(), "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "A_/b", "-a", "a b"] {
            assert!(!qualified_name(bad).is_empty(), "{bad}");
        }
        assert_eq!(qualified_name("").len(), 2);
        assert!(label_value("").is_empty() && label_value("A_b").is_empty());
        assert!(!label_value("a!").is_empty() && !label_value(&"a".repeat(64)).is_empty());
        assert!(port_name("http").is_empty());
        for bad in ["", "80", "a--b", "-a", "Http", "sixteen-letters-"] {
            assert!(!port_name(bad).is_empty(), "{bad}");
        }
        assert!(!dns1035_label("1a", false).is_empty());
        assert!(c_identifier("_a1").is_empty() && !c_identifier("1a").is_empty() && !c_identifier("a-b").is_empty());
        assert!(environment_variable("1 odd-NAME.").is_empty() && !environment_variable("a=b").is_empty());
        assert!(!environment_variable("").is_empty() && !environment_variable("ü").is_empty());
        assert!(finalizer_domain("orphan").is_empty() && finalizer_domain("a.b/c").is_empty() && !finalizer_domain("c").is_empty());
    }

    #[test]
    fn subdomains_and_labels() {
        let long = |part: &str, count| vec![part; count].join(".");
        for good in ["a", "a.b-c.9d", &long("aaaaaaaaa", 25)] {
            assert!(dns1123_subdomain(good, false).is_empty(), "{good}");
        }
        for bad in ["", "Upper", "under_score", "a..b", "-edge-", "a/b", ".a", "a.", "a.-b", &long("aaaaaaaaa", 26)] {
            assert_eq!(dns1123_subdomain(bad, false).len(), 1, "{bad}");
        }
        assert!(dns1123_subdomain("a-", true).is_empty() && !dns1123_subdomain("a.", true).is_empty());
        assert!(dns1123_label("9a", false).is_empty() && !dns1123_label("a.b", false).is_empty());
        assert!(!dns1123_label(&"a".repeat(64), false).is_empty());
        assert!(path_segment("system:X", false).is_empty() && !path_segment("a/b", false).is_empty());
    }
}

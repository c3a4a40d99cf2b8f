//! Regular expressions in Go's syntax, RE2, by an engine whose time grows with the text only.

use regex::{Regex, RegexBuilder};

/// Bytes that a compiled pattern may have.
const MOST_BYTES: usize = 1 << 20;

/// Of a count in braces; larger ones are refused as such.
const MOST_COUNT_CHARACTERS: usize = 16;

/// Compiles a pattern; the error says what is wrong with it.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(&translate(pattern)).size_limit(MOST_BYTES).nest_limit(100).build();
    built.map_err(|error| format!("the regular expression is not valid: {}", error.to_string().lines().last().unwrap_or_default()))
}

/// RE2 means ASCII where the engine means Unicode (`\d`, `\s`, `\w`, `\b`), and has no operators in classes.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('d') => out.push_str("[0-9]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('s') => out.push_str("[\\t\\n\\f\\r ]"),
                Some('S') => out.push_str("[^\\t\\n\\f\\r ]"),
                Some('w') => out.push_str("[0-9A-Za-z_]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('b') if !in_class => out.push_str("(?-u:\\b)"),
                Some('Q') if !in_class => quote(&mut chars, &mut out),
                // To the engine these would be the ends of words.
                Some(c @ ('<' | '>')) => out.push(c),
                Some(class @ ('p' | 'P' | 'x')) => {
                    out.extend(['\\', class]);
                    // The name of a class or the number of a character, if it is in braces.
                    out.extend(chars.next_if_eq(&'{'));
                }
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if chars.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            '[' if chars.peek() == Some(&':') => {
                // A named class, such as [:alpha:], up to its end.
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '[' | '&' | '~' if in_class => out.extend(['\\', c]),
            '-' if in_class && chars.peek() == Some(&'-') => out.push_str("\\-"),
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '{' if !in_class && !is_count(chars.clone()) => out.push_str("\\{"),
            c => out.push(c),
        }
    }
    out
}

/// Whether what follows a brace makes it a count, `{2}`, `{2,}` or `{2,3}`. Otherwise it means itself.
fn is_count(mut rest: impl Iterator<Item = char>) -> bool {
    let text: String = rest.by_ref().take_while(|c| *c != '}').take(MOST_COUNT_CHARACTERS).collect();
    let (least, most) = text.split_once(',').unwrap_or((&text, ""));
    !least.is_empty() && [least, most].iter().all(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
}

/// `\Q…\E`: text that means itself.
fn quote(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next_if_eq(&'E').is_some() {
            break;
        }
        text.push(c);
    }
    out.push_str(&regex::escape(&text));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        for (pattern, good, bad) in [
            ("^{.*}$", "{a}", "a"),
            ("^a{2}b{1,}c{,3}$", "aabbc{,3}", "aabbc"),
            (r"^\<a\>$", "<a>", "a"),
            (r"^\d\s\w$", "1 a", "١ a"),
            (r"^[\d{&&a]+$", "1{&a", "b"),
            (r"^[[a]+$", "[a", "]"),
            (r"^\Q{a\E$", "{a", "a"),
            (r"^\x{1F600}\p{Greek}[\p{Lu}]\pN$", "😀αA1", "😀aA1"),
        ] {
            let compiled = compile(pattern).unwrap();
            assert!(compiled.is_match(good) && !compiled.is_match(bad), "{pattern}");
        }
        assert!(compile("(").is_err() && compile("a{9999}{9999}").is_err());
    }
}

//! As much of a shell's language as simulated containers understand: statements, quotes, and what follows what.

/// What stands between a statement and the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    Always,
    And,
    Or,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub separator: Separator,
    /// Without quotes. Redirections and pipes are words like others.
    pub words: Vec<String>,
}

/// Takes a script apart.
pub fn statements(script: &str) -> Vec<Statement> {
    let mut reader = Reader { found: Vec::new(), separator: Separator::Always, words: Vec::new(), word: None };
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                let word = reader.word.get_or_insert_default();
                while let Some(inner) = chars.next().filter(|inner| *inner != c) {
                    match chars.peek() {
                        Some(escaped @ ('"' | '\\' | '$' | '`')) if inner == '\\' && c == '"' => {
                            word.push(*escaped);
                            chars.next();
                        }
                        _ => word.push(inner),
                    }
                }
            }
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(escaped) => reader.word.get_or_insert_default().push(escaped),
            },
            '#' if reader.word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            '\n' | ';' => reader.end_statement(Separator::Always),
            '&' if chars.next_if_eq(&'&').is_some() => reader.end_statement(Separator::And),
            '|' if chars.next_if_eq(&'|').is_some() => reader.end_statement(Separator::Or),
            '|' => {
                reader.end_word();
                reader.words.push("|".to_owned());
            }
            // A redirection to another stream; on its own it would mean the background.
            '&' if !reader.word.as_deref().is_some_and(|word| word.ends_with('>')) => reader.end_statement(Separator::Always),
            c if c.is_whitespace() => reader.end_word(),
            c => reader.word.get_or_insert_default().push(c),
        }
    }
    reader.end_statement(Separator::Always);
    reader.found
}

struct Reader {
    found: Vec<Statement>,
    separator: Separator,
    words: Vec<String>,
    word: Option<String>,
}

impl Reader {
    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn end_statement(&mut self, next: Separator) {
        self.end_word();
        if !self.words.is_empty() {
            self.found.push(Statement { separator: self.separator, words: std::mem::take(&mut self.words) });
        }
        self.separator = next;
    }
}

/// The last part of a program's path.
pub fn program(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

pub fn is_shell(word: &str) -> bool {
    matches!(program(word), "sh" | "bash" | "ash" | "dash")
}

/// The script of `sh -c`, `-ec` and so on.
pub fn script<S: AsRef<str>>(words: &[S]) -> Option<&str> {
    let option = words.iter().map(AsRef::as_ref).position(|word: &str| word.starts_with('-') && word.ends_with('c'))?;
    words.get(option + 1).map(AsRef::as_ref)
}

/// What `echo` writes, and whether to the stream for errors; None where it goes elsewhere.
pub fn echo(words: &[String]) -> Option<(String, bool)> {
    let (mut newline, mut escapes, mut to_errors) = (true, false, false);
    let mut said: Vec<&str> = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "-n" if said.is_empty() => newline = false,
            "-e" if said.is_empty() => escapes = true,
            ">&2" | "1>&2" => to_errors = true,
            ">" if words.clone().next() == Some("/dev/stderr") => {
                words.next();
                to_errors = true;
            }
            "2>&1" => {}
            "|" => return None,
            word if word.starts_with('>') || word.starts_with("1>") => return None,
            word => said.push(word),
        }
    }
    let mut text = said.join(" ");
    if escapes {
        text = text.replace("\\n", "\n").replace("\\t", "\t");
    }
    if newline {
        text.push('\n');
    }
    Some((text, to_errors))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn words(script: &str) -> Vec<Vec<String>> {
        statements(script).into_iter().map(|statement| statement.words).collect()
    }

    #[test]
    fn quotes_hold_words_together() {
        assert_eq!(words("echo 'a; b' \"c \\\"d\\\"\" e\\ f # g"), [["echo", "a; b", "c \"d\"", "e f"]]);
        assert_eq!(words("a; b\nc & d | e"), [vec!["a"], vec!["b"], vec!["c"], vec!["d", "|", "e"]]);
        assert_eq!(words("echo 'open"), [["echo", "open"]]);
        assert_eq!(words("echo ''"), [["echo", ""]]);
        let joined = statements("a && b || c");
        assert_eq!(joined.iter().map(|s| s.separator).collect::<Vec<_>>(), [Separator::Always, Separator::And, Separator::Or]);
    }

    #[test]
    fn echo_writes_where_it_is_told_to() {
        let echo = |script: &str| super::echo(&words(script)[0][1..]);
        assert_eq!(echo("echo  hello   world"), Some(("hello world\n".to_owned(), false)));
        assert_eq!(echo("echo oh no >&2"), Some(("oh no\n".to_owned(), true)));
        assert_eq!(echo("echo -n x"), Some(("x".to_owned(), false)));
        assert_eq!(echo("echo -e 'a\\nb'"), Some(("a\nb\n".to_owned(), false)));
        assert_eq!(echo("echo x > /tmp/x"), None);
        assert_eq!(echo("echo x | wc"), None);
    }
}

//! The words of an expression: names, numbers, strings with their prefixes and escapes, and punctuation.

use super::Error;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Name(String),
    Int(u64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
    /// Punctuation, an operator, or one of the words `in`, `true`, `false` and `null`.
    Mark(&'static str),
    End,
}

pub(super) const WORDS: [&str; 4] = ["in", "true", "false", "null"];

/// Longer marks stand before those they begin with.
const MARKS: [&str; 26] = [
    "&&", "||", "==", "!=", "<=", ">=", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*", "/", "%", "<", ">", "=", "`",
];

pub(super) struct Lexer<'s> {
    source: &'s str,
    at: usize,
}

impl<'s> Lexer<'s> {
    pub fn new(source: &'s str) -> Self {
        Self { source, at: 0 }
    }

    /// The next word and where it begins.
    pub fn next(&mut self) -> Result<(Token, u32), Error> {
        self.skip_space();
        let at = self.at;
        // Expressions are bounded far below what a u32 counts.
        let token = self.token().map_err(|why| Error::syntax(self.source, at as u32, why))?;
        Ok((token, at as u32))
    }

    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn skip_space(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn token(&mut self) -> Result<Token, String> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        match bytes.first() {
            None => Ok(Token::End),
            Some(b'0'..=b'9') => self.number(),
            Some(b'.') if bytes.get(1).is_some_and(u8::is_ascii_digit) => self.number(),
            Some(b'"' | b'\'') => self.string(0),
            Some(c) if c.is_ascii_alphabetic() || *c == b'_' => {
                let prefix = bytes.iter().take_while(|c| matches!(c, b'r' | b'R' | b'b' | b'B')).count();
                if (1..=2).contains(&prefix) && matches!(bytes.get(prefix), Some(b'"' | b'\'')) {
                    return self.string(prefix);
                }
                let length = bytes.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == b'_').count();
                self.at += length;
                let name = &rest[..length];
                Ok(WORDS.iter().find(|word| **word == name).map_or_else(|| Token::Name(name.to_owned()), |word| Token::Mark(word)))
            }
            Some(_) => match MARKS.iter().find(|mark| rest.starts_with(**mark)) {
                Some(&"=") => Err("a single `=` is no operator; `==` compares".to_owned()),
                Some(&"`") => Err("names between backquotes are not understood".to_owned()),
                Some(mark) => {
                    self.at += mark.len();
                    Ok(Token::Mark(mark))
                }
                None => Err(format!("unexpected character {:?}", rest.chars().next().unwrap_or_default())),
            },
        }
    }

    fn number(&mut self) -> Result<Token, String> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        if let [b'0', b'x' | b'X', ..] = bytes {
            let length = bytes[2..].iter().take_while(|c| c.is_ascii_hexdigit()).count();
            let value = u64::from_str_radix(&rest[2..2 + length], 16).map_err(|_| "a hexadecimal number has 1 to 16 digits".to_owned())?;
            self.at += 2 + length;
            return Ok(self.suffixed(value));
        }
        let digits = |from: usize| bytes[from..].iter().take_while(|c| c.is_ascii_digit()).count();
        let mut length = digits(0);
        let mut double = false;
        if bytes.get(length) == Some(&b'.') && bytes.get(length + 1).is_some_and(u8::is_ascii_digit) {
            length += 1 + digits(length + 1);
            double = true;
        }
        if matches!(bytes.get(length), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
            let exponent = digits((length + 1 + sign).min(bytes.len()));
            if exponent > 0 {
                length += 1 + sign + exponent;
                double = true;
            }
        }
        self.at += length;
        let text = &rest[..length];
        if double {
            return match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(Token::Double(value)),
                _ => Err(format!("{text} is no double")),
            };
        }
        let value = text.parse().map_err(|_| format!("{text} does not fit into 64 bits"))?;
        Ok(self.suffixed(value))
    }

    fn suffixed(&mut self, value: u64) -> Token {
        if self.rest().starts_with(['u', 'U']) {
            self.at += 1;
            return Token::Uint(value);
        }
        Token::Int(value)
    }

    fn string(&mut self, prefix: usize) -> Result<Token, String> {
        let text = self.rest();
        let (prefix, text) = text.split_at(prefix);
        let (raw, bytes) = (prefix.contains(['r', 'R']), prefix.contains(['b', 'B']));
        if prefix.len() == 2 && !(raw && bytes) {
            return Err("a string has each of the prefixes `r` and `b` once at most".to_owned());
        }
        let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| text.starts_with(quote)).unwrap_or("'");
        let body = &text[quote.len()..];
        let mut out = Vec::new();
        let mut at = 0;
        loop {
            let rest = &body[at..];
            if rest.starts_with(quote) {
                break;
            }
            let Some(c) = rest.chars().next() else { return Err("a string has no end".to_owned()) };
            match c {
                '\n' | '\r' if quote.len() == 1 => return Err("a string has no end on its line".to_owned()),
                // In a raw string a backslash protects the quote that follows, and both stay.
                '\\' if raw => {
                    let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                    out.extend_from_slice(&rest.as_bytes()[..length]);
                    at += length;
                }
                '\\' => at += escape(rest, bytes, &mut out)?,
                _ => {
                    out.extend_from_slice(&rest.as_bytes()[..c.len_utf8()]);
                    at += c.len_utf8();
                }
            }
        }
        self.at += prefix.len() + quote.len() * 2 + at;
        if bytes {
            return Ok(Token::Bytes(out));
        }
        String::from_utf8(out).map(Token::String).map_err(|_| "a string has to be text".to_owned())
    }
}

/// Takes one escape at the start of `text` and says how many bytes it had.
fn escape(text: &str, bytes: bool, out: &mut Vec<u8>) -> Result<usize, String> {
    let wrong = || format!("unknown escape {:?}", text.chars().take(2).collect::<String>());
    let kind = *text.as_bytes().get(1).ok_or_else(wrong)?;
    let plain = match kind {
        b'a' => Some(7),
        b'b' => Some(8),
        b'f' => Some(12),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'v' => Some(11),
        b'\\' | b'?' | b'"' | b'\'' | b'`' => Some(kind),
        _ => None,
    };
    if let Some(byte) = plain {
        out.push(byte);
        return Ok(2);
    }
    let (from, digits, radix) = match kind {
        b'x' | b'X' => (2, 2, 16),
        b'u' if !bytes => (2, 4, 16),
        b'U' if !bytes => (2, 8, 16),
        b'0'..=b'3' => (1, 3, 8),
        _ => return Err(wrong()),
    };
    let number = text.get(from..from + digits).filter(|text| text.bytes().all(|c| c.is_ascii_alphanumeric()));
    let number = number.and_then(|number| u32::from_str_radix(number, radix).ok()).ok_or_else(wrong)?;
    match u8::try_from(number) {
        Ok(byte) if bytes => out.push(byte),
        _ => {
            let c = char::from_u32(number).ok_or_else(|| format!("\\{} is no character", &text[1..from + digits]))?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Ok(from + digits)
}

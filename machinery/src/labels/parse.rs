//! The grammar of label selectors in text: requirements joined by commas, all of which have to hold.
//!
//! ```text
//! requirement = key | "!" key | key operator value | key ("in" | "notin") "(" value { "," value } ")"
//! operator    = "=" | "==" | "!=" | ">" | "<"
//! ```
//! Values may be empty (`a=`, `a in (,b)`), and `in` and `notin` are keys or values where no operator can stand.

use super::{Error, MOST_BYTES, Requirement, Selector, Test};
use crate::names;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    Word(&'t str),
    Equals,
    DoubleEquals,
    NotEquals,
    Not,
    Greater,
    Less,
    Open,
    Close,
    Comma,
    End,
}

impl Token<'_> {
    fn shown(self) -> String {
        match self {
            Token::Word(word) => format!("{word:?}"),
            Token::Equals => "'='".into(),
            Token::DoubleEquals => "'=='".into(),
            Token::NotEquals => "'!='".into(),
            Token::Not => "'!'".into(),
            Token::Greater => "'>'".into(),
            Token::Less => "'<'".into(),
            Token::Open => "'('".into(),
            Token::Close => "')'".into(),
            Token::Comma => "','".into(),
            Token::End => "the end".into(),
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Selector, Error> {
    if text.len() > MOST_BYTES {
        return Err(Error::TooLong);
    }
    let mut parser = Parser { rest: text };
    let mut requirements = Vec::new();
    if parser.peek() == Token::End {
        return Ok(Selector::everything());
    }
    loop {
        requirements.push(parser.requirement()?);
        match parser.next() {
            Token::End => return Ok(Selector::new(requirements)),
            Token::Comma => {}
            other => return Err(unexpected(other, "',' or the end")),
        }
    }
}

struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    fn next(&mut self) -> Token<'t> {
        let (token, rest) = scan(self.rest);
        self.rest = rest;
        token
    }

    fn peek(&self) -> Token<'t> {
        scan(self.rest).0
    }

    fn requirement(&mut self) -> Result<Requirement, Error> {
        let (negated, key) = match self.next() {
            Token::Not => (true, self.next()),
            token => (false, token),
        };
        let Token::Word(key) = key else { return Err(unexpected(key, "a label key")) };
        let wrong = names::qualified_name(key);
        if !wrong.is_empty() {
            return Err(Error::Key { key: key.to_owned(), why: wrong.join("; ") });
        }
        let test = match self.peek() {
            Token::End | Token::Comma if negated => Test::DoesNotExist,
            Token::End | Token::Comma => Test::Exists,
            other if negated => return Err(unexpected(other, "',' or the end after '!' and a key")),
            _ => self.test(key)?,
        };
        Ok(Requirement { key: key.into(), test })
    }

    fn test(&mut self, key: &str) -> Result<Test, Error> {
        Ok(match self.next() {
            Token::Equals | Token::DoubleEquals => Test::Equals(self.value(key)?),
            Token::NotEquals => Test::NotEquals(self.value(key)?),
            Token::Greater => Test::Greater(self.number(key)?),
            Token::Less => Test::Less(self.number(key)?),
            Token::Word("in") => Test::In(self.values(key)?),
            Token::Word("notin") => Test::NotIn(self.values(key)?),
            other => return Err(unexpected(other, "an operator (=, ==, !=, in, notin, <, >)")),
        })
    }

    fn value(&mut self, key: &str) -> Result<Box<str>, Error> {
        match self.peek() {
            Token::End | Token::Comma => Ok("".into()),
            Token::Word(word) => {
                self.next();
                checked(key, word)
            }
            other => Err(unexpected(other, "a value")),
        }
    }

    fn number(&mut self, key: &str) -> Result<i64, Error> {
        let value = self.value(key)?;
        value.parse().map_err(|_| Error::Value { key: key.to_owned(), value: value.into(), why: "it is no integer".to_owned() })
    }

    /// Values in parentheses; between commas there may be nothing, which is the empty value.
    fn values(&mut self, key: &str) -> Result<Box<[Box<str>]>, Error> {
        match self.next() {
            Token::Open => {}
            other => return Err(unexpected(other, "'('")),
        }
        let mut values = Vec::new();
        loop {
            match self.peek() {
                Token::Word(word) => {
                    self.next();
                    values.push(checked(key, word)?);
                }
                _ => values.push("".into()),
            }
            match self.next() {
                Token::Comma => {}
                Token::Close => break,
                other => return Err(unexpected(other, "',' or ')'")),
            }
        }
        values.sort_unstable();
        values.dedup();
        Ok(values.into())
    }
}

fn checked(key: &str, value: &str) -> Result<Box<str>, Error> {
    let wrong = names::label_value(value);
    if wrong.is_empty() {
        return Ok(value.into());
    }
    Err(Error::Value { key: key.to_owned(), value: value.to_owned(), why: wrong.join("; ") })
}

fn unexpected(found: Token<'_>, expected: &'static str) -> Error {
    Error::Syntax { found: found.shown(), expected }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// The first token of a text, and what is behind it.
fn scan(text: &str) -> (Token<'_>, &str) {
    const SYMBOLS: [(&str, Token<'_>); 9] = [
        ("==", Token::DoubleEquals),
        ("!=", Token::NotEquals),
        ("=", Token::Equals),
        ("!", Token::Not),
        (">", Token::Greater),
        ("<", Token::Less),
        ("(", Token::Open),
        (")", Token::Close),
        (",", Token::Comma),
    ];
    let text = text.trim_start_matches(is_space);
    if text.is_empty() {
        return (Token::End, text);
    }
    for (symbol, token) in SYMBOLS {
        if let Some(rest) = text.strip_prefix(symbol) {
            return (token, rest);
        }
    }
    let end = text.find(|c: char| is_space(c) || "=!(),><".contains(c)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (Token::Word(word), rest)
}

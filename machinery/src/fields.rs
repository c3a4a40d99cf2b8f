//! Field selectors: `spec.nodeName=node-1,status.phase!=Running`. Which fields can be selected is the kind's
//! business; here is the grammar, matching, and what an index can be asked for.

use std::fmt;

use crate::Status;

/// The longest selector text that is read.
pub const MOST_BYTES: usize = 16 << 10;

/// A text that is not a field selector; answered with 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the selector is longer than {MOST_BYTES} bytes")]
    TooLong,
    #[error("{0:?} is not of the form field=value or field!=value")]
    Syntax(String),
    #[error("in the value {0:?}, ',' and '=' have to be written as '\\,' and '\\='")]
    Unescaped(String),
    #[error("in the value {0:?}, '\\' stands before something else than ',', '=' or '\\'")]
    Escape(String),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::bad_request(format!("unable to parse the field selector: {error}"))
    }
}

/// Which objects are meant, by their fields: those that meet all requirements. Without any, all are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    requirements: Box<[Requirement]>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    pub field: Box<str>,
    pub value: Box<str>,
    /// Whether the field must have the value, or must not.
    pub equal: bool,
}

impl Selector {
    /// Selects every object.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects the objects whose field has the value.
    pub fn equal(field: &str, value: &str) -> Self {
        Self { requirements: Box::new([Requirement { field: field.into(), value: value.into(), equal: true }]) }
    }

    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MOST_BYTES {
            return Err(Error::TooLong);
        }
        let terms = split_unescaped(text).into_iter().filter(|term| !term.is_empty());
        let mut requirements = terms.map(Requirement::parse).collect::<Result<Vec<_>, _>>()?;
        requirements.sort_unstable();
        Ok(Self { requirements: requirements.into() })
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// The same selector, with other names for the fields. The error is a field that has none.
    pub fn renamed<'n>(&'n self, rename: impl Fn(&'n str) -> Option<&'n str>) -> Result<Self, &'n str> {
        let renamed = |term: &'n Requirement| match rename(&term.field) {
            Some(field) => Ok(Requirement { field: field.into(), ..term.clone() }),
            None => Err(&*term.field),
        };
        Ok(Self { requirements: self.requirements.iter().map(renamed).collect::<Result<_, _>>()? })
    }

    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object with these values is selected. A field without a value is the empty text.
    pub fn matches_by<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> bool {
        self.requirements.iter().all(|term| (value(&term.field).unwrap_or_default() == &*term.value) == term.equal)
    }

    /// The one value that the field has to have for an object to be selected, if there is one.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|term| term.equal && &*term.field == field).map(|term| &*term.value)
    }
}

impl Requirement {
    fn parse(term: &str) -> Result<Self, Error> {
        let (field, value) = term.split_once('=').ok_or_else(|| Error::Syntax(term.to_owned()))?;
        let (field, value, equal) = match field.strip_suffix('!') {
            Some(field) => (field, value, false),
            None => (field, value.strip_prefix('=').unwrap_or(value), true),
        };
        Ok(Self { field: field.into(), value: unescape(value)?.into(), equal })
    }
}

/// The terms of a selector: commas divide them, unless a backslash stands before.
fn split_unescaped(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn unescape(value: &str) -> Result<String, Error> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => plain.push(c),
                _ => return Err(Error::Escape(value.to_owned())),
            },
            ',' | '=' => return Err(Error::Unescaped(value.to_owned())),
            _ => plain.push(c),
        }
    }
    Ok(plain)
}

/// The text form, which reads back as the same selector.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Requirement { field, value, equal }) in self.requirements.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let operator = if *equal { "=" } else { "!=" };
            let value = value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{field}{operator}{value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(text: &str) -> bool {
        let value = |field: &str| match field {
            "metadata.name" => Some("a"),
            "status.phase" => Some("Running"),
            "odd" => Some("x,y=z\\"),
            _ => None,
        };
        Selector::parse(text).unwrap().matches_by(value)
    }

    #[test]
    fn texts_match() {
        for text in
            ["", ",", "metadata.name=a", "metadata.name==a,status.phase!=Failed", "spec.nodeName=", "spec.nodeName!=n", r"odd=x\,y\=z\\"]
        {
            assert!(matches(text), "{text}");
        }
        for text in ["metadata.name=b", "metadata.name!=a", "spec.nodeName!=", "metadata.name=a,metadata.name=b"] {
            assert!(!matches(text), "{text}");
        }
    }

    #[test]
    fn texts_that_do_not_parse() {
        assert!(matches!(Selector::parse("metadata.name"), Err(Error::Syntax(_))));
        assert!(matches!(Selector::parse("a!b"), Err(Error::Syntax(_))));
        assert!(matches!(Selector::parse("a=b=c"), Err(Error::Unescaped(_))));
        assert!(matches!(Selector::parse(r"a=\b"), Err(Error::Escape(_))));
        assert!(matches!(Selector::parse("a=b\\"), Err(Error::Escape(_))));
        assert_eq!(Selector::parse(&"a=b,".repeat(MOST_BYTES)), Err(Error::TooLong));
    }

    #[test]
    fn exact_values_for_an_index() {
        let selector = Selector::parse("spec.nodeName=n1,status.phase!=Failed").unwrap();
        assert_eq!(selector.exact("spec.nodeName"), Some("n1"));
        assert_eq!(selector.exact("status.phase"), None);
        assert_eq!(Selector::equal("metadata.name", "a").to_string(), "metadata.name=a");
    }

    proptest! {
        #[test]
        fn what_parses_reads_back(text in "[ab!=,\\\\]{0,24}") {
            if let Ok(selector) = Selector::parse(&text) {
                prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
            }
        }
    }
}

//! Paths to fields and what is wrong with them. A validation collects [`Error`]s and goes on; the whole list
//! becomes one `Invalid` [`Status`](crate::Status) with a cause per error.

use std::fmt::{self, Write as _};

/// A path to a field, such as `spec.containers[0].name`, built as validation descends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(String);

impl Path {
    pub fn root() -> Self {
        Self::default()
    }

    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The field `name` below this one.
    pub fn child(&self, name: &str) -> Self {
        self.joined(&[if self.0.is_empty() { "" } else { "." }, name])
    }

    /// The list element at `index`.
    pub fn index(&self, index: usize) -> Self {
        self.key(itoa::Buffer::new().format(index))
    }

    /// The map entry at `key`.
    pub fn key(&self, key: &str) -> Self {
        self.joined(&["[", key, "]"])
    }

    /// Made for every field that is validated, mostly for nothing: one allocation, of the right size.
    fn joined(&self, parts: &[&str]) -> Self {
        let mut path = String::with_capacity(self.0.len() + parts.iter().map(|part| part.len()).sum::<usize>());
        path.push_str(&self.0);
        parts.iter().for_each(|part| path.push_str(part));
        Self(path)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The class of a field error; its name is the `reason` of the cause in a Status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    TypeInvalid,
    Internal,
}

impl ErrorKind {
    /// The cause's `reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Internal => "InternalError",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
}

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    pub kind: ErrorKind,
    pub field: Path,
    /// The offending value, as the message shows it; None where a value says nothing.
    pub value: Option<String>,
    pub detail: String,
}

impl Error {
    fn new(kind: ErrorKind, field: &Path, value: Option<String>, detail: impl Into<String>) -> Self {
        Self { kind, field: field.clone(), value, detail: detail.into() }
    }

    pub fn required(field: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Required, field, None, detail)
    }

    pub fn invalid(field: &Path, value: impl Shown, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, field, Some(value.shown()), detail)
    }

    /// An invalid combination, of which no single value would say anything.
    pub fn bare_invalid(field: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, field, None, detail)
    }

    pub fn type_invalid(field: &Path, value: impl Shown, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::TypeInvalid, field, Some(value.shown()), detail)
    }

    pub fn not_found(field: &Path, value: impl Shown) -> Self {
        Self::new(ErrorKind::NotFound, field, Some(value.shown()), "")
    }

    pub fn duplicate(field: &Path, value: impl Shown) -> Self {
        Self::new(ErrorKind::Duplicate, field, Some(value.shown()), "")
    }

    pub fn not_supported(field: &Path, value: impl Shown, supported: &[&str]) -> Self {
        let mut sorted = supported.to_vec();
        sorted.sort_unstable();
        let quoted: Vec<String> = sorted.iter().map(|s| format!("{s:?}")).collect();
        Self::new(ErrorKind::NotSupported, field, Some(value.shown()), format!("supported values: {}", quoted.join(", ")))
    }

    pub fn forbidden(field: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, field, None, detail)
    }

    pub fn too_long(field: &Path, max_bytes: usize) -> Self {
        Self::new(ErrorKind::TooLong, field, None, format!("may not be more than {max_bytes} bytes"))
    }

    pub fn too_many(field: &Path, actual: usize, max_items: usize) -> Self {
        Self::new(ErrorKind::TooMany, field, Some(actual.to_string()), format!("must have at most {max_items} items"))
    }

    pub fn internal(field: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, field, None, detail)
    }

    /// What is wrong, without the path: the cause's `message`.
    pub fn body(&self) -> String {
        let mut text = self.kind.title().to_owned();
        if let Some(value) = &self.value {
            let _ = write!(text, ": {value}");
        }
        if !self.detail.is_empty() {
            let _ = write!(text, ": {}", self.detail);
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// All that is wrong with an object.
pub type Errors = Vec<Error>;

/// A value as an error message shows it: strings quoted, the rest as JSON, and never at great length.
pub trait Shown {
    fn shown(&self) -> String;
}

impl<T: serde::Serialize + ?Sized> Shown for &T {
    fn shown(&self) -> String {
        (**self).serialize_shown()
    }
}

macro_rules! shown_by_value { ($($t:ty),*) => { $(impl Shown for $t { fn shown(&self) -> String { self.serialize_shown() } })* } }
shown_by_value!(i32, i64, u16, u32, u64, usize, bool, String, serde_json::Value);

trait SerializeShown: serde::Serialize {
    fn serialize_shown(&self) -> String {
        const MOST_BYTES: usize = 1024;
        let mut text = serde_json::to_string(self).unwrap_or_default();
        if text.len() > MOST_BYTES {
            let cut = (0..=MOST_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(cut);
            text.push('…');
        }
        text
    }
}

impl<T: serde::Serialize + ?Sized> SerializeShown for T {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_messages() {
        let path = Path::new("spec").child("containers").index(0).child("name");
        assert_eq!(path.as_str(), "spec.containers[0].name");
        assert_eq!(Path::new("metadata").child("labels").key("a").as_str(), "metadata.labels[a]");
        let error = Error::not_supported(&path, "x", &["b", "a"]);
        assert_eq!(error.to_string(), "spec.containers[0].name: Unsupported value: \"x\": supported values: \"a\", \"b\"");
        assert_eq!(Error::required(&path, "").body(), "Required value");
    }
}

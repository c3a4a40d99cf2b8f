//! The formats of texts and numbers that Kubernetes knows. Others say nothing.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::LazyLock;

use jiff::civil::Date;
use regex::Regex;

use super::node::Type;
use crate::names;

const OF_TEXTS: [&str; 26] = [
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "k8sshortname",
    "k8slongname",
];

/// Whether a schema of this type may have the format; an unknown format is worth a warning.
pub fn is_known(format: &str, kind: &str) -> bool {
    match kind {
        "" | "string" => OF_TEXTS.contains(&&*normal(format)),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}

/// Whether the format of a schema says anything.
pub(super) fn applies(format: &str, kind: Option<Type>) -> bool {
    let name = match kind {
        None => "",
        Some(Type::String) => "string",
        Some(Type::Integer) => "integer",
        Some(Type::Number) => "number",
        Some(_) => return false,
    };
    is_known(format, name)
}

/// Dashes in formats say nothing.
fn normal(format: &str) -> String {
    format.replace('-', "")
}

/// Whether a text has the format.
pub(super) fn fits(format: &str, text: &str) -> bool {
    match &*normal(format) {
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit()),
        "uri" => is_uri(text),
        "email" => is_email(text),
        "hostname" => is_hostname(text),
        "ipv4" => text.contains('.') && address(text).is_some(),
        "ipv6" => text.contains(':') && text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "uuid" => is_uuid(text, None),
        "uuid3" => is_uuid(text, Some(b'3')),
        "uuid4" => is_uuid(text, Some(b'4')),
        "uuid5" => is_uuid(text, Some(b'5')),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "creditcard" => is_credit_card(text),
        "ssn" => SSN.is_match(text),
        "hexcolor" => HEX_COLOR.is_match(text),
        "rgbcolor" => RGB_COLOR.is_match(text),
        "byte" => BASE64.is_match(text),
        "date" => is_date(text),
        "datetime" => is_date_time(text),
        "duration" => is_duration(text),
        "k8sshortname" => names::dns1123_label(text, false).is_empty(),
        "k8slongname" => names::dns1123_subdomain(text, false).is_empty(),
        _ => true,
    }
}

macro_rules! pattern {
    ($name:ident, $text:literal) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| {
            // A constant, which a test compiles.
            #[allow(clippy::unwrap_used)]
            Regex::new($text).unwrap()
        });
    };
}

pattern!(SSN, r"^[0-9]{3}[- ][0-9]{2}[- ][0-9]{4}$");
pattern!(HEX_COLOR, r"^#?(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})$");
pattern!(RGB_COLOR, r"^rgb\( *(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9]) *(?:, *(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9]) *){2}\)$");
pattern!(BASE64, r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$");
pattern!(GO_DURATION, r"^[-+]?(?:0|(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)$");
// A number of a unit, anywhere in the text: `about 3 days` is a duration.
pattern!(WORD_DURATION, r"[0-9][ \t\n\x0c\r]*(?i:(?:ns|us|µs|ms|s|m|h|hr|d|w|wk)(?:[^a-zµ]|$)|nano|micro|milli|sec|min|hour|day|week)");
pattern!(
    CREDIT_CARD,
    r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$"
);
pattern!(DATE_TIME, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[tT ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?(?:[zZ]|[+-][0-9]{2}:?[0-9]{2})?$");
pattern!(EMAIL, r"^(?:[^<>@\x00-\x1f]*<)?[^\s@<>()\[\],;:\\]+@[^\s@<>()\[\],;:\\]+>?$");

/// What a request line may have: an absolute URI, or an absolute path.
fn is_uri(text: &str) -> bool {
    if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    let authority = rest.strip_prefix("//").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    good && !rest.is_empty() && authority.is_none_or(is_authority)
}

/// A host, which is an address in brackets where it has colons, and perhaps a port.
fn is_authority(text: &str) -> bool {
    let host = text.rsplit('@').next().unwrap_or_default();
    let port = match host.split_once(']') {
        Some((address, rest)) if address.starts_with('[') => rest,
        Some(_) => return false,
        None if host.contains('[') => return false,
        None => host.find(':').map_or("", |at| &host[at..]),
    };
    port.is_empty() || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
}

fn is_email(text: &str) -> bool {
    EMAIL.is_match(text) && text.contains('<') == text.ends_with('>')
}

fn is_hostname(text: &str) -> bool {
    let symbol = |c: char| c.is_alphanumeric() || !c.is_ascii();
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| symbol(c) || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let labels: Vec<&str> = text.split('.').collect();
    let top = labels.last().copied().unwrap_or_default();
    text.len() <= 255
        && labels.iter().all(|one| label(one))
        && (labels.len() == 1 || top.chars().count() >= 2 && top.chars().all(char::is_alphabetic))
}

/// An address, whose decimal parts may begin with zeros.
fn address(text: &str) -> Option<IpAddr> {
    let plain = |part: &str| match part.trim_start_matches('0') {
        "" if part.is_empty() => String::new(),
        "" => "0".to_owned(),
        rest => rest.to_owned(),
    };
    if text.contains(':') {
        return text.parse().ok();
    }
    text.split('.').map(plain).collect::<Vec<_>>().join(".").parse().ok()
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let most = match self::address(address) {
        Some(IpAddr::V4(_)) => 32,
        Some(IpAddr::V6(_)) => 128,
        None => return false,
    };
    !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()) && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

fn is_mac(text: &str) -> bool {
    let hex = |part: &str, length: usize| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit());
    let of = |separator: char, length: usize| {
        let parts: Vec<&str> = text.split(separator).collect();
        matches!(parts.len() * length / 2, 6 | 8 | 20) && parts.iter().all(|part| hex(part, length))
    };
    of(':', 2) || of('-', 2) || of('.', 4)
}

fn is_uuid(text: &str, version: Option<u8>) -> bool {
    let mut rest = text;
    for (index, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let Some(part) = rest.get(..length).filter(|part| part.bytes().all(|b| b.is_ascii_hexdigit())) else { return false };
        let first = part.as_bytes().first().map(u8::to_ascii_lowercase);
        let variant = matches!(version, Some(b'4' | b'5')) && index == 3;
        if index == 2 && version.is_some_and(|version| first != Some(version))
            || variant && !matches!(first, Some(b'8' | b'9' | b'a' | b'b'))
        {
            return false;
        }
        rest = &rest[length..];
    }
    rest.is_empty()
}

/// The digits of an ISBN, which may have dashes and spaces between them.
fn isbn(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '-' | ' ')).collect()
}

fn is_isbn10(text: &str) -> bool {
    let digits = isbn(text);
    let value = |(at, b): (usize, u8)| match b {
        b'0'..=b'9' => Some(u32::from(b - b'0')),
        b'X' if at == 9 => Some(10),
        _ => None,
    };
    let values: Option<Vec<u32>> = digits.bytes().enumerate().map(value).collect();
    values.is_some_and(|values| values.len() == 10 && values.iter().zip(1..).map(|(value, weight)| value * weight).sum::<u32>() % 11 == 0)
}

fn is_isbn13(text: &str) -> bool {
    let digits = isbn(text);
    let values: Option<Vec<u32>> = digits.chars().map(|c| c.to_digit(10)).collect();
    values.is_some_and(|values| {
        values.len() == 13 && values.iter().zip([1, 3].iter().cycle()).map(|(value, weight)| value * weight).sum::<u32>() % 10 == 0
    })
}

fn is_credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let doubled = |(at, c): (usize, char)| {
        let value = c.to_digit(10).unwrap_or_default() * if at % 2 == 1 { 2 } else { 1 };
        if value > 9 { value - 9 } else { value }
    };
    CREDIT_CARD.is_match(&digits) && digits.chars().rev().enumerate().map(doubled).sum::<u32>() % 10 == 0
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<Date>().is_ok()
}

fn is_date_time(text: &str) -> bool {
    // The day has to be there; hours are those of a clock.
    let number = |at: std::ops::Range<usize>| text.get(at).and_then(|digits| digits.parse::<u8>().ok()).unwrap_or(u8::MAX);
    DATE_TIME.is_match(text) && text.get(..10).is_some_and(is_date) && number(11..13) < 24 && number(14..16) < 60 && number(17..19) < 60
}

fn is_duration(text: &str) -> bool {
    GO_DURATION.is_match(text) || WORD_DURATION.is_match(text)
}

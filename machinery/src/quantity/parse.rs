//! Reading quantities: sign, digits, fraction, and one of three kinds of suffix.

use std::str::FromStr;

use super::{Format, MOST_NANOS, NANOS, Quantity};

/// Why a text is not a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("a quantity is a number with an optional suffix, such as 500m, 1.5, 2Gi or 3e6")]
    Format,
    #[error("a quantity's suffix is one of n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei, or an exponent such as e3")]
    Suffix,
}

/// Fraction digits past this one count only as "a little more"; with it, no product below overflows that is
/// within the limits of a quantity.
const MOST_FRACTION_DIGITS: usize = 21;

/// As many digits are read exactly.
const MOST_DIGITS: usize = 35;

/// What is written with a larger exponent is kept as the largest amount.
const MOST_EXPONENT: i64 = i32::MAX as i64;

/// The text, taken apart. `whole` is without leading zeros.
struct Parts<'t> {
    negative: bool,
    whole: &'t str,
    fraction: &'t str,
    unit: Unit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// A power of ten.
    Decimal { exponent: i64, format: Format },
    /// A power of two.
    Binary { exponent: u32 },
}

impl FromStr for Quantity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Ok(Parts::of(text)?.quantity())
    }
}

/// The text under which the API keeps an amount that a client wrote: None where the client's own text stands,
/// which is not only when it is canonical (`1.234` stays, `0.5` becomes `500m`).
pub fn stored_form(text: &str) -> Result<Option<String>, Error> {
    let parts = Parts::of(text)?;
    if text == "0" || parts.stands() {
        return Ok(None);
    }
    let canonical = parts.beyond().unwrap_or_else(|| parts.quantity().to_string());
    Ok(Some(canonical).filter(|canonical| canonical != text))
}

impl<'t> Parts<'t> {
    fn of(text: &'t str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::Format);
        }
        let negative = text.starts_with('-');
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, rest) = split_digits(unsigned);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => split_digits(rest),
            None => ("", rest),
        };
        Ok(Self { negative, whole: whole.trim_start_matches('0'), fraction, unit: Unit::of(suffix)? })
    }

    fn quantity(&self) -> Quantity {
        let (magnitude, format) = match self.unit {
            Unit::Decimal { exponent, format } => (self.decimal_nanos(exponent), format),
            Unit::Binary { exponent } => {
                let nanos = self.binary_nanos(exponent).min(i128::from(i64::MAX) * NANOS);
                (nanos, if nanos < NANOS { Format::DecimalSi } else { Format::BinarySi })
            }
        };
        Quantity::from_nanos(if self.negative { -magnitude } else { magnitude }, format)
    }

    /// The canonical text of an amount that is larger than any [`Quantity`]: it is kept as it was written, though it counts
    /// for less.
    fn beyond(&self) -> Option<String> {
        let Unit::Decimal { exponent, format } = self.unit else { return None };
        if self.decimal_nanos(exponent) < MOST_NANOS || exponent > MOST_EXPONENT {
            return None;
        }
        let digits = format!("{}{}", self.whole, self.fraction);
        let significant = digits.trim_start_matches('0').trim_end_matches('0');
        let behind = digits.trim_start_matches('0').len() - significant.len();
        let exponent = exponent.saturating_sub(self.fraction.len() as i64).saturating_add(behind as i64);
        if exponent < 0 && significant.len() > MOST_DIGITS {
            return None;
        }
        let (thousands, suffix) = match (format, exponent.div_euclid(3)) {
            (Format::DecimalExponent, 0) => (0, String::new()),
            (Format::DecimalExponent, thousands) => (thousands, format!("e{}", thousands.saturating_mul(3))),
            (_, thousands) => {
                const SUFFIXES: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
                let thousands = thousands.clamp(-3, 6);
                (thousands, SUFFIXES[(thousands + 3) as usize].to_owned())
            }
        };
        let zeros = usize::try_from(exponent.saturating_sub(thousands.saturating_mul(3))).unwrap_or(0);
        let sign = if self.negative { "-" } else { "" };
        Some(format!("{sign}{significant}{}{suffix}", "0".repeat(zeros)))
    }

    /// All digits as one number, how many of them are behind the point, and whether anything was cut off.
    fn digits(&self) -> (i128, usize, bool) {
        let fraction = self.fraction.trim_end_matches('0');
        let kept = fraction.len().min(MOST_FRACTION_DIGITS);
        let number = self
            .whole
            .bytes()
            .chain(fraction.bytes().take(kept))
            .fold(0i128, |number, digit| number.saturating_mul(10).saturating_add((digit - b'0').into()));
        (number, kept, fraction.len() > kept)
    }

    fn decimal_nanos(&self, exponent: i64) -> i128 {
        let (number, behind_point, more) = self.digits();
        let shift = exponent.saturating_add(9).saturating_sub(behind_point as i64);
        let power = u32::try_from(shift.unsigned_abs()).ok().and_then(|shift| 10i128.checked_pow(shift));
        let nanos = match power {
            _ if number == 0 => 0,
            Some(power) if shift >= 0 => number.saturating_mul(power),
            Some(power) => number.div_euclid(power) + i128::from(number % power != 0 || more),
            None if shift >= 0 => MOST_NANOS,
            None => 1,
        };
        nanos.min(MOST_NANOS).max(more.into())
    }

    fn binary_nanos(&self, exponent: u32) -> i128 {
        let (number, behind_point, more) = self.digits();
        if behind_point <= 9 {
            let factor = 10i128.pow(9 - behind_point as u32) << exponent;
            return number.saturating_mul(factor);
        }
        // number * 2^exponent / 10^tens, with the twos cancelled so that nothing overflows.
        let tens = behind_point as u32 - 9;
        let numerator = number.saturating_mul(1 << exponent.saturating_sub(tens));
        let denominator = 5i128.pow(tens) << tens.saturating_sub(exponent);
        numerator / denominator + i128::from(numerator % denominator != 0 || more)
    }

    /// Whether the API keeps the client's text. What upstream takes for canonical without computing the
    /// canonical form; clients that compare what they sent with what they get rely on it.
    fn stands(&self) -> bool {
        let whole_digits = self.whole.len().max(1);
        match self.unit {
            Unit::Decimal { exponent, .. } => {
                let scale = exponent.saturating_sub(self.fraction.len() as i64);
                let ends_in_thousand = if self.fraction.len() >= 3 {
                    self.fraction.ends_with("000")
                } else {
                    let zeros_before = 3 - self.fraction.len();
                    self.fraction.bytes().all(|digit| digit == b'0')
                        && self.whole.len() >= zeros_before
                        && self.whole.bytes().rev().take(zeros_before).all(|digit| digit == b'0')
                };
                whole_digits + self.fraction.len() <= 18 && scale >= -9 && scale % 3 == 0 && !self.whole.is_empty() && !ends_in_thousand
            }
            Unit::Binary { exponent } => {
                let room = 14usize.saturating_sub(exponent as usize * 3 / 10);
                let value: u64 = self.whole.parse().unwrap_or(0);
                self.fraction.is_empty() && whole_digits <= room && value & 7 != 0
            }
        }
    }
}

impl Unit {
    fn of(suffix: &str) -> Result<Self, Error> {
        let si = |exponent| Ok(Self::Decimal { exponent, format: Format::DecimalSi });
        let binary = |exponent| Ok(Self::Binary { exponent });
        match suffix {
            "n" => si(-9),
            "u" => si(-6),
            "m" => si(-3),
            "" => si(0),
            "k" => si(3),
            "M" => si(6),
            "G" => si(9),
            "T" => si(12),
            "P" => si(15),
            "E" => si(18),
            "Ki" => binary(10),
            "Mi" => binary(20),
            "Gi" => binary(30),
            "Ti" => binary(40),
            "Pi" => binary(50),
            "Ei" => binary(60),
            _ => {
                let exponent = suffix.strip_prefix(['e', 'E']).ok_or_else(|| wrong(suffix))?;
                let exponent = exponent.parse().map_err(|_| wrong(suffix))?;
                Ok(Self::Decimal { exponent, format: Format::DecimalExponent })
            }
        }
    }
}

/// A suffix of the right letters in the wrong order, or no suffix at all.
fn wrong(suffix: &str) -> Error {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    if rest.bytes().all(|c| c.is_ascii_digit()) { Error::Suffix } else { Error::Format }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

//! [`Quantity`]: exact amounts of resources (`500m`, `1.5Gi`, `2e3`), as Kubernetes reads and writes them.
//!
//! An amount is a whole number of billionths; what is finer is rounded away from zero when read. The notation
//! in which it was written is remembered, because the canonical text keeps to it.

mod parse;

use std::cmp::Ordering;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

pub use parse::{Error, stored_form};

const NANOS: i128 = 1_000_000_000;
/// No amount is larger, whatever was written or added up.
const MOST_NANOS: i128 = 100_000_000_000_000_000_000_000_000_000 * NANOS;

/// The notation of an amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// `12M`
    #[default]
    DecimalSi,
    /// `12Mi`
    BinarySi,
    /// `12e6`
    DecimalExponent,
}

/// An amount. Compares by value: `1` equals `1000m`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// A power of ten, the unit of a rounding or a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    Nano,
    Micro,
    Milli,
    One,
}

impl Scale {
    fn nanos(self) -> i128 {
        match self {
            Self::Nano => 1,
            Self::Micro => 1_000,
            Self::Milli => 1_000_000,
            Self::One => NANOS,
        }
    }
}

impl Quantity {
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };
    pub const ONE: Self = Self { nanos: NANOS, format: Format::DecimalSi };

    pub fn new(value: i64, format: Format) -> Self {
        Self::from_nanos(i128::from(value) * NANOS, format)
    }

    pub fn from_milli(value: i64, format: Format) -> Self {
        Self::from_nanos(i128::from(value) * Scale::Milli.nanos(), format)
    }

    fn from_nanos(nanos: i128, format: Format) -> Self {
        Self { nanos: nanos.clamp(-MOST_NANOS, MOST_NANOS), format }
    }

    /// Reads an amount that validation has let pass; zero where it is none after all.
    pub fn of(text: &Text) -> Self {
        text.0.parse().unwrap_or_default()
    }

    pub fn format(self) -> Format {
        self.format
    }

    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Whether the amount is a whole number.
    pub fn is_integer(self) -> bool {
        self.nanos % NANOS == 0
    }

    /// Whole units, rounded away from zero, at most what an i64 holds.
    pub fn value(self) -> i64 {
        self.scaled_value(Scale::One)
    }

    /// Thousandths, rounded away from zero, at most what an i64 holds.
    pub fn milli_value(self) -> i64 {
        self.scaled_value(Scale::Milli)
    }

    pub fn scaled_value(self, scale: Scale) -> i64 {
        let units = divide_away_from_zero(self.nanos, scale.nanos());
        units.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    pub fn as_f64(self) -> f64 {
        self.nanos as f64 / NANOS as f64
    }

    /// The amount with nothing finer than `scale`, rounded away from zero.
    pub fn round_up(self, scale: Scale) -> Self {
        let unit = scale.nanos();
        Self::from_nanos(divide_away_from_zero(self.nanos, unit) * unit, self.format)
    }

    pub fn saturating_mul(self, factor: i64) -> Self {
        Self::from_nanos(self.nanos.saturating_mul(factor.into()), self.format)
    }

    /// Of two amounts, the format of a sum is the first one's, unless that is zero.
    fn combined_format(self, other: Self) -> Format {
        if self.is_zero() { other.format } else { self.format }
    }
}

fn divide_away_from_zero(nanos: i128, unit: i128) -> i128 {
    let (whole, rest) = (nanos / unit, nanos % unit);
    whole + rest.signum()
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::from_nanos(self.nanos.saturating_add(other.nanos), self.combined_format(other))
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self::from_nanos(self.nanos.saturating_sub(other.nanos), self.combined_format(other))
    }
}

impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Quantity {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Neg for Quantity {
    type Output = Self;

    fn neg(self) -> Self {
        Self { nanos: -self.nanos, ..self }
    }
}

impl Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl From<Quantity> for Text {
    fn from(amount: Quantity) -> Self {
        Self(amount.to_string())
    }
}

impl From<&Text> for Quantity {
    /// See [`Quantity::of`].
    fn from(text: &Text) -> Self {
        Self::of(text)
    }
}

/// The canonical form: no fraction, the largest suffix that loses nothing.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.nanos / NANOS;
        match self.format {
            _ if self.nanos == 0 => f.write_str("0"),
            // Below 1024 there is no binary suffix, and fractions have decimal ones only.
            Format::BinarySi if self.is_integer() && whole.abs() >= 1024 => fmt_binary(whole, f),
            Format::BinarySi | Format::DecimalSi => {
                const SUFFIXES: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
                let (number, thousands) = without_thousands(self.nanos, SUFFIXES.len() - 1);
                write!(f, "{number}{}", SUFFIXES[thousands])
            }
            Format::DecimalExponent => {
                let (number, thousands) = without_thousands(self.nanos, usize::MAX);
                match thousands as i32 * 3 - 9 {
                    0 => write!(f, "{number}"),
                    exponent => write!(f, "{number}e{exponent}"),
                }
            }
        }
    }
}

fn fmt_binary(mut number: i128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let mut at = 0;
    while number % 1024 == 0 && at + 1 < SUFFIXES.len() {
        number /= 1024;
        at += 1;
    }
    write!(f, "{number}{}", SUFFIXES[at])
}

/// Takes factors of a thousand out of a number that is not zero, and counts them.
fn without_thousands(mut number: i128, most: usize) -> (i128, usize) {
    let mut count = 0;
    while count < most && number % 1000 == 0 {
        number /= 1000;
        count += 1;
    }
    (number, count)
}

#[cfg(test)]
mod tests;

//! Numbers that may be percentages: `maxUnavailable: 25%` of a Deployment, a disruption budget's `minAvailable`.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Which way a share that is not whole is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    Up,
    Down,
}

/// A text where a percentage is due.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no percentage, such as 25%")]
pub struct Error(pub String);

/// The number itself, or the percentage of `total`. Nothing is bounded: 150% is more than the total, and a
/// number stays below zero if it was.
pub fn scaled(value: &IntOrString, total: i32, round: Round) -> Result<i32, Error> {
    match value {
        IntOrString::Int(number) => Ok(*number),
        IntOrString::String(text) => {
            let product = i64::from(percentage(text).ok_or_else(|| Error(text.clone()))?) * i64::from(total);
            let share = match round {
                Round::Down => product.div_euclid(100),
                Round::Up => -(-product).div_euclid(100),
            };
            Ok(share.clamp(i32::MIN.into(), i32::MAX.into()) as i32)
        }
    }
}

/// [`scaled`], where validation has seen to it that the value is sound; zero if it is not after all.
pub fn scaled_or_zero(value: &IntOrString, total: i32, round: Round) -> i32 {
    scaled(value, total, round).unwrap_or(0)
}

/// The number before a percent sign, or the largest there is where it is larger; None where the text is anything else.
pub fn percentage(text: &str) -> Option<i32> {
    let digits = text.strip_suffix('%')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(i32::MAX))
}

/// The percentage that a value is, if it is one.
pub fn as_percentage(value: &IntOrString) -> Option<i32> {
    match value {
        IntOrString::Int(_) => None,
        IntOrString::String(text) => percentage(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let percent = |text: &str| IntOrString::String(text.to_owned());
        assert_eq!(scaled(&IntOrString::Int(3), 10, Round::Up), Ok(3));
        assert_eq!(scaled(&percent("25%"), 10, Round::Up), Ok(3));
        assert_eq!(scaled(&percent("25%"), 10, Round::Down), Ok(2));
        assert_eq!(scaled(&percent("25%"), 4, Round::Up), Ok(1));
        assert_eq!(scaled(&percent("0%"), 7, Round::Up), Ok(0));
        assert_eq!(scaled(&percent("150%"), 3, Round::Down), Ok(4));
        assert_eq!(scaled(&percent("2147483647%"), i32::MAX, Round::Up), Ok(i32::MAX));
        for text in ["", "%", "25", "a%", "-5%", "+5%", "1.5%"] {
            assert_eq!(scaled(&percent(text), 10, Round::Up), Err(Error(text.to_owned())), "{text}");
        }
        assert_eq!(scaled_or_zero(&percent("x"), 10, Round::Up), 0);
        assert_eq!(as_percentage(&percent("7%")), Some(7));
        assert_eq!(as_percentage(&percent("99999999999%")), Some(i32::MAX));
        assert_eq!(as_percentage(&IntOrString::Int(7)), None);
    }
}

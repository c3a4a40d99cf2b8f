//! Checks of replica counts: plain ones, counts or percentages, and counters of a status against each other.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::field::{Error, Errors, Path};
use machinery::intstr::percentage;

use crate::validate;

/// A number, where there is one, must not be below zero.
pub(crate) fn non_negative<N: Into<i64>>(path: &Path, value: Option<N>) -> Errors {
    value.map_or_else(Errors::new, |value| validate::non_negative(path, value.into()))
}

/// A count or a percentage, neither below zero.
pub(crate) fn count_or_percent(path: &Path, value: Option<&IntOrString>) -> Errors {
    match value {
        Some(IntOrString::Int(count)) => validate::non_negative(path, i64::from(*count)),
        Some(IntOrString::String(text)) if percentage(text).is_none() => {
            vec![Error::invalid(path, text, "must be a whole number or a percentage such as '10%'")]
        }
        _ => Errors::new(),
    }
}

/// A percentage, where it is one, must not exceed 100.
pub(crate) fn at_most_all(path: &Path, value: Option<&IntOrString>) -> Option<Error> {
    let Some(IntOrString::String(text)) = value else { return None };
    percentage(text).filter(|p| *p > 100).map(|_| Error::invalid(path, text, "must not be greater than 100%"))
}

/// Whether a count or a percentage comes to nothing; one that is malformed does, unless it is a count in quotes.
pub(crate) fn is_zero(value: Option<&IntOrString>) -> bool {
    match value {
        None => true,
        Some(IntOrString::Int(count)) => *count == 0,
        Some(IntOrString::String(text)) => percentage(text).unwrap_or_else(|| text.parse().unwrap_or(0)) == 0,
    }
}

/// Counts of a status, by field name, none of which may exceed another.
pub(crate) fn at_most(path: &Path, counts: &[(&str, Option<i32>)], bound: (&str, Option<i32>)) -> Errors {
    let (bound_name, bound) = (bound.0, bound.1.unwrap_or(0));
    let over = counts.iter().map(|(name, count)| (name, count.unwrap_or(0))).filter(|(_, count)| *count > bound);
    over.map(|(name, count)| Error::invalid(&path.child(name), count, format!("cannot be greater than {path}.{bound_name}"))).collect()
}

/// A counter that only ever rises, and does not go away once it is there.
pub(crate) fn not_decremented(path: &Path, new: Option<i32>, old: Option<i32>) -> Option<Error> {
    let old = old?;
    new.is_none_or(|new| new < old).then(|| Error::invalid(path, new.unwrap_or(0), "cannot be decremented"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages() {
        let path = Path::new("p");
        let text = |s: &str| Some(IntOrString::String(s.to_owned()));
        assert!(count_or_percent(&path, text("40%").as_ref()).is_empty());
        for bad in ["1.5", "-1%", "%", "4"] {
            assert_eq!(count_or_percent(&path, text(bad).as_ref()).len(), 1, "{bad}");
        }
        assert!(at_most_all(&path, text("101%").as_ref()).is_some());
        assert!(is_zero(text("0%").as_ref()) && !is_zero(Some(&IntOrString::Int(1))));
    }
}

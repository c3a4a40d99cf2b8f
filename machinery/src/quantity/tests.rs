#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Quantity {
    text.parse().unwrap()
}

#[test]
fn canonical_forms() {
    for (text, canonical) in [
        ("0", "0"),
        ("-0", "0"),
        ("000", "0"),
        ("1", "1"),
        ("+5", "5"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("1000m", "1"),
        ("1000", "1k"),
        ("1500", "1500"),
        ("1e3", "1e3"),
        ("12E6", "12e6"),
        ("1e4", "10e3"),
        ("1E", "1E"),
        ("1000E", "1000E"),
        ("1.5Gi", "1536Mi"),
        ("1024Mi", "1Gi"),
        ("1Ki", "1Ki"),
        ("0.5Ki", "512"),
        ("0.25Mi", "256Ki"),
        ("1.0001Ki", "1024102400u"),
        ("0.0001Ki", "102400u"),
        ("1.", "1"),
        (".5", "500m"),
        ("Mi", "0"),
        ("-1.5Gi", "-1536Mi"),
        ("0.1n", "1n"),
        ("-0.1n", "-1n"),
        ("0.0000000000000000000000000000000000001", "1n"),
        ("1e-40", "1e-9"),
        ("0.000000000000000000000000000000000000", "0"),
        ("10000Ei", "9223372036854775807"),
        ("1.000000000000000000000000001", "1000000001n"),
    ] {
        assert_eq!(read(text).to_string(), canonical, "{text}");
    }
    assert_eq!(read("1e99").to_string(), "100e27", "capped");
    assert_eq!(read("0e9223372036854775807"), Quantity::ZERO);
}

#[test]
fn what_is_no_quantity() {
    for text in ["", "a", "1 ", "1.2.3", "1.5 Gi", "1x", "1,5", "\u{660}", "1e3x"] {
        assert_eq!(text.parse::<Quantity>(), Err(Error::Format), "{text:?}");
    }
    for text in ["--1", "1mi", "1K", "1ki", "1e", "1kk", "1e+", "1GiB"] {
        assert!(text.parse::<Quantity>().is_err(), "{text:?}");
    }
}

#[test]
fn texts_that_stand_and_texts_that_do_not() {
    for text in
        ["0", "1", "250m", "1.234", "1.500", "64Mi", "100m", "1Gi", "2e3", "1500m", "10Gi", "7", "1.5e40", "99999999999999999999999999999k"]
    {
        assert_eq!(stored_form(text), Ok(None), "{text}");
    }
    for (text, stored) in [
        ("0.1", "100m"),
        ("1024Mi", "1Gi"),
        ("1000m", "1"),
        ("2.5", "2500m"),
        ("1.5Gi", "1536Mi"),
        ("5000", "5k"),
        ("00", "0"),
        ("1e400", "10e399"),
        ("-1e40", "-10e39"),
        ("0.00001e50", "1e45"),
        ("123456789012345678901234567890.5", "123456789012345678901234567890500m"),
    ] {
        assert_eq!(stored_form(text), Ok(Some(stored.to_owned())), "{text}");
    }
}

#[test]
fn values_round_away_from_zero() {
    assert_eq!(read("1.1").value(), 2);
    assert_eq!(read("-1.1").value(), -2);
    assert_eq!(read("100m").value(), 1);
    assert_eq!(read("100u").milli_value(), 1);
    assert_eq!(read("2").milli_value(), 2000);
    assert_eq!(read("10E").milli_value(), i64::MAX);
    assert_eq!(read("1.0005").round_up(Scale::Milli).to_string(), "1001m");
    assert_eq!(read("1Gi").value(), 1 << 30);
}

#[test]
fn sums_take_the_format_of_the_first_that_is_not_zero() {
    assert_eq!((read("1Gi") + read("512Mi")).to_string(), "1536Mi");
    assert_eq!([read("0"), read("1Gi"), read("1")].into_iter().sum::<Quantity>().to_string(), "1073741825");
    assert_eq!((read("1") - read("250m")).to_string(), "750m");
    assert!(read("1000m") == read("1") && read("1Ki") > read("1k"));
}

proptest! {
    #[test]
    fn canonical_text_reads_back_the_same(nanos in -MOST_NANOS..MOST_NANOS, format in 0..3u8) {
        let format = [Format::DecimalSi, Format::BinarySi, Format::DecimalExponent][format as usize];
        let amount = Quantity { nanos, format };
        let text = amount.to_string();
        let again = read(&text);
        // Only binary notation is capped at what an i64 holds.
        if format != Format::BinarySi || nanos.abs() <= i128::from(i64::MAX) * NANOS {
            prop_assert_eq!(again, amount);
            prop_assert_eq!(again.to_string(), text);
        }
    }

    #[test]
    fn sums_are_exact(a in any::<i64>(), b in any::<i64>()) {
        let (qa, qb) = (Quantity::from_milli(a, Format::DecimalSi), Quantity::from_milli(b, Format::DecimalSi));
        prop_assert_eq!((qa + qb) - qb, qa);
        prop_assert_eq!(qa.cmp(&qb), a.cmp(&b));
        prop_assert_eq!(qa.milli_value(), a);
    }

    #[test]
    fn any_text_is_answered(text in "[+-]?[0-9]{0,45}[.]?[0-9]{0,45}[eEinumkKMGTP]{0,2}[+-]?[0-9]{0,25}") {
        if let Ok(amount) = text.parse::<Quantity>() {
            prop_assert_eq!(read(&amount.to_string()), amount);
            prop_assert!(stored_form(&text).is_ok());
        }
    }
}

//! The text of single fields: numbers, and words for missing values.

use clap::ValueEnum;

/// The words for missing values, in lower case.
const MISSING: [&str; 20] = [
    "", "nan", "-nan", "na", "n/a", "n.a.", "<na>", "null", "none", "nil", "missing", "-", "--",
    "?", ".", "#n/a", "#n/a n/a", "#na", "#nv", "#n/d",
];

/// Returns whether a field says that its value is missing.
pub fn is_missing(text: &str) -> bool {
    MISSING.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// The character between the whole part and the fraction of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Decimal {
    /// 1.5
    Point,
    /// 1,5
    Comma,
}

impl Decimal {
    /// Returns the name of the character with its article.
    pub fn name(self) -> &'static str {
        match self {
            Decimal::Point => "a point",
            Decimal::Comma => "a comma",
        }
    }
}

/// What a field holds that is not a missing value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    /// A number, perhaps infinite, and its decimal character if it has one.
    Number(f64, Option<Decimal>),
    /// A number with a comma, as in `1,234`, which may separate thousands or be the decimal
    /// character. The value holds for the latter.
    Doubtful(f64),
    /// A number with separators between thousands, as in `1,234,567.8` or `1.234,5`.
    Grouped,
    /// Anything else.
    Text,
}

/// Returns what a field holds.
pub fn read(text: &str) -> Cell {
    if let Ok(value) = text.parse() {
        return Cell::Number(value, text.contains('.').then_some(Decimal::Point));
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let Some((whole, fraction)) = unsigned.split_once(',') else {
        return if is_grouped(unsigned, '.', ',') { Cell::Grouped } else { Cell::Text };
    };
    if is_grouped(unsigned, ',', '.') || is_grouped(unsigned, '.', ',') {
        return Cell::Grouped;
    }
    let has_digits = fraction.starts_with(|c: char| c.is_ascii_digit());
    let plain = whole.bytes().all(|byte| byte.is_ascii_digit());
    match text.replacen(',', ".", 1).parse() {
        Ok(value) if has_digits && plain => {
            let thousands = is_group(fraction) && (1..=3).contains(&whole.len());
            match thousands && !whole.starts_with('0') {
                true => Cell::Doubtful(value),
                false => Cell::Number(value, Some(Decimal::Comma)),
            }
        }
        _ => Cell::Text,
    }
}

/// Returns whether digits are in groups of three, unmistakably: in several groups, or before a
/// fraction.
fn is_grouped(unsigned: &str, separator: char, decimal: char) -> bool {
    let (whole, fraction) = match unsigned.split_once(decimal) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    let mut groups = whole.split(separator);
    let first = groups.next().unwrap_or_default();
    let groups: Vec<&str> = groups.collect();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (1..=3).contains(&first.len())
        && digits(first)
        && groups.iter().all(|group| is_group(group))
        && fraction.is_none_or(digits)
        && groups.len() + usize::from(fraction.is_some()) >= 2
        && !groups.is_empty()
}

/// Returns whether the point of a number may separate thousands, as in `1.234`.
pub fn may_be_thousands(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    unsigned.split_once('.').is_some_and(|(whole, group)| {
        let digits = whole.bytes().all(|byte| byte.is_ascii_digit());
        digits && (1..=3).contains(&whole.len()) && !whole.starts_with('0') && is_group(group)
    })
}

fn is_group(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_numbers_are_told_apart() {
        use Cell::{Doubtful, Grouped, Number, Text};
        let comma = |value| Number(value, Some(Decimal::Comma));
        for (text, cell) in [
            ("1", Number(1.0, None)),
            ("1e3", Number(1000.0, None)),
            ("1.234", Number(1.234, Some(Decimal::Point))),
            ("1,5", comma(1.5)),
            ("-0,123", comma(-0.123)),
            (",5", comma(0.5)),
            ("1234,567", comma(1234.567)),
            ("1,2345", comma(1.2345)),
            ("1,234e-5", comma(1.234e-5)),
            ("1,234", Doubtful(1.234)),
            ("-123,456", Doubtful(-123.456)),
            ("1,234,567", Grouped),
            ("1,234.5", Grouped),
            ("-1.234,5", Grouped),
            ("1.234.567", Grouped),
            ("1,", Text),
            ("1,2,3", Text),
            ("1.2.3", Text),
            ("1.2,3", Text),
            ("a,5", Text),
            ("abc", Text),
        ] {
            assert_eq!(read(text), cell, "{text}");
        }
    }
    #[test]
    fn points_that_may_separate_thousands_are_told() {
        for (text, may) in [
            ("1.000", true),
            ("-123.456", true),
            ("0.999", false),
            ("1234.567", false),
            ("1.00", false),
            ("1.000e3", false),
            ("1000", false),
        ] {
            assert_eq!(may_be_thousands(text), may, "{text}");
        }
    }
}

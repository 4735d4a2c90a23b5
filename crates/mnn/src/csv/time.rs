//! Times that are written as dates.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

/// The unit in which times that are dates are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TimeUnit {
    /// 1 s
    Seconds,
    /// 60 s
    Minutes,
    /// 3600 s
    Hours,
    /// 24 hours
    Days,
    /// 7 days
    Weeks,
    /// 365.25 days
    Years,
}

impl TimeUnit {
    fn seconds(self) -> f64 {
        match self {
            TimeUnit::Seconds => 1.0,
            TimeUnit::Minutes => 60.0,
            TimeUnit::Hours => 3600.0,
            TimeUnit::Days => 86_400.0,
            TimeUnit::Weeks => 604_800.0,
            TimeUnit::Years => 31_557_600.0,
        }
    }

    /// Returns the largest unit up to days that is not longer than the time between two rows.
    fn of_spacing(seconds: f64) -> Self {
        let units = [TimeUnit::Days, TimeUnit::Hours, TimeUnit::Minutes];
        units.into_iter().find(|unit| unit.seconds() <= seconds).unwrap_or(TimeUnit::Seconds)
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// What comes first in dates like 3/4/2021.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DateOrder {
    /// 31/3/2021
    DayFirst,
    /// 3/31/2021
    MonthFirst,
}

/// A way to write dates, with a time of day or without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// 2021-03-31, or with / or . for -
    YearFirst,
    /// 31.3.2021, or with / or - for the points
    DayFirst,
    /// 3/31/2021, or with - for /
    MonthFirst,
    /// 31 Mar 2021, 31-March-2021, Mar 31, 2021, Mar 2021
    MonthNamed,
    /// 2021-03, or with / for -
    YearMonth,
    /// 20210331
    EightDigits,
    /// 202103
    SixDigits,
    /// 08:00:00
    TimeOfDay,
}

/// A date that was read.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// Without a time zone, or else in UTC.
    at: DateTime,
    zoned: bool,
    /// Whether the time of day, if there is one, has AM or PM.
    twelve: Option<bool>,
}

impl Form {
    /// All forms.
    const ALL: [Form; 8] = [
        Form::YearFirst,
        Form::DayFirst,
        Form::MonthFirst,
        Form::MonthNamed,
        Form::YearMonth,
        Form::EightDigits,
        Form::SixDigits,
        Form::TimeOfDay,
    ];

    fn read(self, text: &str) -> Option<Moment> {
        const LONGEST: usize = 100;
        if text.len() > LONGEST {
            return None;
        }
        let (date, clock) = split(text);
        let date = match self {
            Form::TimeOfDay if date.is_empty() && !clock.is_empty() => Date::constant(1970, 1, 1),
            _ => self.date(date)?,
        };
        if clock.is_empty() {
            return Some(Moment {
                at: date.to_datetime(Time::midnight()),
                zoned: false,
                twelve: None,
            });
        }
        // Hours of one digit, and commas before fractions of a second, are not for the parsers.
        let zero = if clock.find(':') == Some(1) { "0" } else { "" };
        let clock = format!("{zero}{}", clock.to_ascii_uppercase().replace(',', "."));
        let halves = [("AM", 0), ("PM", 12)];
        let half = halves
            .into_iter()
            .find_map(|(name, noon)| Some((clock.strip_suffix(name)?.trim_end(), noon)));
        if let Some((clock, noon)) = half {
            let time = plain_time(clock)?;
            let hour = (1..=12).contains(&time.hour()).then_some(time.hour() % 12 + noon)?;
            let time =
                Time::new(hour, time.minute(), time.second(), time.subsec_nanosecond()).ok()?;
            return Some(Moment { at: date.to_datetime(time), zoned: false, twelve: Some(true) });
        }
        let Some(zone) = clock.find(['Z', '+', '-', 'U', 'G']) else {
            let at = date.to_datetime(plain_time(&clock)?);
            return Some(Moment { at, zoned: false, twelve: Some(false) });
        };
        let (clock, zone) = (clock[..zone].trim_end(), &clock[zone..]);
        let zone = if ["UTC", "GMT"].contains(&zone) { "Z" } else { zone };
        plain_time(clock)?;
        let instant = Timestamp::from_str(&format!("{date}T{clock}{zone}")).ok()?;
        Some(Moment { at: Offset::UTC.to_datetime(instant), zoned: true, twelve: Some(false) })
    }

    fn date(self, text: &str) -> Option<Date> {
        let (year, month, day) = match self {
            Form::TimeOfDay => return None,
            Form::MonthNamed => named(text)?,
            Form::EightDigits | Form::SixDigits => {
                let digits = number(text, if self == Form::EightDigits { 8 } else { 6 })?;
                let digits = if self == Form::EightDigits { digits } else { digits * 100 + 1 };
                let year = digits / 10_000;
                // What looks like a date of another age is a number.
                if !(1800..2200).contains(&year) {
                    return None;
                }
                (year, digits / 100 % 100, digits % 100)
            }
            _ => {
                let separator = text.find(['-', '/', '.']).map(|at| &text[at..=at])?;
                let parts: Vec<&str> = text.split(separator).collect();
                let short = |text: &str| number(text, 1).or_else(|| number(text, 2));
                match (self, &parts[..]) {
                    (Form::YearFirst, [y, m, d]) => (number(y, 4)?, short(m)?, short(d)?),
                    (Form::DayFirst, [d, m, y]) => (number(y, 4)?, short(m)?, short(d)?),
                    // Points are for days that come first.
                    (Form::MonthFirst, [m, d, y]) if separator != "." => {
                        (number(y, 4)?, short(m)?, short(d)?)
                    }
                    (Form::YearMonth, [y, m]) if separator != "." => (number(y, 4)?, short(m)?, 1),
                    _ => return None,
                }
            }
        };
        Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?)
            .ok()
    }
}

/// Splits a date from the time of day, which begins with the digits before the first colon.
fn split(text: &str) -> (&str, &str) {
    let Some(colon) = text.find(':') else { return (text, "") };
    let digits = text[..colon].bytes().rev().take_while(u8::is_ascii_digit).count();
    let (date, clock) = text.split_at(colon - digits);
    match date.strip_suffix(['T', 't', ' ']) {
        Some(date) => (date.trim_end_matches([' ', ',']), clock),
        None if date.is_empty() => ("", clock),
        None => (text, ""),
    }
}

/// Reads hours and minutes, perhaps with seconds and their fraction.
fn plain_time(text: &str) -> Option<Time> {
    let allowed = |c: char| c.is_ascii_digit() || c == ':' || c == '.';
    text.chars().all(allowed).then(|| Time::from_str(text).ok())?
}

/// Reads a number of so many digits.
fn number(text: &str, digits: usize) -> Option<i32> {
    let fits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok())?
}

/// Reads a date with the name of a month as year, month and day.
fn named(text: &str) -> Option<(i32, i32, i32)> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let month = |text: &str| {
        let text = text.to_lowercase();
        let known = MONTHS.iter().position(|name| text.len() >= 3 && name.starts_with(&text));
        known.map(|index| index as i32 + 1)
    };
    let day = |text: &str| number(text, 1).or_else(|| number(text, 2));
    let words: Vec<&str> =
        text.split([' ', ',', '-', '.', '/']).filter(|word| !word.is_empty()).collect();
    match &words[..] {
        [a, b] => Some((number(b, 4)?, month(a)?, 1)),
        [a, b, c] => match (month(a), month(b)) {
            (Some(month), None) => Some((number(c, 4)?, month, day(b)?)),
            (None, Some(month)) => match number(a, 4) {
                Some(year) => Some((year, month, day(c)?)),
                None => Some((number(c, 4)?, month, day(a)?)),
            },
            _ => None,
        },
        _ => None,
    }
}

/// Returns whether a text is a date, or a time of day.
pub fn is_date(text: &str) -> bool {
    Form::ALL.iter().any(|form| form.read(text).is_some())
}

/// Returns whether a text is a time of day alone.
pub fn is_time_of_day(text: &str) -> bool {
    Form::TimeOfDay.read(text).is_some()
}

/// How dates become times, in all tables that are read together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    /// The date at which the time is zero, in UTC if dates have a time zone.
    origin: DateTime,
    zoned: bool,
    /// Whether dates are times of day, without a day.
    of_day: bool,
    /// The unit of the times.
    pub unit: TimeUnit,
}

impl Clock {
    /// Returns the clock that a name of a time column ends with, as in
    /// `when [hours since 2021-03-31T08:00:00]`.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, text) = name.strip_suffix(']')?.rsplit_once('[')?;
        let (unit, origin) = text.split_once(" since ")?;
        let unit = TimeUnit::from_str(unit, false).ok()?;
        let of_day = is_time_of_day(origin);
        let form = if of_day { Form::TimeOfDay } else { Form::YearFirst };
        let Moment { at, zoned, .. } = form.read(origin)?;
        Some(Clock { origin: at, zoned, of_day, unit })
    }

    /// Returns the name of a time column with the unit and the origin of its times.
    #[must_use]
    pub fn name(&self, column: &str) -> String {
        format!("{column} [{self}]")
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} since ", self.unit)?;
        match (self.of_day, self.zoned) {
            (true, _) => write!(f, "{}", self.origin.time()),
            (false, zoned) => write!(f, "{}{}", self.origin, if zoned { "Z" } else { "" }),
        }
    }
}

/// The dates of one table, and what they tell of the form in which they are written.
#[derive(Clone, Debug, Default)]
pub struct Dates {
    /// The forms that all dates can have.
    readings: Vec<Reading>,
}

/// The dates of a table in one of their possible forms.
#[derive(Clone, Copy, Debug)]
struct Reading {
    form: Form,
    first: Moment,
    last: Moment,
    twelve: Option<bool>,
    /// The sum of what dates are later than those before, in seconds, and how many are.
    later: (f64, f64),
}

/// Why the dates of a table cannot become times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Days and months cannot be told apart.
    Ambiguous,
    /// The dates of the clock have a time zone and these have none, or the other way round.
    Zone,
    /// The clock is for times of day and these are dates, or the other way round.
    Day,
}

impl Dates {
    /// Adds a date; returns whether it has a form that all before have, too.
    pub fn add(&mut self, text: &str, order: Option<DateOrder>) -> bool {
        if self.readings.is_empty() {
            let excluded = match order {
                Some(DateOrder::DayFirst) => Some(Form::MonthFirst),
                // Points are for days that come first all the same.
                Some(DateOrder::MonthFirst) if !split(text).0.contains('.') => Some(Form::DayFirst),
                _ => None,
            };
            let forms = Form::ALL.into_iter().filter(|form| Some(*form) != excluded);
            self.readings = forms
                .filter_map(|form| {
                    let first = form.read(text)?;
                    let twelve = first.twelve;
                    Some(Reading { form, first, last: first, twelve, later: (0.0, 0.0) })
                })
                .collect();
        } else {
            self.readings.retain_mut(|reading| reading.add(text));
        }
        !self.readings.is_empty()
    }

    /// Returns how to read the dates: with the clock of tables before, or else with one of their own.
    ///
    /// # Errors
    /// [`Trouble`] if that cannot be told.
    pub fn calendar(
        &self,
        clock: Option<Clock>,
        unit: Option<TimeUnit>,
    ) -> Result<Calendar, Trouble> {
        let [reading] = &self.readings[..] else { return Err(Trouble::Ambiguous) };
        let of_day = reading.form == Form::TimeOfDay;
        let clock = clock.unwrap_or_else(|| {
            let (sum, count) = reading.later;
            let unit = unit.unwrap_or_else(|| TimeUnit::of_spacing(sum / f64::max(count, 1.0)));
            Clock { origin: reading.first.at, zoned: reading.first.zoned, of_day, unit }
        });
        match (clock.of_day == of_day, clock.zoned == reading.first.zoned) {
            (false, _) => Err(Trouble::Day),
            (_, false) => Err(Trouble::Zone),
            _ => Ok(Calendar { form: reading.form, clock, with_time: reading.twelve.is_some() }),
        }
    }

    /// Returns whether the dates are numbers like 20210331.
    pub fn are_digits(&self) -> bool {
        let digits = |form| matches!(form, Form::EightDigits | Form::SixDigits);
        self.readings.iter().any(|reading| digits(reading.form))
    }
}

impl Reading {
    fn add(&mut self, text: &str) -> bool {
        let Some(moment) = self.form.read(text) else { return false };
        let mixed = matches!((self.twelve, moment.twelve), (Some(a), Some(b)) if a != b);
        if mixed || moment.zoned != self.first.zoned {
            return false;
        }
        let step = moment.at.duration_since(self.last.at).as_secs_f64();
        if step > 0.0 {
            self.later = (self.later.0 + step, self.later.1 + 1.0);
        }
        self.twelve = self.twelve.or(moment.twelve);
        self.last = moment;
        true
    }
}

/// How the dates of one table become times.
#[derive(Clone, Copy, Debug)]
pub struct Calendar {
    form: Form,
    pub clock: Clock,
    /// Whether dates have a time of day.
    with_time: bool,
}

impl Calendar {
    /// Returns the time of a date, or `None` if it does not have the form of the others.
    pub fn time(&self, date: &str) -> Option<f64> {
        let since = self.form.read(date)?.at.duration_since(self.clock.origin);
        Some(since.as_nanos() as f64 / (1e9 * self.clock.unit.seconds()))
    }

    /// Whether days on which the clocks are changed would count wrong: dates with times of day have no
    /// time zone.
    pub fn is_local(&self) -> bool {
        self.with_time && !self.clock.of_day && !self.clock.zoned
    }

    /// Whether dates are times of day, without a day.
    pub fn is_of_day(&self) -> bool {
        self.clock.of_day
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how dates are read, or the number of the date that cannot be.
    fn read(dates: &[&str], order: Option<DateOrder>) -> Result<Result<Calendar, Trouble>, usize> {
        let mut known = Dates::default();
        match dates.iter().position(|date| !known.add(date, order)) {
            Some(row) => Err(row),
            None => Ok(known.calendar(None, None)),
        }
    }

    #[test]
    fn dates_of_every_form_are_read() {
        for (dates, unit, times) in [
            (["2021-03-01T08:00:00", "2021-03-01T08:03:00"], TimeUnit::Minutes, 3.0),
            (["2021-03-01 08:00", "2021-03-01 20:00"], TimeUnit::Hours, 12.0),
            (["2021-02-28", "2021-03-01"], TimeUnit::Days, 1.0),
            (["2021-02-28 23:00", "2021-03-01"], TimeUnit::Hours, 1.0),
            (["2021/02/28 23:59:59.5", "2021/03/01"], TimeUnit::Seconds, 0.5),
            (["2021.02.28 8:00:00,25", "2021.02.28 8:00:00,5"], TimeUnit::Seconds, 0.25),
            (["2021-03-01T08:00:00Z", "2021-03-01T10:00:00+01:00"], TimeUnit::Hours, 1.0),
            (["2021-03-01 08:00:00+00:00", "2021-03-01 08:30 UTC"], TimeUnit::Minutes, 30.0),
            (["31.3.2021", "1.4.2021"], TimeUnit::Days, 1.0),
            (["1.3.2021", "1.4.2021"], TimeUnit::Days, 31.0),
            (["31/03/2021 8:00", "01/04/2021 8:00"], TimeUnit::Days, 1.0),
            (["3/31/2021 11:59:00 PM", "4/1/2021 12:01:00 am"], TimeUnit::Minutes, 2.0),
            (["12-31-2020", "01-01-2021"], TimeUnit::Days, 1.0),
            (["31-Mar-2021 08:00", "01-Apr-2021 08:00"], TimeUnit::Days, 1.0),
            (["Feb 28, 2020", "March 1, 2020"], TimeUnit::Days, 2.0),
            (["2021-Mar-31", "2021-Apr-01"], TimeUnit::Days, 1.0),
            (["Jan 2021", "Feb 2021"], TimeUnit::Days, 31.0),
            (["2021-02", "2021-03"], TimeUnit::Days, 28.0),
            (["20210228", "20210301"], TimeUnit::Days, 1.0),
            (["202112", "202201"], TimeUnit::Days, 31.0),
            (["08:00:00", "08:00:01.25"], TimeUnit::Seconds, 1.25),
            (["12:30 PM", "1:00 PM"], TimeUnit::Minutes, 30.0),
        ] {
            let calendar = read(&dates, None).expect(dates[0]).expect(dates[0]);
            assert_eq!(calendar.clock.unit, unit, "{dates:?}");
            assert_eq!(
                dates.map(|date| calendar.time(date)),
                [Some(0.0), Some(times)],
                "{dates:?}"
            );
            let named = Clock::of_name(&calendar.clock.name("when [local]"));
            assert_eq!(named, Some(calendar.clock), "{dates:?}");
        }
    }

    #[test]
    fn what_is_no_date_or_could_be_two_is_not_read() {
        for (dates, row) in [
            (["2021-03-01", "2021-13-01"], 1),
            (["2021-02-28", "2021-02-29"], 1),
            (["2021-03-01", "1.3.2021"], 1),
            (["2021-03-01T08:00", "2021-03-01T08:30Z"], 1),
            (["2021-03-01 11:00 AM", "2021-03-01 12:00"], 1),
            (["13/4/2021", "4/13/2021"], 1),
            (["20210301", "2021030"], 1),
            (["12:30", "24:30"], 1),
            (["1.2.2021.5", ""], 0),
            (["2.3.21", ""], 0),
            (["2021-03/01", ""], 0),
            (["2021-03-01 13:00 PM", ""], 0),
            (["2021-03-01 0:00 AM", ""], 0),
            (["2021-03-01T08:00+26:00", ""], 0),
            (["2021-03-01 08:00 Berlin", ""], 0),
            (["12345678", ""], 0),
            (["soon", ""], 0),
        ] {
            assert_eq!(read(&dates, None).map(drop), Err(row), "{dates:?}");
        }
    }

    #[test]
    fn days_and_months_that_cannot_be_told_apart_are_told_by_the_user() {
        let dates = ["2/3/2021", "3/4/2021"];
        assert_eq!(read(&dates, None).unwrap().err(), Some(Trouble::Ambiguous));
        for (order, days) in [(DateOrder::DayFirst, 32.0), (DateOrder::MonthFirst, 29.0)] {
            let calendar = read(&dates, Some(order)).unwrap().unwrap();
            assert_eq!(calendar.time(dates[1]), Some(days), "{order:?}");
            // A fraction of a second is none of the date.
            let dates = dates.map(|date| format!("{date} 8:00:00.5"));
            let dates = [&*dates[0], &*dates[1]];
            let calendar = read(&dates, Some(order)).unwrap().unwrap();
            assert_eq!(calendar.time(dates[1]), Some(days), "{order:?}");
        }
    }
}

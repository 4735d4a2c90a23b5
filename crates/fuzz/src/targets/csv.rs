//! Tables of `mnn discover`.
//!
//! Whatever the file, it is refused with a message that names it, or is a data set with consistent
//! arrays and increasing times, which written as a table is read back as it was.

use std::path::Path;

use arbitrary::{Result as Choice, Unstructured};
use mnn::csv::{self, Columns, Table};

use super::{Outcome, Target, ensure, machine};
use crate::entropy::{chance, number, word};

pub const TARGET: Target = Target {
    name: "csv",
    generate,
    run,
    samples: &[
        b"t,x,y\n0,1,2\n0.1,1.1,2.1\n0.2,1.3,2.2\n",
        b"\xef\xbb\xbftime [s];run;\"a \"\"b\"\"\"\r\n0;1;NaN\r\n\r\n1;1;-1e-3\r\n0;2;5\r\n",
        b"year\thare\tlynx\n1900\t30\t4\n1901\t47.2\t6.1\n1902\t70.2\t9.8\n",
    ],
    words: &["\"", "\"\"", ",", ";", "\t", "\n", "\r", "\r\n", "\0", "\u{feff}", "t", "NaN", "é"],
    tested: 60_000,
};

fn generate(u: &mut Unstructured<'_>) -> Choice<Vec<u8>> {
    let delimiter = *u.choose(&[",", ",", ";", "\t"])?;
    let end = *u.choose(&["\n", "\n", "\r\n", "\r"])?;
    let names =
        ["t", "time", "Year", "x", "y", "z", "x2", "run", "sin(x)", "a b", "T [K]", "1", ""];
    let columns = u.int_in_range(1..=5)?;
    let mut text = String::new();
    if chance(u, 1, 16)? {
        text.push('\u{feff}');
    }
    for column in 0..columns {
        let name = if column == 0 && !chance(u, 1, 8)? { "t".into() } else { word(u, &names)? };
        field(u, &mut text, column, delimiter, &name)?;
    }
    text += end;
    for row in 0..u.int_in_range(0..=12)? {
        let columns = if chance(u, 1, 50)? { u.int_in_range(0..=6)? } else { columns };
        for column in 0..columns {
            let value = if chance(u, 1, 30)? {
                word(
                    u,
                    &["", "NaN", "NA", "n/a", "null", "None", "inf", "-", "1,5", "0x1", "1e400"],
                )?
            } else if column == 0 && !chance(u, 1, 30)? {
                format!("{}", f64::from(row) * 0.5)
            } else {
                number(u, 1)?.to_string()
            };
            field(u, &mut text, column, delimiter, &value)?;
        }
        text += end;
        if chance(u, 1, 30)? {
            text += end;
        }
    }
    Ok(text.into_bytes())
}

fn field(
    u: &mut Unstructured<'_>,
    text: &mut String,
    column: i32,
    delimiter: &str,
    value: &str,
) -> Choice<()> {
    if column > 0 {
        *text += delimiter;
    }
    *text += &match u.int_in_range(0..=40)? {
        1 => format!("\"{value}\""),
        2 => format!(" {value} "),
        3 => format!("\"{value}"),
        _ => value.to_owned(),
    };
    Ok(())
}

fn run(input: &[u8], folder: &Path) -> Outcome {
    let path = folder.join("table.csv");
    std::fs::write(&path, input).map_err(machine)?;
    let with = |trajectory: Option<&str>| {
        let trajectory = trajectory.map(str::to_owned);
        csv::read(&[&path], &Columns { trajectory, ..Columns::default() })
    };
    let mut accepted = false;
    for read in [with(None), with(Some("run"))] {
        match read {
            Ok(table) => {
                accepted = true;
                check(&table, folder)?;
            }
            Err(error) => {
                let message = error.to_string();
                ensure(message.contains("table.csv:"), || format!("names no file: {message}"))?;
            }
        }
    }
    Ok(accepted)
}

fn check(table: &Table, folder: &Path) -> Result<(), String> {
    let dataset = &table.dataset;
    let k = dataset.states.len();
    ensure(k > 0 && !dataset.trajectories.is_empty(), || "no states or no trajectories".into())?;
    for trajectory in &dataset.trajectories {
        let (time, values) = (&trajectory.time, &trajectory.values);
        ensure(values.len() == time.len() * k, || "arrays of unequal lengths".into())?;
        ensure(time.windows(2).all(|pair| pair[0] < pair[1]), || "times do not increase".into())?;
        ensure(values.iter().all(|value| !value.is_infinite()), || "an infinite value".into())?;
    }
    let [trajectory] = dataset.trajectories.as_slice() else { return Ok(()) };
    let path = folder.join("again.csv");
    let header: Vec<String> =
        std::iter::once(&table.time_name).chain(&dataset.states).cloned().collect();
    let rows =
        trajectory.time.iter().zip(trajectory.values.chunks(k)).map(|(time, values)| {
            Ok(std::iter::once(*time).chain(values.iter().copied()).collect())
        });
    csv::write(&path, &header, rows).map_err(|error| format!("written: {error}"))?;
    let columns = Columns { time: Some(table.time_name.clone()), ..Columns::default() };
    let again = csv::read(&[&path], &columns).map_err(|error| format!("read back: {error}"))?;
    let bits = |values: &[f64]| -> Vec<u64> {
        // A missing value is a missing value, whichever NaN stands for it.
        values.iter().map(|v| if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() }).collect()
    };
    let read = &again.dataset.trajectories[0];
    let same = again.dataset.states == dataset.states
        && bits(&read.time) == bits(&trajectory.time)
        && bits(&read.values) == bits(&trajectory.values);
    ensure(same, || "read back: other values".into())
}

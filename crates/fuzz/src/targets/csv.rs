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
        b"Logger,3\n# door open\n,date,x,\n,,m,\n0,2021-03-01T08:00,1,\n1,2021-03-01T08:30,-9999,\n",
        b"sep=;\nwhen;T [\xb0C];note\n1.3.2021 8:00;1,5;a\n1.3.2021 8:00;2,5;\n2.3.2021;1;b\n",
        b"Date,Time,x\n3/31/2021,11:00 PM,\"1,234\"\n4/1/2021,1:00 AM,2\n",
        b"Logger\n#,t,x\n#1,0,1.5\n# door open\n#2,1,-2\n,,\n",
        b"\xff\xfet\0;\0x\0\n\0\x30\0;\0\x31\0\n\0",
    ],
    words: &[
        "#", "%", "sep=;\n", "sep=,", "2021-03-31", "31.3.2021", "3/4/2021", "8:00 PM", "20210331", "1,5",
        "1,234", "-9999", "\"", "\"\"", ",", ";", "\t", "|", "\n", "\r", "\r\n", "\0", "\u{feff}", "t", "NaN", "é",
    ],
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
    match u.int_in_range(0..=15)? {
        0 => text += &format!("sep={delimiter}{end}"),
        1 => text += &format!("# a comment{end}"),
        2 => text += &format!("Logger{delimiter}3{end}{end}"),
        3 => text += "# ",
        _ => {}
    }
    let (dates, comma) = (chance(u, 1, 6)?, delimiter != "," && chance(u, 1, 4)?);
    let form = u.int_in_range(0..=5)?;
    for column in 0..columns {
        let name = if column == 0 && !chance(u, 1, 8)? { "t".into() } else { word(u, &names)? };
        field(u, &mut text, column, delimiter, &name)?;
    }
    text += end;
    if chance(u, 1, 16)? {
        for column in 0..columns {
            field(u, &mut text, column, delimiter, "m/s")?;
        }
        text += end;
    }
    for row in 0..u.int_in_range(0..=12)? {
        let columns = if chance(u, 1, 50)? { u.int_in_range(0..=6)? } else { columns };
        for column in 0..columns {
            let value = if chance(u, 1, 30)? {
                word(
                    u,
                    &["", "NaN", "NA", "n/a", "null", "None", "inf", "-", "1,5", "0x1", "1e400"],
                )?
            } else if column == 0 && !chance(u, 1, 30)? {
                match dates {
                    // Now and then two rows have the same time.
                    false => format!("{}", f64::from(row / (1 + form / 5)) * 0.5),
                    true => date(form, row),
                }
            } else {
                let number = number(u, 1)?.to_string();
                if comma { number.replace('.', ",") } else { number }
            };
            field(u, &mut text, column, delimiter, &value)?;
        }
        text += end;
        if chance(u, 1, 30)? {
            text += end;
        }
    }
    match u.int_in_range(0..=31)? {
        0 => Ok(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        1 => {
            Ok([0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect())
        }
        // Windows-1252 has the letters of Latin-1 at their places.
        2 => Ok(text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()),
        _ => Ok(text.into_bytes()),
    }
}

/// Returns the date of a row in one of the forms that are read.
fn date(form: i32, row: i32) -> String {
    match form {
        0 => format!("2021-03-{:02}T08:{row:02}:00", row + 1),
        1 => format!("2021/3/{} 8:{row:02}", row + 10),
        2 => format!("3/{}/2021 8:{row:02} PM", row + 10),
        3 => format!("{}.03.2021 08:00:{row:02},5", row + 1),
        4 => format!("202103{:02}", row + 1),
        _ => format!("{} Mar 2021", row + 1),
    }
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
        let missing = vec!["-9999".to_owned(), "void".to_owned()];
        csv::read(&[&path], &Columns { trajectory, missing, ..Columns::default() })
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

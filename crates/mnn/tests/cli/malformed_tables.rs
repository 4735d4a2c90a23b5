//! Every kind of table that cannot be used: file, line and column are named, nothing is written.

use crate::{MISUSE, Workspace};

struct Case {
    name: &'static str,
    table: &'static [u8],
    arguments: &'static [&'static str],
    /// Of standard error, after `mnn: `.
    message: &'static str,
}

const fn case(name: &'static str, table: &'static [u8], message: &'static str) -> Case {
    Case { name, table, arguments: &[], message }
}

const CASES: &[Case] = &[
    case("empty", b"", "a.csv:1: the file is empty: a table has a header and rows"),
    case(
        "blank lines only",
        b"\n\n\n",
        "a.csv:1: the file is empty: a table has a header and rows",
    ),
    case("only a header", b"t,x\n", "a.csv:1: there are no rows below the header"),
    case(
        "no header",
        b"0,1\n1,2\n",
        "a.csv:1: the first row must name the columns, but holds numbers",
    ),
    case(
        "twice the same column",
        b"t,x,x\n0,1,2\n",
        "a.csv:1: columns 2 and 3 are both called `x`: rename one",
    ),
    case(
        "no time column",
        b"a,b\n0,1\n",
        "a.csv:1: no column is called t, time, year, ...; name it with --time (there are `a`, `b`)",
    ),
    case(
        "only a time column",
        b"t\n0\n",
        "a.csv:1: there is no column besides the time: no states",
    ),
    case("short row", b"t,x,y\n0,1,2\n1,2\n", "a.csv:3: expected 3 fields as in the header, got 2"),
    case(
        "long row",
        b"t,x\n0,1\n1,2,3\n",
        "a.csv:3: expected 2 fields as in the header, got 3: write one that has \
          a separator in it between quotation marks",
    ),
    case(
        "not a number",
        b"t,x\n0,1\n\n1,abc\n",
        "a.csv:4: column `x`: not a number: \"abc\" (--missing abc if it stands for a missing value)",
    ),
    case(
        "not a number on quoted lines",
        b"t,x\n\"0\n\",1\n1,abc\n",
        "a.csv:4: column `x`: not a number: \"abc\" (--missing abc if it stands for a missing value)",
    ),
    case(
        "not a number among carriage returns",
        b"t,x\r\n0,1\r\n1,1e\r\n",
        "a.csv:3: column `x`: not a number: \"1e\" (--missing 1e if it stands for a missing value)",
    ),
    case(
        "a quotation mark that nothing closes",
        b"t,x\n0,\"1\n1,2\n2,3\n3,4\n4,5\n5,6\n6,7\n7,8\n8,9\n",
        "a.csv:2: a quotation mark is opened in this line and never closed: close it, or write it \
          twice in a field between quotation marks",
    ),
    case(
        "a quotation mark in the header that nothing closes",
        b"t,\"x\n0,1\n",
        "a.csv:1: a quotation mark is opened in this line and never closed: close it, or write it \
          twice in a field between quotation marks",
    ),
    case(
        "a quotation mark that nothing closes after others that are",
        b"t,x,\"y \"\"z\"\"\"\n\"0\",1,2\"\n1,2,\"3\n\"\n2,3,4\n3,4,\"5\"\"\n4,5,6\n",
        "a.csv:6: a quotation mark is opened in this line and never closed: close it, or write it \
          twice in a field between quotation marks",
    ),
    case(
        "a name on two lines",
        b"t,\"x\ny\"\n0,1\n",
        "a.csv:1: column 2: \"x\\ny\" is not a name on one line",
    ),
    case(
        "blank lines before the header",
        b"\n\nt,x,x\n",
        "a.csv:3: columns 2 and 3 are both called `x`: rename one",
    ),
    case(
        "huge times",
        b"t,x\n1.5e300,1\n1e300,2\n",
        "a.csv:3: column `t`: time must not fall, but 1e300 follows 1.5e300 (sort the rows by \
          time; several trajectories need --trajectory)",
    ),
    case(
        "infinite",
        b"t,x\n0,1\n1,-inf\n",
        "a.csv:3: column `x`: not finite: \"-inf\" (a missing value is \
          empty, or named with --missing)",
    ),
    case(
        "overflow",
        b"t,x\n0,1\n1,1e999\n",
        "a.csv:3: column `x`: not finite: \"1e999\" (a missing value is \
          empty, or named with --missing)",
    ),
    case(
        "time missing",
        b"t,x\n0,1\n,2\n",
        "a.csv:3: column `t`: the time is missing: write it, or delete \
          the row",
    ),
    case(
        "time falls",
        b"t,x\n0,1\n2,2\n1.5,2\n",
        "a.csv:4: column `t`: time must not fall, but 1.5 follows 2 (sort the rows by time; \
          several trajectories need --trajectory)",
    ),
    case(
        "all missing",
        b"t,x\n0,\n1,NaN\n",
        "warning: a.csv: column `x` has no values, and is left out\nmnn: a.csv:1: no column but the time \
          holds numbers: no states",
    ),
    Case {
        name: "all missing in a column that was chosen",
        table: b"t,x,y\n0,1,\n1,2,NaN\n",
        arguments: &["--states", "x,y"],
        message: "a.csv:1: column `y`: every value is missing: choose other columns",
    },
    case(
        "UTF-8 that is marked so and is not",
        b"\xef\xbb\xbft,x\n0,1\n1,\xff2\n",
        "a.csv:3: character 3 of the line is not UTF-8 text: save the table as UTF-8",
    ),
    case(
        "half a character of UTF-16",
        b"\xff\xfet\0,\0x\0\n\0\x30",
        "a.csv:2: character 1 of the line is not UTF-16LE text: save the table as UTF-8",
    ),
    case(
        "a spreadsheet",
        b"PK\x03\x04\0\0",
        "a.csv:1: character 5 of the line is zero: this is no text (a spreadsheet must be saved as CSV)",
    ),
    case(
        "only comments",
        b"# only\n% comments\n",
        "warning: a.csv:1: 2 lines begin with # or % and are passed over\nmnn: a.csv:1: the file is empty: a table has a header and rows",
    ),
    case(
        "numbers above the header",
        b"0,1\n1,2\nt,x\n2,3\n",
        "a.csv:1: the first row must name the columns, but holds numbers",
    ),
    case(
        "a time without a name",
        b",x\n0,1\n1,2\n",
        "a.csv:1: no column is called t, time, year, ...; name it with --time (there are `x`); column 1 \
          has no name: if it is the time, write one above it",
    ),
    case(
        "words among numbers below a preamble and comments",
        b"Logger 3\n# door open\nt,x\ns,m\n0,1\n# closed\n1,1.2.3\n",
        "warning: a.csv:2: 2 lines begin with # or % and are passed over\nmnn: warning: a.csv:3: this is \
          the header; 1 line above it is passed over\nmnn: warning: a.csv:4: \
          this holds units or other words, and is passed over\nmnn: a.csv:7: column `x`: not a number: \
          \"1.2.3\" (--missing 1.2.3 if it stands for a missing value)",
    ),
    case(
        "words before numbers",
        b"t,x\n0,low\n1,2\n",
        "a.csv:2: column `x`: not a number: \"low\" (--missing low if it stands for a missing value)",
    ),
    case(
        "words alone",
        b"t,x\n0,low\n1,high\n",
        "warning: a.csv: column `x` holds text (\"low\"), and is left out\nmnn: a.csv:1: no column but \
          the time holds numbers: no states",
    ),
    case(
        "a comma that may be either",
        b"t;x\n0;1,234\n1;2,345\n",
        "a.csv:2: column `x`: \"1,234\": is this 1.234 or 1234? Pass --decimal comma for the former; \
          for the latter, write numbers without separators between thousands",
    ),
    case(
        "a comma between thousands, as fractions tell",
        b"t,x\n0,\"1,234\"\n1.5,2\n",
        "a.csv:2: column `x`: \"1,234\": is this 1.234 or 1234? Pass --decimal comma for the former; \
          for the latter, write numbers without separators between thousands",
    ),
    case(
        "commas between thousands",
        b"t;x\n0;1,234,567\n",
        "a.csv:2: column `x`: not a number: \"1,234,567\" (write numbers without separators between \
          thousands)",
    ),
    case(
        "points between thousands",
        b"t;x\n0;0,5\n1;1.234,5\n",
        "a.csv:3: column `x`: not a number: \"1.234,5\" (write numbers without separators between \
          thousands)",
    ),
    case(
        "a point between thousands, as fractions tell",
        b"t;x\n0;0,5\n1;1.234\n",
        "a.csv:3: column `x`: \"1.234\": line 2 writes fractions with a comma; write all numbers alike, \
          without separators between thousands",
    ),
    case(
        "decimal commas that separate fields",
        b"t,x\n0,1,5\n1,2,5\n",
        "a.csv:2: expected 2 fields as in the header, got 3: write one that has \
          a separator in it between quotation marks",
    ),
    case(
        "days or months first",
        b"date,x\n2/3/2021,1\n3/3/2021,2\n",
        "a.csv:2: column `date`: \"2/3/2021\": the day or the month may come first in all dates: pass \
          --date-order day-first or --date-order month-first",
    ),
    case(
        "dates of two forms",
        b"date,x\n2021-03-01,1\n\n1.3.2021,2\n",
        "a.csv:4: column `date`: no date like those before: \"1.3.2021\" (dates like 2021-03-31 08:00, \
          31.3.2021 8:00, 3/31/2021 8:00 AM, 31 Mar 2021, 08:00:00 are read, with years of four \
          digits)",
    ),
    case(
        "years of two digits",
        b"date,x\n31.3.21,1\n1.4.21,2\n",
        "a.csv:2: column `date`: not a number and no date: \"31.3.21\" (dates like 2021-03-31 08:00, \
          31.3.2021 8:00, 3/31/2021 8:00 AM, 31 Mar 2021, 08:00:00 are read, with years of four \
          digits)",
    ),
    case(
        "times of day on two days",
        b"time,x\n23:00,1\n01:00,2\n",
        "warning: a.csv: column `time` holds dates: times are seconds since 23:00:00 (--time-unit)\n\
          mnn: a.csv:3: column `time`: time must not fall, but -79200 follows 0 (times of more than one \
          day need a date in a column called date)",
    ),
    case(
        "a date in several columns",
        b"year,month,x\n2020,1,5\n2020,2,6\n",
        "a.csv:3: column `year`: the time is that of the row before, and there is `month`: write all of \
          the time into one column, or choose with --time and --states",
    ),
    case(
        "subjects without --trajectory",
        b"t,subject,x\n0,ann,1\n0,bob,2\n",
        "warning: a.csv: column `subject` holds text (\"ann\"), and is left out\nmnn: a.csv:3: column \
          `subject`: two rows have the same time; is one of another trajectory (--trajectory subject), \
          or not (--states, without subject)?",
    ),
    case(
        "numbered runs without --trajectory",
        b"t,run,x\n0,1,1\n0,2,2\n",
        "a.csv:3: column `run`: two rows have the same time; is one of another trajectory (--trajectory \
          run), or not (--states, without run)?",
    ),
    case(
        "a run that begins like a comment, and what is no number",
        b"t,run,x\n0,#1,1\n\n%,1,1\n#,2,1\n1,#1,#NV!\n",
        "warning: a.csv:4: 2 lines begin with # or % and are passed over\nmnn: a.csv:6: column `x`: not a \
          number: \"#NV!\" (--missing #NV! if it stands for a missing value)",
    ),
    case(
        "rows that begin like comments",
        b"x,t\n######,0\n1,2\n",
        "a.csv:2: column `x`: not a number: \"######\" (--missing ###### if it stands for a missing value)",
    ),
    case(
        "a day that is no date beside times of day",
        b"Date,Time,x\n1.3.21,22:00,1\n2.3.21,02:00,2\n",
        "a.csv:2: column `Date`: \"1.3.21\" is no date that the time of day in `Time` could belong to: \
          write one like 2021-03-31, with a year of four digits, or choose with --states",
    ),
    case(
        "a number of a day beside times of day",
        b"x,Day,Zeit\n1,1,\n2,1,02:00\n",
        "a.csv:3: column `Day`: \"1\" is no date that the time of day in `Zeit` could belong to: write \
          one like 2021-03-31, with a year of four digits, or choose with --states",
    ),
    case(
        "lines that end with carriage returns",
        b"t,x\r0,1\r\r1,1e\r",
        "a.csv:4: column `x`: not a number: \"1e\" (--missing 1e if it stands for a missing value)",
    ),
    case(
        "a zero in lines that end with carriage returns",
        b"t,x\r0,1\r1,\0\r",
        "a.csv:3: character 3 of the line is zero: this is no text (a spreadsheet must be saved as CSV)",
    ),
    Case {
        name: "unknown time below a preamble",
        table: b"Logger 3\nt,x\n0,1\n",
        arguments: &["--time", "when"],
        message: "warning: a.csv:2: this is the header; 1 line above it is passed over\nmnn: a.csv:2: no \
                  column `when`; there are `t`, `x`",
    },
    case(
        "unknown time below a preamble without a name that is known",
        b"Logger 3\nrate;20 Hz\nwhen;x\n0;1\n",
        "warning: a.csv:3: this is the header; 2 lines above it are passed over\nmnn: a.csv:3: no column \
          is called t, time, year, ...; name it with --time (there are `when`, `x`)",
    ),
    case(
        "a temperature for the time",
        b"T [C],x\n0,1\n",
        "a.csv:1: no column is called t, time, year, ...; name it with --time (there are `T [C]`, `x`)",
    ),
    case(
        "neighboring times fall",
        b"t,x\n1700000000.25,1\n1700000000.125,2\n",
        "a.csv:3: column `t`: time must not fall, but 1700000000.125 follows 1700000000.25 (sort the \
          rows by time; several trajectories need --trajectory)",
    ),
    Case {
        name: "words in a column that was chosen",
        table: b"t,x\n0,low\n1,high\n",
        arguments: &["--states", "x"],
        message: "a.csv:2: column `x`: not a number: \"low\" (--missing low if it stands for a missing \
                  value)",
    },
    Case {
        name: "words in an input",
        table: b"t,x,u\n0,1,on\n1,2,off\n",
        arguments: &["--inputs", "u"],
        message: "a.csv:2: column `u`: not a number: \"on\" (--missing on if it stands for a missing \
                  value)",
    },
    Case {
        name: "a unit of times that are numbers",
        table: b"t,x\n0,1\n",
        arguments: &["--time-unit", "hours"],
        message: "a.csv:2: column `t`: the times are numbers, for which --time-unit has no meaning",
    },
    Case {
        name: "an order of dates that are none",
        table: b"t,x\n0,1\n",
        arguments: &["--date-order", "day-first"],
        message: "a.csv:2: column `t`: the times are numbers, for which --date-order has no meaning",
    },
    Case {
        name: "a decimal character that is another",
        table: b"t,x\n0,1\n0.5,2\n",
        arguments: &["--decimal", "comma"],
        message: "a.csv:3: column `t`: \"0.5\": --decimal says that fractions have a comma; numbers \
                  are read without separators between thousands",
    },
    Case {
        name: "unknown time",
        table: b"t,x\n0,1\n",
        arguments: &["--time", "when"],
        message: "a.csv:1: no column `when`; there are `t`, `x`",
    },
    Case {
        name: "unknown trajectory",
        table: b"t,x\n0,1\n",
        arguments: &["--trajectory", "run"],
        message: "a.csv:1: no column `run`; there are `t`, `x`",
    },
    Case {
        name: "unknown state",
        table: b"t,x\n0,1\n",
        arguments: &["--states", "x,y"],
        message: "a.csv:1: no column `y`; there are `t`, `x`",
    },
    Case {
        name: "time as a state",
        table: b"t,x\n0,1\n",
        arguments: &["--states", "x,t"],
        message: "a.csv:1: column `t`: cannot be a state: it is the time column",
    },
    Case {
        name: "a state twice",
        table: b"t,x\n0,1\n",
        arguments: &["--states", "x,x"],
        message: "a.csv:1: column `x`: cannot be a state: it is already a state",
    },
    Case {
        name: "trajectory as a state",
        table: b"t,x,run\n0,1,1\n",
        arguments: &["--states", "x,run", "--trajectory", "run"],
        message: "a.csv:1: column `run`: cannot be a state: it is the trajectory column",
    },
    Case {
        name: "time as the trajectory",
        table: b"t,x\n0,1\n",
        arguments: &["--trajectory", "t"],
        message: "a.csv:1: column `t`: is both the time and the trajectory column",
    },
    Case {
        name: "trajectory without a name",
        table: b"t,x,run\n0,1,a\n1,1,\n",
        arguments: &["--trajectory", "run"],
        message: "a.csv:3: column `run`: a trajectory needs a name",
    },
    Case {
        name: "time falls within a trajectory",
        table: b"t,x,run\n0,1,a\n0,1,b\n1,1,a\n-1,1,b\n",
        arguments: &["--trajectory", "run"],
        message: "a.csv:5: column `t`: time must not fall, but -1 follows 0 (sort the rows of each \
          trajectory by time)",
    },
];

#[test]
fn each_gets_its_message() {
    let mut wrong = Vec::new();
    for case in CASES {
        let workspace = Workspace::new();
        workspace.write("a.csv", case.table);
        let outputs = ["discover", "a.csv", "--plot", "p.svg", "--output", "o.csv", "--save", "m"];
        let run = workspace.run(&[&outputs[..], case.arguments].concat());
        if run.stderr != format!("mnn: {}\n", case.message) {
            wrong.push(format!("{}: {}", case.name, run.stderr));
        }
        assert_eq!((run.code, run.stdout.as_str()), (MISUSE, ""), "{}", case.name);
        assert_eq!(workspace.files(), ["a.csv"], "{}", case.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Comparing each of 60 000 columns with all others would take a minute; naming all of them in a
/// message, a screenful of screens.
#[test]
fn a_table_of_very_many_columns_is_refused_quickly() {
    let workspace = Workspace::new();
    let names: Vec<String> = (0..60_000).map(|k| format!("some_long_name_of_column_{k}")).collect();
    let row = |i: usize| format!("{i}{}\n", format!(",{i}").repeat(names.len()));
    let table: String = (0..4).map(row).collect();
    workspace.write("a.csv", format!("t,{}\n{table}", names.join(",")));
    let begin = std::time::Instant::now();
    let run = workspace.run(&["discover", "a.csv", "a.csv", "-q"]).expect(MISUSE);
    assert!(run.stderr.starts_with("mnn: --degree: 1 in 60000 variables"), "{}", run.stderr);
    let run = workspace.run(&["discover", "a.csv", "--time", "when"]).expect(MISUSE);
    assert!(run.stderr.contains(" and 59981 more") && run.stderr.len() < 1000, "{}", run.stderr);
    assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
}

#[test]
fn the_second_file_must_have_the_states_of_the_first() {
    let workspace = Workspace::new();
    workspace.write("a.csv", "t,x,y\n0,1,2\n1,1,2\n").write("b.csv", "t,x\n0,1\n");
    let run = workspace.run(&["discover", "a.csv", "b.csv"]).expect(MISUSE);
    assert_eq!(run.stderr, "mnn: b.csv:1: no column `y`; there are `t`, `x`\n");
}

/// What is refused in the first file is refused in a later one.
#[test]
fn the_order_of_files_decides_nothing() {
    let workspace = Workspace::new();
    workspace
        .write("good.csv", "t,subject,run,x\n0,ann,1,1\n1,ann,1,2\n")
        .write("subjects.csv", "t,subject,run,x\n0,ann,1,1\n0,bob,1,2\n")
        .write("runs.csv", "t,subject,run,x\n0,ann,1,1\n0,ann,2,2\n");
    for (file, column) in [("subjects.csv", "subject"), ("runs.csv", "run")] {
        for files in [[file, "good.csv"], ["good.csv", file]] {
            let run = workspace.run(&["discover", files[0], files[1]]).expect(MISUSE);
            let message = format!(
                "mnn: {file}:3: column `{column}`: two rows have the same time; is one of another \
                 trajectory (--trajectory {column}), or not (--states, without {column})?\n"
            );
            assert!(run.stderr.ends_with(&message), "{}", run.stderr);
        }
    }
}

#[test]
fn the_times_of_all_files_must_be_of_one_kind() {
    let workspace = Workspace::new();
    workspace
        .write("a.csv", "t,x\n0,1\n")
        .write("b.csv", "t,x\n2021-03-01,1\n")
        .write("c.csv", "t,x\n2021-03-01T08:00Z,1\n")
        .write("d.csv", "t,x\n08:00,1\n");
    for (files, message) in [
        (["a.csv", "b.csv"], "the times are dates, those of the first file are numbers"),
        (["b.csv", "a.csv"], "the times are numbers, those of the first file are dates"),
        (
            ["b.csv", "c.csv"],
            "\"2021-03-01T08:00Z\": either all dates must have a time zone, or none, in all files",
        ),
        (
            ["b.csv", "d.csv"],
            "\"08:00\": either all times must be times of day, or none, in all files",
        ),
    ] {
        let run = workspace.run(&["discover", files[0], files[1]]).expect(MISUSE);
        let expected = format!("mnn: {}:2: column `t`: {message}\n", files[1]);
        assert!(run.stderr.ends_with(&expected), "{}", run.stderr);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let workspace = Workspace::new();
    let run = workspace.run(&["discover", "absent.csv"]).expect(MISUSE);
    assert_eq!(run.stderr, "mnn: absent.csv: No such file or directory (os error 2)\n");
    let run = workspace.run(&["discover", "."]).expect(MISUSE);
    assert!(run.stderr.starts_with("mnn: .: "), "{}", run.stderr);
}

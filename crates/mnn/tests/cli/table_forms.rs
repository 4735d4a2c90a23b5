//! Tables as spreadsheets, loggers and people write them.

use mnn::csv::{self, Columns, DateOrder, Decimal, Table, TimeUnit};

use crate::{DONE, MISUSE, Workspace, repository};

const NAN: f64 = f64::NAN;

fn read(bytes: &[u8], columns: &Columns) -> Table {
    let workspace = Workspace::new();
    workspace.write("a.csv", bytes);
    csv::read(&[workspace.path("a.csv")], columns)
        .unwrap_or_else(|error| panic!("{error} in\n{}", String::from_utf8_lossy(bytes)))
}

/// Checks what is read of the only trajectory.
#[track_caller]
fn expect(bytes: &[u8], columns: &Columns, states: &[&str], times: &[f64], values: &[f64]) {
    let table = read(bytes, columns);
    let [trajectory] = &table.dataset.trajectories[..] else { panic!("{table:?}") };
    assert_eq!((&table.dataset.states[..], &trajectory.time[..]), (&strings(states)[..], times));
    let same = |(a, b): (&f64, &f64)| a == b || a.is_nan() && b.is_nan();
    let same = trajectory.values.iter().zip(values).all(same);
    assert!(same && trajectory.values.len() == values.len(), "{:?}", trajectory.values);
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn utf_16(text: &str, little: bool) -> Vec<u8> {
    let bytes = |unit: u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() };
    text.encode_utf16().flat_map(bytes).collect()
}

#[test]
fn one_table_has_many_forms() {
    let forms: [&[u8]; 39] = [
        b"t,x\n0,1.5\n1,-2\n",
        b"\xef\xbb\xbft,x\n0,1.5\n1,-2\n",
        b"t;x\r\n0;1,5\r\n1;-2\r\n",
        b"t\tx\n0,0\t1,5\n1,0\t-2,0\n",
        b"t|x\n0|1.5\n1|-2\n",
        b"t,x\n\"0\",\"1,5\"\n1,-2\n",
        b"sep=;\nt;x\n0;1.5\n1;-2\n",
        b"sep=^\nt^x\n0^1,5\n1^-2\n",
        b"# logger 3, 20 Hz\n% seen\n\nt,x\n0,1.5\n# the \"door\" was opened\n1,-2\n",
        b"# t,x\n0,1.5\n1,-2\n",
        b"Logger 3\nrate,20\nfrom;to\n\nt,x\n0,1.5\n1,-2\n",
        b"t,x\ns,m/s\n0,1.5\n1,-2\n",
        b"t,x\n,m/s\n0,1.5\n1,-2\n",
        b"TOA5,Station\nt,x\ns,m\n,Avg\n0,1.5\n1,-2\n",
        b",t,x\n0,0,1.5\n1,1,-2\n",
        b"Unnamed: 0,t,x\n0,0,1.5\n1,1,-2\n",
        b"t,x\n0,1.5,\n1,-2,\n",
        b"t,x,\n0,1.5,\n1,-2,\n",
        b"t,x,,\n0,1.5,,\n1,-2,,\n",
        b"t,x,,\n0,1.5\n1,-2\n",
        b"t,x,remark\n0,1.5,begins\n1,-2,\n",
        b"t,x,when\n0,1.5,2021-03-01\n1,-2,2021-03-02\n",
        b"t,x,y\n0,1.5,\n1,-2,\n",
        b"t,x\n0,1.5\n1,-2\n,\n,,,\n  \n\"\",\n",
        b",,\nLogger 3,,\n  \nt,x,\n,,\n0,1.5,\n1,-2,\n",
        b"Logger 3\n#,t,x\n1,0,1.5\n2,1,-2\n",
        b"#,t,x\n#1,0,1.5\n#2,1,-2\n",
        b"t,x\ns,1\n0,1.5\n1,-2\n",
        b"Time\n08:00\nt,x\n0,1.5\n1,-2\n",
        b"t,x\r0,1.5\r1,-2\r",
        b"t,x\n#NAN means that a sensor was off\n0,1.5\n1,-2\n",
        &[&b"# comment\n".repeat(200)[..], b"t,x\n0,1.5\n1,-2\n"].concat(),
        b"\"t\",\"x\"\n\"0\",\"1.5\"\n\"1\",\"-2\"\n",
        b"t,x\n0,1\n0,2\n1,-3\n1,-1\n",
        b"t,x\n0,1.5\n0,NA\n1,\n1,-2\n",
        &[&b"\xff\xfe"[..], &utf_16("t,x\n0,1.5\n1,-2\n", true)].concat(),
        &[&b"\xfe\xff"[..], &utf_16("t,x\n0,1.5\n1,-2\n", false)].concat(),
        &utf_16("t,x\n0,1.5\n1,-2\n", true),
        &utf_16("t,x\n0,1.5\n1,-2\n", false),
    ];
    for form in forms {
        expect(form, &Columns::default(), &["x"], &[0.0, 1.0], &[1.5, -2.0]);
    }
}

#[test]
fn names_hold_what_separates_others_and_letters_of_windows() {
    let columns = Columns::default();
    expect(b"t;p, abs\n0;1\n1;2\n", &columns, &["p, abs"], &[0.0, 1.0], &[1.0, 2.0]);
    expect(b"t,T [\xb0C]\n0,1\n1,2\n", &columns, &["T [°C]"], &[0.0, 1.0], &[1.0, 2.0]);
}

#[test]
fn missing_values_have_many_words_and_those_that_are_given() {
    let text = "t,x\n0,-\n1,N/A\n2,#N/A\n3,?\n4,Missing\n5,-9999\n6,gone\n7,-9999.0\n8,1\n";
    let missing = strings(&["-9999", "gone"]);
    let times = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    let values = [NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, 1.0];
    let columns = Columns { missing, ..Columns::default() };
    expect(text.as_bytes(), &columns, &["x"], &times, &values);
    // The time is zero all the same, and a row that begins so is no comment.
    let columns = Columns { missing: strings(&["0"]), ..Columns::default() };
    let text = b"x,t\n#N/A,0\n0,1\n2,2\n";
    expect(text, &columns, &["x"], &[0.0, 1.0, 2.0], &[NAN, NAN, 2.0]);
}

#[test]
fn commas_are_what_the_table_or_the_user_says() {
    let text = b"t;x\n0;1,234\n1;2,5\n";
    expect(text, &Columns::default(), &["x"], &[0.0, 1.0], &[1.234, 2.5]);
    let columns = Columns { decimal: Some(Decimal::Comma), ..Columns::default() };
    expect(b"t;x\n0;1,234\n1;2\n", &columns, &["x"], &[0.0, 1.0], &[1.234, 2.0]);
}

#[test]
fn dates_are_times_since_the_first() {
    let text = b"date,x\n2021-03-01T08:00,1\n2021-03-01T08:30,2\n2021-03-01T11:00,3\n";
    for (time_unit, name, times) in [
        (None, "date [hours since 2021-03-01T08:00:00]", [0.0, 0.5, 3.0]),
        (Some(TimeUnit::Minutes), "date [minutes since 2021-03-01T08:00:00]", [0.0, 30.0, 180.0]),
        (Some(TimeUnit::Days), "date [days since 2021-03-01T08:00:00]", [0.0, 0.5 / 24.0, 0.125]),
    ] {
        let table = read(text, &Columns { time_unit, ..Columns::default() });
        let time = &table.dataset.trajectories[0].time[..];
        assert_eq!((&table.time_name[..], time), (name, &times[..]));
    }
    let text = b"date,x\n2/3/2021,1\n3/3/2021,2\n";
    for (order, days) in [(DateOrder::DayFirst, 1.0), (DateOrder::MonthFirst, 28.0)] {
        let columns = Columns { date_order: Some(order), ..Columns::default() };
        expect(text, &columns, &["x"], &[0.0, days], &[1.0, 2.0]);
    }
    // A day and a time of day in columns of their own.
    let text = b"Date,Time,x\n01.03.2021,22:00,1\n02.03.2021,02:00,2\n";
    expect(text, &Columns::default(), &["x"], &[0.0, 4.0], &[1.0, 2.0]);
    let text = b"Datum;Zeit;x\n01.03.2021;22:00;1\n02.03.2021;02:00;2\n";
    expect(text, &Columns::default(), &["x"], &[0.0, 4.0], &[1.0, 2.0]);
    let text = b"date,x\n2/3/2021 8:00:00.5,1\n3/3/2021 8:00:00.5,2\n";
    let time_unit = Some(TimeUnit::Days);
    for (order, days) in [(DateOrder::DayFirst, 1.0), (DateOrder::MonthFirst, 28.0)] {
        let columns = Columns { date_order: Some(order), time_unit, ..Columns::default() };
        expect(text, &columns, &["x"], &[0.0, days], &[1.0, 2.0]);
    }
    // Numbers that look like dates, where the name or the user says so.
    let text = b"t,x\n200001,1\n200002,2\n";
    expect(text, &Columns::default(), &["x"], &[200_001.0, 200_002.0], &[1.0, 2.0]);
    let columns = Columns { time_unit, ..Columns::default() };
    expect(text, &columns, &["x"], &[0.0, 31.0], &[1.0, 2.0]);
    // Numbers that look like dates in all rows, and in some.
    let text = b"day,x\n20210228,1\n20210301,2\n";
    expect(text, &Columns::default(), &["x"], &[0.0, 1.0], &[1.0, 2.0]);
    let text = b"t,x\n20210228,1\n20210230,2\n";
    expect(text, &Columns::default(), &["x"], &[20_210_228.0, 20_210_230.0], &[1.0, 2.0]);
}

#[test]
fn later_files_have_the_clock_and_the_columns_of_the_first() {
    let workspace = Workspace::new();
    workspace
        .write("a.csv", "date,x,note\n2021-03-01,1,a\n2021-03-02,2,\n")
        .write("b.csv", "date;note;x\n5.3.2021 12:00;b;1,5\n6.3.2021 12:00;;2\n");
    let files = ["a.csv", "b.csv"].map(|name| workspace.path(name));
    let table = csv::read(&files, &Columns::default()).unwrap();
    assert_eq!(table.time_name, "date [days since 2021-03-01T00:00:00]");
    assert_eq!(table.dataset.states, ["x"]);
    assert_eq!(table.dataset.trajectories[1].time, [4.5, 5.5]);
}

/// Everything that is passed over, left out or averaged is said.
#[test]
fn nothing_is_passed_over_in_silence() {
    let workspace = Workspace::new();
    let rows: String = (0..40).map(|i| row(i, ",", ",a,,7")).collect();
    let table = format!("Logger\nt,x,y,note,none,\ns,m,m,,,\n0,0,1,,,\n{rows}");
    workspace.write("a.csv", [table.as_bytes(), b"# \xb0\n"].concat());
    let run = workspace
        .run(&["discover", "a.csv", "-q", "--degree", "1", "--missing", "gone,NA"])
        .expect(DONE);
    let warnings = [
        "a.csv: this is not UTF-8 text, and is read as Windows-1252",
        "a.csv:45: 1 line begins with # or % and is passed over",
        "a.csv:2: this is the header; 1 line above it is passed over",
        "a.csv:3: this holds units or other words, and is passed over",
        "a.csv: column 6 has no name, and is left out",
        "a.csv: column `note` holds text (\"a\"), and is left out",
        "a.csv: column `none` has no values, and is left out",
        "a.csv:5: 1 row has the time of the row before: values at the same time are averaged (several \
         trajectories need --trajectory)",
        "--missing gone: no value is so (repeat the flag to name several)",
    ];
    let lines: Vec<&str> = run.stderr.lines().collect();
    let expected: Vec<String> =
        warnings.iter().map(|warning| format!("mnn: warning: {warning}")).collect();
    assert_eq!(lines[..expected.len().min(lines.len())], expected, "{}", run.stderr);
}

/// Returns a row of an oscillation, a tenth of its time apart.
fn row(i: u32, separator: &str, rest: &str) -> String {
    let t = f64::from(i) * 0.1;
    [format!("{t}"), format!("{}", t.sin()), format!("{}", t.cos())].join(separator) + rest + "\n"
}

/// An oscillation, a row every three minutes, with readings that failed.
fn logged(from: u32) -> String {
    let row = |i: u32| {
        let (t, minutes) = (f64::from(i) * 0.1, 3 * (i - from));
        let date = format!("01.03.2021 {:02}:{:02}", minutes / 60, minutes % 60);
        let x = if i % 9 == 4 { -9999.0 } else { t.sin() };
        let note = if i == from + 3 { "checked" } else { "" };
        format!("{};{date};{};{note}\r\n", i - from, format!("{x};{}", t.cos()).replace('.', ","))
    };
    let rows: String = (from..from + 120).map(row).collect();
    format!(";when;x;y;note\r\n{rows}")
}

#[test]
fn a_log_is_read_with_the_flags_that_say_what_it_holds() {
    let workspace = Workspace::new();
    workspace.write("log.csv", logged(0)).write("other.csv", logged(7));
    let search = ["discover", "log.csv", "-q", "--degree", "1", "--time", "when"];
    let search = [&search[..], &["--missing", "-9999,void"]].concat();
    let save = ["-o", "o.csv", "--save", "model", "--plot", "p.svg"];
    let run = workspace.run(&[&search[..], &save].concat()).expect(DONE);
    for warning in [
        "log.csv: column `when` holds dates: times are minutes since 2021-03-01T00:00:00 (--time-unit); \
         without a time zone, dates have no daylight saving time",
        "log.csv: column 1 has no name, and is left out",
        "log.csv: column `note` holds text (\"checked\"), and is left out",
    ] {
        assert!(run.stderr.contains(&format!("mnn: warning: {warning}\n")), "{}", run.stderr);
    }
    // A tenth of the oscillation's time in three minutes.
    let equations: Vec<&str> = run.stdout.lines().collect();
    assert!(
        equations[0].starts_with("x' = 0.0333") && equations[0].ends_with(" y"),
        "{}",
        run.stdout
    );
    assert_eq!(equations.len(), 2, "{}", run.stdout);
    let written = std::fs::read_to_string(workspace.path("o.csv")).unwrap();
    assert!(written.starts_with("when [minutes since 2021-03-01T00:00:00],"), "{written}");
    let run = workspace.run(&[&search[..], &["--time-unit", "hours"]].concat()).expect(DONE);
    assert!(run.stdout.contains("x' = 2.00") || run.stdout.contains("x' = 1.99"), "{}", run.stdout);
    assert!(!run.stderr.contains("--time-unit"), "{}", run.stderr);

    // A prediction counts dates as the model does.
    let predict = ["predict", "model", "other.csv", "--time", "when", "--missing", "-9999"];
    let run = workspace.run(&[&predict[..], &["-o", "p.csv"]].concat()).expect(DONE);
    assert_eq!(run.stdout, "x: R^2 = 1.000000\ny: R^2 = 1.000000\n");
    let written = std::fs::read_to_string(workspace.path("p.csv")).unwrap();
    assert!(written.starts_with("when [minutes since 2021-03-01T00:00:00],"), "{written}");
    let run = workspace.run(&[&predict[..], &["--time-unit", "hours"]].concat()).expect(MISUSE);
    let message = "mnn: --time-unit: the times of the model are minutes, got hours\n";
    assert_eq!(run.stderr, message);
    let rows: String = (0..20).map(|i| row(i, ",", "")).collect();
    workspace.write("a.csv", format!("t,x,y\n{rows}"));
    let run = workspace.run(&["predict", "model", "a.csv"]).expect(DONE);
    let warning = "mnn: warning: the times `t` are numbers, and are taken as minutes since \
                   2021-03-01T00:00:00\n";
    assert!(run.stderr.contains(warning), "{}", run.stderr);
}

#[test]
fn dates_need_the_unit_of_a_model_without_one() {
    let workspace = Workspace::new();
    let rows: String = (0..60).map(|i| row(i, ",", "")).collect();
    workspace.write("a.csv", format!("t,x,y\n{rows}")).write("log.csv", logged(0));
    let search = ["discover", "a.csv", "-q", "--degree", "1", "--save", "model"];
    workspace.run(&search).expect(DONE);
    let predict = ["predict", "model", "log.csv", "--time", "when", "--missing", "-9999"];
    let run = workspace.run(&predict).expect(MISUSE);
    let message = "mnn: --time-unit: the times are dates, those of the model (`t`) are not: in which \
                   unit are they?\n";
    assert!(run.stderr.ends_with(message), "{}", run.stderr);
    let run = workspace.run(&[&predict[..], &["--time-unit", "hours"]].concat()).expect(DONE);
    assert!(run.stdout.starts_with("x: "), "{}", run.stdout);
}

#[test]
fn flags_with_impossible_values_are_refused() {
    let workspace = Workspace::new();
    for (flag, value, possible) in [
        ("--time-unit", "fortnights", "seconds, minutes, hours, days, weeks, years"),
        ("--date-order", "year-first", "day-first, month-first"),
        ("--decimal", "apostrophe", "point, comma"),
    ] {
        let run = workspace.run(&["discover", "a.csv", flag, value]).expect(MISUSE);
        assert!(run.stderr.contains(&format!("[possible values: {possible}]")), "{}", run.stderr);
    }
}

#[test]
fn short_subjects_are_left_out_with_a_warning() {
    let workspace = Workspace::new();
    let rows = |id: &str, count: u32| -> String {
        (0..count).map(|i| format!("{id},{}", row(i, ",", ""))).collect()
    };
    let table =
        ["id,t,x,y\n", &rows("a", 3), &rows("b", 60), &rows("c", 2), &rows("d", 60)].concat();
    workspace.write("a.csv", table);
    let search = ["discover", "a.csv", "-q", "--trajectory", "id", "--degree", "1"];
    let run = workspace.run(&search).expect(DONE);
    let warning = "mnn: warning: 2 trajectories with fewer than 4 values of a state are left out: \"a\" of \
                   a.csv, \"c\" of a.csv\n";
    assert!(run.stderr.contains(warning), "{}", run.stderr);

    // They may be all of a file.
    let table = |count| -> String { (0..count).map(|i| row(i, ",", "")).collect() };
    for (name, count) in [("long.csv", 60), ("longer.csv", 70), ("short.csv", 3)] {
        workspace.write(name, format!("t,x,y\n{}", table(count)));
    }
    // A column without a value in one file is a state all the same.
    let empty: String = (0..60).map(|i| format!("{i},1,\n")).collect();
    workspace.write("empty.csv", format!("t,x,y\n{empty}"));
    for (file, files) in [
        ("short.csv", ["short.csv", "long.csv", "longer.csv"]),
        ("short.csv", ["long.csv", "short.csv", "longer.csv"]),
        ("empty.csv", ["long.csv", "longer.csv", "empty.csv"]),
    ] {
        let run = workspace.run(&[&["discover", "-q", "--degree", "1"][..], &files].concat());
        let warning = format!(
            "mnn: warning: 1 trajectory with fewer than 4 values of a state is left out: {file}\n"
        );
        assert!(run.stderr.contains(&warning), "{}", run.stderr);
        run.expect(DONE);
    }
}

#[test]
fn decimal_commas_are_no_separators_of_missing_values() {
    let workspace = Workspace::new();
    let missing = |i: u32| if i % 9 == 4 { ";-99,9\n" } else { ";1\n" };
    let rows: String = (0..60)
        .map(|i| row(i, ";", "").replace('.', ",").trim_end().to_owned() + missing(i))
        .collect();
    workspace.write("a.csv", format!("t;x;y;z\n{rows}"));
    let search = ["discover", "a.csv", "--degree", "1", "--missing", "-99,9"];
    let run = workspace.run(&search).expect(DONE);
    assert!(run.stderr.contains(", 7 values missing"), "{}", run.stderr);
    assert!(!run.stderr.contains("--missing"), "{}", run.stderr);
}

#[test]
fn points_that_may_separate_thousands_are_said() {
    let workspace = Workspace::new();
    for (table, read) in [
        ("t;x\n0;999\n1;1.000\n2;1.001\n", "\"1.000\" is read as a fraction, and not as 1000"),
        ("t;x\n0;999\n1;1.000\n2;1.0\n", ""),
        ("t;x\n0;999\n1;1.000\n2;0.999\n", ""),
        ("t,x\n0,999\n1,1.000\n2,1.001\n", ""),
    ] {
        workspace.write("a.csv", table);
        let run = workspace.run(&["discover", "a.csv", "-q"]);
        assert_eq!(run.stderr.contains("fraction"), !read.is_empty(), "{}", run.stderr);
        let warning = format!("mnn: warning: a.csv:3: column `x`: {read}");
        assert!(read.is_empty() || run.stderr.contains(&warning), "{}", run.stderr);
        let run = workspace.run(&["discover", "a.csv", "-q", "--decimal", "point"]);
        assert!(!run.stderr.contains("fraction"), "{}", run.stderr);
    }
}

#[test]
fn names_that_a_program_made_up_can_be_asked_for() {
    let text = b"Unnamed: 0,x,Unnamed: 2\n0,1,5\n1,2,6\n";
    let columns = Columns { time: Some("Unnamed: 0".to_owned()), ..Columns::default() };
    expect(text, &columns, &["x"], &[0.0, 1.0], &[1.0, 2.0]);
    let columns = Columns { states: strings(&["Unnamed: 2"]), ..columns };
    expect(text, &columns, &["Unnamed: 2"], &[0.0, 1.0], &[5.0, 6.0]);
}

/// A state may be called like a time where another column is it.
#[test]
fn a_temperature_is_no_part_of_the_time() {
    let text = b"minutes,T,x\n0,1,2\n0,3,4\n1,5,6\n";
    expect(text, &Columns::default(), &["T", "x"], &[0.0, 1.0], &[2.0, 3.0, 5.0, 6.0]);
    let text = b"T [C],Zeit,x\n1,0,2\n3,1,4\n";
    expect(text, &Columns::default(), &["T [C]", "x"], &[0.0, 1.0], &[1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn runs_may_be_called_by_their_numbers() {
    let columns = Columns { trajectory: Some("run".to_owned()), ..Columns::default() };
    let table = read(b"run,t,x\n#1,0,1\n#1,1,2\n# closed\n#2,0,3\n", &columns);
    let rows: Vec<usize> = table.dataset.trajectories.iter().map(|one| one.time.len()).collect();
    assert_eq!(rows, [2, 1]);
}

/// The table in the README, read as the text beside it says.
#[test]
fn the_table_of_the_readme_is_read() {
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    let table = readme.split("```csv\n").nth(1).unwrap().split("```").next().unwrap();
    let columns = Columns {
        time: Some("when".to_owned()),
        time_unit: Some(TimeUnit::Hours),
        missing: strings(&["-9999"]),
        ..Columns::default()
    };
    let values = [21.5, 4.0, 21.25, NAN, 20.75, 3.5];
    expect(table.as_bytes(), &columns, &["room [°C]", "outside"], &[0.0, 0.25, 0.5], &values);
}

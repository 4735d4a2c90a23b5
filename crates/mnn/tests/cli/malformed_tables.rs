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
    case("empty", b"", "a.csv:1: the file is empty"),
    case("blank lines only", b"\n\n\n", "a.csv:1: the file is empty"),
    case("only a header", b"t,x\n", "a.csv:1: there are no rows below the header"),
    case(
        "no header",
        b"0,1\n1,2\n",
        "a.csv:1: the first row must name the columns, but holds numbers",
    ),
    case("unnamed column", b"t,x,\n0,1,2\n", "a.csv:1: column 3 has no name"),
    case(
        "twice the same column",
        b"t,x,x\n0,1,2\n",
        "a.csv:1: columns 2 and 3 are both called `x`",
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
    case("long row", b"t,x\n0,1\n1,2,3\n", "a.csv:3: expected 2 fields as in the header, got 3"),
    case("not a number", b"t,x\n0,1\n\n1,abc\n", "a.csv:4: column `x`: not a number: \"abc\""),
    case(
        "not a number on quoted lines",
        b"t,x\n\"0\n\",1\n1,abc\n",
        "a.csv:4: column `x`: not a number: \"abc\"",
    ),
    case("decimal comma", b"t;x\n0;1,5\n", "a.csv:2: column `x`: not a number: \"1,5\""),
    case(
        "not a number among carriage returns",
        b"t,x\r\n0,1\r\n1,1e\r\n",
        "a.csv:3: column `x`: not a number: \"1e\"",
    ),
    case(
        "a quotation mark that nothing closes",
        b"t,x\n0,\"1\n1,2\n2,3\n3,4\n4,5\n5,6\n6,7\n7,8\n8,9\n",
        "a.csv:2: a quotation mark is opened in this line and never closed",
    ),
    case(
        "a quotation mark in the header that nothing closes",
        b"t,\"x\n0,1\n",
        "a.csv:1: a quotation mark is opened in this line and never closed",
    ),
    case(
        "a quotation mark that nothing closes after others that are",
        b"t,x,\"y \"\"z\"\"\"\n\"0\",1,2\"\n1,2,\"3\n\"\n2,3,4\n3,4,\"5\"\"\n4,5,6\n",
        "a.csv:6: a quotation mark is opened in this line and never closed",
    ),
    case(
        "a name on two lines",
        b"t,\"x\ny\"\n0,1\n",
        "a.csv:1: column 2: \"x\\ny\" is not a name on one line",
    ),
    case(
        "blank lines before the header",
        b"\n\nt,x,x\n",
        "a.csv:3: columns 2 and 3 are both called `x`",
    ),
    case(
        "huge times",
        b"t,x\n1.5e300,1\n1e300,2\n",
        "a.csv:3: column `t`: time must increase, but 1e300 follows 1.5e300 (several trajectories in \
          one file need --trajectory)",
    ),
    case("infinite", b"t,x\n0,1\n1,-inf\n", "a.csv:3: column `x`: not finite: \"-inf\""),
    case("overflow", b"t,x\n0,1\n1,1e999\n", "a.csv:3: column `x`: not finite: \"1e999\""),
    case("date", b"date,x\n2020-01-01,1\n", "a.csv:2: column `date`: not a number: \"2020-01-01\""),
    case("time missing", b"t,x\n0,1\n,2\n", "a.csv:3: column `t`: the time is missing"),
    case(
        "time stands still",
        b"t,x\n0,1\n0,2\n",
        "a.csv:3: column `t`: time must increase, but 0 follows 0 (several trajectories in one \
          file need --trajectory)",
    ),
    case(
        "time falls",
        b"t,x\n0,1\n2,2\n1.5,2\n",
        "a.csv:4: column `t`: time must increase, but 1.5 follows 2 (several trajectories in one \
          file need --trajectory)",
    ),
    case("all missing", b"t,x,y\n0,1,\n1,2,NaN\n", "a.csv:1: column `y`: every value is missing"),
    case("not UTF-8", b"t,x\n0,1\n1,\xff2\n", "a.csv:3: byte 3 of the line is not UTF-8 text"),
    case("UTF-16", b"\xff\xfet\0,\0x\0", "a.csv:1: byte 1 of the line is not UTF-8 text"),
    case(
        "neighboring times fall",
        b"t,x\n1700000000.25,1\n1700000000.125,2\n",
        "a.csv:3: column `t`: time must increase, but 1700000000.125 follows 1700000000.25 (several \
          trajectories in one file need --trajectory)",
    ),
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
        message: "a.csv:5: column `t`: time must increase, but -1 follows 0",
    },
];

#[test]
fn each_gets_its_message() {
    for case in CASES {
        let workspace = Workspace::new();
        workspace.write("a.csv", case.table);
        let outputs = ["discover", "a.csv", "--plot", "p.svg", "--output", "o.csv", "--save", "m"];
        let run = workspace.run(&[&outputs[..], case.arguments].concat());
        assert_eq!(run.stderr, format!("mnn: {}\n", case.message), "{}", case.name);
        assert_eq!((run.code, run.stdout.as_str()), (MISUSE, ""), "{}", case.name);
        assert_eq!(workspace.files(), ["a.csv"], "{}", case.name);
    }
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

#[test]
fn a_file_that_is_not_there_is_named() {
    let workspace = Workspace::new();
    let run = workspace.run(&["discover", "absent.csv"]).expect(MISUSE);
    assert_eq!(run.stderr, "mnn: absent.csv: No such file or directory (os error 2)\n");
    let run = workspace.run(&["discover", "."]).expect(MISUSE);
    assert!(run.stderr.starts_with("mnn: .: "), "{}", run.stderr);
}

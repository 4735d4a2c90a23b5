//! Tables that are read and written.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn numbers_are_read_as_they_were_written(value in any::<f64>()) {
        let read: Option<f64> = field(value).parse().ok();
        prop_assert_eq!(read.map(f64::to_bits), value.is_finite().then_some(value.to_bits()));
    }

    /// Whatever a file holds: a table with consistent arrays, or an error that names the file.
    #[test]
    fn any_bytes_are_a_table_or_an_error(
        start in prop::sample::select(vec!["", "t,x\n", "t,x,run\n0,1,1\n"]),
        text in "(t|x|y|run|,|;|\t|\n|\r\n|\"|'|0|1|2|\\.|-|e|NaN|inf| |é){0,60}",
        junk in prop::collection::vec(any::<u8>(), 0..3),
        named in any::<bool>(),
    ) {
        let columns = Columns {
            trajectory: named.then(|| "run".to_owned()),
            ..Columns::default()
        };
        let bytes = [start.as_bytes(), text.as_bytes(), &junk].concat();
        match parse(Path::new("a.csv"), &bytes, &columns, false) {
            Ok(Table { dataset, .. }) => {
                prop_assert!(!dataset.states.is_empty() && !dataset.trajectories.is_empty());
                for trajectory in &dataset.trajectories {
                    let n = trajectory.time.len();
                    prop_assert_eq!(trajectory.values.len(), n * dataset.states.len());
                    prop_assert!(trajectory.time.windows(2).all(|pair| pair[0] < pair[1]));
                    prop_assert!(trajectory.values.iter().all(|value| !value.is_infinite()));
                }
            }
            Err(error) => prop_assert!(error.to_string().starts_with("a.csv:"), "{error}"),
        }
    }
}

/// What could not be written is not written again, when the disk has room again.
#[test]
fn after_a_failure_nothing_more_is_written() {
    struct Disk<'a>(&'a mut Vec<usize>);
    impl io::Write for Disk<'_> {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.push(text.len());
            match self.0.len() {
                1 => Ok(text.len() / 2),
                2 => Err(io::Error::other("full")),
                _ => Ok(text.len()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for rows in [1, 10_000] {
        let mut writes = Vec::new();
        let (header, rows) = (["t".to_owned()], (0..rows).map(|t| vec![f64::from(t) + 0.125]));
        let written = write_records(Pieces::new(Disk(&mut writes)), &header, rows);
        assert_eq!(written.unwrap_err().to_string(), "full");
        assert_eq!(writes.len(), 2, "{writes:?}");
    }
}

#[test]
fn numbers_are_written_with_the_digits_that_they_need() {
    let row = vec![0.3, -1e-7, 1e12, f64::NAN, f64::INFINITY, 1.0 / 3.0, 1e300];
    let header: Vec<String> = ["a", "b,c", "d", "e", "f", "g", "h"].map(String::from).to_vec();
    let expected = "a,\"b,c\",d,e,f,g,h\n0.3,-1e-7,1000000000000,,,0.3333333333333333,1e300\n";
    let mut written = Vec::new();
    write_records(&mut written, &header, std::iter::once(row)).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), expected);
}

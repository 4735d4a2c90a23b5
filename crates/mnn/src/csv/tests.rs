//! Tables that are read.

use proptest::prelude::*;

use super::*;

proptest! {
    /// Whatever a file holds: a table with consistent arrays, or an error that names the file.
    #[test]
    fn any_bytes_are_a_table_or_an_error(
        start in prop::sample::select(vec![
            "", "t,x\n", "t,x,run\n0,1,1\n", "sep=;\n", "t;x\ns;m\n", "# t,x\n", "when;x\n",
        ]),
        text in "(t|x|y|run|,|;|\t|\n|\r\n|\"|'|#|0|1|2|1,5|2,345|2021-03-01|:|\\.|-|e|NaN|inf| |é){0,60}",
        junk in prop::collection::vec(any::<u8>(), 0..3),
        named in any::<bool>(),
    ) {
        let columns = Columns {
            trajectory: named.then(|| "run".to_owned()),
            ..Columns::default()
        };
        let bytes = [start.as_bytes(), text.as_bytes(), &junk].concat();
        match parse(Path::new("a.csv"), &bytes, &columns, None) {
            Ok(Part { table: Table { dataset, .. }, .. }) => {
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

#[test]
fn rows_are_counted_whatever_ends_them() {
    for text in ["t,x\n0,1\n", "t,x\r\n0,1\r\n"] {
        let (dialect, columns) = (dialect::find(text, None), Columns::default());
        let source = Source::open(Path::new("a.csv"), text, dialect, &columns).unwrap();
        assert_eq!(source.most_rows(), 3, "{text:?}");
    }
}

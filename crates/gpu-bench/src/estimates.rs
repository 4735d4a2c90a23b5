//! The times that docs/kernels.md states for problems on a GPU.

/// Returns the estimates of one direction, which the document calls `solve` or `gradient`, of the
/// problem of this name on a card: the name of each column with a time, and the microseconds.
///
/// Such a column names its cards in its head, `least time, µs: A100 / H100 / B200`, and has a time for
/// each, or one for all, in its cells.
pub fn of(document: &str, direction: &str, problem: &str, card: &str) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    let mut head: Vec<&str> = Vec::new();
    for line in document.lines() {
        let Some(cells) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else {
            head.clear();
            continue;
        };
        let cells: Vec<&str> = cells.split('|').map(str::trim).collect();
        if head.is_empty() {
            head = cells;
        } else if head[0] == direction && cells[0] == problem {
            let columns = head.iter().zip(&cells);
            found.extend(columns.filter_map(|(head, cell)| estimate(head, cell, card)));
        }
    }
    found
}

fn estimate(head: &str, cell: &str, card: &str) -> Option<(String, f64)> {
    let (name, cards) = head.split_once(", µs: ")?;
    let place = cards.split('/').position(|name| is_like(card, name.trim()))?;
    let times: Vec<&str> = cell.split('/').map(str::trim).collect();
    let time = if times.len() == 1 { times[0] } else { *times.get(place)? };
    Some((name.to_owned(), time.parse().ok()?))
}

/// Whether a card computes as the one of this name does. An H200 is an H100 with other memory.
fn is_like(card: &str, name: &str) -> bool {
    card.contains(name) || (name == "H100" && ["H200", "H800"].iter().any(|h| card.contains(h)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
| solve | launches |
|---|--:|
| 1 × 5 × 1 × 2 f64 | 1 |

| solve | kernel | least time, µs: A100 / H100 | estimated time, µs: A100 / H100 |
|---|---|--:|--:|
| 1 × 5 × 1 × 2 f64 | `thread` | 21.8 / 15.5 | 30 |

| gradient | kernel | least time, µs: A100 / H100 |
|---|---|--:|
| 1 × 5 × 1 × 2 f64 | `thread` | 7 / 8 |
";

    #[test]
    fn the_document_has_times_of_every_workload() {
        let document = include_str!("../../../docs/kernels.md");
        for workload in kernel_figures::workloads::WORKLOADS {
            for direction in ["solve", "gradient"] {
                let found = of(document, direction, &workload.to_string(), "NVIDIA H100");
                assert!(!found.is_empty(), "{direction} of {workload}");
            }
        }
    }

    #[test]
    fn every_column_with_times_is_found() {
        let estimates = |direction, card| of(DOCUMENT, direction, "1 × 5 × 1 × 2 f64", card);
        let expected = [("least time".to_owned(), 15.5), ("estimated time".to_owned(), 30.0)];
        assert_eq!(estimates("solve", "NVIDIA H100 80GB HBM3"), expected);
        assert_eq!(estimates("gradient", "NVIDIA H200"), [("least time".to_owned(), 8.0)]);
        assert!(estimates("gradient", "NVIDIA L40").is_empty());
        assert!(of(DOCUMENT, "solve", "1 × 6 × 1 × 2 f64", "A100").is_empty());
    }
}

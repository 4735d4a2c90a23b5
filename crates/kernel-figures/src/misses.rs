//! The reasons for which targets are missed, written by hand in `misses.txt`.
//!
//! ```text
//! # A comment.
//! flops, gradient: 1 × 1000 × 1 × 2 f64; 1 × 10000 × 1 × 2 f64
//!     One or more indented lines say why.
//! ```

use std::fmt;

use crate::targets::Figure;

/// The direction of a run, a solve or its gradient, as the tables and `misses.txt` name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// The forward solve.
    Solve,
    /// The gradient, by the adjoint of the solve.
    Gradient,
}

impl Direction {
    /// Lists both directions.
    pub const ALL: [Direction; 2] = [Self::Solve, Self::Gradient];

    /// Returns the name of the direction.
    pub fn name(self) -> &'static str {
        match self {
            Self::Solve => "solve",
            Self::Gradient => "gradient",
        }
    }
}

/// A figure of the table that can miss its target, with the run that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Figure that misses.
    pub figure: Figure,
    /// Direction of the run.
    pub direction: Direction,
    /// Name of the workload.
    pub problem: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: {}", self.figure.name(), self.direction.name(), self.problem)
    }
}

/// A reason and the figures that it explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Figures that miss their targets, at least one.
    pub places: Vec<Place>,
    /// Text that says why they miss.
    pub text: String,
}

/// Reads the reasons from the text of `misses.txt`.
///
/// # Errors
/// The message has the number of the line that is not understood.
pub fn read(text: &str) -> Result<Vec<Reason>, String> {
    let mut reasons: Vec<Reason> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: &str| Err(format!("misses.txt, line {}: {what}", number + 1));
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with(char::is_whitespace) {
            let Some(reason) = reasons.last_mut() else {
                return wrong("a reason without figures");
            };
            if !reason.text.is_empty() {
                reason.text.push(' ');
            }
            reason.text.push_str(line.trim());
            continue;
        }
        let parts = line.split_once(": ").and_then(|(what, problems)| {
            let (figure, direction) = what.split_once(", ")?;
            let figure = Figure::ALL.into_iter().find(|known| known.name() == figure)?;
            let direction = Direction::ALL.into_iter().find(|known| known.name() == direction)?;
            Some((figure, direction, problems))
        });
        let Some((figure, direction, problems)) = parts else {
            return wrong("expected `figure, solve|gradient: problem; problem …`");
        };
        let place = |problem: &str| Place { figure, direction, problem: problem.trim().into() };
        let places: Vec<Place> = problems.split(';').map(place).collect();
        match reasons.last_mut() {
            // Several lines of figures share the reason that follows.
            Some(reason) if reason.text.is_empty() => reason.places.extend(places),
            _ => reasons.push(Reason { places, text: String::new() }),
        }
    }
    match reasons.iter().find(|reason| reason.text.is_empty()) {
        Some(reason) => Err(format!("misses.txt: no reason for {}", reason.places[0])),
        None => Ok(reasons),
    }
}

/// Checks that every miss has a reason and every reason a miss.
///
/// # Errors
/// The message lists all differences, one a line.
pub fn match_up(reasons: &[Reason], missed: &[Place]) -> Result<(), String> {
    let explained: Vec<&Place> = reasons.iter().flat_map(|reason| &reason.places).collect();
    let mut complaints = Vec::new();
    for place in missed {
        match explained.iter().filter(|explained| **explained == place).count() {
            0 => {
                complaints.push(format!("{place} misses its target, and misses.txt has no reason"))
            }
            1 => {}
            _ => complaints.push(format!("{place} has two reasons in misses.txt")),
        }
    }
    for place in explained {
        if !missed.contains(place) {
            complaints.push(format!("misses.txt explains {place}, which misses nothing"));
        }
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Comment.
bytes, solve: 1 × 10; 2 × 20
lanes, gradient: 1 × 10
    Because
    of this.
flops, solve: 1 × 10
    Otherwise.
";

    fn place(figure: Figure, direction: Direction, problem: &str) -> Place {
        Place { figure, direction, problem: problem.into() }
    }

    #[test]
    fn reasons_are_read() {
        let reasons = read(TEXT).unwrap();
        let first = [
            place(Figure::Bytes, Direction::Solve, "1 × 10"),
            place(Figure::Bytes, Direction::Solve, "2 × 20"),
            place(Figure::Lanes, Direction::Gradient, "1 × 10"),
        ];
        assert_eq!(reasons[0], Reason { places: first.into(), text: "Because of this.".into() });
        assert_eq!((reasons.len(), reasons[1].text.as_str()), (2, "Otherwise."));
        assert_eq!(read("# Nothing.\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, expected) in [
            ("    Because.", "line 1: a reason without figures"),
            ("\nbytes: 1", "line 2: expected"),
            ("speed, solve: 1", "line 1: expected"),
            ("bytes, solve: 1", "no reason for bytes, solve: 1"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn reasons_and_misses_must_be_the_same() {
        let reasons = read(TEXT).unwrap();
        let mut missed: Vec<Place> =
            reasons.iter().flat_map(|reason| reason.places.clone()).collect();
        assert_eq!(match_up(&reasons, &missed), Ok(()));
        let met = missed.remove(0);
        let stale = match_up(&reasons, &missed).unwrap_err();
        assert_eq!(stale, format!("misses.txt explains {met}, which misses nothing"));
        missed.push(met);
        missed.push(place(Figure::Sectors, Direction::Solve, "1 × 10"));
        assert!(match_up(&reasons, &missed).unwrap_err().contains("sectors, solve: 1 × 10 misses"));
        let twice = read(&format!("{TEXT}bytes, solve: 2 × 20\n    Again.\n")).unwrap();
        missed.pop();
        assert!(match_up(&twice, &missed).unwrap_err().contains("two reasons"));
    }
}

//! The report of a discovery: one page of HTML that needs nothing else, no network either.

mod chart;
mod parts;

use std::io::Write as _;
use std::path::Path;

use mechanistic::Result;
use mechanistic::discovery::{Dataset, Discovery};
use mechanistic::files::atomic;

/// Writes the report of `discovery`, which was found in `dataset`, whole or not at all; `time_name`
/// is that of the column of the times.
///
/// # Errors
/// [`Error::Io`](mechanistic::Error::Io) when the file cannot be written.
pub fn write(path: &Path, time_name: &str, dataset: &Dataset, discovery: &Discovery) -> Result<()> {
    let page = page(time_name, dataset, discovery);
    atomic::write(path, |file| file.write_all(page.as_bytes()))
}

fn page(time_name: &str, dataset: &Dataset, discovery: &Discovery) -> String {
    let about = parts::Report { time_name, dataset, discovery };
    let title = format!("Equations of {}", escaped(&discovery.states.join(", ")));
    let sections: Vec<String> = [
        ("Equations", about.equations()),
        ("Warnings", about.warnings()),
        ("Fit and simulation", about.fit()),
        ("Phase portraits", about.portraits()),
        ("Residuals", about.residuals()),
        ("Correlations of the coefficients", about.correlations()),
        ("Models that were tried", about.tried()),
    ]
    .into_iter()
    .filter(|(_, body)| !body.is_empty())
    .map(|(name, body)| format!("<section>\n<h2>{name}</h2>\n{body}</section>\n"))
    .collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         <p>{}</p>\n{}<script>\n{}</script>\n</body>\n</html>\n",
        include_str!("page.css"),
        about.summary(),
        sections.concat(),
        include_str!("zoom.js"),
    )
}

/// Returns the text with what HTML would read as its own replaced.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mechanistic::discovery::{Equation, Fit, Link, Term, Trajectory, Tried};

    fn term(factors: &[&str], coefficient: f64, standard_error: Option<f64>) -> Term {
        let factors = factors.iter().map(ToString::to_string).collect();
        Term { factors, coefficient, standard_error }
    }

    fn example() -> (Dataset, Discovery) {
        let time: Vec<f64> = (0..40).map(|i| 0.1 * f64::from(i)).collect();
        let values: Vec<f64> = time.iter().flat_map(|t| [t.cos(), -t.sin()]).collect();
        let states = vec!["x<1>".to_owned(), "y".to_owned()];
        let fit = Fit {
            time: time.clone(),
            smoothed: values.clone(),
            simulated: values.clone(),
            restarts: vec![20],
        };
        let equation = |lhs: &str, terms| Equation {
            lhs: lhs.into(),
            terms,
            link: Link::Identity,
            denominator: vec![],
        };
        let known = term(&[], 0.25, None);
        let discovery = Discovery {
            states: states.clone(),
            order: 1,
            equations: vec![
                equation("x<1>'", vec![known, term(&["y"], 1.0, Some(0.01))]),
                equation("y'", vec![term(&["x<1>"], -1.0, Some(0.02))]),
            ],
            correlations: vec![1.0, -0.75, -0.75, 1.0],
            noise: vec![0.001, 0.002],
            explained: vec![0.999, f64::NAN],
            fits: vec![fit],
            tried: vec![
                Tried {
                    model: "degree 2".into(),
                    score: Some(-7.5),
                    chosen: true,
                    ..Tried::default()
                },
                Tried { model: "degree 4".into(), failure: "diverged".into(), ..Tried::default() },
            ],
            warnings: vec!["the term `x<1>` & others".into()],
            ..Discovery::default()
        };
        let trajectory = Trajectory { time, values, ..Trajectory::default() };
        (Dataset { states, trajectories: vec![trajectory], ..Dataset::default() }, discovery)
    }

    #[test]
    fn the_page_has_everything_and_needs_nothing_else() {
        let (dataset, discovery) = example();
        let page = page("t", &dataset, &discovery);
        for text in [
            "<h2>Equations</h2>",
            "<h2>Correlations of the coefficients</h2>",
            "<h2>Residuals</h2>",
            "<h2>Phase portraits</h2>",
            "`x&lt;1&gt;`' = 0.25 + 1.000(10) y",
            ">−0.75</td>",
            "the term `x&lt;1&gt;` &amp; others",
            "<tr class=\"chosen\"><td>degree 2</td>",
            "diverged",
            "blows up",
        ] {
            assert!(page.contains(text), "{text}");
        }
        // Two states against time, one portrait, two residuals.
        assert_eq!(page.matches("<figure class=\"chart\">").count(), 5);
        // Each of the former two and the portrait has two lines of the fit, which has two parts.
        assert_eq!(page.matches("<path class=\"fit\"").count(), 6);
        let names = ["src=", "href=", "url(", "@import", "fetch(", "https:"];
        assert!(names.iter().all(|name| !page.contains(name)));
        for (open, close) in [
            ("<svg", "</svg>"),
            ("<section", "</section>"),
            ("<table", "</table>"),
            ("<g ", "</g>"),
        ] {
            assert_eq!(page.matches(open).count(), page.matches(close).count(), "{open}");
        }
        assert!(!page.contains("NaN") && !page.contains("inf\""));
    }

    #[test]
    fn it_is_written_whole_or_not_at_all() {
        let (dataset, discovery) = example();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.html");
        write(&path, "t", &dataset, &discovery).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), page("t", &dataset, &discovery));
        let error = write(&folder.path().join("none/a.html"), "t", &dataset, &discovery);
        assert!(error.unwrap_err().to_string().contains("a.html"));
    }
}

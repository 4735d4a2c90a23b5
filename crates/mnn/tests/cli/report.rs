//! The report of a discovery: its structure always, and as a browser shows it where there is one.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::{DONE, MISUSE, Workspace};

/// The names of the browser that is tried.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

fn with_report() -> (Workspace, String) {
    let workspace = Workspace::new();
    let simulate = ["simulate", "linear", "--noise", "1%", "--dt", "0.05", "--points", "300"];
    workspace.run(&[&simulate[..], &["-o", "a.csv"]].concat()).expect(DONE);
    workspace.run(&["discover", "a.csv", "-q", "--report", "r.html"]).expect(DONE);
    let page = std::fs::read_to_string(workspace.path("r.html")).unwrap();
    (workspace, page)
}

#[test]
fn it_has_equations_plots_and_what_was_tried() {
    let (workspace, page) = with_report();
    for text in ["<title>Equations of x, y</title>", "<pre>x' = -0.", "<td>degree 2</td>"] {
        assert!(page.contains(text), "{text}");
    }
    // Two states and their residuals against time, and one portrait, each with curves.
    let charts: Vec<&str> = page.split("<figure class=\"chart\">").skip(1).collect();
    assert_eq!(charts.len(), 5);
    assert!(charts.iter().all(|chart| chart.contains(" d=\"M") && chart.contains("data-range=")));
    // Three hundred points, drawn as dots.
    let data = charts[0].split("class=\"data\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(data.matches("h0").count(), 300);
    // Four coefficients, each beside all before it.
    let matrix = page.split("<table class=\"matrix\">").nth(1).unwrap();
    assert_eq!(matrix.split("</table>").next().unwrap().matches("<td").count(), 10);
    assert!(["src=", "href=", "url("].iter().all(|name| !page.contains(name)), "it needs no file");
    workspace.run(&["discover", "a.csv", "-q", "--report", "again.html"]).expect(DONE);
    assert_eq!(std::fs::read_to_string(workspace.path("again.html")).unwrap(), page);
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_the_search() {
    let (workspace, _) = with_report();
    for (path, message) in [
        ("-", "mnn: --report: what is saved is a file, and not for standard output\n"),
        ("a.csv", "mnn: --report: a.csv is the same file as a.csv, and would overwrite it\n"),
        ("none/r.html", "mnn: none/r.html: there is no folder none\n"),
    ] {
        let run = workspace.run(&["discover", "a.csv", "--report", path]).expect(MISUSE);
        assert_eq!(run.stderr, message);
    }
}

/// The script draws ticks, and the wheel zooms: about the middle of the first chart, where no tick
/// is as it was.
#[test]
fn a_browser_shows_and_zooms_it() {
    let Some(browser) = BROWSERS.into_iter().find(|name| is_there(name)) else {
        // What is printed past the test's own output is seen though the test passes.
        let message = format!(
            "\nNOT TESTED: whether a browser shows the report: none of {} is installed\n",
            BROWSERS.join(", ")
        );
        std::io::stderr().write_all(message.as_bytes()).unwrap();
        return;
    };
    let (workspace, page) = with_report();
    let ticks = |page: &str| -> Vec<String> {
        workspace.write("shown.html", page);
        let dom = dom(browser, &workspace.path("shown.html"));
        let first = dom.split("class=\"ticks\">").nth(1).unwrap_or_else(|| panic!("{dom}"));
        let group = first.split("</g>").next().unwrap();
        group
            .split("</text>")
            .filter_map(|tick| Some(tick.rsplit_once('>')?.1.to_owned()))
            .collect()
    };
    let whole = ticks(&page);
    assert!(whole.contains(&"0".to_owned()) && whole.len() >= 8, "{whole:?}");
    let zoomed = |key: &str| {
        let zoom = format!(
            "<script>{{const shown = document.querySelector('.chart svg');\n\
             const box = shown.querySelector('.ground').getBoundingClientRect();\n\
             const at = {{ clientX: box.x + box.width / 2, clientY: box.y + box.height / 2 }};\n\
             const wheel = {{ deltaY: -300, bubbles: true, cancelable: true, {key} ...at }};\n\
             for (let i = 0; i < 4; i += 1) shown.dispatchEvent(new WheelEvent('wheel', wheel));\n\
             }}</script></body>"
        );
        ticks(&page.replace("</body>", &zoom))
    };
    // Of times from 0 to 15, e^−2.4 = 1/11 is shown about 7.5. The times come before the values.
    let last = |ticks: &[String]| -> f64 {
        let numbers: Vec<f64> = ticks.iter().filter_map(|tick| tick.parse().ok()).collect();
        let times = numbers.windows(2).take_while(|pair| pair[1] > pair[0]).map(|pair| pair[1]);
        times.last().unwrap_or(numbers[0])
    };
    let count = |ticks: &[String]| ticks.iter().filter(|tick| whole.contains(*tick)).count();
    assert!(last(&whole) >= 14.0, "{whole:?}");
    let [both, values, times] = ["", "shiftKey: true,", "ctrlKey: true,"].map(zoomed);
    for zoomed in [&both, &times] {
        assert!((7.5..8.3).contains(&last(zoomed)), "{zoomed:?}");
        assert!(zoomed.len() >= 6, "{zoomed:?}");
    }
    // One axis keeps its ticks, the other gets new ones.
    assert!(last(&values) >= 14.0 && values != whole, "{values:?}");
    assert!(count(&times) >= 4 && count(&both) < count(&times), "{both:?} {times:?}");
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Returns the page as it is after its scripts have run.
fn dom(browser: &str, page: &Path) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !errors.contains("CONSOLE"), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

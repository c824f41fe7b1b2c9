//! Renders the page in a browser: it fits narrow screens, texts stay inside their figures, and the console is empty.
//!
//! Needs Chromium; otherwise the tests are skipped with a message.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod sample;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tfnas_report::Comparison;

/// Names of the Chromium executable.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Measures the page in its frame; the title holds the result.
const MEASURE: &str = r#"
addEventListener("load", () => {
  const frame = document.querySelector("iframe"), page = frame.contentDocument, view = frame.contentWindow;
  page.querySelectorAll("details").forEach(details => details.open = true);
  const root = page.scrollingElement, figures = [...page.querySelectorAll("figure")];
  const drawn = svg => svg.querySelectorAll("path, rect, circle").length;
  const outside = svg => [...svg.querySelectorAll("text:not([transform])")].filter(text => {
    const box = text.getBBox(), view_box = svg.viewBox.baseVal;
    return box.x < -2 || box.x + box.width > view_box.width + 2 || box.y < -4 || box.y + box.height > view_box.height + 4;
  }).map(text => text.textContent);
  const result = {
    wide: root.scrollWidth, screen: root.clientWidth, paper: view.getComputedStyle(page.body).backgroundColor,
    figures: figures.length,
    empty: figures.filter(figure => drawn(figure.querySelector("svg")) < 3
      || figure.querySelector("svg").getBoundingClientRect().width < 100).map(figure => figure.id),
    outside: figures.flatMap(figure => outside(figure.querySelector("svg")).map(text => figure.id + ": " + text)),
    scripts: page.scripts.length,
  };
  document.body.setAttribute("data-result", JSON.stringify(result));
});
"#;

fn browser() -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let mut paths = BROWSERS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    // Some distributions install a file of that name that only prints how to install the browser.
    let works =
        |path: &PathBuf| Command::new(path).arg("--version").output().is_ok_and(|output| output.status.success());
    paths.find(|path| path.is_file() && works(path))
}

fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;")
}

/// Renders a page in a frame of this width; returns the measurements and the console output.
fn shown(browser: &PathBuf, html: &str, width: u32, dark: bool) -> (Value, String) {
    let folder = std::env::temp_dir().join(format!("tfnas-report-{}-{width}-{dark}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let harness = format!(
        "<!DOCTYPE html><meta charset=\"utf-8\"><body><iframe width=\"{width}\" height=\"900\" srcdoc=\"{}\"></iframe><script>{MEASURE}</script>",
        attribute(html)
    );
    let path = folder.join("harness.html");
    fs::write(&path, harness).unwrap();
    let output = Command::new(browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!dark)))
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("file://{}", path.display()))
        .output()
        .unwrap();
    let _ = fs::remove_dir_all(&folder);
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let result =
        dom.split_once("data-result=\"").map(|(_, rest)| rest.split('"').next().unwrap().replace("&quot;", "\""));
    let result = result.unwrap_or_else(|| panic!("the browser measured nothing: {stderr}"));
    let result = result.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    let console: Vec<&str> = stderr.lines().filter(|line| line.contains("CONSOLE")).collect();
    (serde_json::from_str(&result).unwrap(), console.join("\n"))
}

#[test]
fn the_page_fits_all_screen_widths_and_themes() {
    let Some(browser) = browser() else {
        eprintln!("SKIPPED: Chromium is not installed");
        return;
    };
    let mut report = sample::report();
    let one = report.html();
    report.networks = ["10", "12"].map(sample::network).into();
    let several = report.html();
    let compared = Comparison { tool: String::new(), reports: vec![sample::report(), report] }.html();
    for (html, width, dark) in [
        (&one, 1180, false),
        (&one, 400, true),
        (&several, 400, false),
        (&several, 1180, true),
        (&compared, 400, false),
        (&compared, 1180, true),
    ] {
        let (measured, console) = shown(&browser, html, width, dark);
        let context = format!("{width} pixels, dark {dark}: {measured}");
        assert_eq!(console, "", "{context}");
        assert_eq!(measured["wide"], measured["screen"], "{context}");
        assert_eq!(measured["figures"], html.matches("<figure").count(), "{context}");
        assert_eq!(measured["scripts"], 0, "{context}");
        for nothing in ["empty", "outside"] {
            assert_eq!(measured[nothing].as_array().unwrap().len(), 0, "{nothing}: {context}");
        }
        let paper = if dark { "rgb(21, 24, 29)" } else { "rgb(255, 255, 255)" };
        assert_eq!(measured["paper"], paper, "{context}");
    }
}

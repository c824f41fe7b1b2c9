//! The name and the note of a run, as given on the command line.

use clap::Args;
use tfnas_artifacts::{RunName, RunNote};
use tfnas_stages::Stage;

/// What the user calls a run and says about it.
#[derive(Args, Clone, Debug, Default)]
pub struct RunLabel {
    /// A name for this run, by which `show`, `report`, `compare` and other commands find it; of several runs of a name,
    /// they use the newest
    #[arg(long, value_name = "NAME", value_parser = run_name)]
    pub name: Option<RunName>,

    /// A note about this run, which `log`, `show` and the report contain; `note` changes it
    #[arg(long, value_name = "TEXT")]
    pub note: Option<RunNote>,
}

/// Parses the name of a run. A stage is no name, because `publish` takes a run or an instance of a stage.
fn run_name(text: &str) -> Result<RunName, String> {
    if Stage::by_name(text).is_some() {
        return Err(format!("`{text}` is a stage: choose another name"));
    }
    text.parse().map_err(|error: tfnas_artifacts::RunNameError| error.to_string())
}

/// Returns a text of one line, with single spaces and at most `limit` characters.
pub fn one_line(text: &str, limit: usize) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(limit) {
        let keep = line[..end].char_indices().next_back().map_or(0, |(last, _)| last);
        line.truncate(keep);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn stages_are_no_names() {
        assert_eq!(run_name("search").unwrap_err(), "`search` is a stage: choose another name");
        assert!(run_name("search 12").is_ok() && run_name("all").is_err());
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        assert_eq!(one_line("two\n lines\t", 20), "two lines");
        assert_eq!([one_line("ääää", 4), one_line("ääääx", 4)], ["ääää", "äää…"]);
    }
}

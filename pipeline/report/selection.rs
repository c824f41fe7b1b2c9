use serde::Serialize;
use tfnas_artifacts::{Attempt, Cache};
use tfnas_humanize::Columns;
use tfnas_planner::output::read_output;
use tfnas_select::{Origin, Outcome, Percentile};
use tfnas_stages::{SelectReport, Stage};

/// How the network was selected among candidates with the target latency.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Selection {
    /// Number of candidates that were trained.
    pub candidates: usize,
    /// Name of the selected candidate.
    pub name: String,
    /// How the candidate was generated.
    pub origin: Origin,
    /// Rank, counted from 1, of the architecture that the search prefers.
    pub search_parse_rank: Option<usize>,
    /// Estimated percentile among uniformly random candidates.
    pub percentile: Percentile,
    /// Distance to the second candidate in units of the noise of a score.
    pub margin: Option<f64>,
    /// The most important findings of the regression.
    pub findings: Vec<String>,
    /// Further remarks.
    pub notes: Vec<String>,
}

/// Maximum number of findings in the report.
const FINDINGS: usize = 3;

impl Selection {
    /// Reads the summary of an attempt of `select`. Returns `None` if its candidates cannot be read.
    pub fn read(cache: &Cache, select: &Attempt) -> Option<Self> {
        let SelectReport { selection, .. } = candidates(cache, select)?;
        let winner = selection.ranking.iter().find(|ranked| ranked.id == selection.winner)?;
        Some(Self {
            candidates: selection.ranking.len(),
            name: winner.name.clone(),
            origin: winner.origin,
            findings: selection.regression.coefficients.iter().take(FINDINGS).map(|one| one.words.clone()).collect(),
            search_parse_rank: selection.search_parse_rank,
            percentile: selection.percentile,
            margin: selection.margin,
            notes: selection.notes,
        })
    }

    /// Returns the lines of the final report as label and text.
    pub fn lines(&self) -> Vec<[String; 2]> {
        let row = |label: &str, text: String| [label.to_owned(), text];
        let mut rows = vec![row("selected", format!("{} of {} candidates", self.name, self.candidates))];
        if let Some(rank) = self.search_parse_rank {
            rows.push(row("search's choice", format!("rank {rank} of {}", self.candidates)));
        }
        let Percentile { low, high, better_than, of, .. } = &self.percentile;
        rows.push(row(
            "estimate",
            format!(
                "percentile {low:.0} to {high:.0} of random networks (better than {better_than} of {of} candidates)"
            ),
        ));
        if let Some(margin) = self.margin {
            rows.push(row("margin", format!("{margin:.1} times the noise of a score ahead of the second")));
        }
        if !self.findings.is_empty() {
            rows.push(row("findings", self.findings.join("; ")));
        }
        rows.extend(self.notes.iter().map(|note| row("note", note.clone())));
        rows
    }
}

/// Reads the candidates of an attempt of `select`. Returns `None` if it is an attempt of another stage, or if they
/// cannot be read.
pub fn candidates(cache: &Cache, attempt: &Attempt) -> Option<SelectReport> {
    if attempt.stage != Stage::Select.name() {
        return None;
    }
    read_output(cache, attempt)
}

/// Formats a table of all candidates, best first.
pub fn candidate_table(selection: &Outcome) -> String {
    let mut columns = Columns::new(&[
        ">rank",
        "candidate",
        ">predicted ms",
        ">blocks",
        ">epochs",
        ">train loss",
        ">val loss",
        ">val top-1",
    ]);
    for ranked in &selection.ranking {
        let last = ranked.epochs.last();
        let validated = ranked.epochs.iter().rev().find(|epoch| epoch.val_loss.is_some());
        let number = |value: Option<f64>| value.map(|value| format!("{value:.4}")).unwrap_or_default();
        let top1 = validated.and_then(|epoch| epoch.val_top1).map(|top1| format!("{:.2} %", 100.0 * top1));
        columns.row([
            ranked.rank.to_string(),
            ranked.name.clone(),
            format!("{:.4}", ranked.predicted_ms),
            ranked.architecture.block_count().to_string(),
            ranked.epochs.len().to_string(),
            number(last.map(|epoch| epoch.train_loss)),
            number(validated.and_then(|epoch| epoch.val_loss)),
            top1.unwrap_or_default(),
        ]);
    }
    columns.to_string()
}

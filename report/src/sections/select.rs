//! The section on the selection of candidates.

use std::collections::BTreeMap;

use tfnas_select::{Origin, Ranked};
use tfnas_stages::SelectReport;

use super::select_figures::{Cost, curves, regression, scatter};
use crate::network::Network;
use crate::section::{Part, Section};
use crate::table::{Cell, Table};
use crate::text::{count, counted, ms, percent, whole};

/// Number of regression weights described in words.
const FINDINGS: usize = 5;
/// Rank correlation below which the weights of the regression are unreliable.
const WEAK: f64 = 0.3;

/// Returns the section on the selection; `None` if it did not run.
pub fn select(network: &Network) -> Option<Section> {
    let report = network.select.get()?;
    let mut section = Section::new(&network.id("selection"), &network.heading("Selection"));
    section.parts.push(Part::Text(words(report)));
    section.parts.push(Part::Text(standing(report)));
    if !report.selection.notes.is_empty() {
        section.parts.push(Part::List(report.selection.notes.clone()));
    }
    let figures = [
        Some(scatter(network, report, Cost::Latency)),
        network.space.is_some().then(|| scatter(network, report, Cost::MultiplyAdds)),
        Some(curves(network, report)),
        regression(network, report),
    ];
    section.parts.push(Part::Grid(figures.into_iter().flatten().collect()));
    let learned = &report.selection.regression;
    let rank = learned.leave_one_out_spearman;
    let care = if rank < WEAK { ". This correlation is low, so the weights may be due to chance" } else { "" };
    section.parts.push(Part::Text(format!(
        "Largest weights of the first rung's regression on {} (leave-one-out rank correlation with \
         the results: {}){care}:",
        counted(learned.candidates, "candidate"),
        two(rank)
    )));
    let findings = learned.coefficients.iter().take(FINDINGS);
    section.parts.push(Part::List(findings.map(|one| format!("{} ({:+.2})", one.words, one.weight)).collect()));
    section.parts.push(Part::Table(network.id("rungs"), rungs(report)));
    section.parts.push(Part::Folded(
        network.id("candidates"),
        "All candidates".to_owned(),
        candidates(network, report),
    ));
    Some(section)
}

fn words(report: &SelectReport) -> String {
    let selection = &report.selection;
    let winner = selection.ranking.iter().find(|ranked| ranked.id == selection.winner);
    let chosen = winner.map(|winner| match origin(winner.origin) {
        origin if winner.name.starts_with(&origin) => format!(" Selected: {}.", winner.name),
        origin => format!(" Selected: {} ({origin}).", winner.name),
    });
    let searched =
        selection.search_parse_rank.map(|rank| format!(" The architecture found by the search has rank {rank}."));
    format!(
        "Trained {} with a latency of at most {} on {}, validated on {}.{}{}",
        counted(selection.ranking.len(), "candidate"),
        ms(report.target_lat_ms),
        counted(report.images, "image"),
        whole(report.val_images as u64),
        chosen.unwrap_or_default(),
        searched.unwrap_or_default()
    )
}

fn standing(report: &SelectReport) -> String {
    let selection = &report.selection;
    let percentile = &selection.percentile;
    let margin = match selection.margin {
        Some(margin) => format!(" Its distance to the runner-up is {} times the noise of a score.", two(margin)),
        None => String::new(),
    };
    format!(
        "The selected network is estimated to be better than {:.0} to {:.0} % of random networks of this latency: {}.{margin}",
        percentile.low, percentile.high, percentile.basis
    )
}

fn two(value: f64) -> String {
    if value.is_finite() { format!("{value:.2}") } else { "–".to_owned() }
}

/// Describes the origin of a candidate.
pub fn origin(origin: Origin) -> String {
    match origin {
        Origin::Uniform => "uniform draw".to_owned(),
        Origin::Rule => "rule".to_owned(),
        Origin::SearchParse => "found by the search".to_owned(),
        Origin::SearchSample => "sampled from the search".to_owned(),
        Origin::Proposal { round } => format!("proposed by the regression, round {}", round + 1),
        Origin::ProposalUniform { round } => format!("uniform draw, round {}", round + 1),
    }
}

/// Number of candidates that each rung trained and promoted.
fn rungs(report: &SelectReport) -> Table {
    let mut seen: BTreeMap<usize, (usize, usize, usize)> = BTreeMap::new();
    for ranked in &report.selection.ranking {
        for score in &ranked.rungs {
            let entry = seen.entry(score.rung).or_insert((score.epochs, 0, 0));
            entry.1 += 1;
            entry.2 += usize::from(ranked.eliminated_after != Some(score.rung));
        }
    }
    let mut table = Table::new(
        "Rungs of the selection",
        &[">rung", ">epochs", ">candidates", ">promoted", ">rank correlation with the previous rung"],
    );
    let last = seen.keys().next_back().copied();
    for (rung, (epochs, trained, went_on)) in &seen {
        let spearman = rung.checked_sub(1).and_then(|index| report.selection.rung_spearman.get(index).copied());
        table.row([
            Cell::count(rung + 1),
            Cell::count(*epochs),
            Cell::count(*trained),
            if Some(*rung) == last { Cell::Missing } else { Cell::count(*went_on) },
            Cell::number(spearman, |spearman| format!("{spearman:.2}")),
        ]);
    }
    table
}

fn candidates(network: &Network, report: &SelectReport) -> Table {
    let headings = [
        ">rank",
        "candidate",
        "origin",
        ">predicted, ms",
        ">multiply-adds",
        ">completed rungs",
        ">score, rung 1",
        ">score, last rung",
        ">validation top-1",
    ];
    let mut table = Table::new("Candidates, best first", &headings);
    for ranked in &report.selection.ranking {
        let top1 = ranked.epochs.iter().rev().find_map(|epoch| epoch.val_top1);
        table.row([
            Cell::count(ranked.rank),
            Cell::from(ranked.name.as_str()),
            Cell::from(origin(ranked.origin)),
            Cell::number(Some(ranked.predicted_ms), |ms| format!("{ms:.3}")),
            Cell::number(multiply_adds(network, ranked), count),
            Cell::count(ranked.rungs.len()),
            Cell::number(ranked.rungs.first().map(|score| score.blended), |score| format!("{score:.2}")),
            Cell::number(ranked.rungs.last().map(|score| score.blended), |score| format!("{score:.2}")),
            Cell::number(top1, percent),
        ]);
    }
    table
}

/// Returns the multiply-adds of a candidate; `None` if the space is unknown or does not contain it.
pub fn multiply_adds(network: &Network, ranked: &Ranked) -> Option<f64> {
    let space = network.space.as_ref()?;
    let classes = network.architecture.get().map_or(1, |architecture| architecture.classes.max(1));
    let config = tfnas::ModelConfig::from_architecture(space, &ranked.architecture, classes).ok()?;
    Some(tfnas::cost::flops(&config, space.definition().resolution) as f64)
}

#[cfg(test)]
pub mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::outputs::Output;
    use tfnas::Space;

    /// Returns a `candidates.json` with these candidates: name, origin, number of completed rungs, diverged.
    pub fn report(candidates: &[(&str, &str, usize, bool)]) -> String {
        let choice =
            r#"[[{"operation": 0, "width": 24}], [{"operation": 0, "width": 36}], [{"operation": 1, "width": 48}]]"#;
        let ranking = candidates.iter().enumerate().map(|(id, (name, origin, rungs, diverged))| {
            let scores: Vec<String> = (0..*rungs)
                .map(|rung| format!(r#"{{"rung": {rung}, "epochs": {e}, "signal": 0.1, "prediction": 0.2, "blended": {id}.5}}"#, e = rung + 1))
                .collect();
            let loss = if *diverged { "\"NaN\"" } else { "2.5" };
            let epochs: Vec<String> = (1..=(*rungs).max(1)).map(|epoch| format!(r#"{{"epoch": {epoch}, "train_loss": {loss}}}"#)).collect();
            let eliminated = if *rungs < 2 { "0" } else { "null" };
            format!(
                r#"{{"id": {id}, "origin": {origin}, "name": "{name}", "architecture": {choice}, "predicted_ms": 0.5,
                    "rank": {rank}, "rungs": [{}], "epochs": [{}], "eliminated_after": {eliminated}, "diverged": {diverged}}}"#,
                scores.join(","),
                epochs.join(","),
                rank = id + 1
            )
        });
        format!(
            r#"{{"target_lat_ms": 0.6, "images": 10, "val_images": 5, "selection": {{"ranking": [{}], "winner": 0,
                "search_parse_rank": null, "regression": {{"leave_one_out_spearman": 0.0, "candidates": 1, "coefficients": []}},
                "rung_spearman": [0.5], "percentile": {{"low": 10.0, "high": 90.0, "better_than": 1, "of": 2, "basis": "b"}},
                "margin": null, "notes": ["one <diverged>"]}}}}"#,
            ranking.collect::<Vec<_>>().join(",")
        )
    }

    fn section(candidates: &[(&str, &str, usize, bool)]) -> Section {
        let json = report(candidates);
        let network =
            Network { space: Some(Space::small()), select: Output::from_json(json.as_bytes()), ..Network::default() };
        assert_eq!(network.select.problem(), None);
        select(&network).unwrap()
    }

    #[test]
    fn a_selection_of_one_candidate_is_shown() {
        let html = section(&[("rule <1>", r#"{"kind": "rule"}"#, 2, false)]).html().into_string();
        assert!(
            html.contains("Trained 1 candidate with a latency of at most 0.600 ms")
                && html.contains("rule &lt;1&gt;")
                && html.contains("one &lt;diverged&gt;")
        );
        assert!(!html.contains("NaN"), "{html}");
    }

    #[test]
    fn rungs_count_trained_and_promoted_candidates() {
        let uniform = r#"{"kind": "uniform"}"#;
        let section = section(&[("a", uniform, 2, false), ("b", uniform, 1, false), ("c", uniform, 0, true)]);
        let csv = section.tables().find(|(name, _)| *name == "rungs").unwrap().1.csv();
        assert!(csv.contains("\r\n1,1,2,1,\r\n2,2,1,,0.5\r\n"), "{csv}");
        assert!(
            !section.html().into_string().contains("NaN"),
            "a candidate that diverged in its first epoch has no score"
        );
    }
}

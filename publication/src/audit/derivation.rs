//! L3: checks that the published network follows from the search or the selection.
//!
//! With `search.verify: measured`, `parse` corrects the network until its measured latency meets the target. No file can
//! reproduce a measurement, so that a corrected network is only checked for what the files say about it.

use serde_json::Value;
use tfnas::exact_fit::{Preferences, changes, fit_exactly};
use tfnas::{Architecture, Choice, ModelConfig, Space};
use tfnas_stages::{
    ArchitectureReport, BlockReport, Fit, SearchEpoch, SearchResult, Stage, StageOutput as _, Verify, finite,
    probabilities,
};

use super::selection;
use crate::audit::Folder;
use crate::audit::checks::{Checks, Level, Verified};
use crate::{Contents, names};

/// Relative tolerance of latencies, because another machine may round sums of the table differently.
const ROUNDING: f64 = 1e-9;

/// The architecture that `parse` derives before it measures, computed again.
pub struct Derived {
    /// The architecture.
    pub architecture: Architecture,
    /// The operations and depths that differ from those that the search prefers.
    pub changed: Vec<String>,
    /// How the architecture was derived.
    pub how: String,
}

/// The relation of the published network to the derived one.
#[derive(Clone, Debug, PartialEq)]
enum Published {
    /// It is the derived network.
    Derived,
    /// It is another network of the space, because its measured latency missed the target.
    Corrected(Architecture),
}

/// Makes the checks of `model.config`, `architecture.json`, the history of the search and the measured latency.
pub fn check(folder: &Folder, contents: &Contents, checks: &mut Checks) {
    match derived(folder, contents) {
        Err(why) => checks.fail(Level::L3, names::CONFIG, why),
        Ok(derived) => match published(folder, contents, &derived) {
            Err(why) => checks.fail(Level::L3, names::CONFIG, why),
            Ok(Published::Derived) => {
                checks.pass(Level::L3, names::CONFIG, derived.how.clone());
                let report = architecture(contents, &derived.architecture, derived.changed);
                checks.note(Level::L3, names::ARCHITECTURE, report);
            }
            Ok(Published::Corrected(architecture_found)) => {
                checks.pass(Level::L3, names::CONFIG, "a network of the space, as architecture.json describes it");
                checks.skip(
                    Level::L3,
                    "correction of the network",
                    "its widths were corrected by a measurement, which no file can reproduce",
                );
                let mut changed = derived.changed;
                let again = changes(&contents.space, &derived.architecture, &architecture_found);
                changed.extend(again.iter().map(ToString::to_string));
                checks.note(Level::L3, names::ARCHITECTURE, architecture(contents, &architecture_found, changed));
            }
        },
    }
    checks.note(Level::L3, names::HISTORY, history(folder, contents));
}

/// Derives the architecture from the result of the search, and from the scores of the selection if there is one.
fn derived(folder: &Folder, contents: &Contents) -> Result<Derived, String> {
    let Contents { space, table, config, .. } = contents;
    let result = SearchResult::from_json(&folder.read(names::SEARCH)?).map_err(|error| error.to_string())?;
    let handed_on = result.architecture(space).map_err(|error| error.to_string())?;
    let preferences = Preferences { log_alphas: &result.log_alphas, betas: &result.betas };
    if config.select.is_enabled() {
        return selection::check(folder, contents, reachable_target(contents)?, &handed_on, preferences);
    }
    let architecture = if config.parse.fit == Some(Fit::Exact) {
        let target = reachable_target(contents)?;
        let fitted = fit_exactly(space, &handed_on, table, target, Some(&preferences));
        fitted.map_err(|error| error.to_string())?.architecture
    } else {
        handed_on
    };
    let preferred = result.preferred(space).map_err(|error| error.to_string())?;
    let changed = changes(space, &preferred, &architecture).iter().map(ToString::to_string).collect();
    let how = format!("{} blocks, as the result of the search prefers", architecture.block_count());
    Ok(Derived { architecture, changed, how })
}

fn published(folder: &Folder, contents: &Contents, derived: &Derived) -> Result<Published, String> {
    let Contents { space, network, architecture, config, .. } = contents;
    let text = folder.read(names::CONFIG)?;
    let verify = config.search.verify;
    relation(space, &text, network.classifier.out_features, &derived.architecture, verify, architecture)
}

/// Returns how the published network is related to the derived one.
///
/// * `text`: the published `model.config`.
/// * `report`: the description of the published network.
///
/// # Errors
/// Returns a message if the published network is another one, unless a measurement may have corrected it.
fn relation(
    space: &Space,
    text: &[u8],
    classes: usize,
    derived: &Architecture,
    verify: Verify,
    report: &ArchitectureReport,
) -> Result<Published, String> {
    let is_published = |architecture: &Architecture| {
        let config = ModelConfig::from_architecture(space, architecture, classes).map_err(|error| error.to_string())?;
        Ok::<_, String>(config.to_text().as_bytes() == text)
    };
    if is_published(derived)? {
        return Ok(Published::Derived);
    }
    if verify.is_predicted() {
        return Err("it is not the network that follows from the search and the selection".to_owned());
    }
    let corrected = described(space, report)?;
    if is_published(&corrected)? {
        Ok(Published::Corrected(corrected))
    } else {
        Err(format!("it is not the network that {} describes", names::ARCHITECTURE))
    }
}

/// Returns the architecture that a report describes.
///
/// # Errors
/// Returns a message if it is no architecture of the space.
fn described(space: &Space, report: &ArchitectureReport) -> Result<Architecture, String> {
    let wrong = |block: &BlockReport| format!("{}: {} is not a block of the space", names::ARCHITECTURE, block.name);
    let mut blocks = report.blocks.iter().peekable();
    let mut groups = Vec::with_capacity(space.groups().len());
    for group in 0..space.groups().len() {
        let mut choices = Vec::new();
        for block in space.blocks_of(group) {
            let Some(found) = blocks.next_if(|found| found.name == block.name()) else { break };
            let operation = space.operations().iter().position(|operation| operation.name() == found.operation);
            choices.push(Choice { operation: operation.ok_or_else(|| wrong(found))?, width: found.width });
        }
        groups.push(choices);
    }
    match blocks.next() {
        Some(left) => Err(wrong(left)),
        None => Architecture::new(space, groups).map_err(|error| format!("{}: {error}", names::ARCHITECTURE)),
    }
}

/// Checks that `architecture.json` is the description of the network.
fn architecture(contents: &Contents, own: &Architecture, changed: Vec<String>) -> Result<Verified, String> {
    let Contents { space, network, table, architecture, .. } = contents;
    let target = reachable_target(contents)?;
    let made = ArchitectureReport::new(space, table, own, network, target, changed);
    let mut made = made.map_err(|error| error.to_string())?;
    if contents.record(Stage::Parse).manifest.revision() != Stage::Parse.revision() {
        // Another revision may have listed other changes.
        made.changed.clone_from(&architecture.changed);
    }
    same_report(architecture, &made)?;
    Ok(Verified(format!(
        "{} parameters, {} multiply-adds, {} ms by the table and its {} blocks, recomputed",
        made.parameters,
        made.flops,
        made.predicted_lat_ms,
        made.blocks.len()
    )))
}

/// Compares a report with the recomputed one.
fn same_report(claimed: &ArchitectureReport, made: &ArchitectureReport) -> Result<(), String> {
    let counts = [
        ("space_resolution", claimed.space_resolution as u64, made.space_resolution as u64),
        ("classes", claimed.classes as u64, made.classes as u64),
        ("parameters", claimed.parameters, made.parameters),
        ("flops", claimed.flops, made.flops),
    ];
    if let Some((name, claimed, found)) = counts.into_iter().find(|(_, claimed, found)| claimed != found) {
        return Err(format!("{name} is {found}, but the record has {claimed}"));
    }
    let times = [
        ("target_lat_ms", claimed.target_lat_ms, made.target_lat_ms),
        ("base_lat_ms", claimed.base_lat_ms, made.base_lat_ms),
        ("predicted_lat_ms", claimed.predicted_lat_ms, made.predicted_lat_ms),
    ];
    if let Some((name, claimed, found)) = times.into_iter().find(|(_, claimed, found)| !near(*found, *claimed)) {
        return Err(format!("{name} is {found}, but the record has {claimed}"));
    }
    if claimed.changed != made.changed {
        return Err("its list of changes is not the one that follows from the search".to_owned());
    }
    if claimed.blocks.len() != made.blocks.len() {
        return Err(format!("the network has {} blocks, but the record {}", made.blocks.len(), claimed.blocks.len()));
    }
    let untimed = |block: &BlockReport| BlockReport { lat_ms: 0.0, ..block.clone() };
    let differs = |(claimed, made): &(&BlockReport, &BlockReport)| {
        untimed(claimed) != untimed(made) || !near(made.lat_ms, claimed.lat_ms)
    };
    match claimed.blocks.iter().zip(&made.blocks).find(differs) {
        Some((_, made)) => Err(format!("the entry of {} is wrong", made.name)),
        None => Ok(()),
    }
}

/// Checks that the last epoch has the architecture of the result, and that the latency of each epoch's architecture
/// matches the table.
fn history(folder: &Folder, contents: &Contents) -> Result<Verified, String> {
    let Contents { space, table, history, config, .. } = contents;
    if history.len() != config.search.epochs {
        return Err(format!("it has {} epochs, but the configuration {}", history.len(), config.search.epochs));
    }
    for (index, epoch) in history.iter().enumerate() {
        if epoch.epoch != index || !(-ROUNDING..=1.0 + ROUNDING).contains(&epoch.operation_entropy) {
            return Err(format!("epoch {index} is not valid"));
        }
        let found = Architecture::new(space, epoch.architecture.clone()).map_err(|error| error.to_string())?;
        let ms = table.architecture_ms(space, &found).map_err(|error| error.to_string())?;
        if !near(ms, epoch.after_lat_ms) {
            return Err(format!("epoch {index} has {} ms, but the table gives {ms}", epoch.after_lat_ms));
        }
    }
    let result = SearchResult::from_json(&folder.read(names::SEARCH)?).map_err(|error| error.to_string())?;
    ends_in(space, history, &result)?;
    Ok(Verified(format!(
        "{} epochs, the last with the result of the search, each with its latency by the table",
        history.len()
    )))
}

/// Checks that the last epoch is the result of the search. The network that was trained may differ from it.
fn ends_in(space: &Space, history: &[SearchEpoch], result: &SearchResult) -> Result<(), String> {
    let last = history.last().ok_or("it has no epoch")?;
    // Earlier releases did not write probabilities.
    let is_known = !last.operations.is_empty();
    if is_known
        && (&last.operations, &last.depths) != (&probabilities(&result.log_alphas), &probabilities(&result.betas))
    {
        return Err(format!("the probabilities of its last epoch differ from {}", names::SEARCH));
    }
    let handed_on = result.architecture(space).map_err(|error| error.to_string())?;
    if last.architecture != handed_on.groups() {
        return Err(format!("the architecture of its last epoch differs from {}", names::SEARCH));
    }
    Ok(())
}

/// Checks that the measured latency that `parse` recorded meets the target, as `search.verify: measured` requires. A
/// network can be faster than the target if its widths cannot grow.
///
/// * `metrics`: the metrics of `parse`.
///
/// # Errors
/// Returns a message if no latency is recorded, or if it is above the target.
pub fn meets_target(metrics: &Value, target_ms: f64) -> Result<(), String> {
    let number = |name: &str| metrics.get(name).and_then(Value::as_f64).and_then(finite);
    // Only a table of this device relates the latency to the speed that the machine had when the table was measured.
    let ms = number("measured_lat_ms_at_table_speed").or_else(|| number("measured_lat_ms"));
    let ms = ms.filter(|ms| *ms > 0.0).ok_or("it has no measured latency, which search.verify: measured requires")?;
    if ms <= target_ms * (1.0 + Verify::TOLERANCE) * (1.0 + ROUNDING) {
        Ok(())
    } else {
        Err(format!("the measured latency of {ms} ms is above the target of {target_ms} ms"))
    }
}

/// Returns the target latency in milliseconds of the table.
pub fn reachable_target(contents: &Contents) -> Result<f64, String> {
    let reachable = contents.table.reachable_ms(&contents.space).map_err(|error| error.to_string())?;
    contents.config.search.target_lat_ms.within(&reachable).map_err(|error| error.to_string())
}

/// Returns whether a latency is the claimed one, except for rounding.
pub fn near(found: f64, claimed: f64) -> bool {
    (found - claimed).abs() <= ROUNDING * claimed.abs()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;
    use tfnas::{Knot, LatencyCurve, LatencyTable, TableHeader};
    use tfnas_random::{Stream, StreamId};

    use super::*;

    const CLASSES: usize = 5;

    fn table(space: &Space) -> LatencyTable {
        let rows = space.needed_rows().into_iter().map(|row| {
            let knots = [1, row.max_width.max(2)].map(|width| Knot { width, ms: 0.01 * width as f64 });
            (row.key, LatencyCurve::new(knots.to_vec()).unwrap())
        });
        LatencyTable::new(TableHeader { name: "even".to_owned(), ..TableHeader::default() }, 1.0, rows.collect())
            .unwrap()
    }

    fn random(space: &Space, epoch: u32) -> Architecture {
        Architecture::random(space, &mut Stream::new(3, StreamId::RandomArchitecture, epoch, 0))
    }

    fn config(space: &Space, architecture: &Architecture) -> ModelConfig {
        ModelConfig::from_architecture(space, architecture, CLASSES).unwrap()
    }

    fn report(space: &Space, architecture: &Architecture) -> ArchitectureReport {
        let config = config(space, architecture);
        ArchitectureReport::new(space, &table(space), architecture, &config, 9.0, Vec::new()).unwrap()
    }

    #[test]
    fn another_network_is_accepted_only_if_a_measurement_may_have_corrected_it() {
        let space = Space::small();
        let (derived, other) = (random(&space, 0), random(&space, 1));
        let related = |published: &Architecture, verify, described: &Architecture| {
            let text = config(&space, published).to_text();
            relation(&space, text.as_bytes(), CLASSES, &derived, verify, &report(&space, described))
        };
        for verify in [Verify::Predicted, Verify::Measured] {
            assert_eq!(related(&derived, verify, &derived), Ok(Published::Derived));
        }
        assert!(related(&other, Verify::Predicted, &other).unwrap_err().contains("not the network that follows"));
        assert_eq!(related(&other, Verify::Measured, &other), Ok(Published::Corrected(other.clone())));
        assert!(related(&other, Verify::Measured, &derived).unwrap_err().contains("architecture.json describes"));
    }

    #[test]
    fn a_described_network_is_one_of_the_space() {
        let space = Space::small();
        for epoch in 0..20 {
            let architecture = random(&space, epoch);
            assert_eq!(described(&space, &report(&space, &architecture)), Ok(architecture));
        }
        let damages: [fn(&mut ArchitectureReport); 4] = [
            |report| report.blocks[0].width = 1_000_000,
            |report| report.blocks[0].operation = "k9".to_owned(),
            |report| report.blocks[0].name = "stage9.block9".to_owned(),
            |report| report.blocks.clear(),
        ];
        for damage in damages {
            let mut damaged = report(&space, &random(&space, 0));
            damage(&mut damaged);
            assert!(described(&space, &damaged).unwrap_err().contains("architecture.json"));
        }
    }

    #[test]
    fn every_number_of_a_block_is_compared() {
        let space = Space::small();
        let made = report(&space, &random(&space, 0));
        let forgeries: [fn(&mut ArchitectureReport); 7] = [
            |report| report.blocks[1].parameters += 1,
            |report| report.blocks[1].flops = 0,
            |report| report.blocks[1].lat_ms *= 0.5,
            |report| report.blocks[1].lat_ms = f64::NAN,
            |report| report.blocks[1].operation.push('x'),
            |report| report.blocks[1].stride += 1,
            |report| report.blocks.swap(0, 1),
        ];
        assert_eq!(same_report(&made, &made), Ok(()));
        for forge in forgeries {
            let mut forged = made.clone();
            forge(&mut forged);
            assert!(same_report(&forged, &made).unwrap_err().starts_with("the entry of stage"));
        }
        let changed = ArchitectureReport { changed: vec!["stage1: 2 -> 1 blocks".to_owned()], ..made.clone() };
        assert!(same_report(&changed, &made).unwrap_err().contains("changes"));
    }

    #[test]
    fn a_verified_latency_is_at_most_the_target_and_its_tolerance() {
        let of = |metrics: Value| meets_target(&metrics, 10.0);
        for met in [10.0, 10.2, 3.0] {
            assert_eq!(of(json!({ "measured_lat_ms": met })), Ok(()));
        }
        assert!(of(json!({ "measured_lat_ms": 10.3 })).unwrap_err().contains("above the target"));
        assert_eq!(of(json!({ "measured_lat_ms": 12.0, "measured_lat_ms_at_table_speed": 10.1 })), Ok(()));
        assert!(of(json!({ "measured_lat_ms": 10.0, "measured_lat_ms_at_table_speed": 10.3 })).is_err());
        for missing in [json!({}), json!({ "measured_lat_ms": 0.0 }), json!({ "measured_lat_ms": null })] {
            assert!(of(missing).unwrap_err().contains("no measured latency"));
        }
    }
}

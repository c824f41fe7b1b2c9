//! The stage `parse`: derives one architecture from the result of `search` or `select`, and measures its latency.

use tfnas::exact_fit::{Preferences, changes, fit_exactly};
use tfnas::{Architecture, LatencyTable, Space};
use tfnas_stages::{ArchitectureReport, Fit, Metrics, ParseParams, SearchResult, Selected, StageOutput as _, Verify};
use tfnas_torch::timing::TimingOptions;

use crate::context::StageContext;
use crate::error::{Context as _, StageError, StageResult};
use crate::images::classes;
use crate::reference::{self, Measured};
use crate::request::WARM_UP_PASSES;
use crate::search::missed_target;
use crate::verify::{Verified, config_of, verify};

/// The possible inputs with the classes of the derived network; a job has one of them.
const CLASSES: [&str; 2] = ["classes.txt", "all_classes.txt"];

/// Runs the stage.
pub fn run(context: &mut StageContext) -> StageResult {
    let params: ParseParams = context.params()?;
    let space = Space::new(params.space.clone()).context("space")?;
    let table = LatencyTable::parse(&context.read_text("latency.table")?).context("latency.table")?;
    let reachable = table.reachable_ms(&space).context("latency.table")?;
    let target_lat_ms = params.target_lat_ms.within(&reachable).map_err(|error| StageError::new(error.to_string()))?;
    let (fitted, preferred, mut changed) = if context.input(Selected::FILE).is_ok() {
        let selected: Selected = context.read_output()?;
        (Architecture::new(&space, selected.architecture).context(Selected::FILE)?, None, Vec::new())
    } else {
        let result: SearchResult = context.read_output()?;
        let architecture = fitted(context, &params, &space, &table, &result, target_lat_ms)?;
        let changed = changes(&space, &result.preferred(&space).context(SearchResult::FILE)?, &architecture);
        (architecture, Some(result), changed)
    };
    let preferences =
        preferred.as_ref().map(|SearchResult { log_alphas, betas, .. }| Preferences { log_alphas, betas });
    let port = CLASSES.into_iter().find(|port| context.input(port).is_ok()).unwrap_or(CLASSES[0]);
    let names = classes(context, port)?;
    let classes = space.definition().classes.unwrap_or(names.len());
    let measurement =
        Measurement { params: &params, space: &space, table: &table, preferences, classes, target_lat_ms };
    let (architecture, measured) = match params.parse.measure {
        true => measurement.run(context, fitted.clone())?,
        false => (fitted.clone(), None),
    };
    let changed_again = changes(&space, &fitted, &architecture);
    if !changed_again.is_empty() {
        let again: Vec<String> = changed_again.iter().map(ToString::to_string).collect();
        let again = again.join(", ");
        context
            .report
            .warn(format!("the architecture was changed so that its measured latency meets the target: {again}"));
    }
    changed.extend(changed_again);
    let changed = changed.iter().map(ToString::to_string).collect();
    let config = config_of(&space, &architecture, classes)?;
    let report = ArchitectureReport::new(&space, &table, &architecture, &config, target_lat_ms, changed);
    let report = report.context("latency.table")?;
    let mut metrics = Metrics::from([("predicted_lat_ms".to_owned(), report.predicted_lat_ms)]);
    if let Some(measured) = measured {
        metrics.insert("measured_lat_ms".to_owned(), measured.time.median_ms);
        metrics.insert("measured_lat_ms_low".to_owned(), measured.time.low_ms);
        metrics.insert("measured_lat_ms_high".to_owned(), measured.time.high_ms);
        if let Some(drift) = measured.drift {
            metrics.insert("machine_drift".to_owned(), drift);
            metrics.insert("measured_lat_ms_at_table_speed".to_owned(), measured.at_table_speed_ms());
        }
    }
    context.write_output("model.config", config.to_text().as_bytes())?;
    context.write_json(&report)?;
    Ok(metrics)
}

/// The measurement of a network's latency.
struct Measurement<'a> {
    params: &'a ParseParams,
    space: &'a Space,
    table: &'a LatencyTable,
    /// The preferences of the search, if the architecture comes from it.
    preferences: Option<Preferences<'a>>,
    classes: usize,
    target_lat_ms: f64,
}

impl Measurement<'_> {
    /// Measures the network of an architecture, and fits it again until it meets the target if `search.verify` asks for it.
    fn run(
        &self,
        context: &mut StageContext,
        architecture: Architecture,
    ) -> Result<(Architecture, Option<Measured>), StageError> {
        let &Self { params, space, table, classes, target_lat_ms, .. } = self;
        let options = TimingOptions {
            batch: params.batch,
            threads: params.threads,
            passes: params.parse.passes,
            warm_up_passes: WARM_UP_PASSES,
            seed: params.seed,
            device: context.device,
        };
        let mut measure = |architecture: &Architecture| {
            let config = config_of(space, architecture, classes)?;
            let progress = &mut |done: usize, calls: usize| {
                context.report_progress("measuring the network", done, calls, "passes")
            };
            Ok(reference::measure(&config, space, table, &options, progress)?)
        };
        if params.verify == Verify::Predicted {
            let measured = measure(&architecture)?;
            return Ok((architecture, Some(measured)));
        }
        let Verified { architecture, measured, corrected_ms } =
            verify(space, table, target_lat_ms, architecture, self.preferences.as_ref(), measure)?;
        if let Some(corrected) = corrected_ms.last() {
            context.report.info(format!(
                "the measured latency missed the target of {target_lat_ms:.4} ms; it was fitted again to {corrected:.4} ms of the \
                 table, and now takes {:.4} ms",
                measured.at_table_speed_ms()
            ));
        }
        Ok((architecture, Some(measured)))
    }
}

/// Returns the architecture of the search, fitted to the target if `parse.fit` is `exact`.
///
/// # Errors
/// Returns an error if the architecture misses the target.
fn fitted(
    context: &mut StageContext,
    params: &ParseParams,
    space: &Space,
    table: &LatencyTable,
    result: &SearchResult,
    target_lat_ms: f64,
) -> Result<Architecture, StageError> {
    let found = result.architecture(space).context(SearchResult::FILE)?;
    if params.parse.fit == Some(Fit::Exact) {
        let preferences = Preferences { log_alphas: &result.log_alphas, betas: &result.betas };
        let fitted = fit_exactly(space, &found, table, target_lat_ms, Some(&preferences)).context("search.json")?;
        if !fitted.changes.is_empty() {
            let changed: Vec<String> = fitted.changes.iter().map(ToString::to_string).collect();
            let missed = missed_target(space, &found, fitted.before_ms, target_lat_ms);
            context.report.warn(format!("{missed}; it was changed to meet the target: {}", changed.join(", ")));
        }
        return Ok(fitted.architecture);
    }
    let found_ms = table.architecture_ms(space, &found).context("latency.table")?;
    if found_ms <= target_lat_ms {
        return Ok(found);
    }
    Err(StageError::with_hint(
        missed_target(space, &found, found_ms, target_lat_ms),
        "search with `search.fit: exact`, which always meets the target; or keep this search and set `parse.fit: exact`, \
         which changes operations and depth until the architecture meets the target",
    ))
}

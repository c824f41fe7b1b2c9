//! `lookup`: the latency table of the space, measured here or imported.

use std::fs;

use serde::{Deserialize, Serialize};
use tfnas::curve::monotone;
use tfnas::{Architecture, BlockKey, Knot, LatencyCurve, LatencyTable, ModelConfig, NeededRow, Space, TableHeader};
use tfnas_random::{Purpose, Stream};
use tfnas_stages::{LookupParams, LookupSection, Metrics};
use tfnas_torch::NamedTensors;
use tfnas_torch::timing::{Calibration, TimingOptions, calibrate, time_blocks, time_networks};

use crate::context::StageContext;
use crate::environment::device_model;
use crate::error::{Context as _, StageError, StageResult};
use crate::images::classes;
use crate::resume::ResumeFolder;
use crate::state::StateKeeper;

/// Rows measured between two resume points: enough for the caches to be as cold as inside a network.
const ROWS_AT_ONCE: usize = 48;
/// Passes whose times do not count.
const WARM_UP_PASSES: usize = 2;
/// First byte of a pickle of protocol 2 and above, which no text begins with.
const PICKLE: u8 = 0x80;

/// Times of rows measured so far: what a resume point holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Measured {
    base_ms: f64,
    /// Milliseconds of each request, in order.
    rows_ms: Vec<f64>,
}

/// `lookup.json`.
#[derive(Serialize)]
struct Report {
    /// `measured`, or `imported`.
    origin: &'static str,
    name: String,
    device: Option<String>,
    base_ms: f64,
    rows: usize,
    min_reachable_ms: f64,
    max_reachable_ms: f64,
    /// Entries that are not positive, or fall with the width.
    suspicious: usize,
    /// The table's sums beside whole random networks; none for an imported table.
    check: Option<Check>,
}

/// How far sums of rows are from whole networks.
#[derive(Serialize)]
struct Check {
    mean_error: f64,
    worst_error: f64,
    /// None where predictions or measurements are all equal.
    rank_correlation: Option<f64>,
    scale: f64,
    offset_ms: f64,
    fitted_mean_error: f64,
    fitted_worst_error: f64,
    /// Predicted and measured, in milliseconds.
    networks: Vec<(f64, f64)>,
}

/// Runs the stage.
pub fn run(context: &mut StageContext) -> StageResult {
    let params: LookupParams = context.params()?;
    let space = Space::new(params.space.clone()).context("space")?;
    let (table, check) = match &params.lookup {
        None => (import(context)?, None),
        Some(section) => measure(context, &space, section, params.seed)?,
    };
    table.check_covers(&space).context("the table does not fit the space")?;
    let reachable = table.reachable_ms(&space).context("latency.table")?;
    let report = Report {
        origin: if params.lookup.is_some() { "measured" } else { "imported" },
        name: table.header().name.clone(),
        device: table.header().device.clone(),
        base_ms: table.base_ms(),
        rows: table.curves().len(),
        min_reachable_ms: reachable.min_ms,
        max_reachable_ms: reachable.max_ms,
        suspicious: suspicious(&table, &space),
        check: check.map(Check::from),
    };
    context.report.info(format!(
        "{} rows; networks of this space take {:.4} to {:.4} ms",
        report.rows, report.min_reachable_ms, report.max_reachable_ms
    ));
    if report.suspicious > 0 {
        context.report.warn(format!(
            "{} entries of the table are not positive, or fall with the width (`table verify` lists them)",
            report.suspicious
        ));
    }
    let mut metrics = Metrics::new();
    if let Some(check) = &report.check {
        context.report.info(format!(
            "sums of blocks beside {} whole networks: off by {:.1} % on average, {:.1} % at worst; fitted with one scale \
             and offset {:.1} %, {:.1} %",
            check.networks.len(),
            100.0 * check.mean_error,
            100.0 * check.worst_error,
            100.0 * check.fitted_mean_error,
            100.0 * check.fitted_worst_error
        ));
        metrics.insert("table_mean_error".to_owned(), check.mean_error);
        metrics.insert("table_worst_error".to_owned(), check.worst_error);
    }
    context.write_output("latency.table", table.to_text().as_bytes())?;
    context.write_json("lookup.json", &report)?;
    Ok(metrics)
}

/// How many widths that the space may use have an entry that is not positive, or falls with the width.
fn suspicious(table: &LatencyTable, space: &Space) -> usize {
    let rows = space.needed_rows();
    let used = |key: &BlockKey, width: &usize| {
        rows.iter().any(|row| row.key == *key && (row.min_width..=row.max_width).contains(width))
    };
    table
        .suspicious()
        .iter()
        .map(|entries| entries.widths.clone().filter(|width| used(&entries.key, width)).count())
        .sum()
}

fn import(context: &StageContext) -> Result<LatencyTable, StageError> {
    let path = &context.input("table")?.path;
    let bytes = fs::read(path).map_err(|error| StageError::file("read", path, &error))?;
    let place = format!("lookup.import: {}", path.display());
    if bytes.first() == Some(&PICKLE) {
        let header = TableHeader { name: "imported".to_owned(), ..TableHeader::default() };
        return LatencyTable::from_pickle(&bytes, header).context(place);
    }
    let text = String::from_utf8(bytes).context(&place)?;
    LatencyTable::parse(&text).context(place)
}

fn measure(
    context: &mut StageContext,
    space: &Space,
    section: &LookupSection,
    seed: u64,
) -> Result<(LatencyTable, Option<Calibration>), StageError> {
    let classes = match space.definition().classes {
        Some(classes) => classes,
        None => classes(context, "classes.txt")?.len(),
    };
    let options = TimingOptions {
        batch: section.batch,
        threads: section.threads,
        passes: section.passes,
        warm_up_passes: WARM_UP_PASSES,
        seed,
        device: context.device,
    };
    let rows = space.needed_rows();
    let requests: Vec<Vec<(BlockKey, usize)>> = rows
        .iter()
        .map(|row| widths(row, section.widths_per_key).into_iter().map(|width| (row.key, width)).collect())
        .collect();
    let measured = measure_rows(context, space, classes, &requests, &options)?;

    let mut times = measured.rows_ms.iter().copied();
    let mut curves = Vec::with_capacity(rows.len());
    for row in &requests {
        let times: Vec<f64> = times.by_ref().take(row.len()).collect();
        let knots = row.iter().zip(monotone(&times)).map(|(&(_, width), ms)| Knot { width, ms }).collect();
        curves.push((row[0].0, LatencyCurve::new(knots).context("measured row")?));
    }
    let device = device_model(context.device);
    let header = TableHeader {
        name: "measured".to_owned(),
        device: Some(device),
        batch: Some(section.batch),
        threads: Some(section.threads),
        framework: Some("libtorch".to_owned()),
        source: Some(format!("tfnas-pipeline {}", crate::VERSION)),
        ..TableHeader::default()
    };
    let table = LatencyTable::new(header, measured.base_ms, curves).context("measured table")?;
    let check = check(context, space, &table, classes, section.check_networks, &options)?;
    Ok((table, check))
}

/// Times all requests, some rows at a time, from the last resume point on.
fn measure_rows(
    context: &mut StageContext,
    space: &Space,
    classes: usize,
    requests: &[Vec<(BlockKey, usize)>],
    options: &TimingOptions,
) -> Result<Measured, StageError> {
    let mut keeper = StateKeeper::new(ResumeFolder::new(&context.job().resume_dir), 0.0);
    let mut measured = match keeper.load::<Measured>()? {
        Some((measured, _)) => {
            context.report.resumed(format!("block {}", measured.rows_ms.len() + 1));
            measured
        }
        None => Measured::default(),
    };
    let total: usize = requests.iter().map(Vec::len).sum();
    let mut before = 0;
    for rows in requests.chunks(ROWS_AT_ONCE) {
        let rows: Vec<_> = rows.iter().flatten().copied().collect();
        if before + rows.len() > measured.rows_ms.len() {
            let times = time_blocks(space, classes, &rows, options, &mut |done, calls| {
                let blocks = before + done * rows.len() / calls.max(1);
                context.go_on("measuring blocks", blocks, total, "blocks")
            })?;
            // The parts that all networks share are measured with each chunk; the first time is as good as any.
            if before == 0 {
                measured.base_ms = times.base_ms;
            }
            measured.rows_ms.extend(times.rows.iter().map(|&(_, _, ms)| ms));
            keeper.save(measured.rows_ms.len() as u64, &measured, NamedTensors::new())?;
        }
        before += rows.len();
    }
    Ok(measured)
}

/// Compares the table's sums with whole random networks.
fn check(
    context: &mut StageContext,
    space: &Space,
    table: &LatencyTable,
    classes: usize,
    count: usize,
    options: &TimingOptions,
) -> Result<Option<Calibration>, StageError> {
    let mut predicted = Vec::with_capacity(count);
    let mut configs = Vec::with_capacity(count);
    for index in 0..count {
        let mut stream = Stream::new(options.seed, Purpose::RandomArchitecture, 0, index as u32);
        let architecture = Architecture::random(space, &mut stream);
        predicted.push(table.architecture_ms(space, &architecture).context("latency.table")?);
        configs.push(ModelConfig::from_architecture(space, &architecture, classes).context("random network")?);
    }
    if configs.is_empty() {
        return Ok(None);
    }
    let times = time_networks(&configs, space.definition().resolution, options, &mut |done, calls| {
        context.go_on("checking on whole networks", done, calls, "calls")
    })?;
    let pairs: Vec<_> = predicted.into_iter().zip(times.iter().map(|time| time.median_ms)).collect();
    Ok(Some(calibrate(&pairs)))
}

/// The widths at which a row is measured: spread evenly, both ends among them.
fn widths(row: &NeededRow, count: usize) -> Vec<usize> {
    let span = row.max_width - row.min_width;
    let steps = count.max(2) - 1;
    // Widths between the steps of the space are never used.
    let rounded = |width: usize| width / row.width_step * row.width_step;
    let mut widths: Vec<usize> = (0..=steps).map(|step| rounded(row.min_width + span * step / steps)).collect();
    widths.dedup();
    // A curve has two knots even where a row has one width.
    if let [only] = widths[..] {
        widths = if only > row.key.in_channels { vec![only - 1, only] } else { vec![only, only + 1] };
    }
    widths
}

impl From<Calibration> for Check {
    fn from(found: Calibration) -> Self {
        Self {
            mean_error: found.mean_error,
            worst_error: found.worst_error,
            rank_correlation: Some(found.rank_correlation).filter(|value| value.is_finite()),
            scale: found.scale,
            offset_ms: found.offset_ms,
            fitted_mean_error: found.fitted_mean_error,
            fitted_worst_error: found.fitted_worst_error,
            networks: found.networks,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn widths_are_spread_between_both_ends_each_once() {
        let key = Space::small().needed_rows()[0].key;
        let row = |min_width, max_width| NeededRow { key, min_width, max_width, width_step: 1 };
        assert_eq!(widths(&row(24, 48), 5), [24, 30, 36, 42, 48]);
        assert_eq!(widths(&row(24, 26), 9), [24, 25, 26]);
        assert_eq!(widths(&row(64, 64), 5).len(), 2);
        assert_eq!(widths(&NeededRow { width_step: 8, ..row(24, 48) }, 9), [24, 32, 40, 48]);
    }
}

//! The stage `lookup`: measures or imports the latency table.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tfnas::{Architecture, BlockKey, LatencyTable, Space, TableCheck, TableHeader, TableReference};
use tfnas_fs::read_limited;
use tfnas_pytorch_files::{MAX_TABLE_BYTES, table_from_bytes};
use tfnas_random::{Stream, StreamId};
use tfnas_stages::{LookupCheck, LookupParams, LookupReport, LookupSection, Metrics, TableOrigin, finite};
use tfnas_torch::NamedTensors;
use tfnas_torch::timing::{
    CheckTime, CheckTimes, InPlace, Round, TimingOptions, calibrate, fit, reference_configs, samples_of,
};

use crate::context::StageContext;
use crate::environment::device_model;
use crate::error::{Context as _, StageError, StageResult};
use crate::images::classes;
use crate::resume::CheckpointDir;
use crate::state::Checkpointer;

/// Timed passes per measurement of a network; the result is their median.
pub(crate) const PASSES: usize = 4;
/// Untimed passes before each measurement of a network. The first pass takes 1.2 to 1.9 times as long as later ones, because
/// libtorch prepares each new shape; the second takes 1.03 times and the third 1.01 times as long.
pub(crate) const WARM_UP_PASSES: usize = 3;
/// Minimum number of samples of each row. The measurement exceeds its time budget if it needs to.
const MIN_SAMPLES: usize = 4;
/// Time between resume points.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);
/// Noise floor above which the stage warns that the machine is too noisy.
const MAX_NOISE_FLOOR: f64 = 0.02;

/// The measurements so far, which resume points contain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Measured {
    rounds: Vec<Round>,
    spent_s: f64,
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
    let report = LookupReport {
        origin: if params.lookup.is_some() { TableOrigin::Measured } else { TableOrigin::Imported },
        name: table.header().name.clone(),
        device: table.header().device.clone(),
        base_ms: table.base_ms(),
        rows: table.curves().len(),
        min_reachable_ms: reachable.min_ms,
        max_reachable_ms: reachable.max_ms,
        suspicious: suspicious(&table, &space),
        check,
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
            "predicted latencies are off by {:.1} % on average from {} other networks (95 % within {:.1} %, bias {:+.1} %)",
            100.0 * check.mean_error,
            check.networks.len(),
            100.0 * check.p95_error,
            100.0 * check.bias,
        ));
        if let Some(noise_floor) = check.noise_floor {
            context.report.info(format!(
                "the measurement itself is off by {:.1} % on average; {} of {} rounds were disturbed",
                100.0 * noise_floor,
                check.rounds_dropped,
                check.rounds
            ));
            if noise_floor > MAX_NOISE_FLOOR {
                context.report.warn(format!(
                    "this machine is too noisy for exact latencies (the same network differs by {:.1} % between measurements): \
                     stop other programs, or raise lookup.budget_s",
                    200.0 * noise_floor
                ));
            }
            metrics.insert("table_noise_floor".to_owned(), noise_floor);
        }
        metrics.insert("table_mean_error".to_owned(), check.mean_error);
        metrics.insert("table_worst_error".to_owned(), check.worst_error);
    }
    context.write_output("latency.table", table.to_text().as_bytes())?;
    context.write_json(&report)?;
    Ok(metrics)
}

/// Returns the number of entries within the widths of the space that are not positive, or smaller than the entry of a smaller
/// width.
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
    let bytes = read_limited(path, MAX_TABLE_BYTES).map_err(|error| StageError::file("read", path, &error))?;
    let header = || TableHeader { name: "imported".to_owned(), ..TableHeader::default() };
    table_from_bytes(bytes, header).context(format!("lookup.import: {}", path.display()))
}

fn measure(
    context: &mut StageContext,
    space: &Space,
    section: &LookupSection,
    seed: u64,
) -> Result<(LatencyTable, Option<LookupCheck>), StageError> {
    let classes = match space.definition().classes {
        Some(classes) => classes,
        None => classes(context, "classes.txt")?.len(),
    };
    let options = TimingOptions {
        batch: section.batch,
        threads: section.threads,
        passes: PASSES,
        warm_up_passes: WARM_UP_PASSES,
        seed,
        device: context.device,
    };
    let checked: Vec<Architecture> = (0..section.check_networks)
        .map(|index| Architecture::random(space, &mut Stream::new(seed, StreamId::RandomArchitecture, 0, index as u32)))
        .collect();
    let in_place = InPlace::new(space, classes, &checked, &reference_configs(space, seed, classes), options)?;
    let measured = measure_rounds(context, space, &in_place, section.budget_s)?;
    let fitted = fit(&space.needed_rows(), &measured.rounds)
        .ok_or_else(|| StageError::new("all rounds of the measurement were discarded"))?;
    let header = TableHeader {
        name: "measured".to_owned(),
        device: Some(device_model(context.device)),
        batch: Some(section.batch),
        threads: Some(section.threads),
        framework: Some("libtorch".to_owned()),
        source: Some(format!("tfnas-pipeline {}", crate::VERSION)),
        reference: Some(TableReference { seed, classes, ms: fitted.checks.reference_ms }),
        ..TableHeader::default()
    };
    let table = LatencyTable::new(header, fitted.base_ms, fitted.curves).context("measured table")?;
    let check = compare(space, &table, &checked, &fitted.checks, measured.rounds.len())?;
    let table = match &check {
        Some(check) => table.with_check(summary(check)),
        None => table,
    };
    Ok((table, check))
}

/// Measures rounds until the time budget is used and each row has enough samples. Resumes from the last resume point.
fn measure_rounds(
    context: &mut StageContext,
    space: &Space,
    in_place: &InPlace<'_>,
    budget_s: f64,
) -> Result<Measured, StageError> {
    let mut checkpointer = Checkpointer::new(CheckpointDir::new(&context.job().resume_dir), 0.0);
    let mut measured = match checkpointer.load::<Measured>()? {
        Some((measured, _)) => {
            context.report.resumed(format!("round {}", measured.rounds.len() + 1));
            measured
        }
        None => Measured::default(),
    };
    let rows = space.needed_rows();
    let before_s = measured.spent_s;
    let start = Instant::now();
    let mut saved = Instant::now();
    loop {
        let samples = samples_of(&rows, &measured.rounds);
        let covered = samples.iter().filter(|&&count| count >= MIN_SAMPLES).count();
        let done_s = measured.spent_s.min(budget_s) as usize;
        let flow = if measured.spent_s < budget_s {
            context.report_progress("measuring random networks", done_s, budget_s.ceil() as usize, "s")
        } else {
            context.report_progress("measuring rare blocks", covered, rows.len(), "blocks")
        };
        let complete = measured.spent_s >= budget_s && covered == rows.len();
        if flow.is_break() || complete || saved.elapsed() >= SAVE_INTERVAL {
            checkpointer.save(measured.rounds.len() as u64, &measured, NamedTensors::new())?;
            saved = Instant::now();
        }
        if flow.is_break() {
            return Err(StageError::Stopped);
        }
        if complete {
            return Ok(measured);
        }
        measured.rounds.push(in_place.round(measured.rounds.len() as u32, &samples));
        measured.spent_s = before_s + start.elapsed().as_secs_f64();
    }
}

/// Compares predicted with measured latencies; returns `None` if no network was measured.
pub(crate) fn compare(
    space: &Space,
    table: &LatencyTable,
    checked: &[Architecture],
    times: &CheckTimes,
    rounds: usize,
) -> Result<Option<LookupCheck>, StageError> {
    let predict = |time: &CheckTime| {
        let predicted = table.architecture_ms(space, &checked[time.network]).context("latency.table")?;
        Ok((predicted, time.ms))
    };
    let pairs: Vec<(f64, f64)> = times.networks.iter().map(predict).collect::<Result<_, StageError>>()?;
    if pairs.is_empty() {
        return Ok(None);
    }
    let differences: Vec<f64> = times.networks.iter().filter_map(|time| time.difference).collect();
    // On average, the error of a median is half of the difference between the medians of two halves.
    let noise = differences.iter().sum::<f64>() / differences.len().max(1) as f64 / 2.0;
    let found = calibrate(&pairs);
    Ok(Some(LookupCheck {
        mean_error: found.mean_error,
        p95_error: found.p95_error,
        worst_error: found.worst_error,
        bias: found.bias,
        noise_floor: (!differences.is_empty()).then_some(noise),
        rounds,
        rounds_dropped: times.dropped,
        drift: None,
        rank_correlation: finite(found.rank_correlation),
        scale: found.scale,
        offset_ms: found.offset_ms,
        fitted_mean_error: found.fitted_mean_error,
        fitted_worst_error: found.fitted_worst_error,
        networks: found.networks,
    }))
}

/// Returns the part of a check that is written to the header of the table, rounded to the digits of its text format.
fn summary(check: &LookupCheck) -> TableCheck {
    let rounded = |share: f64| (1e4 * share).round() / 1e4;
    TableCheck {
        networks: check.networks.len(),
        mean_error: rounded(check.mean_error),
        p95_error: rounded(check.p95_error),
        noise_floor: check.noise_floor.map(rounded),
    }
}

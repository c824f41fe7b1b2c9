//! `parse`: from the search's result to one architecture, what it costs, and how long it takes here.

use serde::Serialize;
use tfnas::cost::{flops, layers, parameters};
use tfnas::{Architecture, LatencyTable, ModelConfig, Space, Widths, parse::parse};
use tfnas_stages::{Metrics, ParseParams, Selected};
use tfnas_torch::timing::{TimingOptions, time_networks};

use crate::context::StageContext;
use crate::error::{Context as _, StageError, StageResult};
use crate::images::classes;
use crate::latency::WARM_UP_PASSES;
use crate::search::SearchResult;

/// The inputs that name the classes of the derived network; a job has one of them.
const CLASSES: [&str; 2] = ["classes.txt", "all_classes.txt"];

/// The input that holds what `select` chose, where the configuration runs it.
const SELECTED: &str = "selected.json";

/// `architecture.json`.
#[derive(Serialize)]
struct Report {
    space_resolution: usize,
    classes: usize,
    target_lat_ms: f64,
    predicted_lat_ms: f64,
    base_lat_ms: f64,
    parameters: u64,
    flops: u64,
    blocks: Vec<BlockReport>,
}

/// One kept block.
#[derive(Serialize)]
struct BlockReport {
    name: String,
    operation: String,
    kernel: usize,
    se_channels: usize,
    in_channels: usize,
    width: usize,
    out_channels: usize,
    stride: usize,
    lat_ms: f64,
    parameters: u64,
    flops: u64,
}

/// Runs the stage.
pub fn run(context: &mut StageContext) -> StageResult {
    let params: ParseParams = context.params()?;
    let space = Space::new(params.space.clone()).context("space")?;
    let table = LatencyTable::parse(&context.read_text("latency.table")?).context("latency.table")?;
    let architecture = if context.input(SELECTED).is_ok() {
        let selected: Selected = context.read_json(SELECTED)?;
        Architecture::new(&space, selected.architecture).context(SELECTED)?
    } else {
        let result: SearchResult = context.read_json("search.json")?;
        let widths = Widths::new(&space, result.widths).context("search.json")?;
        parse(&space, &result.log_alphas, &result.betas, &widths).context("search.json")?
    };
    let port = CLASSES.into_iter().find(|port| context.input(port).is_ok()).unwrap_or(CLASSES[0]);
    let names = classes(context, port)?;
    let classes = space.definition().classes.unwrap_or(names.len());
    let config = ModelConfig::from_architecture(&space, &architecture, classes).context("architecture")?;
    let resolution = space.definition().resolution;
    let reachable = table.reachable_ms(&space).context("latency.table")?;
    let target_lat_ms = params.target_lat_ms.within(&reachable).map_err(|error| StageError::new(error.to_string()))?;
    let costs = layers(&config, resolution);

    let mut blocks = Vec::with_capacity(architecture.block_count());
    for (block, choice) in architecture.choices(&space) {
        let operation = &space.operations()[choice.operation];
        let name = block.name();
        let cost = costs.iter().find(|cost| cost.name == name);
        let se_channels = block.se_channels(operation);
        blocks.push(BlockReport {
            operation: operation.name(),
            kernel: operation.kernel,
            se_channels,
            in_channels: block.in_channels,
            width: choice.width,
            out_channels: block.out_channels,
            stride: block.stride,
            lat_ms: table.latency_ms(&block.key(operation), choice.width).context("latency.table")?,
            parameters: cost.map_or(0, |cost| cost.parameters),
            flops: cost.map_or(0, |cost| cost.flops),
            name,
        });
    }
    let report = Report {
        space_resolution: resolution,
        classes,
        target_lat_ms,
        predicted_lat_ms: table.architecture_ms(&space, &architecture).context("latency.table")?,
        base_lat_ms: table.base_ms(),
        parameters: parameters(&config),
        flops: flops(&config, resolution),
        blocks,
    };
    let mut metrics = Metrics::from([("predicted_lat_ms".to_owned(), report.predicted_lat_ms)]);
    if params.parse.measure {
        let options = TimingOptions {
            batch: params.batch,
            threads: params.threads,
            passes: params.parse.passes,
            warm_up_passes: WARM_UP_PASSES,
            seed: params.seed,
            device: context.device,
        };
        let times = time_networks(std::slice::from_ref(&config), resolution, &options, &mut |done, calls| {
            context.go_on("measuring the network", done, calls, "passes")
        })?;
        metrics.insert("measured_lat_ms".to_owned(), times[0].median_ms);
        metrics.insert("measured_lat_ms_low".to_owned(), times[0].low_ms);
        metrics.insert("measured_lat_ms_high".to_owned(), times[0].high_ms);
    }
    context.write_output("model.config", config.to_text().as_bytes())?;
    context.write_json("architecture.json", &report)?;
    Ok(metrics)
}

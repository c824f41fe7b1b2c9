//! Stages without a result: what their workers have reported so far.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tfnas_artifacts::{Cache, Run};
use tfnas_events::{RunProgress, StageProgress, StageState, read};
use tfnas_humanize as humanize;
use tfnas_publication::unflattened;
use tfnas_report::{Output, UnderWay};
use tfnas_stages::{ProbabilityMetrics, SearchEpoch, StageOutput, TrainReport, split_probability_metric};

use super::Part;
use crate::candidates::ranked_candidates;
use crate::epoch_metrics::space_of;

/// Returns the progress of a run from its event file. A run without a readable event file has none.
pub fn progress(cache: &Cache, run: &Run) -> RunProgress {
    RunProgress::of(&read(&cache.store().event_file(run.id)).unwrap_or_default())
}

/// Returns an output of a stage as far as its worker has reported it: the history of a search, or a training.
pub fn output<O: StageOutput>(part: &Part) -> Output<O> {
    let Some(progress) = &part.progress else { return Output::Absent };
    let epochs = epochs(progress);
    let value = match O::FILE {
        _ if epochs.is_empty() => return Output::Absent,
        file if file == <Vec<SearchEpoch> as StageOutput>::FILE => search(part, progress, epochs),
        file if file == TrainReport::FILE => training(part, epochs),
        _ => return Output::Absent,
    };
    Output::from_json(value.to_string().as_bytes())
}

/// Returns the epochs as in the outputs of the stages: objects with `epoch` and the metrics.
fn epochs(progress: &StageProgress) -> Vec<Value> {
    let mut epochs: BTreeMap<u64, serde_json::Map<String, Value>> = BTreeMap::new();
    for (name, points) in progress.series.iter().filter(|(name, _)| split_probability_metric(name).is_none()) {
        for (step, value) in points {
            epochs.entry(*step).or_default().insert(name.clone(), json!(value));
        }
    }
    // A metric of the whole stage, such as the target, is no epoch.
    epochs.retain(|_, metrics| metrics.contains_key("train_loss"));
    let of_epoch = |(epoch, mut metrics): (u64, serde_json::Map<String, Value>)| {
        metrics.insert("epoch".to_owned(), json!(epoch));
        Value::Object(metrics)
    };
    epochs.into_iter().map(of_epoch).collect()
}

/// Returns `history.json` without the architectures, which the worker does not report.
fn search(part: &Part, progress: &StageProgress, mut epochs: Vec<Value>) -> Value {
    let Some(space) = space_of(&part.attempt) else { return Value::Array(epochs) };
    let names = ProbabilityMetrics::new(&space);
    for epoch in &mut epochs {
        let step = epoch["epoch"].as_u64();
        let (operations, depths) = names.rows(|name| {
            let points = progress.series.get(name)?;
            points.iter().find(|point| Some(point.0) == step).map(|point| point.1)
        });
        epoch["operations"] = json!(operations);
        epoch["depths"] = json!(depths);
    }
    Value::Array(epochs)
}

/// Returns `train.json` without the numbers of images, which the worker does not report.
fn training(part: &Part, epochs: Vec<Value>) -> Value {
    let params = unflattened(&part.attempt.manifest);
    let top1 = |epoch: &Value| epoch["val_top1"].as_f64().unwrap_or(f64::NEG_INFINITY);
    // Of epochs with equal accuracy, the first one is the best.
    let best = epochs.iter().rev().max_by(|one, other| top1(one).total_cmp(&top1(other)));
    let best_epoch = best.map_or(Value::from(0), |epoch| epoch["epoch"].clone());
    json!({
        "protocol": params.pointer("/train/protocol").cloned().unwrap_or_else(|| "held_out".into()),
        "images": 0,
        "val_images": 0,
        "best_epoch": best_epoch,
        "epochs": epochs,
    })
}

/// Describes a stage at work.
pub fn under_way(progress: &StageProgress, now_ms: i64) -> UnderWay {
    let units = progress.units.as_ref();
    let left_s = units.and_then(|units| Some(units.total.saturating_sub(units.done) as f64 / units.per_second()?));
    let seconds = |started_ms: i64| humanize::duration(now_ms.saturating_sub(started_ms).max(0) as f64 / 1e3);
    let doing = match progress.state {
        StageState::Running => units.map(|units| units.phase.clone()),
        state => Some(progress.message.clone().unwrap_or_else(|| state.name().to_owned())),
    };
    UnderWay {
        instance: progress.id.clone(),
        doing: doing.unwrap_or_default(),
        share: units.map(tfnas_events::Units::share),
        elapsed: progress.started_ms.map(seconds).unwrap_or_default(),
        left: left_s.map(humanize::duration).unwrap_or_default(),
        warnings: progress.messages.iter().filter(|(warning, _)| *warning).map(|(_, text)| text.clone()).collect(),
        candidates: ranked_candidates(progress),
    }
}

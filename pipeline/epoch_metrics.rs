use std::collections::BTreeMap;

use tfnas::{Space, SpaceDefinition};
use tfnas_artifacts::{Attempt, Cache};
use tfnas_planner::output::read_output;
use tfnas_publication::unflattened;
use tfnas_stages::{
    PREDICTED_LAT_MS, ProbabilityMetrics, SearchEpoch, SelectReport, Stage, StageOutput, TARGET_LAT_MS, TrainReport,
    candidate_metric, candidate_metrics, csv_field, split_candidate_metric, split_probability_metric,
};

/// Values of metrics by epoch, from 0.
pub type Series = BTreeMap<String, Vec<(u64, f64)>>;

/// Returns the metrics of the epochs of a result, from its outputs; they have the names that its worker reported. Empty for
/// stages without epochs, and if the outputs cannot be read.
pub fn epoch_metrics(cache: &Cache, result: &Attempt) -> Series {
    let mut series = Series::new();
    let mut add = |name: String, step: usize, value: f64| series.entry(name).or_default().push((step as u64, value));
    match Stage::by_name(&result.stage) {
        Some(Stage::Search) => {
            for epoch in read::<Vec<SearchEpoch>>(cache, result).unwrap_or_default() {
                epoch.metrics().into_iter().for_each(|(name, value)| add(name.to_owned(), epoch.epoch, value));
            }
        }
        Some(Stage::Train) => {
            for epoch in read::<TrainReport>(cache, result).map(|report| report.epochs).unwrap_or_default() {
                epoch.metrics().into_iter().for_each(|(name, value)| add(name.to_owned(), epoch.epoch, value));
            }
        }
        Some(Stage::Select) => {
            let Some(report) = read::<SelectReport>(cache, result) else { return series };
            add(TARGET_LAT_MS.to_owned(), 0, report.target_lat_ms);
            for candidate in &report.selection.ranking {
                add(candidate_metric(candidate.id, &candidate.name, PREDICTED_LAT_MS), 0, candidate.predicted_ms);
                for score in &candidate.epochs {
                    for (name, value) in candidate_metrics(candidate.id, &candidate.name, score) {
                        add(name, score.epoch.saturating_sub(1), value);
                    }
                }
            }
        }
        _ => {}
    }
    series
}

/// Returns the probabilities of a search by epoch, with the names of [`ProbabilityMetrics`].
pub fn probabilities(cache: &Cache, result: &Attempt) -> Series {
    let mut series = Series::new();
    if Stage::by_name(&result.stage) != Some(Stage::Search) {
        return series;
    }
    let Some(space) = space_of(result) else { return series };
    let names = ProbabilityMetrics::new(&space);
    for epoch in read::<Vec<SearchEpoch>>(cache, result).unwrap_or_default() {
        for (name, value) in names.of(&epoch) {
            series.entry(name.to_owned()).or_default().push((epoch.epoch as u64, value));
        }
    }
    series
}

/// Returns the search space of an attempt.
pub fn space_of(attempt: &Attempt) -> Option<Space> {
    let definition = unflattened(&attempt.manifest).get("space").cloned()?;
    Space::new(serde_json::from_value::<SpaceDefinition>(definition).ok()?).ok()
}

fn read<O: StageOutput>(cache: &Cache, result: &Attempt) -> Option<O> {
    read_output(cache, result)
}

/// Returns the metrics of several instances as CSV: a row for each epoch of an instance or of a candidate, and a column
/// for each metric.
pub fn csv(instances: &[(String, Series)]) -> String {
    let mut names: Vec<&str> = Vec::new();
    // (instance, candidate, epoch) in order: metric, value.
    let mut rows: BTreeMap<(usize, &str, u64), BTreeMap<&str, f64>> = BTreeMap::new();
    for (position, (_, series)) in instances.iter().enumerate() {
        for (name, points) in series {
            let (candidate, metric) = split_candidate_metric(name).unwrap_or(("", name));
            // Not a value of an epoch, or one of hundreds of columns.
            if [TARGET_LAT_MS, PREDICTED_LAT_MS].contains(&metric) || split_probability_metric(name).is_some() {
                continue;
            }
            if !names.contains(&metric) {
                names.push(metric);
            }
            for (epoch, value) in points {
                rows.entry((position, candidate, *epoch)).or_default().insert(metric, *value);
            }
        }
    }
    names.sort_unstable();
    let mut text = format!(
        "stage,candidate,epoch{}\n",
        names.iter().map(|name| format!(",{}", csv_field(name))).collect::<String>()
    );
    for ((position, candidate, epoch), metrics) in rows {
        let values = names.iter().map(|name| metrics.get(name).map(f64::to_string).unwrap_or_default());
        let fields =
            [csv_field(&instances[position].0), csv_field(candidate), epoch.to_string()].into_iter().chain(values);
        text.push_str(&fields.collect::<Vec<_>>().join(","));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_csv_has_a_row_for_each_epoch_and_candidate() {
        let points = |values: &[f64]| values.iter().enumerate().map(|(step, value)| (step as u64, *value)).collect();
        let series = |entries: &[(&str, &[f64])]| -> Series {
            entries.iter().map(|(name, values)| ((*name).to_owned(), points(values))).collect()
        };
        let instances = [
            (
                "search@1,5".to_owned(),
                series(&[
                    ("lr", &[0.1, 0.05]),
                    ("train_loss", &[2.0]),
                    (TARGET_LAT_MS, &[1.0]),
                    ("depths/stage1/2", &[0.5]),
                ]),
            ),
            ("select".to_owned(), series(&[("candidate/3 rule/train_loss", &[1.5])])),
        ];
        assert_eq!(
            csv(&instances),
            "stage,candidate,epoch,lr,train_loss\n\"search@1,5\",,0,0.1,2\n\"search@1,5\",,1,0.05,\nselect,3 rule,0,,1.5\n"
        );
        assert_eq!(csv(&[]), "stage,candidate,epoch\n");
    }
}

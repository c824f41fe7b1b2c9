//! A run as event files of TensorBoard, while it runs or afterwards.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use tfnas_artifacts::{ActionKey, Attempt, Cache, Run, RunId};
use tfnas_executor::{RunEvent, RunObserver};
use tfnas_stages::Metrics;
use tfnas_tensorboard::EventWriter;

use crate::epoch_metrics::{Series, epoch_metrics, probabilities};
use crate::time::now_ms;

/// The folder of a run: `run-3`, with a folder for each instance, which TensorBoard shows as `run-3/search`.
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Creates the folder and writes the configuration of the run.
    ///
    /// # Errors
    /// Returns an error if the folder or a file cannot be written.
    pub fn create(folder: &Path, run: RunId, arguments: &[String], configuration: &str) -> io::Result<Self> {
        let path = folder.join(format!("run-{run}"));
        let mut writer = EventWriter::create(&path)?;
        let now = now_s();
        writer.text("command", &format!("    tfnas-pipeline {}", arguments.join(" ")), now)?;
        // An indented text is code in Markdown.
        let value: serde_json::Value = serde_json::from_str(configuration).unwrap_or_default();
        let lines = serde_json::to_string_pretty(&value).unwrap_or_default();
        let code: Vec<String> = lines.lines().map(|line| format!("    {line}")).collect();
        writer.text("configuration", &code.join("\n"), now)?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn writer(&self, instance: &str) -> io::Result<EventWriter> {
        EventWriter::create(&self.path.join(instance.replace(['/', '\\'], "_")))
    }

    /// Writes all metrics of a result, with the time at which it was made.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written.
    pub fn write_result(&self, cache: &Cache, instance: &str, result: &Attempt) -> io::Result<()> {
        let mut series = epoch_metrics(cache, result);
        series.extend(probabilities(cache, result));
        for (name, value) in final_metrics(result) {
            series.entry(name).or_insert_with(|| vec![(0, value)]);
        }
        if series.is_empty() {
            return Ok(());
        }
        let time_s = result.ended_ms.unwrap_or(result.started_ms) as f64 / 1e3;
        write_series(&mut self.writer(instance)?, &series, time_s)
    }
}

/// Writes the results of a run to a folder.
///
/// # Errors
/// Returns an error if a file cannot be written.
pub fn export(cache: &Cache, folder: &Path, run: &Run, results: &[Attempt]) -> io::Result<PathBuf> {
    let target = RunFolder::create(folder, run.id, &run.arguments, &run.configuration)?;
    for result in results {
        target.write_result(cache, &result.instance, result)?;
    }
    Ok(target.path)
}

/// Writes series epoch by epoch, as a worker would have reported them.
fn write_series(writer: &mut EventWriter, series: &Series, time_s: f64) -> io::Result<()> {
    let points = series.iter().flat_map(|(name, points)| points.iter().map(move |(step, value)| (*step, name, *value)));
    let mut points: Vec<_> = points.collect();
    points.sort_by_key(|(step, ..)| *step);
    points.into_iter().try_for_each(|(step, name, value)| writer.scalar(name, step, value, time_s))
}

/// Returns the numbers that a worker reported at its end.
fn final_metrics(result: &Attempt) -> Metrics {
    let metrics = result.metrics.as_object().into_iter().flatten();
    metrics.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect()
}

/// Writes a run while it runs. Errors do not fail the run: the first one is a warning.
pub struct TensorBoard<'a> {
    cache: &'a Cache,
    folder: RunFolder,
    writers: BTreeMap<String, EventWriter>,
    warned: bool,
}

impl<'a> TensorBoard<'a> {
    pub fn new(cache: &'a Cache, folder: RunFolder) -> Self {
        Self { cache, folder, writers: BTreeMap::new(), warned: false }
    }

    fn writer(&mut self, id: &str) -> io::Result<&mut EventWriter> {
        if !self.writers.contains_key(id) {
            self.writers.insert(id.to_owned(), self.folder.writer(id)?);
        }
        Ok(self.writers.get_mut(id).expect("it was inserted"))
    }

    fn result(&self, key: &str) -> Option<Attempt> {
        self.cache.find(&key.parse::<ActionKey>().ok()?).ok()?.result
    }

    fn write(&mut self, id: &str, event: &RunEvent) -> io::Result<()> {
        match event {
            RunEvent::Metric { name, step, value } => self.writer(id)?.scalar(name, *step, *value, now_s())?,
            RunEvent::Cached { key, .. } | RunEvent::UsedResult { key } => {
                if let Some(result) = self.result(key) {
                    self.folder.write_result(self.cache, id, &result)?;
                }
            }
            RunEvent::Done { metrics, .. } => {
                // A stage that reports no numbers has no folder.
                if metrics.is_empty() {
                    return Ok(());
                }
                let writer = self.writer(id)?;
                for (name, value) in metrics {
                    // The last value of a metric of the epochs is known.
                    if !writer.has(name) {
                        writer.scalar(name, 0, *value, now_s())?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl RunObserver for TensorBoard<'_> {
    fn event(&mut self, id: &str, event: &RunEvent) {
        if let Err(error) = self.write(id, event)
            && !self.warned
        {
            self.warned = true;
            tracing::warn!(
                "cannot write to {}: {error}; TensorBoard does not show all of this run",
                self.folder.path.display()
            );
        }
    }

    fn interrupting(&mut self, _again: bool) {}

    fn warn(&mut self, _message: &str) {}
}

fn now_s() -> f64 {
    now_ms() as f64 / 1e3
}

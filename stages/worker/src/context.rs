use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use tch::Device;
use tfnas_stages::{Input, Job, StageOutput};

use crate::error::{Context as _, StageError};
use crate::ranks::Peers;
use crate::reporter::Reporter;
use crate::stop::StopFlag;

/// All that a stage sees of the world: its job, and ways to report and to be stopped.
pub struct StageContext {
    job: Job,
    /// What computes.
    pub device: Device,
    /// Events for the planner.
    pub report: Reporter,
    /// Whether to stop.
    pub stop: StopFlag,
    /// The other processes that do the job, if there are any.
    pub peers: Option<Peers>,
}

impl StageContext {
    /// A context for this job.
    pub fn new(job: Job, device: Device, report: Reporter, stop: StopFlag, peers: Option<Peers>) -> Self {
        Self { job, device, report, stop, peers }
    }

    /// Returns the job.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Says how far a long piece of work is, and breaks it when the stage must stop.
    pub fn go_on(&mut self, phase: &str, done: usize, total: usize, unit: &str) -> ControlFlow<()> {
        self.report.progress(phase, done as u64, total as u64, unit);
        if self.stop.raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Returns the stage's parameters.
    ///
    /// # Errors
    /// If they are not what this stage takes: planner and worker differ.
    pub fn params<P: DeserializeOwned>(&self) -> Result<P, StageError> {
        P::deserialize(&self.job.params).context(format!("the job of {} has other parameters", self.job.id))
    }

    /// Returns the input of that port.
    ///
    /// # Errors
    /// If the job has none: planner and worker differ.
    pub fn input(&self, port: &str) -> Result<&Input, StageError> {
        self.job
            .inputs
            .get(port)
            .ok_or_else(|| StageError::new(format!("the job of {} has no input `{port}`", self.job.id)))
    }

    /// Returns the text of the file at that port.
    ///
    /// # Errors
    /// If it cannot be read, or is no UTF-8.
    pub fn read_text(&self, port: &str) -> Result<String, StageError> {
        let path = &self.input(port)?.path;
        fs::read_to_string(path).map_err(|error| StageError::file("read", path, &error))
    }

    /// Returns what an earlier stage wrote, at the port of its file's name.
    ///
    /// # Errors
    /// If it cannot be read, or holds something else.
    pub fn read_output<O: StageOutput>(&self) -> Result<O, StageError> {
        O::from_json(self.read_text(O::FILE)?.as_bytes()).context(format!("input `{}`", O::FILE))
    }

    /// Returns the path at which the output of that name is to be left.
    pub fn output(&self, name: &str) -> PathBuf {
        self.job.output_dir.join(name)
    }

    /// Writes an output, to the disk.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_output(&self, name: &str, bytes: &[u8]) -> Result<(), StageError> {
        write_synced(&self.output(name), bytes)
    }

    /// Writes a JSON output.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_json<O: StageOutput>(&self, output: &O) -> Result<(), StageError> {
        let text = output.to_json().context(format!("output `{}`", O::FILE))?;
        self.write_output(O::FILE, text.as_bytes())
    }
}

/// Writes a file and waits until the disk has it.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), StageError> {
    tfnas_fs::write_synced(path, bytes).map_err(|error| StageError::file("write", path, &error))
}

//! What a stage can access: its job, inputs and outputs, events, and the stop flag.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use tch::Device;
use tfnas_stages::{Input, Job, StageOutput};

use crate::error::{Context as _, StageError};
use crate::profiler::Profiler;
use crate::ranks::Peers;
use crate::reporter::Reporter;
use crate::stop::StopFlag;

/// The environment of a stage: its job, its device, and how it reports events and learns that it must stop.
pub struct StageContext {
    job: Job,
    /// Device to compute on.
    pub device: Device,
    /// Reports events to the planner.
    pub report: Reporter,
    /// Measures where the time goes, if the job asks for it.
    pub profiler: Profiler,
    /// Set when the stage must stop.
    pub stop: StopFlag,
    /// The other processes that run the job, if there are any.
    pub peers: Option<Peers>,
}

impl StageContext {
    /// Creates the context of a job.
    pub fn new(job: Job, device: Device, report: Reporter, stop: StopFlag, peers: Option<Peers>) -> Self {
        Self { job, device, report, profiler: Profiler::off(), stop, peers }
    }

    /// The job to run.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Reports progress; breaks if the stage must stop.
    pub fn report_progress(&mut self, phase: &str, done: usize, total: usize, unit: &str) -> ControlFlow<()> {
        self.report.progress(phase, done as u64, total as u64, unit);
        if self.stop.raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Returns the stage's parameters.
    ///
    /// # Errors
    /// Returns an error if the job has other parameters than this stage, which means that planner and worker differ.
    pub fn params<P: DeserializeOwned>(&self) -> Result<P, StageError> {
        P::deserialize(&self.job.params).context(format!("the job of {} has other parameters", self.job.id))
    }

    /// Returns the input of a port.
    ///
    /// # Errors
    /// Returns an error if the job has no such input.
    pub fn input(&self, port: &str) -> Result<&Input, StageError> {
        self.job
            .inputs
            .get(port)
            .ok_or_else(|| StageError::new(format!("the job of {} has no input `{port}`", self.job.id)))
    }

    /// Returns the text of an input file.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or is not UTF-8.
    pub fn read_text(&self, port: &str) -> Result<String, StageError> {
        let path = &self.input(port)?.path;
        fs::read_to_string(path).map_err(|error| StageError::file("read", path, &error))
    }

    /// Reads an output of an earlier stage. The input port has the name of the file.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or is not valid.
    pub fn read_output<O: StageOutput>(&self) -> Result<O, StageError> {
        O::from_json(self.read_text(O::FILE)?.as_bytes()).context(format!("input `{}`", O::FILE))
    }

    /// Returns the path to which the stage must write an output.
    pub fn output(&self, name: &str) -> PathBuf {
        self.job.output_dir.join(name)
    }

    /// Writes an output and syncs it to disk.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write_output(&self, name: &str, bytes: &[u8]) -> Result<(), StageError> {
        write_synced(&self.output(name), bytes)
    }

    /// Writes a JSON output and syncs it to disk.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write_json<O: StageOutput>(&self, output: &O) -> Result<(), StageError> {
        let text = output.to_json().context(format!("output `{}`", O::FILE))?;
        self.write_output(O::FILE, text.as_bytes())
    }
}

/// Writes a file and syncs it to disk.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), StageError> {
    tfnas_fs::write_synced(path, bytes).map_err(|error| StageError::file("write", path, &error))
}

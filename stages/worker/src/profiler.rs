//! `run --profile`: measures where the time of a stage goes, and records the operations of some of its steps.
//!
//! Results do not depend on it: the profiler only observes. If it fails, the stage goes on and reports a warning.

use std::path::PathBuf;

use tch::Device;
use tfnas_c10d::profiler::{Operation, ProfilerError, Recorded, Recording, Scope};
use tfnas_stages::{Job, OperationProfile, Profile, RecordedSteps, Stage, StepProfile};
use tfnas_torch::phase::{self, Phase, PhaseTimes, Step, in_phase};

use crate::reporter::Reporter;

/// Number of steps at the beginning of an epoch that are not recorded, because libtorch prepares each new shape in them.
const SKIPPED_STEPS: usize = 10;
/// Number of recorded steps.
const RECORDED_STEPS: usize = 20;
/// Number of recorded steps of a search. A step of its supernet has ten times as many operations as one of a network.
const RECORDED_SEARCH_STEPS: usize = 6;
/// Number of operations to report, and of kernels.
const REPORTED: usize = 12;

/// The profiler of a stage.
pub struct Profiler {
    /// `None` without `--profile`.
    active: Option<Active>,
}

struct Active {
    stage: Stage,
    trace: PathBuf,
    is_cuda: bool,
    /// Steps of the current epoch that have ended.
    step: usize,
    /// The steps of the current epoch to record, from and to; `None` if nothing is to be recorded.
    window: Option<(usize, usize)>,
    recording: Option<(Recording, usize)>,
    scope: Option<Scope>,
    recorded: Option<RecordedSteps>,
    failed: Option<ProfilerError>,
}

impl Profiler {
    /// A profiler that does nothing.
    pub fn off() -> Self {
        Self { active: None }
    }

    /// Starts the profiler of a job, if the job asks for it.
    pub fn start(job: &Job, device: Device, report: &mut Reporter) -> Self {
        let Some(trace) = &job.trace else { return Self::off() };
        if let Err(error) = phase::start(device) {
            report.warn(format!("the stage is not profiled: {error}"));
            return Self::off();
        }
        let active = Active {
            stage: job.stage,
            trace: trace.clone(),
            is_cuda: device.is_cuda(),
            step: 0,
            window: None,
            recording: None,
            scope: None,
            recorded: None,
            failed: None,
        };
        Self { active: Some(active) }
    }

    /// Begins an epoch of `steps` steps. Steps of the first epoch are recorded.
    pub fn begin_epoch(&mut self, steps: usize) {
        if let Some(active) = &mut self.active {
            active.begin_epoch(steps);
        }
    }

    /// Begins an epoch whose steps are recorded instead of those of an earlier one.
    pub fn begin_epoch_anew(&mut self, steps: usize) {
        if let Some(active) = &mut self.active {
            active.recorded = None;
            active.begin_epoch(steps);
        }
    }

    /// A step of the epoch has ended, and the next one begins.
    pub fn next_step(&mut self) {
        if let Some(active) = &mut self.active {
            active.step += 1;
            active.at_step();
        }
    }

    /// Ends an epoch. What follows, such as a validation, is not recorded.
    pub fn end_epoch(&mut self) {
        if let Some(active) = &mut self.active {
            active.stop();
            active.window = None;
        }
    }

    /// Ends the profile and reports it.
    pub fn finish(mut self, report: &mut Reporter) {
        self.end_epoch();
        let Some(active) = self.active else { return };
        if let Some(error) = active.failed {
            report.warn(format!("no operations were recorded: {error}"));
        }
        match phase::stop() {
            Ok(Some(times)) => report.profile(profile(&times, active.stage, active.recorded)),
            Ok(None) => {}
            Err(error) => report.warn(format!("the stage is not profiled: {error}")),
        }
    }
}

impl Active {
    fn begin_epoch(&mut self, steps: usize) {
        self.step = 0;
        self.window = (self.recorded.is_none() && self.failed.is_none()).then(|| window(self.stage, steps));
        self.at_step();
    }

    /// Starts or stops the recording before the current step.
    fn at_step(&mut self) {
        let Some((first, end)) = self.window else { return };
        if self.step == first {
            match in_phase(Phase::Profiler, || Recording::start(self.is_cuda)) {
                Ok(recording) => self.recording = Some((recording, first)),
                Err(error) => self.failed = Some(error),
            }
        }
        if self.step >= end {
            self.stop();
            self.window = None;
        }
        if self.recording.is_some() {
            self.scope = None;
            self.scope = Some(Scope::begin(c"step"));
        }
    }

    /// Ends the recording, if one is in progress, and writes its trace.
    fn stop(&mut self) {
        self.scope = None;
        let Some((recording, first_step)) = self.recording.take() else { return };
        match in_phase(Phase::Profiler, || recording.stop(&self.trace)) {
            Ok(recorded) => {
                let steps = self.step.saturating_sub(first_step);
                self.recorded = Some(recorded_steps(recorded, first_step, steps, self.trace.clone()));
            }
            Err(error) => self.failed = Some(error),
        }
    }
}

/// Returns the first step to record of an epoch of `steps` steps, and the step after the last.
fn window(stage: Stage, steps: usize) -> (usize, usize) {
    let first = SKIPPED_STEPS.min(steps / 4);
    let recorded = if stage == Stage::Search { RECORDED_SEARCH_STEPS } else { RECORDED_STEPS };
    (first, (first + recorded).min(steps))
}

fn recorded_steps(recorded: Recorded, first_step: usize, steps: usize, trace: PathBuf) -> RecordedSteps {
    let (kernels, operations): (Vec<_>, Vec<_>) =
        recorded.operations.into_iter().partition(|operation| operation.on_device);
    let sum = |operations: &[Operation]| operations.iter().map(|operation| operation.self_s).sum();
    let longest = |operations: Vec<Operation>| {
        let longest = operations.into_iter().take(REPORTED);
        longest.map(|Operation { name, calls, self_s, .. }| OperationProfile { name, calls, self_s }).collect()
    };
    RecordedSteps {
        first_step,
        steps,
        trace,
        operations_s: sum(&operations),
        operations: longest(operations),
        kernels_s: sum(&kernels),
        kernels: longest(kernels),
    }
}

fn profile(times: &PhaseTimes, stage: Stage, recorded: Option<RecordedSteps>) -> Profile {
    let step = |step| StepProfile {
        forward_s: times.of_step(step, Phase::Forward),
        backward_s: times.of_step(step, Phase::Backward),
        optimizer_s: times.of_step(step, Phase::Optimizer),
    };
    let steps = [("weights", Step::Weights), ("architecture", Step::Architecture)];
    let steps = steps.into_iter().filter(|_| stage == Stage::Search);
    Profile {
        total_s: times.total(),
        data_s: times.of(Phase::Data),
        forward_s: times.of(Phase::Forward),
        backward_s: times.of(Phase::Backward),
        optimizer_s: times.of(Phase::Optimizer),
        validation_s: times.of(Phase::Validation),
        checkpoint_s: times.of(Phase::Checkpoint),
        other_s: times.of(Phase::Other),
        steps: steps.map(|(name, kind)| (name.to_owned(), step(kind))).collect(),
        recorded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_epochs_are_recorded_almost_whole_and_long_ones_after_their_first_steps() {
        assert_eq!(window(Stage::Train, 1), (0, 1));
        assert_eq!(window(Stage::Train, 8), (2, 8));
        assert_eq!(window(Stage::Train, 5000), (10, 30));
        assert_eq!(window(Stage::Search, 5000), (10, 16));
    }
}

//! A clock that divides the time of a thread into the phases of a training or test: waiting for data, forward,
//! backward, optimizer, and so on.
//!
//! The phases are marked where they happen, with [`in_phase`]. While no clock runs, a mark costs a read of a
//! thread-local flag. On a CUDA device the clock uses events in the queue of the device, so it measures when the device
//! computes, not when the host submits, and does not synchronize.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::CStr;
use std::time::Instant;

use tch::Device;
use tfnas_c10d::cuda::{CudaError, Event};
use tfnas_c10d::profiler::Scope;

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for images.
    Data,
    /// The forward pass and the loss.
    Forward,
    /// The backward pass, including the exchange of gradients between ranks.
    Backward,
    /// Clipping of the gradients and the step of the optimizer.
    Optimizer,
    /// Evaluation on validation images. Its forward passes count as validation too.
    Validation,
    /// Writing resume points.
    Checkpoint,
    /// Everything else.
    Other,
    /// The profiler itself, which is not part of the total.
    Profiler,
}

/// Number of phases.
const PHASES: usize = 8;

impl Phase {
    /// Its name in a recording.
    fn name(self) -> &'static CStr {
        match self {
            Self::Data => c"data",
            Self::Forward => c"forward",
            Self::Backward => c"backward",
            Self::Optimizer => c"optimizer",
            Self::Validation => c"validation",
            Self::Checkpoint => c"checkpoint",
            Self::Other => c"other",
            Self::Profiler => c"profiler",
        }
    }
}

/// What a step trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The weights of a network.
    Weights,
    /// The architecture parameters of a search.
    Architecture,
}

/// Number of kinds of steps.
const STEPS: usize = 2;

impl Step {
    fn name(self) -> &'static CStr {
        match self {
            Self::Weights => c"weight step",
            Self::Architecture => c"architecture step",
        }
    }
}

/// The time spent in each phase.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PhaseTimes {
    /// In seconds, by step and phase.
    seconds: [[f64; PHASES]; STEPS],
}

impl PhaseTimes {
    /// Seconds of a phase.
    pub fn of(&self, phase: Phase) -> f64 {
        self.seconds.iter().map(|phases| phases[phase as usize]).sum()
    }

    /// Seconds of a phase in one kind of step.
    pub fn of_step(&self, step: Step, phase: Phase) -> f64 {
        self.seconds[step as usize][phase as usize]
    }

    /// Seconds of all phases but [`Phase::Profiler`].
    pub fn total(&self) -> f64 {
        self.seconds.iter().flatten().sum::<f64>() - self.of(Phase::Profiler)
    }

    fn add(&mut self, (step, phase): Place, seconds: f64) {
        self.seconds[step as usize][phase as usize] += seconds;
    }
}

type Place = (Step, Phase);

thread_local! {
    static IS_RUNNING: Cell<bool> = const { Cell::new(false) };
    static CLOCK: RefCell<Option<Clock>> = const { RefCell::new(None) };
}

/// Starts the clock of this thread, for computations on `device`.
///
/// # Errors
/// Returns [`CudaError`] if the CUDA device cannot record events.
pub fn start(device: Device) -> Result<(), CudaError> {
    let clock = Clock::start(device)?;
    CLOCK.set(Some(clock));
    IS_RUNNING.set(true);
    Ok(())
}

/// Stops the clock of this thread and returns its times, or `None` if it was not running. Waits for the device.
///
/// # Errors
/// Returns [`CudaError`] if a CUDA event could not be recorded or read.
pub fn stop() -> Result<Option<PhaseTimes>, CudaError> {
    IS_RUNNING.set(false);
    CLOCK.take().map(Clock::stop).transpose()
}

/// Runs `body`; while a clock runs, its time counts as `phase`.
pub fn in_phase<T>(phase: Phase, body: impl FnOnce() -> T) -> T {
    if !IS_RUNNING.get() {
        return body();
    }
    in_place(|(step, _)| (step, phase), phase.name(), body)
}

/// Runs `body`; while a clock runs, its phases count for this kind of step.
pub fn in_step<T>(step: Step, body: impl FnOnce() -> T) -> T {
    if !IS_RUNNING.get() {
        return body();
    }
    in_place(|(_, phase)| (step, phase), step.name(), body)
}

fn in_place<T>(change: impl FnOnce(Place) -> Place, name: &CStr, body: impl FnOnce() -> T) -> T {
    let before = CLOCK.with_borrow(|clock| clock.as_ref().map(|clock| clock.place));
    let Some(before) = before else { return body() };
    let after = change(before);
    // The forward passes of a validation are part of it, but waiting for images is not.
    let stays = before.1 == Phase::Validation && after.1 != Phase::Data;
    let _restore = Restore { place: before, _scope: Scope::begin(name) };
    enter(if stays { before } else { after });
    body()
}

fn enter(place: Place) {
    CLOCK.with_borrow_mut(|clock| {
        if let Some(clock) = clock {
            clock.enter(place);
        }
    });
}

/// Returns to a place when dropped, also after a panic.
struct Restore {
    place: Place,
    _scope: Scope,
}

impl Drop for Restore {
    fn drop(&mut self) {
        enter(self.place);
    }
}

/// Number of CUDA events to keep before the oldest are read.
const MAX_PENDING: usize = 1024;
/// Number of latest CUDA events that are not read yet, because the device may not have reached them.
const KEPT_PENDING: usize = 256;

#[derive(Debug)]
struct Clock {
    place: Place,
    times: PhaseTimes,
    hands: Hands,
}

#[derive(Debug)]
enum Hands {
    /// When the current place was entered.
    Host(Instant),
    /// The entries that have not been read, with the place entered; the last one is the current place.
    Cuda { device: Device, entries: VecDeque<(Event, Place)> },
    /// An event could not be recorded or read.
    Failed(CudaError),
}

impl Clock {
    fn start(device: Device) -> Result<Self, CudaError> {
        let place = (Step::Weights, Phase::Other);
        let hands = match device {
            Device::Cuda(_) => {
                let first = (Event::record(device)?, place);
                Hands::Cuda { device, entries: VecDeque::from([first]) }
            }
            _ => Hands::Host(Instant::now()),
        };
        Ok(Self { place, times: PhaseTimes::default(), hands })
    }

    fn enter(&mut self, place: Place) {
        match &mut self.hands {
            Hands::Host(since) => {
                let now = Instant::now();
                self.times.add(self.place, (now - *since).as_secs_f64());
                *since = now;
            }
            Hands::Cuda { device, entries } => {
                let entered = Event::record(*device).and_then(|event| {
                    entries.push_back((event, place));
                    if entries.len() > MAX_PENDING { read(entries, KEPT_PENDING, &mut self.times) } else { Ok(()) }
                });
                if let Err(error) = entered {
                    self.hands = Hands::Failed(error);
                }
            }
            Hands::Failed(_) => {}
        }
        self.place = place;
    }

    fn stop(mut self) -> Result<PhaseTimes, CudaError> {
        self.enter((Step::Weights, Phase::Other));
        match self.hands {
            Hands::Host(_) => {}
            Hands::Cuda { mut entries, .. } => read(&mut entries, 1, &mut self.times)?,
            Hands::Failed(error) => return Err(error),
        }
        Ok(self.times)
    }
}

/// Reads the oldest events until `kept` are left. Waits for those that the device has not reached.
fn read(entries: &mut VecDeque<(Event, Place)>, kept: usize, times: &mut PhaseTimes) -> Result<(), CudaError> {
    while entries.len() > kept {
        let Some((event, place)) = entries.pop_front() else { break };
        if let Some((next, _)) = entries.front() {
            times.add(place, event.elapsed_ms(next)? / 1e3);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    fn wait(ms: u64) {
        sleep(Duration::from_millis(ms));
    }

    #[test]
    fn time_counts_for_the_innermost_phase_and_its_step() {
        start(Device::Cpu).unwrap();
        wait(2);
        in_step(Step::Architecture, || {
            in_phase(Phase::Forward, || wait(4));
            in_phase(Phase::Optimizer, || in_phase(Phase::Backward, || wait(3)));
        });
        in_phase(Phase::Forward, || wait(1));
        in_phase(Phase::Profiler, || wait(5));
        let times = stop().unwrap().unwrap();
        let at_least = |seconds: f64, ms: f64| assert!(seconds >= ms / 1e3, "{seconds} s, at least {ms} ms: {times:?}");
        at_least(times.of(Phase::Other), 2.0);
        at_least(times.of_step(Step::Architecture, Phase::Forward), 4.0);
        at_least(times.of_step(Step::Architecture, Phase::Backward), 3.0);
        at_least(times.of_step(Step::Weights, Phase::Forward), 1.0);
        assert_eq!(times.of_step(Step::Weights, Phase::Backward), 0.0);
        let sum: f64 =
            [Phase::Forward, Phase::Backward, Phase::Optimizer, Phase::Other].map(|phase| times.of(phase)).iter().sum();
        assert!((times.total() - sum).abs() < 1e-9, "the profiler does not count: {times:?}");
    }

    #[test]
    fn the_forward_pass_of_a_validation_is_validation_and_its_wait_for_images_is_data() {
        start(Device::Cpu).unwrap();
        in_phase(Phase::Validation, || {
            in_phase(Phase::Forward, || wait(2));
            in_phase(Phase::Data, || wait(1));
            wait(1);
        });
        let times = stop().unwrap().unwrap();
        assert_eq!(times.of(Phase::Forward), 0.0);
        assert!(times.of(Phase::Validation) >= 3e-3 && times.of(Phase::Data) >= 1e-3, "{times:?}");
    }

    #[test]
    fn a_phase_ends_with_a_panic_and_nothing_is_measured_without_a_clock() {
        start(Device::Cpu).unwrap();
        let panicked = std::panic::catch_unwind(|| in_phase(Phase::Forward, || panic!("inside")));
        assert!(panicked.is_err());
        wait(2);
        let times = stop().unwrap().unwrap();
        assert!(times.of(Phase::Other) >= 2e-3, "{times:?}");
        assert_eq!(in_phase(Phase::Forward, || 7), 7);
        assert_eq!(stop().unwrap(), None);
    }
}

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use tfnas_artifacts::{Attempt, Digest, KeyManifest, OpenRun, Purpose};
use tfnas_planner::plan::{Cause, CauseField, InputSource, PlanError, Planner};
use tfnas_stages::{Executor, Metrics};

use crate::image_check::{self, Unchecked};
use crate::interrupt::{Interrupt, Interrupts};
use crate::messages::WorkerMessage;
use crate::resources::{ResourceBudget, ResourceRequest};
use crate::slurm::Queue;
use crate::task::{Execution, RunContext, Task, TaskInputs};
use crate::task_result::TaskFailure;
use crate::worker_monitor::SERIES_CUT_AT;
use crate::{LauncherRank, RunEvent, RunObserver, TaskResult};

/// How often the outputs of an instance may be recreated because they were found damaged.
const MAX_REPAIRS: usize = 2;

/// Runs instances and their dependencies, several in parallel.
pub struct Runner<'a> {
    /// The plan.
    pub planner: &'a Planner<'a>,
    /// The ledger's record of this invocation.
    pub run: &'a OpenRun,
    /// Path of the worker program.
    pub program: &'a Path,
    /// The commit of this program's source, which is recorded with each attempt; `None` if unknown.
    pub source_revision: Option<&'a str>,
    /// Maximum number of workers that run in parallel.
    pub jobs: usize,
    /// The rank of this planner, if a launcher has started several planners.
    pub launcher: Option<LauncherRank>,
    /// Instances that run even if they have a cached result.
    pub forced: &'a BTreeSet<usize>,
    /// Whether to start instances that do not depend on a failed one after the failure.
    pub keep_going: bool,
    /// Whether to measure where the time of the stages goes that train or test. Results do not depend on it.
    pub profile: bool,
}

/// The outcome of a run.
#[derive(Default)]
pub struct Finished {
    /// All available results, by instance.
    pub results: BTreeMap<usize, Attempt>,
    /// Instances that ran and succeeded, in the order in which they finished.
    pub ran: Vec<usize>,
    /// Instances whose cached result was reused.
    pub cached: Vec<usize>,
    /// Instances that failed.
    pub failed: Vec<usize>,
    /// Instances that were interrupted or detached.
    pub interrupted: Vec<usize>,
    /// Whether the user requested a stop.
    pub stopped: bool,
    /// Why the run ended early, if the store or the ledger could not be used. Running workers were stopped first.
    pub error: Option<PlanError>,
}

enum Message {
    Event(usize, RunEvent),
    Ended(usize, TaskResult),
    Interrupt(Interrupt),
}

impl<'a> Runner<'a> {
    /// Runs the chosen instances and their dependencies. Events are reported to `observer`.
    pub fn execute(&self, chosen: &BTreeSet<usize>, observer: &mut dyn RunObserver) -> Finished {
        let needed = self.planner.graph.closure(chosen.iter().copied());
        let mut state = State { open: needed, ..State::default() };
        // If everything is cached, neither a thread nor a signal handler is needed.
        let done = match self.next_ready(&mut state, observer) {
            Ok(None) => Ok(()),
            Ok(first) => self.work(&mut state, first, observer),
            Err(error) => Err(error),
        };
        Finished { error: done.err(), ..state.finished }
    }

    /// Runs an instance again although it has a result, so that the two can be compared.
    ///
    /// # Errors
    /// Returns [`PlanError`] if the store or the ledger cannot be used. Running workers are stopped first.
    pub fn repeat(
        &self,
        instance: usize,
        results: &BTreeMap<usize, Attempt>,
        observer: &mut dyn RunObserver,
    ) -> Result<Finished, PlanError> {
        let mut state = State::default();
        state.finished.results = results.clone();
        if let Some(manifest) = self.planner.manifest(instance, results)? {
            let because = vec![Cause::plain(CauseField::Comparison)];
            let ready = self.ready(instance, manifest, because, Purpose::Check, results)?;
            self.work(&mut state, Some(ready), observer)?;
        }
        Ok(state.finished)
    }

    /// Handles signals and messages of workers until no instance is running.
    fn work(
        &self,
        state: &mut State,
        first: Option<Ready<'a>>,
        observer: &mut dyn RunObserver,
    ) -> Result<(), PlanError> {
        let (sender, inbox) = channel();
        let for_signals = sender.clone();
        let interrupts = Interrupts::listen(move |interrupt| {
            // Sending fails if the run has ended.
            let _ = for_signals.send(Message::Interrupt(interrupt));
        });
        if let Err(error) = &interrupts {
            observer.warn(&format!("Ctrl-C will end the run without a resume point: {error}"));
        }
        std::thread::scope(|scope| {
            let ended = self.drive(scope, state, first, &sender, &inbox, observer);
            for running in state.running.values() {
                // Sending fails if the worker has exited.
                let _ = running.sender.send(WorkerMessage::Detach);
            }
            ended
        })
    }

    fn drive<'scope, 'env: 'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, 'env>,
        state: &mut State,
        first: Option<Ready<'a>>,
        sender: &Sender<Message>,
        inbox: &Receiver<Message>,
        observer: &mut dyn RunObserver,
    ) -> Result<(), PlanError>
    where
        'a: 'scope,
    {
        let mut next = first;
        loop {
            while let Some(ready) = next.take() {
                self.start(scope, ready, state, sender);
                next = self.next_ready(state, observer)?;
            }
            if state.running.is_empty() {
                return Ok(());
            }
            let Ok(message) = inbox.recv() else { return Ok(()) };
            match message {
                Message::Event(instance, event) => {
                    observer.event(&self.planner.graph.instances[instance].id, &event);
                }
                Message::Interrupt(Interrupt::End) => self.interrupt(state, observer),
                Message::Interrupt(Interrupt::Hangup) => {
                    state.finished.stopped = true;
                    for running in state.running.values() {
                        // Sending fails if the worker has exited.
                        let _ = running.sender.send(WorkerMessage::Detach);
                    }
                }
                Message::Ended(instance, result) => {
                    let running = state.running.remove(&instance);
                    if let (TaskResult::Done(_), Some(running)) = (&result, running) {
                        image_check::note(&self.planner.cache.store().folder_memos(), &running.unchecked);
                    }
                    self.ended(instance, result, state, observer);
                    next = self.next_ready(state, observer)?;
                }
            }
        }
    }

    fn interrupt(&self, state: &mut State, observer: &mut dyn RunObserver) {
        let again = state.finished.stopped;
        state.finished.stopped = true;
        observer.interrupting(again);
        for running in state.running.values() {
            // Sending fails if the worker has exited.
            let _ = running.sender.send(if again { WorkerMessage::Kill } else { WorkerMessage::Stop });
        }
    }

    /// Collects cached results until an instance is found that must run and may start now. Returns `None` if there is
    /// no such instance.
    fn next_ready(&self, state: &mut State, observer: &mut dyn RunObserver) -> Result<Option<Ready<'a>>, PlanError> {
        let graph = self.planner.graph;
        let halted = state.finished.stopped || (!state.finished.failed.is_empty() && !self.keep_going);
        let waiting: Vec<usize> = state.open.iter().copied().collect();
        for instance in waiting {
            let upstream = graph.upstream(instance);
            if !upstream.iter().all(|before| state.finished.results.contains_key(before)) {
                continue;
            }
            let Some(manifest) = self.planner.manifest(instance, &state.finished.results)? else { continue };
            let forced = self.forced.contains(&instance);
            let mut found = self.planner.cache.find_and_use(self.run, &manifest.key())?;
            let id = &graph.instances[instance].id;
            if let Some(result) = found.result.take().filter(|_| !forced) {
                let (key, remote) = (manifest.key().to_string(), result.remote.clone());
                observer.event(id, &RunEvent::Cached { key, remote });
                state.open.remove(&instance);
                state.finished.cached.push(instance);
                state.finished.results.insert(instance, result);
                continue;
            }
            if halted || !self.fits(instance, state)? {
                continue;
            }
            let because = self.planner.reasons(instance, &manifest, forced, &found)?;
            state.open.remove(&instance);
            return Ok(Some(self.ready(instance, manifest, because, Purpose::Run, &state.finished.results)?));
        }
        Ok(None)
    }

    /// Returns whether an instance may start next to the running ones.
    fn fits(&self, instance: usize, state: &State) -> Result<bool, PlanError> {
        if state.running.is_empty() {
            return Ok(true);
        }
        // On a cluster, the queue decides when there are enough resources.
        if self.planner.variant(instance).config.executor == Executor::Slurm {
            return Ok(state.running.len() < self.jobs);
        }
        let request = self.resource_request(instance)?;
        let budget = ResourceBudget::new(&self.planner.variant(instance).config.resources);
        let running = state.running.values().map(|running| &running.request);
        Ok(state.running.len() < self.jobs && budget.fits(running, &request))
    }

    fn ready(
        &self,
        instance: usize,
        manifest: KeyManifest,
        because: Vec<Cause>,
        purpose: Purpose,
        results: &BTreeMap<usize, Attempt>,
    ) -> Result<Ready<'a>, PlanError> {
        let planner = self.planner;
        let node = &planner.graph.instances[instance];
        let config = &planner.variant(instance).config;
        let mut made = Vec::new();
        let mut given = BTreeMap::new();
        for input in &node.inputs {
            match &input.source {
                InputSource::Instance(upstream, output) => {
                    let result = results.get(upstream).and_then(|attempt| attempt.output(output));
                    if let Some(output) = result {
                        made.push((input.port, *upstream, output.digest));
                    }
                }
                InputSource::External(external) => {
                    if let Some(resolved) = planner.externals.get(external) {
                        given.insert(input.port, resolved.input.clone());
                    }
                }
            }
        }
        let memos = planner.cache.store().folder_memos();
        // A training with several ranks does not check images: the other ranks would time out waiting for rank 0.
        let looks = purpose == Purpose::Run && config.processes(node.stage) == 1;
        let unchecked = looks.then(|| Unchecked::of(planner, instance, &memos)).flatten();
        let (check, unchecked) = unchecked.map(|unchecked| (unchecked.check, unchecked.digests)).unzip();
        let task = Task {
            context: RunContext {
                cache: planner.cache,
                run: self.run,
                program: self.program,
                source_revision: self.source_revision,
            },
            id: node.id.clone(),
            stage: node.stage,
            params: node.params.clone(),
            manifest,
            inputs: TaskInputs { made, given, check },
            execution: Execution {
                device: planner.device(instance).clone(),
                threads: self.threads(instance),
                data_workers: self.data_workers(instance),
                resume_every_s: config.resume_every_s,
                ranks: self.ranks(instance),
                processes: self.processes(instance),
                on_ranks: node.stage.runs_on_ranks(config),
                rank_timeout_s: config.ranks.timeout_s,
                executor: config.executor,
                queue: Queue::new(config, node.stage, planner.key_facts(instance).latency),
                profile: self.profile && node.stage.is_profiled(),
            },
            because,
            expected_s: planner.expected_s(instance)?,
            forced: self.forced.contains(&instance),
            purpose,
        };
        Ok(Ready {
            instance,
            request: self.resource_request(instance)?,
            unchecked: unchecked.unwrap_or_default(),
            task,
        })
    }

    fn start<'scope, 'env: 'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, 'env>,
        ready: Ready<'a>,
        state: &mut State,
        sender: &Sender<Message>,
    ) where
        'a: 'scope,
    {
        let (to_worker, inbox) = channel();
        let Ready { instance, request, unchecked, task } = ready;
        state.running.insert(instance, Running { sender: to_worker.clone(), request, unchecked });
        let sender = sender.clone();
        scope.spawn(move || {
            let report = |event| {
                // The runner receives messages until it gets the result below.
                let _ = sender.send(Message::Event(instance, event));
            };
            let result = task.run(&inbox, to_worker, &report);
            let _ = sender.send(Message::Ended(instance, result));
        });
    }

    fn ended(&self, instance: usize, result: TaskResult, state: &mut State, observer: &mut dyn RunObserver) {
        let instances = &self.planner.graph.instances;
        let id = &instances[instance].id;
        let finished = &mut state.finished;
        match result {
            TaskResult::Done(attempt) => {
                observer.event(
                    id,
                    &RunEvent::Done {
                        outputs: attempt.outputs.clone(),
                        duration_s: attempt.duration_ms().unwrap_or_default() as f64 / 1e3,
                        peak_memory_bytes: attempt.usage.peak_memory_bytes,
                        metrics: final_metrics(&attempt),
                    },
                );
                finished.ran.push(instance);
                finished.results.insert(instance, *attempt);
            }
            TaskResult::Used(attempt) => {
                observer.event(id, &RunEvent::UsedResult { key: attempt.key.to_string() });
                finished.cached.push(instance);
                finished.results.insert(instance, *attempt);
            }
            TaskResult::Failed(TaskFailure { message, hint, log, tail, peer: _ }) => {
                observer.event(id, &RunEvent::Failed { message, hint, log, tail });
                finished.failed.push(instance);
            }
            TaskResult::Interrupted => {
                observer.event(id, &RunEvent::Interrupted);
                finished.interrupted.push(instance);
            }
            TaskResult::Detached { job } => {
                observer.event(id, &RunEvent::Detached { job });
                finished.interrupted.push(instance);
            }
            TaskResult::Damaged { upstream, message } => {
                let repairs = state.repairs.entry(upstream).or_default();
                *repairs += 1;
                if *repairs > MAX_REPAIRS {
                    let message = format!("{message}, again after it was recreated");
                    observer.event(id, &RunEvent::Failed { message, hint: None, log: None, tail: Vec::new() });
                    finished.failed.push(instance);
                    return;
                }
                let upstream_id = instances[upstream].id.clone();
                observer.event(id, &RunEvent::Remade { upstream: upstream_id, message });
                finished.results.remove(&upstream);
                finished.cached.retain(|cached| *cached != upstream);
                state.open.extend([upstream, instance]);
            }
        }
    }
}

/// Returns the numbers that a worker reported at its end, without the series of epochs.
fn final_metrics(attempt: &Attempt) -> Metrics {
    let metrics = attempt.metrics.as_object().into_iter().flatten();
    let metrics = metrics.filter(|(name, _)| *name != SERIES_CUT_AT);
    metrics.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect()
}

#[derive(Default)]
struct State {
    /// Instances that have no result yet and are not running.
    open: BTreeSet<usize>,
    running: BTreeMap<usize, Running>,
    /// How often the outputs of each instance were found damaged.
    repairs: BTreeMap<usize, usize>,
    finished: Finished,
}

struct Running {
    /// Sends messages to the thread that monitors the worker.
    sender: Sender<WorkerMessage>,
    request: ResourceRequest,
    /// Digests of images that are known to be readable once the instance has succeeded.
    unchecked: Vec<Digest>,
}

struct Ready<'a> {
    instance: usize,
    request: ResourceRequest,
    unchecked: Vec<Digest>,
    task: Task<'a>,
}

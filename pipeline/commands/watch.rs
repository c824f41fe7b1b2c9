use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use signal_hook::consts::{SIGTSTP, SIGWINCH};
use signal_hook::{flag, low_level};
use tfnas_artifacts::{Cache, Outcome, Run};
use tfnas_events::{Line, RunProgress, Tail};
use tfnas_executor::ending_signals;

use crate::commands::report::named_run;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{out, print, print_data, print_styled};
use crate::session::store_to_read;
use crate::time::now_ms;
use crate::watch::{Lines, Screen, Style, View, fit};

/// Maximum number of runs among which the newest one with events is searched.
const LOOKED_AT: usize = 100;
/// Time between two readings of the file.
const READ_EVERY: Duration = Duration::from_millis(500);
/// How soon a signal has an effect.
const TICK: Duration = Duration::from_millis(50);
/// How long a run without an end must be without its planner to count as killed: a run that begins takes its lock
/// shortly after it is in the ledger.
const DEAD_AFTER: Duration = Duration::from_secs(1);

/// Follow a run: stages, progress, and curves of losses, accuracies and latencies
///
/// On a terminal the view is redrawn until the run ends. Elsewhere each event is a line. With --json each event is a JSON
/// object. The exit code is 0 if the run is done, and 1 if it failed or was interrupted. Ctrl-C ends only this command.
#[derive(Args, Debug)]
pub struct Watch {
    /// A run's number or name, or `latest`; default: the newest run
    #[arg(value_name = "RUN")]
    run: Option<String>,
}

/// Signals that were received.
struct Signals {
    stop: Arc<AtomicBool>,
    resized: Arc<AtomicBool>,
    suspended: Arc<AtomicBool>,
}

/// How following a run ended.
enum End {
    /// The run has ended, if it was not killed with this outcome.
    Run(Option<Outcome>),
    /// Ctrl-C, or nobody reads the output.
    Stopped,
}

/// What is done with the events.
enum Output {
    Json,
    Lines(Lines),
    Screen(Screen, Style),
}

impl Watch {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let cache = store_to_read(options)?;
        let run = self.run(&cache)?;
        let path = cache.store().event_file(run.id);
        if !path.exists() && (run.ended_ms.is_some() || !cache.is_under_way(run.id)) {
            return Err(CommandError::usage(format!("run {} has recorded no events", run.id)).with_hint(format!(
                "`show {}` prints what it did; runs of earlier releases recorded no events",
                run.id
            )));
        }
        let signals =
            Signals::listen().map_err(|error| CommandError::failed(format!("cannot handle signals: {error}")))?;
        let is_terminal = std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let mut output = match (options.json, is_terminal) {
            (true, _) => Output::Json,
            (false, true) => Output::Screen(Screen::enter(), Style::of_terminal()),
            (false, false) => Output::Lines(Lines::default()),
        };
        let mut progress = RunProgress::default();
        let end = follow(&cache, &run, &mut Tail::new(&path), &signals, &mut output, &mut progress)?;
        let style = match output {
            Output::Screen(screen, style) => {
                drop(screen);
                Some(style)
            }
            Output::Lines(mut lines) => {
                lines.flush().into_iter().for_each(|line| print(&format!("{line}\n")));
                None
            }
            Output::Json => None,
        };
        match end {
            End::Stopped => Ok(if out::is_closed() { Exit::Done } else { Exit::Interrupted }),
            End::Run(outcome) => {
                progress.outcome = outcome.map(|outcome| outcome.name().to_owned());
                if let Some(style) = style {
                    let width = usize::from(console::Term::stdout().size().1).max(20);
                    let view = View { width, height: None, style, now_ms: progress.last_ms, alive: false };
                    view.lines(&progress).iter().for_each(|line| print_styled(&format!("{}\n", fit(line, width))));
                }
                if outcome.is_none() {
                    tracing::warn!(
                        "run {} has recorded no end: its planner was killed, or the machine stopped",
                        run.id
                    );
                }
                Ok(if outcome == Some(Outcome::Done) { Exit::Done } else { Exit::Failed })
            }
        }
    }

    fn run(&self, cache: &Cache) -> Result<Run, CommandError> {
        if let Some(what) = &self.run {
            return named_run(cache, what);
        }
        let runs = cache.ledger().runs(None, LOOKED_AT)?;
        let has_events = |run: &&Run| cache.store().event_file(run.id).exists() || cache.is_under_way(run.id);
        let newest = runs.iter().find(has_events).or(runs.first()).cloned();
        newest.ok_or_else(|| CommandError::usage("there is no run in this store").with_hint("`run all` makes one"))
    }
}

/// Passes on the events of a run until it ends.
fn follow(
    cache: &Cache,
    run: &Run,
    tail: &mut Tail,
    signals: &Signals,
    output: &mut Output,
    progress: &mut RunProgress,
) -> Result<End, CommandError> {
    let mut dead_since: Option<Instant> = None;
    loop {
        let lines = tail.read().map_err(|error| CommandError::failed(format!("cannot read the events: {error}")))?;
        for line in &lines {
            line.record.iter().for_each(|record| progress.apply(record));
            output.add(line);
        }
        if out::is_closed() || signals.stop.load(Ordering::Relaxed) {
            return Ok(End::Stopped);
        }
        if !lines.is_empty() {
            dead_since = None;
            if progress.outcome.is_none() {
                continue;
            }
        }
        let alive = cache.is_under_way(run.id);
        output.draw(progress, alive);
        if let Some(outcome) = &progress.outcome {
            let outcomes = [Outcome::Done, Outcome::Failed, Outcome::Interrupted];
            return Ok(End::Run(outcomes.into_iter().find(|known| known.name() == outcome)));
        }
        if alive {
            dead_since = None;
        } else if dead_since.get_or_insert_with(Instant::now).elapsed() >= DEAD_AFTER {
            let ended = cache.ledger().run(run.id)?;
            return Ok(End::Run(ended.and_then(|run| run.outcome)));
        }
        signals.pause(output);
    }
}

impl Output {
    fn add(&mut self, line: &Line) {
        match self {
            Self::Json if line.record.is_some() => print_data(&format!("{}\n", line.text)),
            Self::Lines(lines) => {
                let record = line.record.iter();
                record.flat_map(|record| lines.next(record)).for_each(|line| print(&format!("{line}\n")));
            }
            Self::Json | Self::Screen(..) => {}
        }
    }

    fn draw(&self, progress: &RunProgress, alive: bool) {
        if let Self::Screen(screen, style) = self {
            let (width, height) = screen.size();
            let alive = alive || progress.outcome.is_some();
            let view = View { width, height: Some(height), style: *style, now_ms: now_ms(), alive };
            screen.draw(&view.lines(progress));
        }
    }
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let [stop, resized, suspended] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
        for signal in ending_signals() {
            flag::register(signal, Arc::clone(&stop))?;
        }
        flag::register(SIGWINCH, Arc::clone(&resized))?;
        flag::register(SIGTSTP, Arc::clone(&suspended))?;
        Ok(Self { stop, resized, suspended })
    }

    /// Waits until the file should be read again, or a signal arrives.
    fn pause(&self, output: &Output) {
        let begun = Instant::now();
        while begun.elapsed() < READ_EVERY {
            if self.suspended.swap(false, Ordering::Relaxed) {
                suspend(output);
                return;
            }
            if self.stop.load(Ordering::Relaxed) || self.resized.swap(false, Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(TICK);
        }
    }
}

/// Stops this process, as Ctrl-Z asks for, with the screen from before.
fn suspend(output: &Output) {
    if let Output::Screen(screen, _) = output {
        screen.hide();
    }
    // If the process cannot be stopped, it goes on.
    let _ = low_level::emulate_default_handler(SIGTSTP);
    if let Output::Screen(screen, _) = output {
        screen.show();
    }
}

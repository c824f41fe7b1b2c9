use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use indicatif::MultiProgress;
use tfnas_artifacts::{OpenRun, Outcome, RunId};
use tfnas_executor::{Finished, LauncherRank, RankEnd, RunObserver, Runner, worker_program};
use tfnas_planner::config::of_path;
use tfnas_planner::lock::{self, Lock, LockError};
use tfnas_planner::plan::{Plan, Planner, Remarks, select};
use tfnas_stages::{Config, Executor};

use crate::commands::plan;
use crate::error::{CommandError, CommandErrorKind};
use crate::exit::Exit;
use crate::options::Options;
use crate::page;
use crate::report::{EventLog, Reporter, found, print};
use crate::run_label::RunLabel;
use crate::session::{Session, Setup};
use crate::source_revision::source_revision;
use crate::tensorboard::{RunFolder, TensorBoard};

/// Run stages and their dependencies; reuse cached results
#[derive(Args, Debug)]
pub struct Run {
    /// `all`, a stage, or one instance of it (search@12)
    #[arg(required = true, value_name = "STAGE")]
    pub stages: Vec<String>,

    /// Rerun this stage even if its result is cached; may be repeated
    #[arg(long, value_name = "STAGE")]
    force: Vec<String>,

    /// The number of workers at a time [default: 1, on a cluster slurm.max_jobs]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,

    /// Show what would run, and run nothing
    #[arg(long)]
    dry_run: bool,

    /// After a failure, continue with the stages that do not depend on it
    #[arg(long)]
    keep_going: bool,

    /// Train this architecture (a model.config) instead of the one found; the same as --set train.from=FILE
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,

    /// Test these weights (a .pth.tar or safetensors file) instead of trained ones; the same as --set test.weights=FILE
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,

    /// Where these weights are in their file: keys joined by dots (model_ema.module); the same as --set test.weights_key=KEY
    #[arg(long, value_name = "KEY", requires = "weights")]
    weights_key: Option<String>,

    /// Train, and run a data-parallel search, with this many processes on this machine; the same as --set ranks.processes=N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    nproc: Option<u16>,

    /// Write event files for TensorBoard below this folder while the stages run
    #[arg(long, value_name = "FOLDER")]
    tensorboard: Option<PathBuf>,

    /// Show where the time of search, select, train and test goes, and write a Chrome trace of some steps; results stay the same.
    /// Cached stages are not profiled: rerun them with --force
    #[arg(long)]
    profile: bool,

    /// Do not show progress bars
    #[arg(long)]
    no_progress: bool,

    #[command(flatten)]
    label: RunLabel,

    /// The worker's program [default: tfnas-stage next to this program]
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,
}

struct Work {
    chosen: BTreeSet<usize>,
    forced: BTreeSet<usize>,
    program: PathBuf,
    launcher: Option<LauncherRank>,
    remarks: Remarks,
    plan: Plan,
}

impl Run {
    /// Runs the stages. Under torchrun, rank 0 does this, and the other ranks run workers that join its jobs.
    pub fn execute(&self, options: &Options, bars: MultiProgress) -> Result<Exit, CommandError> {
        let mut options = options.clone();
        for (key, option, file) in [("train.from", "--from", &self.from), ("test.weights", "--weights", &self.weights)]
        {
            if let Some(file) = file {
                // A path on the command line is relative to the current folder, a path in the configuration to the
                // configuration file.
                let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
                options.sets.push(of_path(key, option, &file)?);
            }
        }
        if let Some(key) = &self.weights_key {
            // Quote the key, so that YAML reads it as text.
            options.sets.push(format!("test.weights_key={}", serde_json::Value::from(key.as_str())));
        }
        let launcher = LauncherRank::read()?;
        match (self.nproc, launcher) {
            (Some(_), Some(_)) => {
                return Err(CommandError::usage("--nproc under a launcher that has set RANK and WORLD_SIZE itself")
                    .with_hint("remove --nproc, or unset both variables"));
            }
            (Some(processes), None) => options.sets.push(format!("ranks.processes={processes}")),
            (None, Some(launcher)) if launcher.rank > 0 => {
                return Ok(match launcher.serve(&worker_program(self.worker.as_deref())?)? {
                    RankEnd::Done => Exit::Done,
                    RankEnd::Interrupted => Exit::Interrupted,
                });
            }
            (None, Some(launcher)) => options.sets.push(format!("ranks.processes={}", launcher.world_size)),
            (None, None) => {}
        }
        let setup = Setup::new(&options)?;
        let chosen = select(&setup.graph, &self.stages)?;
        let forced = select(&setup.graph, &self.force)?;
        let needed = setup.graph.closure(chosen.iter().copied());
        setup.check(&needed)?;
        if self.dry_run {
            return plan::show(setup.read()?, &chosen, &forced, options.json);
        }
        let program = worker_program(self.worker.as_deref())?;
        if let Some(path) = lock::path(&setup.configuration) {
            // Detect an unreadable lock file before the work, not after it.
            Lock::read(&path)?;
        }
        setup.generate()?;
        let mut session = setup.write()?;
        let remarks = session.identify_and_check(&chosen)?;
        session.log_ignored_files();
        session.warn_unused_gpu();
        session.check_inputs(&needed)?;
        let plan = session.plan(&chosen, &forced, Some(&program))?;
        let mut reporter = Reporter::new(bars, options.json, !self.no_progress);
        reporter.remarks(&remarks);
        reporter.expect(&session.graph, &plan);
        let work = Work { chosen, forced, program, launcher, remarks, plan };
        self.run(&session, &work, reporter, options.json)
    }

    fn run(&self, session: &Session, work: &Work, mut reporter: Reporter, json: bool) -> Result<Exit, CommandError> {
        let planner = session.planner();
        let run = session.begin_named_run(&self.label)?;
        let mut event_log = EventLog::create(&session.cache, run.id(), run.arguments(), planner.graph, &work.plan);
        let mut tensorboard = self.tensorboard(session, &run);
        let runner = Runner {
            planner: &planner,
            run: &run,
            program: &work.program,
            source_revision: source_revision(),
            launcher: work.launcher,
            jobs: self.jobs.map_or_else(|| at_a_time(&session.configuration.shared().config), usize::from),
            forced: &work.forced,
            keep_going: self.keep_going,
            profile: self.profile,
        };
        let mut observers: Vec<&mut dyn RunObserver> = vec![&mut reporter, &mut event_log];
        observers.extend(tensorboard.as_mut().map(|observer| observer as &mut dyn RunObserver));
        let mut finished = runner.execute(&work.chosen, &mut observers);
        let (outcome, exit) = ending(&finished);
        let id = run.id();
        event_log.finish(outcome);
        // The stages have run: none of these errors may keep the rest of the end from the user or from other ranks.
        let failed = |error: CommandError| CommandError { kind: CommandErrorKind::Failed, ..error };
        let mut errors: Vec<CommandError> = finished.error.take().map(CommandError::from).into_iter().collect();
        let is_complete = errors.is_empty();
        errors.extend(session.cache.end_run(run, outcome).err().map(CommandError::from));
        if is_complete {
            errors.extend(lock_results(&planner, &finished).err());
        }
        if let Some(launcher) = work.launcher.filter(|launcher| exit == Exit::Done && launcher.world_size > 1) {
            errors.extend(launcher.shut_down(&work.program).err().map(CommandError::from));
        }
        if self.profile {
            reporter.cached_stages_are_not_profiled(planner.graph, &finished, &work.chosen);
        }
        let page = self.page(session, work, &finished, exit, id, &mut reporter);
        reporter.finished(planner.graph, &finished, &work.remarks, page.as_deref());
        if exit == Exit::Done && !json {
            print(&found(&planner, &finished, &work.remarks, page.as_deref()));
        }
        let mut errors = errors.into_iter().map(failed);
        let Some(first) = errors.next() else { return Ok(exit) };
        for CommandError { message, hint, .. } in errors {
            tracing::error!(hint, "{message}");
        }
        Err(first)
    }
}

impl Run {
    /// Creates the files for TensorBoard if they are wanted. Only warns if they cannot be written.
    fn tensorboard<'a>(&self, session: &'a Session, run: &OpenRun) -> Option<TensorBoard<'a>> {
        let folder = self.tensorboard.as_ref()?;
        let configuration = session.configuration.effective().to_string();
        match RunFolder::create(folder, run.id(), run.arguments(), &configuration) {
            Ok(target) => {
                tracing::info!("writing {} (`tensorboard --logdir {}`)", target.path().display(), folder.display());
                Some(TensorBoard::new(&session.cache, target))
            }
            Err(error) => {
                tracing::warn!(
                    "cannot write to {}: {error}; the run goes on without files for TensorBoard",
                    folder.display()
                );
                None
            }
        }
    }

    /// Writes the page of a run of all stages, if a stage ran. Only warns if the page cannot be written.
    fn page(
        &self,
        session: &Session,
        work: &Work,
        finished: &Finished,
        exit: Exit,
        id: RunId,
        reporter: &mut Reporter,
    ) -> Option<PathBuf> {
        let all = work.chosen.len() == session.graph.instances.len();
        if exit != Exit::Done || finished.ran.is_empty() || !all {
            return None;
        }
        match page::write_beside(&session.cache, id) {
            Ok(path) => Some(std::path::absolute(&path).unwrap_or(path)),
            Err(error) => {
                reporter
                    .warn(&format!("cannot write the report of run {id}: {error}; `report {id}` writes it elsewhere"));
                None
            }
        }
    }
}

/// Returns the default number of parallel workers.
fn at_a_time(config: &Config) -> usize {
    match config.executor {
        Executor::Local => 1,
        Executor::Slurm => config.slurm.max_jobs,
    }
}

/// Updates `pipeline.lock` with the results of a run.
fn lock_results(planner: &Planner<'_>, finished: &Finished) -> Result<(), CommandError> {
    let Some(path) = lock::path(planner.configuration) else { return Ok(()) };
    let update = || {
        let old = Lock::read(&path)?;
        let new = old.updated(planner, &finished.results);
        if new != old { new.write(&path) } else { Ok(()) }
    };
    update().map_err(|error: LockError| match error {
        LockError::File { .. } => CommandError::from(error)
            .with_hint("make the file and its folder writable, and run the same command again: it reuses the results"),
        error => error.into(),
    })
}

fn ending(finished: &Finished) -> (Outcome, Exit) {
    if finished.error.is_some() {
        (Outcome::Failed, Exit::Failed)
    } else if finished.stopped {
        (Outcome::Interrupted, Exit::Interrupted)
    } else if finished.failed.is_empty() {
        (Outcome::Done, Exit::Done)
    } else {
        (Outcome::Failed, Exit::Failed)
    }
}

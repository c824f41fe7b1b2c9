use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tfnas_artifacts::{Cache, CacheError, NewRun, OpenRun, Trust};
use tfnas_executor::worker_program;
use tfnas_planner::config::Configuration;
use tfnas_planner::generated_images;
use tfnas_planner::machine::{Device, build, cpu};
use tfnas_planner::plan::{
    Action, ExternalInputs, Graph, Plan, Planner, Remarks, ShortSearch, Step, check, check_networks, check_precisions,
    check_targets, check_test_images, short_searches,
};
use tfnas_stages::{Executor, Speed};

use crate::error::CommandError;
use crate::options::Options;
use crate::remote::trusted;
use crate::run_label::RunLabel;
use crate::source_revision::source_revision;
use crate::speed::{measure_pass_s, measure_read_s};

/// Number of images whose decoding is timed.
const SAMPLED: usize = 32;
/// Duration from which on stages are worth a measurement of the speed, in seconds on a slow machine.
const LONG_S: f64 = 60.0;
/// Number of classes of the timed network if the space does not set it. It hardly changes the duration.
const CLASSES: usize = 100;
/// The folder of the store next to the configuration.
const STORE: &str = ".tfnas";

/// The configuration and its instances, before a store is opened.
pub struct Setup {
    pub configuration: Configuration,
    pub graph: Graph,
    /// The device of each variant of the configuration.
    pub devices: Vec<Device>,
    store: PathBuf,
    trust: Option<Trust>,
}

/// The configuration and its instances, with an open store and the inputs.
pub struct Session {
    pub configuration: Configuration,
    pub graph: Graph,
    pub cache: Cache,
    devices: Vec<Device>,
    externals: ExternalInputs,
    /// Some training images, whose decoding can be timed.
    sample: Vec<PathBuf>,
    /// The speed of this machine, if it was measured.
    speed: Option<Speed>,
}

impl Setup {
    /// Reads and validates the configuration.
    pub fn new(options: &Options) -> Result<Self, CommandError> {
        let configuration = Configuration::load(options.config.as_deref(), &options.sets)?;
        let devices = configuration.variants.iter().map(|variant| Device::of(&variant.config));
        let devices = devices.collect::<Result<_, _>>().map_err(placed(&configuration))?;
        let graph = Graph::new(&configuration);
        let (store, trust) = (store_folder(options), trusted(&configuration)?);
        Ok(Self { configuration, graph, devices, store, trust })
    }

    /// Checks that instances can run, and that their inputs exist or will be generated.
    pub fn check(&self, instances: &BTreeSet<usize>) -> Result<(), CommandError> {
        for instance in instances.iter().map(|position| &self.graph.instances[*position]) {
            self.configuration.variants[instance.variant].check_to_run(instance.stage)?;
        }
        let generated = |path: &Path| generated_images::makes(&self.configuration, path);
        check(&self.graph, instances.iter().copied(), &generated).map_err(placed(&self.configuration))
    }

    /// Writes the images that the configuration generates, if they do not exist yet.
    pub fn generate(&self) -> Result<(), CommandError> {
        generated_images::ensure(&self.configuration).map_err(placed(&self.configuration))
    }

    /// Opens the store without writing to it.
    pub fn read(self) -> Result<Session, CommandError> {
        let cache = Cache::open_to_read(&self.store)?;
        Ok(self.with(cache))
    }

    /// Opens the store for writing.
    pub fn write(self) -> Result<Session, CommandError> {
        let ledger = self.configuration.shared().config.ledger.as_ref();
        let ledger = ledger.map(|path| self.configuration.resolve(path));
        let cache = Cache::open_with_ledger(&self.store, ledger.as_deref())?;
        Ok(self.with(cache))
    }

    fn with(self, cache: Cache) -> Session {
        let Self { configuration, graph, devices, trust, .. } = self;
        let cache = cache.trusting(trust);
        Session {
            configuration,
            graph,
            cache,
            devices,
            externals: ExternalInputs::default(),
            sample: Vec::new(),
            speed: None,
        }
    }
}

impl Session {
    /// Identifies the inputs of the instances and of their dependencies.
    pub fn identify(&mut self, instances: &BTreeSet<usize>) -> Result<(), CommandError> {
        let needed = self.graph.closure(instances.iter().copied());
        let memos = Some(self.cache.store().folder_memos()).filter(|memos| memos.is_dir());
        let configuration = &self.configuration;
        let generated = |path: &Path| generated_images::makes(configuration, path);
        let identified = self.externals.identify(&self.graph, needed, memos.as_deref(), &generated);
        identified.map_err(placed(&self.configuration))
    }

    /// Warns about a GPU that `device: auto` does not use.
    pub fn warn_unused_gpu(&self) {
        let config = &self.configuration.shared().config;
        if config.executor == Executor::Local
            && let Some(model) = Device::unused_gpu(config.device)
        {
            tracing::warn!(
                "{model} is not used: libtorch {} was installed without CUDA (`TFNAS_LIBTORCH=cuda make build` installs it \
                 with CUDA; `device: cpu` chooses the CPU)",
                build::LIBTORCH
            );
        }
    }

    /// Logs which files of image folders are not used.
    pub fn log_ignored_files(&self) {
        self.externals.log_ignored_files();
    }

    /// Checks the precisions of stages, calls [`identify`](Self::identify), and checks the test images against the training
    /// images.
    pub fn identify_and_check(&mut self, instances: &BTreeSet<usize>) -> Result<Remarks, CommandError> {
        check_precisions(&self.planner(), instances).map_err(placed(&self.configuration))?;
        self.externals.keep_images();
        self.identify(instances)?;
        let needed = self.graph.closure(instances.iter().copied());
        let checked = check_test_images(&self.planner(), &needed);
        self.sample = self.externals.sample(SAMPLED);
        self.externals.forget_images();
        checked.map_err(placed(&self.configuration))
    }

    /// Checks the targets of searches, and the networks and weights from files. Call [`identify`](Self::identify) first.
    pub fn check_inputs(&self, instances: &BTreeSet<usize>) -> Result<(), CommandError> {
        let planner = self.planner();
        check_targets(&planner, instances).map_err(placed(&self.configuration))?;
        check_networks(&planner, instances).map_err(placed(&self.configuration))
    }

    /// Plans the selected instances, logs which searches are too short to choose operations, and estimates the durations. The speed
    /// of this machine is measured if stages that never ran may take long. Call
    /// [`identify_and_check`](Self::identify_and_check) first.
    pub fn plan(
        &mut self,
        chosen: &BTreeSet<usize>,
        forced: &BTreeSet<usize>,
        worker: Option<&Path>,
    ) -> Result<Plan, CommandError> {
        let planner = self.planner();
        let mut plan = planner.plan(chosen, forced)?;
        for ShortSearch { message, is_selected } in short_searches(&planner, &plan) {
            if is_selected {
                tracing::debug!("{message}");
            } else {
                tracing::warn!("{message}");
            }
        }
        if self.configuration.shared().config.executor == Executor::Local && may_take_long(&planner, &plan) {
            match self.measure_speed(worker) {
                Ok(speed) => {
                    planner.estimate(&mut plan, speed);
                    self.speed = Some(speed);
                }
                Err(error) => tracing::debug!("the duration is not estimated: {error}"),
            }
        }
        Ok(plan)
    }

    fn measure_speed(&self, worker: Option<&Path>) -> Result<Speed, CommandError> {
        let variant = self.configuration.shared();
        let classes = variant.space.definition().classes.unwrap_or(CLASSES);
        let worker = worker_program(worker)?;
        let pass_s = measure_pass_s(&worker, &variant.space, classes, &self.devices[0], variant.config.threads)?;
        Ok(Speed { pass_s, read_s: measure_read_s(&self.sample) / cpu::cores() as f64 })
    }

    /// Records the start of this run in the ledger.
    pub fn begin_run(&self) -> Result<OpenRun, CacheError> {
        self.begin_named_run(&RunLabel::default())
    }

    /// Records the start of this run in the ledger, with the name and note that the user gave it.
    pub fn begin_named_run(&self, label: &RunLabel) -> Result<OpenRun, CacheError> {
        let RunLabel { name, note } = label.clone();
        self.cache.begin_run(&NewRun { name, note, ..new_run(self.configuration.effective().to_string()) })
    }

    pub fn planner(&self) -> Planner<'_> {
        Planner {
            configuration: &self.configuration,
            graph: &self.graph,
            devices: &self.devices,
            externals: &self.externals,
            cache: &self.cache,
            speed: self.speed,
        }
    }
}

/// Returns whether the steps of unknown duration take long on a slow machine.
fn may_take_long(planner: &Planner<'_>, plan: &Plan) -> bool {
    let unknown = plan.steps.iter().filter(|step| step.action != Action::Cached && step.expected_s.is_none());
    let nominal_s = |step: &Step| {
        let images = planner.image_counts(step.instance)?;
        Some(planner.work(step.instance)?.of_images().seconds(&images, Speed::NOMINAL))
    };
    unknown.filter_map(nominal_s).sum::<f64>() >= LONG_S
}

/// Returns a function that converts an error, and adds the place of the configuration key that it is about.
fn placed<E: Into<CommandError>>(configuration: &Configuration) -> impl Fn(E) -> CommandError + '_ {
    |error| error.into().placed(configuration)
}

/// Returns what the ledger records at the start of this run.
pub fn new_run(configuration: String) -> NewRun {
    NewRun {
        arguments: std::env::args_os().skip(1).map(|argument| argument.display().to_string()).collect(),
        configuration,
        tool: build::TOOL.to_owned(),
        source_revision: source_revision().map(str::to_owned),
        ..NewRun::default()
    }
}

/// Returns the folder of the store: the one given, or the default next to the configuration file. Does not read the
/// configuration.
pub fn store_folder(options: &Options) -> PathBuf {
    let base = options.config.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    options.store.clone().unwrap_or_else(|| base.join(STORE))
}

/// Opens the store without writing to it, for commands that do not need the configuration.
pub fn store_to_read(options: &Options) -> Result<Cache, CommandError> {
    Ok(Cache::open_to_read(&store_folder(options))?)
}

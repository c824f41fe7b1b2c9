use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tfnas_artifacts::{Cache, CacheError, NewRun, OpenRun, Trust};
use tfnas_planner::config::Configuration;
use tfnas_planner::generated_images;
use tfnas_planner::machine::{Device, build};
use tfnas_planner::plan::{ExternalInputs, Graph, Planner, Remarks, check_test_images};
use tfnas_stages::Executor;

use crate::error::CommandError;
use crate::options::Options;
use crate::remote::trusted;
use crate::source_revision::source_revision;

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
}

impl Setup {
    /// Reads and validates the configuration.
    pub fn new(options: &Options) -> Result<Self, CommandError> {
        let configuration = Configuration::load(options.config.as_deref(), &options.sets)?;
        let devices =
            configuration.variants.iter().map(|variant| Device::of(&variant.config)).collect::<Result<_, _>>()?;
        let graph = Graph::new(&configuration);
        let (store, trust) = (store_folder(options), trusted(&configuration)?);
        Ok(Self { configuration, graph, devices, store, trust })
    }

    /// Opens the store without writing to it.
    pub fn read(self) -> Result<Session, CommandError> {
        let cache = Cache::open_to_read(&self.store)?;
        Ok(self.with(cache))
    }

    /// Opens the store for writing.
    pub fn write(self) -> Result<Session, CommandError> {
        let ledger = self.configuration.variants[0].config.ledger.as_ref();
        let ledger = ledger.map(|path| self.configuration.resolve(path));
        let cache = Cache::open_with_ledger(&self.store, ledger.as_deref())?;
        Ok(self.with(cache))
    }

    fn with(self, cache: Cache) -> Session {
        let Self { configuration, graph, devices, trust, .. } = self;
        let cache = cache.trusting(trust);
        Session { configuration, graph, cache, devices, externals: ExternalInputs::default() }
    }
}

impl Session {
    /// Identifies the inputs of the instances and of their dependencies.
    pub fn identify(&mut self, instances: &BTreeSet<usize>) -> Result<(), CommandError> {
        let needed = self.graph.closure(instances.iter().copied());
        let memos = Some(self.cache.store().folder_memos()).filter(|memos| memos.is_dir());
        let configuration = &self.configuration;
        let generated = |path: &Path| generated_images::makes(configuration, path);
        Ok(self.externals.identify(&self.graph, needed, memos.as_deref(), &generated)?)
    }

    /// Warns about a GPU that `device: auto` does not use.
    pub fn tell_unused_gpu(&self) {
        let config = &self.configuration.variants[0].config;
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
    pub fn tell_left_out(&self) {
        self.externals.tell_left_out();
    }

    /// Calls [`identify`](Self::identify), and checks the test images against the training images.
    pub fn identify_and_check(&mut self, instances: &BTreeSet<usize>) -> Result<Remarks, CommandError> {
        self.externals.keep_images();
        self.identify(instances)?;
        let needed = self.graph.closure(instances.iter().copied());
        let checked = check_test_images(&self.planner(), &needed);
        self.externals.forget_images();
        Ok(checked?)
    }

    /// Records the start of this run in the ledger.
    pub fn begin_run(&self) -> Result<OpenRun, CacheError> {
        self.cache.begin_run(&new_run(self.configuration.effective().to_string()))
    }

    pub fn planner(&self) -> Planner<'_> {
        Planner {
            configuration: &self.configuration,
            graph: &self.graph,
            devices: &self.devices,
            externals: &self.externals,
            cache: &self.cache,
        }
    }
}

/// Returns what the ledger records at the start of this run.
pub fn new_run(configuration: String) -> NewRun {
    NewRun {
        arguments: std::env::args_os().skip(1).map(|argument| argument.display().to_string()).collect(),
        configuration,
        tool: build::TOOL.to_owned(),
        source_revision: source_revision().map(str::to_owned),
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

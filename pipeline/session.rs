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

/// The store's folder, beside the configuration.
const STORE: &str = ".tfnas";

/// What the configuration asks for, before any store is opened.
pub struct Setup {
    /// The configuration.
    pub configuration: Configuration,
    /// Its instances.
    pub graph: Graph,
    /// The device of each of the configuration's variants.
    pub devices: Vec<Device>,
    store: PathBuf,
    trust: Option<Trust>,
}

/// What the configuration asks for, with the store and the data.
pub struct Session {
    /// The configuration.
    pub configuration: Configuration,
    /// Its instances.
    pub graph: Graph,
    /// The store and the ledger.
    pub cache: Cache,
    devices: Vec<Device>,
    externals: ExternalInputs,
}

impl Setup {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// What is wrong with the configuration or the keys that it trusts, or a device that is not there.
    pub fn new(options: &Options) -> Result<Self, CommandError> {
        let configuration = Configuration::load(options.config.as_deref(), &options.sets)?;
        let devices =
            configuration.variants.iter().map(|variant| Device::of(&variant.config)).collect::<Result<_, _>>()?;
        let graph = Graph::new(&configuration);
        let (store, trust) = (store_folder(options), trusted(&configuration)?);
        Ok(Self { configuration, graph, devices, store, trust })
    }

    /// Opens the store to look at it; nothing is written.
    ///
    /// # Errors
    /// A store that is newer or damaged.
    pub fn read(self) -> Result<Session, CommandError> {
        let cache = Cache::open_to_read(&self.store)?;
        Ok(self.with(cache))
    }

    /// Opens the store to work with it.
    ///
    /// # Errors
    /// A store that is newer, damaged, or cannot be written.
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
    /// Identifies the data that these instances and those before them read.
    ///
    /// # Errors
    /// What is missing or cannot be read.
    pub fn identify(&mut self, instances: &BTreeSet<usize>) -> Result<(), CommandError> {
        let needed = self.graph.closure(instances.iter().copied());
        let memos = Some(self.cache.store().folder_memos()).filter(|memos| memos.is_dir());
        let configuration = &self.configuration;
        let generated = |path: &Path| generated_images::makes(configuration, path);
        Ok(self.externals.identify(&self.graph, needed, memos.as_deref(), &generated)?)
    }

    /// Warns of a GPU that `device: auto` does not use.
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

    /// Says on standard error what is left out of the folders of images that were identified.
    pub fn tell_left_out(&self) {
        self.externals.tell_left_out();
    }

    /// Identifies the data as [`identify`](Self::identify), and checks the test images against the training images.
    ///
    /// # Errors
    /// Returns an error if data is missing or cannot be read, if training and test share images, or if their classes have
    /// other names.
    pub fn identify_and_check(&mut self, instances: &BTreeSet<usize>) -> Result<Remarks, CommandError> {
        self.externals.keep_images();
        self.identify(instances)?;
        let needed = self.graph.closure(instances.iter().copied());
        let checked = check_test_images(&self.planner(), &needed);
        self.externals.forget_images();
        Ok(checked?)
    }

    /// Notes in the ledger that this invocation begins.
    ///
    /// # Errors
    /// A ledger that cannot be written.
    pub fn begin_run(&self) -> Result<OpenRun, CacheError> {
        self.cache.begin_run(&new_run(self.configuration.effective().to_string()))
    }

    /// Returns what plans this session's instances.
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

/// Returns what the ledger notes of this invocation when it begins.
pub fn new_run(configuration: String) -> NewRun {
    NewRun {
        arguments: std::env::args_os().skip(1).map(|argument| argument.display().to_string()).collect(),
        configuration,
        tool: build::TOOL.to_owned(),
        source_revision: source_revision().map(str::to_owned),
    }
}

/// Returns the store's folder: the one named, or that beside the configuration file, which is not read.
pub fn store_folder(options: &Options) -> PathBuf {
    let base = options.config.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    options.store.clone().unwrap_or_else(|| base.join(STORE))
}

/// Opens the store alone, to look at it: for commands that need no pipeline.
///
/// # Errors
/// A store that is newer or damaged.
pub fn store_to_read(options: &Options) -> Result<Cache, CommandError> {
    Ok(Cache::open_to_read(&store_folder(options))?)
}

use std::error::Error;
use std::path::Path;

use tfnas_artifacts::{CacheError, FileError, LedgerError, ObjectError, RemoteError};
use tfnas_attestations::keys::KeyError;
use tfnas_executor::{LauncherError, ProgramError, QueryError};
use tfnas_images::generated::GeneratedError;
use tfnas_planner::config::data::test_folders;
use tfnas_planner::config::nearest::nearest;
use tfnas_planner::config::{ConfigError, Configuration, Origin};
use tfnas_planner::lock::LockError;
use tfnas_planner::machine::DeviceError;
use tfnas_planner::network_file::NetworkFileError;
use tfnas_planner::plan::{
    InputError, NetworkError, PlanError, PrecisionError, SelectError, TargetError, TestImagesError,
};
use tfnas_planner::table_file::ReadTableError;
use tfnas_publication::{ErrorKind, PublicationError};

use crate::exit::Exit;

/// The name that `split.classes` takes besides files.
const IMAGENET100: &str = "imagenet100";

/// Keys that `run --from` and `run --weights` set.
const WITH_OPTIONS: [&str; 2] = ["train.from", "test.weights"];

/// The kind of an error, which determines the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandErrorKind {
    /// Wrong usage, configuration, data or store: nothing was done.
    Usage,
    /// The operation failed.
    Failed,
    /// The user interrupted it.
    Interrupted,
}

impl CommandErrorKind {
    /// Returns the exit code.
    pub const fn exit(self) -> Exit {
        match self {
            Self::Usage => Exit::Usage,
            Self::Failed => Exit::Failed,
            Self::Interrupted => Exit::Interrupted,
        }
    }
}

/// An error as displayed to the user.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    pub kind: CommandErrorKind,
    /// What is wrong, and where.
    pub message: String,
    /// The configuration key that the error is about, if its place is still to be added.
    pub key: Option<&'static str>,
    /// The line of the file that is wrong, with the place marked below it.
    pub excerpt: Option<String>,
    /// How to fix the error.
    pub hint: Option<String>,
    /// The underlying error; `-vv` prints its causes.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl CommandError {
    /// Creates an error about usage, configuration, data or store.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            kind: CommandErrorKind::Usage,
            message: message.into(),
            key: None,
            excerpt: None,
            hint: None,
            source: None,
        }
    }

    /// Creates an error about a failed operation.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { kind: CommandErrorKind::Failed, ..Self::usage(message) }
    }

    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Names the configuration key that the error is about.
    pub fn of_key(self, key: &'static str) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Adds where the configuration sets the key that the error is about. `run` sets some keys by options of their own, so
    /// that `--set` would not be what the user wrote.
    pub fn placed(self, configuration: &Configuration) -> Self {
        let is_option = |key: &str| {
            let origin = configuration.origin_in(key, &self.message);
            WITH_OPTIONS.contains(&key) && matches!(origin, Origin::CommandLine { .. })
        };
        match self.key.filter(|key| !is_option(key)) {
            Some(key) => {
                let origin = configuration.origin_in(key, &self.message);
                self.at(&origin)
            }
            None => self,
        }
    }

    /// Adds the place of the value that the error is about.
    fn at(self, origin: &Origin) -> Self {
        match origin.place() {
            place if place.is_empty() => self,
            place => {
                let excerpt = self.excerpt.or_else(|| origin.excerpt());
                Self { message: format!("{place}: {}", self.message), excerpt, key: None, ..self }
            }
        }
    }

    /// Creates an error with the message of the underlying error.
    fn of(kind: CommandErrorKind, source: impl Error + Send + Sync + 'static) -> Self {
        let message = source.to_string();
        Self { kind, source: Some(Box::new(source)), ..Self::usage(message) }
    }
}

/// Errors that the user can fix, without a hint.
macro_rules! usage_errors {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for CommandError {
            fn from(error: $error) -> Self {
                Self::of(CommandErrorKind::Usage, error)
            }
        })+
    };
}

usage_errors!(PlanError, NetworkFileError, LockError, CacheError, LedgerError, KeyError, FileError);

/// Failed operations, without a hint.
macro_rules! failures {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for CommandError {
            fn from(error: $error) -> Self {
                Self::of(CommandErrorKind::Failed, error)
            }
        })+
    };
}

failures!(QueryError, ObjectError);

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        let (excerpt, hint) = (error.excerpt().map(str::to_owned), error.hint().map(str::to_owned));
        Self { excerpt, hint, ..Self::of(CommandErrorKind::Usage, error) }
    }
}

impl From<ReadTableError> for CommandError {
    fn from(error: ReadTableError) -> Self {
        let (excerpt, hint) = (error.excerpt().map(str::to_owned), error.hint());
        Self { excerpt, hint, ..Self::of(CommandErrorKind::Usage, error) }
    }
}

impl From<SelectError> for CommandError {
    fn from(error: SelectError) -> Self {
        let hint = error.hint.clone();
        Self::of(CommandErrorKind::Usage, error).with_hint(hint)
    }
}

impl From<InputError> for CommandError {
    fn from(error: InputError) -> Self {
        let hint = match &error {
            InputError::Missing { key: "data.test", path } => Some(missing_test_images(path)),
            InputError::Missing { key: "split.classes", path } => Some(missing_classes(path)),
            InputError::Missing { key: "train.from", .. } => {
                Some("correct the path of `--from`, or `train.from` in the configuration".to_owned())
            }
            InputError::Missing { key: "test.weights", .. } => {
                Some("correct the path of `--weights`, or `test.weights` in the configuration".to_owned())
            }
            InputError::Missing { key, .. } if key.starts_with("data.") => {
                Some(format!("correct `{key}` (or `data.root`) in the configuration, or with --set"))
            }
            InputError::Missing { key, .. } => Some(format!("correct `{key}` in the configuration, or with --set")),
            _ => None,
        };
        let key = error.key();
        Self { hint, ..Self::of(CommandErrorKind::Usage, error) }.of_key(key)
    }
}

/// Returns the hint for a missing file of classes, which may be a misspelled name.
fn missing_classes(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match nearest(&name, [IMAGENET100]) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("correct `split.classes` in the configuration, or with --set: a file, or {IMAGENET100}"),
    }
}

/// Returns the hint for missing test images. It suggests another folder that exists.
fn missing_test_images(path: &Path) -> String {
    let folders = path.parent().map(test_folders).unwrap_or_default();
    let named = folders.first().map(|folder| format!("`data.test: {folder}` names a folder that exists; "));
    format!(
        "{}correct `data.test` (or `data.root`) in the configuration, or with --set; `data.test: null` draws test images \
         from the training images",
        named.unwrap_or_default()
    )
}

impl From<DeviceError> for CommandError {
    fn from(error: DeviceError) -> Self {
        let hint = match error {
            DeviceError::NoCuda { .. } => {
                "`TFNAS_LIBTORCH=cuda make build` installs libtorch with CUDA; `--set device=cpu` computes on the CPU"
            }
            DeviceError::NoDriver { .. } | DeviceError::Missing { .. } => "`--set device=cpu` computes on the CPU",
        };
        Self::of(CommandErrorKind::Usage, error).with_hint(hint).of_key("device")
    }
}

impl From<ProgramError> for CommandError {
    fn from(error: ProgramError) -> Self {
        Self::of(CommandErrorKind::Usage, error).with_hint(ProgramError::HINT)
    }
}

impl From<LauncherError> for CommandError {
    fn from(error: LauncherError) -> Self {
        let (kind, hint) = match &error {
            LauncherError::Variable { hint, .. } => (CommandErrorKind::Usage, Some((*hint).to_owned())),
            LauncherError::Start { .. } => (CommandErrorKind::Usage, None),
            LauncherError::Worker { hint, .. } => (CommandErrorKind::Failed, hint.clone()),
            LauncherError::ShutDown(_) => (CommandErrorKind::Failed, None),
        };
        Self { hint, ..Self::of(kind, error) }
    }
}

impl From<NetworkError> for CommandError {
    fn from(error: NetworkError) -> Self {
        let hint = match &error {
            NetworkError::SpaceMismatch { .. } => Some("name its space under `space`"),
            NetworkError::File { source, .. } if matches!(**source, NetworkFileError::StateDictMismatch { .. }) => {
                Some("name the model.config of these weights: --from FILE")
            }
            _ => None,
        };
        let hint = hint.map(str::to_owned);
        let key = error.key();
        Self { hint, key, ..Self::of(CommandErrorKind::Usage, error) }
    }
}

impl From<PrecisionError> for CommandError {
    fn from(error: PrecisionError) -> Self {
        let (hint, key) = (error.hint(), error.key);
        Self::of(CommandErrorKind::Usage, error).with_hint(hint).of_key(key)
    }
}

impl From<TargetError> for CommandError {
    fn from(error: TargetError) -> Self {
        let hint = match &error {
            TargetError::Unreachable { .. } => Some("choose a target in this range, or another space or table"),
            TargetError::OtherDevice { .. } => Some(
                "remove `lookup.import` to measure a table on this device, or set `lookup.other_device: true` to \
                 search for the device of the table (then `parse.measure` is not comparable)",
            ),
            TargetError::Table { .. } => Some("remove `lookup.import` to measure one on this machine"),
            _ => None,
        };
        let hint = match &error {
            TargetError::Read(error) => error.hint(),
            _ => hint.map(str::to_owned),
        };
        let excerpt = match &error {
            TargetError::Read(error) => error.excerpt().map(str::to_owned),
            _ => None,
        };
        let (key, origin) = match &error {
            TargetError::Unreachable { origin, .. } => (None, origin.clone()),
            TargetError::Plan(_) => (None, Origin::Default),
            TargetError::Table { .. } | TargetError::OtherDevice { .. } | TargetError::Read(_) => {
                (Some("lookup.import"), Origin::Default)
            }
        };
        Self { key, excerpt, hint, ..Self::of(CommandErrorKind::Usage, error) }.at(&origin)
    }
}

impl From<TestImagesError> for CommandError {
    fn from(error: TestImagesError) -> Self {
        let (hint, key) = (error.hint(), error.key());
        Self::of(CommandErrorKind::Usage, error).with_hint(hint).of_key(key)
    }
}

impl From<GeneratedError> for CommandError {
    fn from(error: GeneratedError) -> Self {
        Self::usage(format!("data.generate: {error}")).of_key("data.generate")
    }
}

impl From<RemoteError> for CommandError {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Stopped => Self {
                kind: CommandErrorKind::Interrupted,
                ..Self::usage("interrupted; run the same command again to continue the transfer")
            },
            RemoteError::Cache(CacheError::Object(error)) => error.into(),
            RemoteError::Cache(error) => error.into(),
            RemoteError::File(error) => error.into(),
            error if error.is_usage() => Self::of(CommandErrorKind::Usage, error),
            error => Self::of(CommandErrorKind::Failed, error),
        }
    }
}

impl From<PublicationError> for CommandError {
    fn from(error: PublicationError) -> Self {
        let kind = match error.kind {
            ErrorKind::Usage => CommandErrorKind::Usage,
            ErrorKind::Failed => CommandErrorKind::Failed,
        };
        let hint = error.hint.clone();
        Self { hint, ..Self::of(kind, error) }
    }
}

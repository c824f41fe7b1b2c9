use std::fmt;
use std::path::Path;

use tfnas_artifacts::{CacheError, FileError, LedgerError, ObjectError, RemoteError};
use tfnas_attestations::keys::KeyError;
use tfnas_executor::{LauncherError, ProgramError, QueryError};
use tfnas_images::generated::GeneratedError;
use tfnas_planner::config::ConfigError;
use tfnas_planner::config::data::test_folders;
use tfnas_planner::lock::LockError;
use tfnas_planner::machine::DeviceError;
use tfnas_planner::network_file::NetworkFileError;
use tfnas_planner::plan::{InputError, NetworkError, PlanError, SelectError, TargetError, TestImagesError};
use tfnas_planner::table_file::ReadTableError;
use tfnas_publication::{ErrorKind, PublicationError};

use crate::exit::Exit;

/// An error as the user sees it: one message, the way out, and how the program ends.
#[derive(Debug)]
pub struct CommandError {
    /// What is wrong, and where.
    pub message: String,
    /// The way out.
    pub hint: Option<String>,
    /// How the program ends.
    pub exit: Exit,
}

impl CommandError {
    /// An error of usage, configuration, data or store.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, exit: Exit::Usage }
    }

    /// A failure of what was asked for.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, ..Self::usage(message) }
    }

    /// The same error with a way out.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        Self { hint: error.hint().map(str::to_owned), ..Self::usage(error.to_string()) }
    }
}

impl From<SelectError> for CommandError {
    fn from(error: SelectError) -> Self {
        Self::usage(error.to_string()).with_hint(error.hint)
    }
}

impl From<InputError> for CommandError {
    fn from(error: InputError) -> Self {
        let hint = match &error {
            InputError::Missing { key: "data.test", path } => Some(missing_test_images(path)),
            InputError::Missing { key, .. } if key.starts_with("data.") => {
                Some(format!("correct `{key}` (or `data.root`) in the configuration, or with --set"))
            }
            InputError::Missing { key, .. } => Some(format!("correct `{key}` in the configuration, or with --set")),
            _ => None,
        };
        Self { hint, ..Self::usage(error.to_string()) }
    }
}

/// The way out where there are no test images: folders beside them that may be meant.
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
        Self::usage(error.to_string()).with_hint(hint)
    }
}

impl From<ProgramError> for CommandError {
    fn from(error: ProgramError) -> Self {
        Self::usage(error.to_string()).with_hint(ProgramError::HINT)
    }
}

impl From<QueryError> for CommandError {
    fn from(error: QueryError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<LauncherError> for CommandError {
    fn from(error: LauncherError) -> Self {
        let message = error.to_string();
        match error {
            LauncherError::Variable { hint, .. } => Self::usage(message).with_hint(hint),
            LauncherError::Start { .. } => Self::usage(message),
            LauncherError::Worker { hint, .. } => Self { hint, ..Self::failed(message) },
            LauncherError::ShutDown(_) => Self::failed(message),
        }
    }
}

impl From<PlanError> for CommandError {
    fn from(error: PlanError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<NetworkError> for CommandError {
    fn from(error: NetworkError) -> Self {
        let hint = match &error {
            NetworkError::OtherSpace { .. } => Some("name its space under `space`"),
            NetworkError::File { source, .. } if matches!(**source, NetworkFileError::Misfits { .. }) => {
                Some("name the model.config of these weights: --from FILE")
            }
            _ => None,
        };
        Self { hint: hint.map(str::to_owned), ..Self::usage(error.to_string()) }
    }
}

impl From<NetworkFileError> for CommandError {
    fn from(error: NetworkFileError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<TargetError> for CommandError {
    fn from(error: TargetError) -> Self {
        let hint = match &error {
            TargetError::Unreachable { .. } => Some("choose a target in this range, or another space or table"),
            TargetError::Table { .. } => Some("leave `lookup.import` out to measure one on this machine"),
            _ => None,
        };
        Self { hint: hint.map(str::to_owned), ..Self::usage(error.to_string()) }
    }
}

impl From<TestImagesError> for CommandError {
    fn from(error: TestImagesError) -> Self {
        Self::usage(error.to_string()).with_hint(error.hint())
    }
}

impl From<GeneratedError> for CommandError {
    fn from(error: GeneratedError) -> Self {
        Self::usage(format!("data.generate: {error}"))
    }
}

impl From<LockError> for CommandError {
    fn from(error: LockError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<ReadTableError> for CommandError {
    fn from(error: ReadTableError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<CacheError> for CommandError {
    fn from(error: CacheError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<LedgerError> for CommandError {
    fn from(error: LedgerError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<ObjectError> for CommandError {
    fn from(error: ObjectError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<RemoteError> for CommandError {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Stopped => Self {
                exit: Exit::Interrupted,
                ..Self::usage("interrupted; the same command goes on from what has come or gone")
            },
            RemoteError::Cache(CacheError::Object(error)) => error.into(),
            RemoteError::Cache(error) => error.into(),
            RemoteError::File(error) => error.into(),
            error if error.is_usage() => Self::usage(error.to_string()),
            error => Self::failed(error.to_string()),
        }
    }
}

impl From<PublicationError> for CommandError {
    fn from(error: PublicationError) -> Self {
        let message = error.message.clone();
        let own = match error.kind {
            ErrorKind::Usage => Self::usage(message),
            ErrorKind::Failed => Self::failed(message),
        };
        Self { hint: error.hint, ..own }
    }
}

impl From<KeyError> for CommandError {
    fn from(error: KeyError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<FileError> for CommandError {
    fn from(error: FileError) -> Self {
        Self::usage(error.to_string())
    }
}

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The place where a value of the configuration was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Not set: the default of the key.
    Default,
    /// The embedded configuration.
    Embedded {
        /// Line number, counted from 1.
        line: u64,
    },
    /// A file.
    File {
        /// The path as given by the user.
        path: Arc<Path>,
        /// Line number, counted from 1.
        line: u64,
    },
    /// The command line.
    CommandLine {
        /// The option as given by the user, such as `--set seed=1`.
        text: Arc<str>,
    },
}

impl Origin {
    /// Removes the value of `key`, which may be a secret.
    pub fn without_value(self, key: &str) -> Self {
        match self {
            Self::CommandLine { .. } => Self::CommandLine { text: format!("--set {key}").into() },
            other => other,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Embedded { line } => write!(f, "embedded default:{line}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::CommandLine { text } => f.write_str(text),
        }
    }
}

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a value of the configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said it: the default of its key.
    Default,
    /// The configuration that is built into the program.
    Embedded {
        /// Line, from 1.
        line: u64,
    },
    /// A file.
    File {
        /// The file, as it was named.
        path: Arc<Path>,
        /// Line, from 1.
        line: u64,
    },
    /// The command line.
    CommandLine {
        /// The option as it was typed, as `--set seed=1`.
        text: Arc<str>,
    },
}

impl Origin {
    /// Returns the same place without the value of `key`, which may be a secret.
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

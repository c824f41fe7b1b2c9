use std::path::PathBuf;

use crate::config::{Origin, SyntaxError, TypeError};

/// An error in the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read the {what} {}: {source}", path.display())]
    Read {
        /// The purpose of the file.
        what: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The text is not valid YAML.
    #[error("{place}: {message}")]
    Syntax {
        /// File and line, or the command-line option.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// A key or its value is invalid.
    #[error("{place}: {}{message}", if key.is_empty() { String::new() } else { format!("{key}: ") })]
    Value {
        /// File and line, or the command-line option.
        place: String,
        /// The dotted key.
        key: String,
        /// What is wrong.
        message: String,
        /// How to fix it.
        hint: Option<String>,
    },
    /// A path given by a command-line option cannot be part of the configuration because it is not UTF-8.
    #[error("{option}: the path {path:?} is not UTF-8 text, as a configuration must be")]
    NotText {
        /// The command-line option.
        option: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// The argument of `--set` is not of the form `key=value`.
    #[error("--set {text}: expected key=value, as `--set search.target_lat_ms=12`")]
    Set {
        /// The argument.
        text: String,
    },
}

impl ConfigError {
    /// Creates an error about the value of a key.
    pub fn value(key: impl Into<String>, origin: &Origin, message: impl Into<String>) -> Self {
        Self::Value { place: origin.to_string(), key: key.into(), message: message.into(), hint: None }
    }

    /// Adds a hint.
    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Value { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// Creates an error about a value of the wrong type. `section` is the key above it, or empty.
    pub fn wrong_type(section: &str, error: &TypeError) -> Self {
        let below = error.key();
        let key = match (section.is_empty(), below.is_empty()) {
            (true, _) => below,
            (false, true) => section.to_owned(),
            (false, false) => format!("{section}.{below}"),
        };
        Self::Value {
            place: error.origin.clone().unwrap_or(Origin::Default).to_string(),
            key,
            message: error.message.clone(),
            hint: error.hint.clone(),
        }
    }

    /// Creates an error about invalid YAML in `file`.
    pub fn syntax(file: &str, error: &SyntaxError) -> Self {
        let place = error.line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"));
        Self::Syntax { place, message: error.message.clone() }
    }

    /// Returns how to fix the error, if known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Value { hint, .. } => hint.as_deref(),
            Self::NotText { .. } => Some("rename the file or folder, or name a symbolic link to it"),
            _ => None,
        }
    }
}

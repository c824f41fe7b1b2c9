use std::path::PathBuf;

use crate::config::{Origin, SyntaxError, TypeError};

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that cannot be read.
    #[error("cannot read the {what} {}: {source}", path.display())]
    Read {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Text that is no YAML.
    #[error("{place}: {message}")]
    Syntax {
        /// The file and line, or the option.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// A key or value that is wrong.
    #[error("{place}: {}{message}", if key.is_empty() { String::new() } else { format!("{key}: ") })]
    Value {
        /// Where it stands: file and line, or the option.
        place: String,
        /// The dotted key.
        key: String,
        /// What is wrong with it.
        message: String,
        /// The way out.
        hint: Option<String>,
    },
    /// A path that would become part of the configuration, and is not text.
    #[error("{option}: the path {path:?} is not UTF-8 text, as a configuration must be")]
    NotText {
        /// The option that names it.
        option: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// `--set` of something that is no `key=value`.
    #[error("--set {text}: expected key=value, as `--set search.target_lat_ms=12`")]
    Set {
        /// What was typed.
        text: String,
    },
}

impl ConfigError {
    /// A wrong value of a key.
    pub fn value(key: impl Into<String>, origin: &Origin, message: impl Into<String>) -> Self {
        Self::Value { place: origin.to_string(), key: key.into(), message: message.into(), hint: None }
    }

    /// The same error with a way out.
    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Value { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// A value of the wrong type below `section`, which is empty for the whole configuration.
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

    /// Text of `file` that is no YAML.
    pub fn syntax(file: &str, error: &SyntaxError) -> Self {
        let place = error.line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"));
        Self::Syntax { place, message: error.message.clone() }
    }

    /// Returns the way out, where there is one.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Value { hint, .. } => hint.as_deref(),
            Self::NotText { .. } => Some("rename the file or folder, or name a symbolic link to it"),
            _ => None,
        }
    }
}

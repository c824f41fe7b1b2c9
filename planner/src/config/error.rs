use std::path::PathBuf;

use crate::config::{Origin, Source, SyntaxError, TypeError};

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
        /// File, line and column, or the command-line option.
        place: String,
        /// What is wrong.
        message: String,
        /// The line of the file.
        excerpt: Option<String>,
    },
    /// A key or its value is invalid.
    #[error("{}{}{message}", prefix(place), prefix(key))]
    Value {
        /// File, line and column, or the command-line option; empty if the value is a default.
        place: String,
        /// The dotted key.
        key: String,
        /// What is wrong.
        message: String,
        /// How to fix it.
        hint: Option<String>,
        /// The line of the file.
        excerpt: Option<String>,
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
        let (place, excerpt) = (origin.place(), origin.excerpt());
        Self::Value { place, key: key.into(), message: message.into(), hint: None, excerpt }
    }

    /// Removes the line of the file, which may contain a secret.
    pub fn without_excerpt(mut self) -> Self {
        if let Self::Value { excerpt, .. } = &mut self {
            *excerpt = None;
        }
        self
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
        let origin = error.origin.as_deref().unwrap_or(&Origin::Default);
        let wrong = Self::value(key, origin, error.message.clone());
        match &error.hint {
            Some(hint) => wrong.with_hint(hint),
            None => wrong,
        }
    }

    /// Creates an error about invalid YAML in `source`.
    pub fn syntax(source: &Source, error: &SyntaxError) -> Self {
        let place = error.span.map_or_else(|| source.name.clone(), |span| source.place(span));
        let excerpt = error.span.and_then(|span| source.excerpt(span));
        Self::Syntax { place, message: error.message.clone(), excerpt }
    }

    /// Returns the line of the file that is wrong, with the place marked below it.
    pub fn excerpt(&self) -> Option<&str> {
        match self {
            Self::Value { excerpt, .. } | Self::Syntax { excerpt, .. } => excerpt.as_deref(),
            _ => None,
        }
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

/// Returns the start of a message about something; empty if its name is empty.
fn prefix(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("{name}: ") }
}

use std::fmt;
use std::sync::Arc;

use crate::config::source::part;
use crate::config::{Source, Span};

/// The place where a value of the configuration was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Not set: the default of the key.
    Default,
    /// A file, or the embedded configuration.
    Text {
        /// The file.
        source: Arc<Source>,
        /// The part of the text; for an alias (`*name`), the alias.
        span: Span,
        /// For a value that is named by an alias, its part of the text of the anchor (`&name`).
        anchored: Option<Box<Span>>,
    },
    /// The command line.
    CommandLine {
        /// The option as given by the user, such as `--set seed=1`.
        text: Arc<str>,
        /// The part of the option that is this value, if it is known.
        written: Option<Arc<str>>,
    },
}

impl Origin {
    /// Removes the value of `key`, which may be a secret.
    pub fn without_value(self, key: &str) -> Self {
        match self {
            Self::CommandLine { .. } => Self::option(format!("--set {key}")),
            other => other,
        }
    }

    /// Creates the origin of a value that a whole option gives.
    pub fn option(text: impl Into<Arc<str>>) -> Self {
        Self::CommandLine { text: text.into(), written: None }
    }

    /// Returns the text of a value in one line, as the user wrote it.
    pub fn written(&self) -> Option<String> {
        match self {
            Self::Default => None,
            Self::Text { source, span, anchored } => part(&source.text, anchored.as_deref().copied().unwrap_or(*span)),
            Self::CommandLine { written, .. } => written.as_deref().map(str::to_owned),
        }
    }

    /// Returns the place for an error message: `file:line:column`, or the option. It is empty for a default.
    pub fn place(&self) -> String {
        match self {
            Self::Default => String::new(),
            Self::Text { source, span, .. } => source.place(*span),
            Self::CommandLine { text, .. } => text.to_string(),
        }
    }

    /// Returns the line with the value marked, or `None` if the value is not from a text. For an alias, the line of the
    /// anchored value follows.
    pub fn excerpt(&self) -> Option<String> {
        let Self::Text { source, span, anchored } = self else { return None };
        let excerpt = source.excerpt(*span)?;
        match anchored.as_ref().and_then(|anchored| source.excerpt(**anchored)) {
            Some(value) => Some(format!("{excerpt} the alias of this value:\n{value}")),
            None => Some(excerpt),
        }
    }
}

/// Writes the place without the column.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Text { source, span, .. } => write!(f, "{}:{}", source.name, span.line),
            Self::CommandLine { text, .. } => f.write_str(text),
        }
    }
}

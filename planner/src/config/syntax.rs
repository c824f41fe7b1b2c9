//! Describes YAML syntax errors in terms of the file. The parser's own messages mention its API.

use serde_saphyr::Error;

use crate::config::{Span, SyntaxError};

impl SyntaxError {
    /// Converts an error of the parser about a text.
    pub(super) fn of(error: &Error, yaml: &str) -> Self {
        let message = message(error);
        let location = error.location().filter(|location| location.line() > 0);
        let span = location.as_ref().map(Span::of);
        // The parser's place of a tab is the end of the value before it.
        let tab = span.filter(|_| message == TAB).and_then(|span| tab_from(yaml, span.line));
        Self { span: tab.or(span), message }
    }
}

fn message(error: &Error) -> String {
    let fixed = match error {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => return message(error),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            return format!("the key `{key}` is given twice in the same section");
        }
        Error::NonFiniteFloat { value, .. } => return format!("`{value}` is not a finite number"),
        Error::Budget { breach, .. } => return budget(breach),
        Error::Message { msg, .. } | Error::ExternalMessage { msg, .. } => return scanned(first_line(msg)),
        Error::DuplicateMappingKey { key: None, .. } => "a key is given twice in the same section",
        Error::MultipleDocuments { .. } => {
            "a second document begins here, but the file must contain one: remove the `---`"
        }
        Error::InvalidUtf8Input => "the text is not UTF-8",
        Error::Eof { .. } => "unexpected end of the text",
        Error::UnknownAnchor { .. } => {
            "the alias (`*name`) refers to an anchor (`&name`) that is not defined before it"
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => "an anchor (`&name`) contains an alias of itself",
        Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => "the aliases (`*name`) expand to too many values",
        Error::MergeValueNotMapOrSeqOfMaps { .. } => "`<<` must be followed by a section, or a list of sections",
        Error::MergeKeyNotAllowed { .. } => "`<<` is not allowed here",
        Error::Unexpected { expected, .. } if expected.contains("key") => KEYS,
        Error::NullIntoString { .. }
        | Error::UnexpectedContainerEndWhileReadingKeyNode { .. }
        | Error::SerdeInvalidType { .. }
        | Error::Unexpected { .. }
        | Error::TaggedScalarCannotDeserializeIntoString { .. } => KEYS,
        Error::UnsupportedTag { tag, .. } => return format!("the tag `{tag}` is not supported: write the value alone"),
        Error::InvalidBinaryBase64 { .. }
        | Error::BinaryNotUtf8 { .. }
        | Error::BytesNotSupportedMissingBinaryTag { .. } => "binary values (`!!binary`) are not supported: write text",
        _ => "not valid YAML",
    };
    fixed.to_owned()
}

const TAB: &str = "a tab in the indentation: YAML allows only spaces";
const KEYS: &str = "a key must be text, not a list, a section or nothing";

/// Returns the first tab in an indentation from a line on.
fn tab_from(yaml: &str, line: u32) -> Option<Span> {
    let mut numbered = (1..).zip(yaml.lines()).skip_while(|(number, _)| *number < line);
    numbered.find_map(|(line, text)| {
        let indentation = &text[..text.len() - text.trim_start().len()];
        let column = indentation.find('\t')?;
        Some(Span { line, column: u32::try_from(column).ok()? + 1, length: 1 })
    })
}

/// Rephrases the common messages of the scanner.
fn scanned(text: &str) -> String {
    let lower = text.to_lowercase();
    if lower.contains("tab") && !lower.contains("table") {
        TAB.to_owned()
    } else if ["recursion", "nesting", "nested", "depth"].iter().any(|word| lower.contains(word)) {
        "the values are nested too deeply".to_owned()
    } else {
        format!("not valid YAML: {text}")
    }
}

/// Describes an exceeded limit on the memory and time of parsing.
fn budget(breach: &serde_saphyr::budget::BudgetBreach) -> String {
    use serde_saphyr::budget::BudgetBreach as Breach;

    match breach {
        Breach::Depth { .. } => "the values are nested too deeply",
        Breach::Aliases { .. } | Breach::Anchors { .. } => "the text has too many anchors and aliases",
        Breach::Documents { .. } => "the text has more than one document",
        _ => "the text has too many values for a configuration",
    }
    .to_owned()
}

/// Returns the first line of the scanner's message, without the position.
fn first_line(text: &str) -> &str {
    let first = text.lines().next().unwrap_or_default();
    first[..first.find(" at line ").unwrap_or(first.len())].trim()
}

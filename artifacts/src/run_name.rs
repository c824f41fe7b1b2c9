//! The names and notes that users give to runs.

use std::fmt;
use std::str::FromStr;

/// Maximum number of characters of a name.
const MAX_NAME: usize = 100;
/// Maximum number of characters of a note.
const MAX_NOTE: usize = 4000;
/// Words that commands read as something else than a name.
const RESERVED: [&str; 2] = ["latest", "all"];

/// A name by which a run can be found. Several runs can have the same name; it then means the newest of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunName(String);

/// A text about a run. It can have several lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunNote(String);

/// Why a text cannot be the name of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunNameError {
    /// It is empty or has only spaces.
    #[error("the name is empty")]
    Empty,
    /// It begins or ends with a space.
    #[error("the name begins or ends with a space")]
    Space,
    /// It is longer than a name can be.
    #[error("the name has {0} characters, and at most {MAX_NAME} are possible (a note can be longer)")]
    TooLong(usize),
    /// It has a character that would be misread in a table, a pattern, or as part of another argument.
    #[error("the name contains {}, which is not possible in a name", shown(*.0))]
    Character(char),
    /// It begins like an option.
    #[error("the name begins with `-`, as options do")]
    Option,
    /// It could be the number of a run, or the first digits of an attempt or an artifact.
    #[error(
        "`{0}` could also be a run's number or the first digits of an attempt or an artifact: add a character that is not \
         one of 0-9 and a-f"
    )]
    Id(String),
    /// It has another meaning where runs are named.
    #[error("`{0}` has another meaning: choose another name")]
    Reserved(String),
}

/// Why a text cannot be a note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunNoteError {
    /// It is longer than a note can be.
    #[error("the note has {0} characters, and at most {MAX_NOTE} are possible")]
    TooLong(usize),
    /// It has a character that terminals would not print as text.
    #[error("the note contains {}, which is not possible in a note", shown(*.0))]
    Character(char),
}

impl RunName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunName {
    type Err = RunNameError;

    fn from_str(text: &str) -> Result<Self, RunNameError> {
        let length = text.chars().count();
        if text.trim().is_empty() {
            return Err(RunNameError::Empty);
        }
        if length > MAX_NAME {
            return Err(RunNameError::TooLong(length));
        }
        let is_wrong = |c: &char| is_unprintable(*c) || (c.is_whitespace() && *c != ' ') || "/@*?[]".contains(*c);
        if let Some(wrong) = text.chars().find(is_wrong) {
            return Err(RunNameError::Character(wrong));
        }
        if text.trim() != text {
            return Err(RunNameError::Space);
        }
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if is_digits || text.parse::<i64>().is_ok() {
            return Err(RunNameError::Id(text.to_owned()));
        }
        if text.starts_with('-') {
            return Err(RunNameError::Option);
        }
        if RESERVED.iter().any(|word| text.eq_ignore_ascii_case(word)) {
            return Err(RunNameError::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl RunNote {
    /// Returns the text, or `None` if it is empty.
    pub fn as_str(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|text| !text.is_empty())
    }
}

/// Spaces and line ends around the text are removed.
impl FromStr for RunNote {
    type Err = RunNoteError;

    fn from_str(text: &str) -> Result<Self, RunNoteError> {
        let text = text.trim().replace("\r\n", "\n");
        let length = text.chars().count();
        if length > MAX_NOTE {
            return Err(RunNoteError::TooLong(length));
        }
        match text.chars().find(|c| is_unprintable(*c) && !matches!(c, '\n' | '\t')) {
            Some(wrong) => Err(RunNoteError::Character(wrong)),
            None => Ok(Self(text)),
        }
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns whether a character controls the terminal or the direction of text, or has no width.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn shown(c: char) -> String {
    if is_unprintable(c) || c.is_whitespace() {
        format!("the character U+{:04X}", u32::from(c))
    } else {
        format!("`{c}`")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn error(text: &str) -> RunNameError {
        text.parse::<RunName>().unwrap_err()
    }

    #[test]
    fn names_are_texts_that_are_nothing_else() {
        for good in ["baseline", "lr 0.1, wide", "größer", "第二次", "x12", "1.5", "CAFE", "v=2", "run-3", "allison"]
        {
            assert_eq!(good.parse::<RunName>().unwrap().as_str(), good);
        }
        for id in ["a", "7", "0007", "+7", "-7", "cafe", "0123456789abcdef"] {
            assert!(matches!(error(id), RunNameError::Id(_)), "{id}");
        }
        for word in ["latest", "all", "ALL", "Latest"] {
            assert!(matches!(error(word), RunNameError::Reserved(_)), "{word}");
        }
    }

    #[test]
    fn empty_long_and_unprintable_names_are_refused_with_the_character() {
        assert_eq!(
            [error(""), error("  "), error("\n")],
            [RunNameError::Empty, RunNameError::Empty, RunNameError::Empty]
        );
        assert_eq!([error(" a"), error("a ")], [RunNameError::Space, RunNameError::Space]);
        assert_eq!(error("-x"), RunNameError::Option);
        assert_eq!(error(&"ü".repeat(101)), RunNameError::TooLong(101));
        assert!("ü".repeat(100).parse::<RunName>().is_ok());
        for (text, wrong) in [
            ("x\u{1b}[31m", '\u{1b}'),
            ("x\ty", '\t'),
            ("x\ny", '\n'),
            ("x\u{a0}y", '\u{a0}'),
            ("x\u{202e}y", '\u{202e}'),
            ("x/y", '/'),
            ("x@12", '@'),
            ("x*", '*'),
        ] {
            assert_eq!(error(text), RunNameError::Character(wrong));
        }
        assert_eq!(
            error("x\u{1b}").to_string(),
            "the name contains the character U+001B, which is not possible in a name"
        );
        assert_eq!(error("x/y").to_string(), "the name contains `/`, which is not possible in a name");
    }

    #[test]
    fn notes_can_have_lines_but_no_control_characters() {
        let note = |text: &str| text.parse::<RunNote>();
        assert_eq!(note(" two\r\nlines\t. \n").unwrap().as_str(), Some("two\nlines\t."));
        assert_eq!(note(" \n").unwrap().as_str(), None);
        assert_eq!(note("x\u{7}").unwrap_err(), RunNoteError::Character('\u{7}'));
        assert_eq!(note(&"x".repeat(4001)).unwrap_err(), RunNoteError::TooLong(4001));
    }
}

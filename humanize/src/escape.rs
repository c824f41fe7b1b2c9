//! Text from files and file names, for a terminal.

/// Replaces the control characters of a text by escape sequences, such as `\n` and `\u{1b}`, so that a name from a file cannot
/// move the cursor of a terminal or begin another line.
pub fn escaped(text: &str) -> String {
    escape(text, |_| false)
}

/// Like [`escaped`] for a text of several lines: line feeds and tabs are not changed.
pub fn escaped_lines(text: &str) -> String {
    escape(text, |character| matches!(character, '\n' | '\t'))
}

fn escape(text: &str, is_kept: impl Fn(char) -> bool) -> String {
    let mut result = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && !is_kept(character) {
            result.extend(character.escape_debug());
        } else {
            result.push(character);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_control_characters_are_escaped() {
        assert_eq!(escaped("a \"größe\" \\ 'b'"), "a \"größe\" \\ 'b'");
        assert_eq!(escaped("a\u{1b}[31m\r\n\t\u{7f}\u{9b}"), r"a\u{1b}[31m\r\n\t\u{7f}\u{9b}");
        assert_eq!(escaped_lines("a\n\tb\r\u{1b}"), "a\n\tb\\r\\u{1b}");
    }
}

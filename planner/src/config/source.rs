//! Texts that values come from, and excerpts of them for error messages.

use unicode_width::UnicodeWidthChar;

/// Maximum width of the part of a line in an excerpt, in columns of a terminal.
const WIDTH: usize = 100;
/// Width of the part of a long line before the place.
const BEFORE: usize = 40;
/// Stands for what is left out of a long line.
const CUT: char = '…';

/// A text with a name: a file, or the embedded configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The path as given by the user, or `embedded default`.
    pub name: String,
    /// The text, without a byte order mark.
    pub text: String,
}

/// A part of one line of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Line number, counted from 1.
    pub line: u32,
    /// Number of the first character in its line, counted from 1.
    pub column: u32,
    /// Number of characters. It may extend over the end of the line, and is 0 if nothing is there.
    pub length: u32,
}

impl Source {
    /// Creates a source. A byte order mark is removed from the text.
    pub fn new(name: impl Into<String>, text: &str) -> Self {
        Self { name: name.into(), text: text.strip_prefix('\u{feff}').unwrap_or(text).to_owned() }
    }

    /// Returns the place of a span: `file:line:column`.
    pub fn place(&self, span: Span) -> String {
        format!("{}:{}:{}", self.name, span.line, span.column)
    }

    /// Returns the first occurrence of a part in a line, or the whole line if the part is empty or not there.
    pub fn find(&self, line: u32, part: &str) -> Span {
        let text = self.line(line).unwrap_or_default();
        let part = if part.is_empty() || !text.contains(part) { text.trim() } else { part };
        let before = text.find(part).map_or(0, |at| text[..at].chars().count());
        Span { line, column: count(before) + 1, length: count(part.chars().count()) }
    }

    /// Returns the line of a span with a caret below each of its characters, or `None` if the text has no such line.
    ///
    /// ```text
    ///   12 |   epochs: many
    ///      |           ^^^^
    /// ```
    pub fn excerpt(&self, span: Span) -> Option<String> {
        let line = self.line(span.line)?;
        let number = span.line.to_string();
        let margin = " ".repeat(number.len());
        let (shown, carets) = marked(line, span);
        Some(format!("  {number} | {shown}\n  {margin} | {carets}"))
    }

    /// Returns a line, counted from 1. Lines end as in YAML: with a line feed, a carriage return, or both.
    fn line(&self, number: u32) -> Option<&str> {
        line_of(&self.text, number)
    }
}

fn line_of(text: &str, number: u32) -> Option<&str> {
    let mut rest = text;
    for _ in 1..number {
        let end = rest.find(['\n', '\r'])?;
        rest = if rest[end..].starts_with("\r\n") { &rest[end + 2..] } else { &rest[end + 1..] };
    }
    Some(&rest[..rest.find(['\n', '\r']).unwrap_or(rest.len())])
}

/// Returns the part of a text that a span marks, up to the end of its line.
pub(super) fn part(text: &str, span: Span) -> Option<String> {
    let skipped = usize::try_from(span.column.max(1) - 1).ok()?;
    let length = usize::try_from(span.length).ok()?;
    let part: String = line_of(text, span.line)?.chars().skip(skipped).take(length).collect();
    (!part.is_empty()).then_some(part)
}

/// Converts a count. No text of a supported size has more characters than fit.
fn count(characters: usize) -> u32 {
    u32::try_from(characters).unwrap_or(u32::MAX)
}

/// Returns the part of a line around a span, and carets below the span. Of a long line, only this part is looked at.
fn marked(line: &str, span: Span) -> (String, String) {
    // The place can be behind the last character, where something is missing.
    let first = usize::try_from(span.column.max(1) - 1).unwrap_or(usize::MAX).min(line.chars().count());
    let skipped = first.saturating_sub(WIDTH);
    let secret = secret(line);
    let mut characters = line.char_indices().skip(skipped);
    let near = characters.by_ref().take(2 * WIDTH);
    let cells: Vec<String> =
        near.map(|(at, c)| shown(c, secret.as_ref().is_some_and(|secret| secret.contains(&at)))).collect();
    let is_longer = characters.next().is_some();
    let widths: Vec<usize> = cells.iter().map(|cell| columns(cell)).collect();

    let first = first - skipped;
    let (mut start, mut end) = (0, cells.len());
    if skipped > 0 || is_longer || widths.iter().sum::<usize>() > WIDTH {
        start = first - widths[..first].iter().rev().scan(0, |sum, width| within(sum, *width, BEFORE)).count();
        end = start + widths[start..].iter().scan(0, |sum, width| within(sum, *width, WIDTH)).count();
    }
    let mut text = cells[start..end].concat();
    let mut indent: usize = widths[start..first].iter().sum();
    if skipped + start > 0 {
        text.insert(0, CUT);
        indent += 1;
    }
    if is_longer || end < cells.len() {
        text.push(CUT);
    }
    let length = usize::try_from(span.length).unwrap_or(usize::MAX);
    let last = first.saturating_add(length).min(end).max(first);
    let carets = widths[first..last].iter().sum::<usize>().max(1);
    (text.trim_end().to_owned(), format!("{}{}", " ".repeat(indent), "^".repeat(carets)))
}

/// Adds a width to a sum. Returns `None` once the sum is above the limit.
fn within(sum: &mut usize, width: usize, limit: usize) -> Option<()> {
    *sum += width;
    (*sum <= limit).then_some(())
}

/// Returns a character as it is shown: a tab as four spaces, one that terminals do not print as a replacement, and one of a
/// secret as an asterisk.
fn shown(c: char, is_secret: bool) -> String {
    match c {
        _ if is_secret => "*".to_owned(),
        '\t' => "    ".to_owned(),
        c if c.width().is_none_or(|width| width == 0) || is_directional(c) => char::REPLACEMENT_CHARACTER.to_string(),
        c => c.to_string(),
    }
}

/// Returns the bytes of a line between `://` and the `@` after them, if both are there.
fn secret(line: &str) -> Option<std::ops::Range<usize>> {
    let start = line.find("://")? + 3;
    let end = start + line[start..].rfind('@')?;
    Some(start..end)
}

/// Returns whether a character changes the direction of text.
fn is_directional(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn excerpt(text: &str, line: u32, column: u32, length: u32) -> String {
        Source::new("p.yaml", text).excerpt(Span { line, column, length }).unwrap()
    }

    #[test]
    fn the_place_is_marked_below_its_line() {
        let text = "a: 1\n  epochs: many # x\n";
        assert_eq!(excerpt(text, 2, 11, 4), "  2 |   epochs: many # x\n    |           ^^^^");
        assert_eq!(excerpt(text, 1, 1, 1), "  1 | a: 1\n    | ^");
        assert_eq!(excerpt(&"a: 1\n".repeat(12), 12, 4, 1), "  12 | a: 1\n     |    ^");
        assert_eq!(Source::new("p.yaml", text).excerpt(Span { line: 9, column: 1, length: 1 }), None);
    }

    #[test]
    fn a_place_at_or_behind_the_end_of_its_line_has_one_caret() {
        assert_eq!(excerpt("a:\n", 1, 3, 0), "  1 | a:\n    |   ^");
        assert_eq!(excerpt("a:\n", 1, 900, 5), "  1 | a:\n    |   ^");
        assert_eq!(excerpt("a: \"x\n y\"\n", 1, 4, 6), "  1 | a: \"x\n    |    ^^");
        assert_eq!(excerpt("", 1, 1, 1), "  1 |\n    | ^".replace("|\n", "| \n"));
    }

    #[test]
    fn every_line_end_of_yaml_and_a_byte_order_mark_are_no_part_of_a_line() {
        for text in ["a: 1\r\nb: x\r\n", "a: 1\rb: x\r", "a: 1\nb: x", "\u{feff}a: 1\nb: x"] {
            assert_eq!(excerpt(text, 2, 4, 1), "  2 | b: x\n    |    ^", "{text:?}");
        }
        assert_eq!(excerpt("\u{feff}a: x", 1, 4, 1), "  1 | a: x\n    |    ^");
    }

    #[test]
    fn carets_are_below_wide_combined_and_unprintable_characters() {
        assert_eq!(excerpt("größe: vier\n", 1, 8, 4), "  1 | größe: vier\n    |        ^^^^");
        assert_eq!(excerpt("日本: 語語\n", 1, 5, 2), "  1 | 日本: 語語\n    |       ^^^^");
        assert_eq!(excerpt("\ta:\tx\n", 1, 5, 1), "  1 |     a:    x\n    |           ^");
        assert_eq!(excerpt("\u{1b}[31ma: \u{202e}x\n", 1, 10, 1), "  1 | \u{fffd}[31ma: \u{fffd}x\n    |          ^");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("{}: many{}", "a".repeat(500), "b".repeat(500));
        let shown = excerpt(&text, 1, 503, 4);
        let (line, carets) = shown.split_once('\n').unwrap();
        assert!(line.starts_with("  1 | …aaaa") && line.ends_with("bbb…") && columns(line) < 112, "{shown}");
        let at = carets.find('^').unwrap();
        assert_eq!(line.chars().skip(at).take(4).collect::<String>(), "many", "{shown}");
        let all = excerpt(&text, 1, 1, 1000);
        assert!(all.lines().all(|line| columns(line) < 112), "{all}");
        assert!(excerpt(&text, 1, 1007, 1).ends_with('^'));
        let huge = "[".repeat(1 << 22);
        assert!(excerpt(&huge, 1, 1 << 21, 1).contains(&format!("…{}", "[".repeat(40))));
    }

    #[test]
    fn credentials_are_not_shown() {
        let text = "cache: {remote: \"s3://key:secret@bucket/x\", trust: 5}\n";
        let shown = excerpt(text, 1, 52, 1);
        assert!(!shown.contains("secret") && shown.contains("s3://**********@bucket/x"), "{shown}");
        assert_eq!(shown.lines().last().unwrap().find('^'), shown.lines().next().unwrap().find("5}"), "{shown}");
    }
}

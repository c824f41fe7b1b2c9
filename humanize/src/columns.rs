//! Tables of plain text.

use std::fmt;

use crate::escaped;

/// A table of plain text: the first column is left-aligned, numbers are right-aligned.
#[derive(Default)]
pub struct Columns {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Columns {
    /// Creates a table with headings. A heading that starts with `>` right-aligns its column.
    pub fn new(headings: &[&str]) -> Self {
        let right = headings.iter().map(|heading| heading.starts_with('>')).collect();
        let first = headings.iter().map(|heading| heading.trim_start_matches('>').to_owned()).collect();
        Self { rows: vec![first], right }
    }

    /// Creates a table without headings, with this number of left-aligned columns.
    pub fn plain(columns: usize) -> Self {
        Self { rows: Vec::new(), right: vec![false; columns] }
    }

    /// Appends a row. Control characters in it are [escaped](crate::escaped).
    pub fn row<T: fmt::Display>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(|cell| escaped(&cell.to_string())).collect());
    }
}

/// Writes one line per row, with two spaces between columns and no trailing spaces.
impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = widths.get(column).copied().unwrap_or(0);
                if column > 0 {
                    line.push_str("  ");
                }
                if self.right.get(column).copied().unwrap_or(false) {
                    line.push_str(&format!("{cell:>width$}"));
                } else {
                    line.push_str(&format!("{cell:<width$}"));
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Indents every line of a text by two spaces.
pub fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let mut columns = Columns::plain(2);
        columns.row(["a\u{1b}[2Jb\nc", "größe"]);
        assert_eq!(columns.to_string(), "a\\u{1b}[2Jb\\nc  größe\n");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut columns = Columns::new(&["stage", ">ms", "note"]);
        columns.row(["search", "1.5", "a"]);
        columns.row(["s", "12.25", ""]);
        assert_eq!(columns.to_string(), "stage      ms  note\nsearch    1.5  a\ns       12.25\n");
    }
}

//! Tables as HTML and CSV.

use maud::{Markup, html};
use tfnas_stages::csv_field;

use crate::text::{clean, counted};

/// One cell of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A text.
    Text(String),
    /// A number and its text on the page; files have the full precision.
    Number(f64, String),
    /// The value is unknown.
    Missing,
}

impl Cell {
    /// Creates a number that may be missing, formatted by `show`.
    pub fn number(value: Option<f64>, show: impl FnOnce(f64) -> String) -> Self {
        value.filter(|value| value.is_finite()).map_or(Self::Missing, |value| Self::Number(value, show(value)))
    }

    /// Creates a count.
    pub fn count(value: usize) -> Self {
        Self::Number(value as f64, value.to_string())
    }

    fn shown(&self) -> &str {
        match self {
            Self::Text(text) | Self::Number(_, text) => text,
            Self::Missing => "–",
        }
    }

    fn in_file(&self) -> String {
        match self {
            Self::Text(text) => clean(text),
            Self::Number(value, _) => value.to_string(),
            Self::Missing => String::new(),
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

/// A table with a caption and column headings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The caption.
    pub caption: String,
    columns: Vec<(String, bool)>,
    rows: Vec<Vec<Cell>>,
    /// Number of last rows that a page shows; `None` for all.
    most_on_page: Option<usize>,
}

impl Table {
    /// Creates an empty table. A heading that starts with `>` marks a right-aligned column of numbers.
    pub fn new(caption: &str, headings: &[&str]) -> Self {
        let column = |heading: &&str| match heading.strip_prefix('>') {
            Some(name) => (name.to_owned(), true),
            None => ((*heading).to_owned(), false),
        };
        Self {
            caption: caption.to_owned(),
            columns: headings.iter().map(column).collect(),
            rows: Vec::new(),
            most_on_page: None,
        }
    }

    /// Limits the page to the last `rows` rows. Files have all rows.
    pub fn at_most_on_page(mut self, rows: usize) -> Self {
        self.most_on_page = Some(rows);
        self
    }

    /// Adds a row.
    pub fn row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Returns whether the table has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns the table as CSV (RFC 4180): headings, numbers in full precision, empty fields for unknown values.
    pub fn csv(&self) -> String {
        let line =
            |cells: &mut dyn Iterator<Item = String>| cells.map(|cell| csv_field(&cell)).collect::<Vec<_>>().join(",");
        let mut text = line(&mut self.columns.iter().map(|(name, _)| name.clone()));
        text.push_str("\r\n");
        for row in &self.rows {
            text.push_str(&line(&mut row.iter().map(Cell::in_file)));
            text.push_str("\r\n");
        }
        text
    }

    /// Returns the table as HTML in a box that scrolls on narrow screens.
    pub fn html(&self) -> Markup {
        let shown = &self.rows[self.left_out()..];
        html! {
            div class="scroll" role="group" aria-label=(self.caption) tabindex="0" {
                table {
                    caption { (self.caption) }
                    thead { tr { @for (name, numeric) in &self.columns { th scope="col" class=[number(*numeric)] { (name) } } } }
                    tbody {
                        @for row in shown {
                            tr {
                                @for (index, cell) in row.iter().enumerate() {
                                    @let numeric = self.columns.get(index).is_some_and(|column| column.1);
                                    @if index == 0 && !numeric {
                                        th scope="row" dir="auto" { (cell.shown()) }
                                    } @else {
                                        td class=[number(numeric)] dir="auto" { (cell.shown()) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Number of rows at the start that a page omits.
    fn left_out(&self) -> usize {
        self.most_on_page.map_or(0, |most| self.rows.len().saturating_sub(most))
    }

    /// Returns the table as a collapsed HTML element.
    pub fn folded(&self, summary: &str) -> Markup {
        html! {
            details {
                summary { (summary) " (" (counted(self.len(), "row")) ")" }
                @if self.left_out() > 0 {
                    p class="purpose" { "The last " (counted(self.len() - self.left_out(), "row")) "; the CSV file of `report --figures` has all." }
                }
                (self.html())
            }
        }
    }
}

fn number(numeric: bool) -> Option<&'static str> {
    numeric.then_some("number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("per <class>", &["class", ">top-1"]);
        table.row([
            Cell::from("<script>alert(\"1\")</script>, &"),
            Cell::number(Some(0.1 + 0.2), |_| "30.0 %".to_owned()),
        ]);
        table.row([Cell::from("Größe\u{0}"), Cell::number(Some(f64::NAN), |_| "NaN".to_owned())]);
        table
    }

    #[test]
    fn csv_quotes_fields_and_has_full_precision() {
        let lines =
            ["class,top-1", "\"<script>alert(\"\"1\"\")</script>, &\",0.30000000000000004", "Größe\u{fffd},", ""];
        assert_eq!(table().csv(), lines.join("\r\n"));
    }

    #[test]
    fn a_page_limits_rows_and_a_file_has_all() {
        let mut long = Table::new("long", &[">n"]).at_most_on_page(2);
        (0..5).for_each(|n| long.row([Cell::count(n)]));
        let html = long.folded("Numbers").into_string();
        assert!(html.contains("Numbers (5 rows)") && html.contains("The last 2 rows;"), "{html}");
        assert_eq!((html.matches("<td").count(), long.csv().lines().count()), (2, 6));
    }

    #[test]
    fn html_escapes_cells_and_aligns_numbers() {
        let html = table().html().into_string();
        assert!(!html.contains("<script>") && html.contains("&lt;script&gt;alert(&quot;1&quot;)"), "{html}");
        assert!(html.contains("<td class=\"number\" dir=\"auto\">30.0 %</td>"), "{html}");
        assert!(html.contains(">–</td>"), "{html}");
        assert!(table().folded("Numbers").into_string().contains("<summary>Numbers (2 rows)</summary>"));
    }
}

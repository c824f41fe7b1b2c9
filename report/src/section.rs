//! The elements of a page: sections with figures, tables and text.

use maud::{Markup, html};

use crate::chart::Drawing;
use crate::table::Table;

/// A drawing with its description and its numbers.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Unique id in the page; also the base name of its files.
    pub id: String,
    pub title: String,
    /// Description of the drawing for readers who cannot see it.
    pub description: String,
    /// How to read the figure; may be empty.
    pub note: String,
    /// The drawing.
    pub drawing: Drawing,
    /// The numbers of the drawing.
    pub table: Table,
}

/// A part of a section.
#[derive(Clone, Debug)]
pub enum Part {
    /// A paragraph.
    Text(String),
    /// Paragraphs as a list.
    List(Vec<String>),
    /// A figure of full width.
    Wide(Figure),
    /// Figures side by side if the page is wide enough.
    Grid(Vec<Figure>),
    /// File name and table.
    Table(String, Table),
    /// A collapsed table: file name, summary and table.
    Folded(String, String, Table),
    /// A purpose, and commands or text to copy.
    Code(String, String),
    /// Collapsed text to copy: summary and text.
    FoldedCode(String, String),
    /// Markup of this crate.
    Markup(Markup),
}

/// A section of the page.
#[derive(Clone, Debug)]
pub struct Section {
    /// Unique id in the page.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// Content.
    pub parts: Vec<Part>,
}

impl Section {
    /// Creates an empty section.
    pub fn new(id: &str, title: &str) -> Self {
        Self { id: id.to_owned(), title: title.to_owned(), parts: Vec::new() }
    }

    /// Returns the figures of the section.
    pub fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.parts.iter().flat_map(|part| match part {
            Part::Wide(figure) => std::slice::from_ref(figure),
            Part::Grid(figures) => figures,
            _ => &[],
        })
    }

    /// Returns the tables of the section with their names, including those of figures.
    pub fn tables(&self) -> impl Iterator<Item = (&str, &Table)> {
        let own = self.parts.iter().filter_map(|part| match part {
            Part::Table(name, table) | Part::Folded(name, _, table) => Some((name.as_str(), table)),
            _ => None,
        });
        self.figures().map(|figure| (figure.id.as_str(), &figure.table)).chain(own)
    }

    /// Returns the section as HTML.
    pub fn html(&self) -> Markup {
        html! {
            section id=(self.id) aria-labelledby={ (self.id) "-heading" } {
                h2 id={ (self.id) "-heading" } { (self.title) }
                @for part in &self.parts { (part.html()) }
            }
        }
    }
}

impl Part {
    fn html(&self) -> Markup {
        match self {
            Self::Text(text) => html! { p { (text) } },
            Self::List(items) => html! { ul { @for item in items { li { (item) } } } },
            Self::Wide(figure) => figure.html(true),
            Self::Grid(figures) => {
                html! { div class="grid-of-figures" { @for figure in figures { (figure.html(false)) } } }
            }
            Self::Table(_, table) => table.html(),
            Self::Folded(_, summary, table) => table.folded(summary),
            Self::Code(purpose, code) => html! { p class="purpose" { (purpose) } pre tabindex="0" { code { (code) } } },
            Self::FoldedCode(what, code) => {
                html! { details { summary { (what) } pre tabindex="0" { code { (code) } } } }
            }
            Self::Markup(markup) => markup.clone(),
        }
    }
}

impl Figure {
    /// Returns the figure as HTML. A wide one scrolls on narrow screens; others are scaled down.
    fn html(&self, wide: bool) -> Markup {
        let drawing = self.drawing.inline(&self.id, &self.title, &self.description);
        html! {
            figure id=(self.id) class=[wide.then_some("wide")] {
                figcaption {
                    h3 { (self.title) }
                    @if !self.note.is_empty() { p { (self.note) } }
                }
                @if wide {
                    div class="plot" role="group" aria-label=(self.title) tabindex="0" { (drawing) }
                } @else {
                    div class="plot" { (drawing) }
                }
                (self.table.folded("Numbers"))
            }
        }
    }
}

//! A drawing as an SVG element of a page or as an SVG file.

use maud::{Escaper, Markup, PreEscaped, Render, html};
use std::fmt::Write as _;

/// Average width of a character, as a fraction of the font size.
const CHARACTER: f64 = 0.56;

/// Margin of an SVG file, in pixels.
const MARGIN: f64 = 14.0;

/// A position or length in pixels, printed with one digit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Px(pub f64);

impl Render for Px {
    fn render_to(&self, buffer: &mut String) {
        let value = if self.0.is_finite() { self.0 } else { 0.0 };
        let text = format!("{value:.1}");
        let text = text.strip_suffix(".0").unwrap_or(&text);
        let _ = Escaper::new(buffer).write_str(if text == "-0" { "0" } else { text });
    }
}

/// A drawing: its size in pixels and its SVG elements.
#[derive(Clone, Debug)]
pub struct Drawing {
    /// Width, in pixels.
    pub width: f64,
    /// Height, in pixels.
    pub height: f64,
    /// The SVG elements.
    pub body: Markup,
}

impl Drawing {
    /// Returns the drawing as an element of a page. `id` is the prefix of the ids of title and description.
    pub fn inline(&self, id: &str, title: &str, description: &str) -> Markup {
        html! {
            svg class="chart" viewBox={ "0 0 " (Px(self.width)) " " (Px(self.height)) }
                width=(Px(self.width)) height=(Px(self.height)) role="img"
                aria-labelledby={ (id) "-title " (id) "-desc" } {
                title id={ (id) "-title" } { (title) }
                desc id={ (id) "-desc" } { (description) }
                (self.body)
            }
        }
    }

    /// Returns the drawing as an SVG file, in light colors on white.
    pub fn file(&self, title: &str, description: &str) -> String {
        let styles = super::file_styles();
        let (width, height) = (self.width + 2.0 * MARGIN, self.height + 2.0 * MARGIN);
        let svg = html! {
            svg xmlns="http://www.w3.org/2000/svg" class="chart"
                viewBox={ (Px(-MARGIN)) " " (Px(-MARGIN)) " " (Px(width)) " " (Px(height)) }
                width=(Px(width)) height=(Px(height)) role="img"
                aria-labelledby="title desc" {
                title id="title" { (title) }
                desc id="desc" { (description) }
                style { (PreEscaped(styles)) }
                rect class="paper" x=(Px(-MARGIN)) y=(Px(-MARGIN)) width=(Px(width)) height=(Px(height)) {}
                (self.body)
            }
        };
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n", crate::text::clean(&svg.into_string()))
    }
}

/// Returns the approximate width of a text, in pixels, at a font size in pixels.
pub fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * CHARACTER
}

/// Returns how many characters have room in a width in pixels, by [`text_width`].
pub fn characters(width: f64, size: f64) -> usize {
    (width / (size * CHARACTER)).max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_printed_with_one_digit_and_never_as_nan() {
        let texts: Vec<String> =
            [1.0, 1.25, -0.01, f64::NAN, 1e3].iter().map(|value| Px(*value).render().into_string()).collect();
        assert_eq!(texts, ["1", "1.2", "0", "0", "1000"]);
    }

    #[test]
    fn titles_are_escaped_in_pages_and_files() {
        let drawing = Drawing { width: 10.0, height: 5.0, body: html! {} };
        let inline = drawing.inline("f", "<b>&\"", "d").into_string();
        assert!(inline.contains("<title id=\"f-title\">&lt;b&gt;&amp;&quot;</title>"), "{inline}");
        let file = drawing.file("a\u{0}b", "d");
        assert!(file.contains("a\u{fffd}b") && file.contains("xmlns="), "{file}");
    }
}

//! Legend of colored choices.

use maud::{Markup, html};

use super::{Px, SERIES, text_width};

/// Height of a row, in pixels.
const ROW: f64 = 18.0;

/// Draws the colors of choices with their names, in rows of the given width; also returns the height.
pub fn legend(choices: &[String], width: f64) -> (Markup, f64) {
    let (mut x, mut y) = (0.0, 12.0);
    let mut places = Vec::with_capacity(choices.len());
    for name in choices {
        let wide = 24.0 + text_width(name, 12.0);
        if x > 0.0 && x + wide > width {
            (x, y) = (0.0, y + ROW);
        }
        places.push((x, y));
        x += wide + 10.0;
    }
    let markup = html! {
        @for (index, (name, (x, y))) in choices.iter().zip(places).enumerate() {
            rect class={ "fill" (index % SERIES) } x=(Px(x)) y=(Px(y - 9.0)) width="14" height="12" rx="2" {}
            text class="ink" x=(Px(x + 19.0)) y=(Px(y + 2.0)) { (name) }
        }
    };
    (markup, if choices.is_empty() { 0.0 } else { y + 8.0 })
}

//! Figures as SVG: drawings with axes, lines, marks, bars and cells.
//!
//! Colors are CSS classes, so that one drawing follows the reader's light or dark theme; every mark also differs by shape
//! or dash, and names its value in a `<title>`. The plotting libraries on crates.io that need no system library write
//! fixed colors and no descriptions (`plotters` 0.3, `poloto` 19, `kuva` 0.6), which neither a dark page nor a screen
//! reader can use; so the few charts that a report needs are drawn here.

mod bars;
mod drawing;
mod heat_map;
mod legend;
mod marks;
mod scale;
mod streams;
mod theme;
mod timeline;
mod xy;

pub use bars::{Bar, Bars};
pub use drawing::{Drawing, Px, text_width};
pub use heat_map::{HeatMap, ROW};
pub use marks::Shape;
pub use scale::Unit;
pub use streams::Streams;
pub use theme::{SERIES, file_styles, page_styles};
pub use timeline::Timeline;
pub use xy::{Axis, Guide, Point, Series, XyChart};

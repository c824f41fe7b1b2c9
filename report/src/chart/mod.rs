//! Charts as SVG: lines, points, bars, heat maps and timelines.
//!
//! Colors are CSS classes, so that one drawing works in the light and the dark theme. Every mark also differs by shape
//! or dash pattern, and has its value in a `<title>`. The plotting libraries on crates.io that need no system library
//! (`plotters` 0.3, `poloto` 19, `kuva` 0.6) write fixed colors and no descriptions, which fails on dark pages and for
//! screen readers.

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
pub use drawing::{Drawing, Px, characters, text_width};
pub use heat_map::{HeatMap, ROW};
pub use marks::Shape;
pub use scale::Unit;
pub use streams::Streams;
pub use theme::{SERIES, file_styles, page_styles};
pub use timeline::Timeline;
pub use xy::{Axis, Guide, Point, Series, XyChart};

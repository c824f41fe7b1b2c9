//! What a run is doing, as text: redrawn on a terminal, or as appended lines.

mod lines;
mod panels;
mod plot;
mod screen;
mod style;
mod view;

pub use lines::Lines;
pub use screen::{Screen, fit};
pub use style::Style;
pub use view::View;

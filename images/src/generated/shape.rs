//! The shapes and textures of the classes.

use tfnas_random::Stream;

/// Half the square root of 3.
const SIN_60: f64 = 0.866_025_403_784_438_6;

/// The points of a five-pointed star, at 90°, 162°, 234°, 306° and 18°, and the normals of its five edges.
const PENTAGRAM: [[f64; 2]; 5] = [
    [0.0, 1.0],
    [-0.951_056_516_295_153_5, 0.309_016_994_374_947_45],
    [-0.587_785_252_292_473_1, -0.809_016_994_374_947_5],
    [0.587_785_252_292_473_1, -0.809_016_994_374_947_5],
    [0.951_056_516_295_153_5, 0.309_016_994_374_947_45],
];

/// Distance of a pentagram's edges from its center, its points being at distance 1: the cosine of 72°.
const PENTAGRAM_EDGE: f64 = 0.309_016_994_374_947_45;

/// A set of points around the origin, inside the circle of radius 1.5.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Disc,
    Ring { inner: f64 },
    Square,
    Frame { inner: f64 },
    Triangle,
    Cross { arm: f64 },
    Star,
    Stripes { patch: Patch, period: f64, phase: f64 },
    Checker { patch: Patch, period: f64, phase: f64 },
    Dots { patch: Patch, period: f64, phase: f64 },
    Bar { half_width: f64 },
}

/// The area that a texture covers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patch {
    Round,
    Square,
}

impl Shape {
    /// The shape of a class, its proportions drawn.
    pub(super) fn of_class(class: usize, stream: &mut Stream) -> Self {
        match class {
            0 => Self::Disc,
            1 => Self::Ring { inner: stream.between(0.45, 0.7) },
            2 => Self::Square,
            3 => Self::Frame { inner: stream.between(0.45, 0.7) },
            4 => Self::Triangle,
            5 => Self::Cross { arm: stream.between(0.22, 0.38) },
            6 => Self::Star,
            7 => {
                let (patch, period, phase) = texture(stream);
                Self::Stripes { patch, period, phase }
            }
            8 => {
                let (patch, period, phase) = texture(stream);
                Self::Checker { patch, period, phase }
            }
            _ => {
                let (patch, period, phase) = texture(stream);
                Self::Dots { patch, period, phase }
            }
        }
    }

    /// Returns a shape that is independent of the class, for clutter.
    pub(super) fn clutter(stream: &mut Stream) -> Self {
        match stream.below(4) {
            0 => Self::Disc,
            1 => Self::Square,
            2 => Self::Triangle,
            _ => Self::Bar { half_width: stream.between(0.12, 0.3) },
        }
    }

    /// Whether the point belongs to the shape.
    pub(super) fn contains(&self, u: f64, v: f64) -> bool {
        let squared = u * u + v * v;
        let side = u.abs().max(v.abs());
        match *self {
            Self::Disc => squared <= 1.0,
            Self::Ring { inner } => squared <= 1.0 && squared >= inner * inner,
            Self::Square => side <= 0.88,
            Self::Frame { inner } => side <= 0.92 && side >= 0.92 * inner,
            Self::Triangle => v >= -0.55 && SIN_60 * u.abs() + 0.5 * v <= 0.55,
            Self::Cross { arm } => side <= 1.0 && u.abs().min(v.abs()) <= arm,
            Self::Star => {
                let beyond = PENTAGRAM.iter().filter(|[x, y]| x * u + y * v > PENTAGRAM_EDGE).count();
                beyond <= 1 && squared <= 1.0
            }
            Self::Stripes { patch, period, phase } => patch.contains(squared, side) && first_half(u / period + phase),
            Self::Checker { patch, period, phase } => {
                patch.contains(squared, side) && first_half(u / period + phase) == first_half(v / period)
            }
            Self::Dots { patch, period, phase } => {
                let (x, y) = (from_middle(u / period + phase), from_middle(v / period));
                patch.contains(squared, side) && x * x + y * y <= 0.32 * 0.32
            }
            Self::Bar { half_width } => u.abs() <= 1.4 && v.abs() <= half_width,
        }
    }
}

impl Patch {
    fn contains(self, squared: f64, side: f64) -> bool {
        match self {
            Self::Round => squared <= 1.21,
            Self::Square => side <= 1.0,
        }
    }
}

/// Patch, period and phase.
fn texture(stream: &mut Stream) -> (Patch, f64, f64) {
    let patch = if stream.below(2) == 0 { Patch::Round } else { Patch::Square };
    (patch, stream.between(0.5, 0.8), stream.uniform())
}

fn first_half(periods: f64) -> bool {
    periods - periods.floor() < 0.5
}

/// The distance to the middle of the period, signed.
fn from_middle(periods: f64) -> f64 {
    periods - periods.floor() - 0.5
}

#[cfg(test)]
mod tests {
    use tfnas_random::StreamId;

    use super::*;

    #[test]
    fn every_shape_is_inside_the_circle_of_radius_1_5() {
        for class in 0..10 {
            let shape = Shape::of_class(class, &mut Stream::new(1, StreamId::Synthetic, 0, class as u32));
            let points = (-40..=40).flat_map(|x| (-40..=40).map(move |y| (f64::from(x) / 20.0, f64::from(y) / 20.0)));
            let covered: Vec<_> = points.filter(|&(u, v)| shape.contains(u, v)).collect();
            assert!((200..1600).contains(&covered.len()), "{shape:?} covers {} points", covered.len());
            assert!(covered.iter().all(|(u, v)| u * u + v * v <= 2.25), "{shape:?}");
        }
    }

    #[test]
    fn star_has_five_points_and_notches() {
        for [x, y] in PENTAGRAM {
            assert!(Shape::Star.contains(0.95 * x, 0.95 * y));
            assert!(!Shape::Star.contains(-0.6 * x, -0.6 * y));
        }
    }
}

//! The scene of a generated picture: background, clutter, object and noise.

use tfnas_random::Stream;

use super::shape::Shape;

/// Red, green and blue, from 0 to 1.
type Color = [f64; 3];

/// Points a pixel is sampled at, along each side.
const SAMPLES: usize = 3;

/// Side of the lattice of colors behind a scene.
const LATTICE: usize = 4;

const COLORS: [Color; 8] = [
    [0.86, 0.20, 0.18],
    [0.93, 0.55, 0.14],
    [0.90, 0.84, 0.25],
    [0.30, 0.68, 0.28],
    [0.18, 0.66, 0.70],
    [0.20, 0.36, 0.82],
    [0.58, 0.28, 0.74],
    [0.88, 0.45, 0.66],
];

/// Number of adjacent colors that a class prefers. Each color is preferred by three or four classes.
const PREFERRED: usize = 3;

/// An object of one color in front of the background.
struct Thing {
    shape: Shape,
    color: Color,
    center: [f64; 2],
    /// Radius of the circle around it.
    reach: f64,
    /// From the picture's coordinates, the center taken off, to the shape's.
    inverse: [[f64; 2]; 2],
}

/// A picture of a class. Coordinates run from 0 to 1 over the picture.
///
/// All computations use +, -, *, / on f64, comparisons and rounding to integers, which give the same bits on every
/// machine.
pub(super) struct Scene {
    lattice: [[Color; LATTICE]; LATTICE],
    /// The farthest first.
    things: Vec<Thing>,
    /// The amplitude of the pixel noise, in byte values.
    noise: f64,
}

impl Scene {
    /// Draws the content of the picture: clutter, the shape of the class in front of it, and often an object in front
    /// of that.
    pub(super) fn new(class: usize, stream: &mut Stream) -> Self {
        let color = object_color(class, stream);
        let base = background_color(color, stream);
        let unevenness = stream.between(0.05, 0.3);
        let lattice = std::array::from_fn(|_| {
            std::array::from_fn(|_| base.map(|value| value + stream.between(-unevenness, unevenness)))
        });

        let mut things = Vec::new();
        for _ in 0..1 + stream.below(3) {
            things.push(Thing::clutter(base, stream));
        }
        let contrast = stream.between(0.55, 1.0);
        things.push(Thing {
            color: mixed(base, color, contrast),
            ..Thing::placed(Shape::of_class(class, stream), stream.between(0.26, 0.42), [0.3, 0.7], stream)
        });
        for _ in 0..stream.below(2) {
            things.push(Thing::clutter(base, stream));
        }
        Self { lattice, things, noise: stream.between(2.0, 14.0) }
    }

    /// Renders to `[size, size, 3]` bytes.
    pub(super) fn render(&self, size: usize, stream: &mut Stream) -> Vec<u8> {
        let mut pixels = Vec::with_capacity(size * size * 3);
        for row in 0..size {
            for column in 0..size {
                let mut color = self.background((column as f64 + 0.5) / size as f64, (row as f64 + 0.5) / size as f64);
                for thing in &self.things {
                    color = mixed(color, thing.color, thing.coverage(column, row, size));
                }
                for value in color {
                    // The sum of four uniform bytes is almost normal, with a standard deviation of 148.
                    let bytes = stream.next_u32().to_le_bytes().map(f64::from);
                    let normal = (bytes[0] + bytes[1] + bytes[2] + bytes[3] - 510.0) / 148.0;
                    // The cast rounds down and saturates.
                    pixels.push((value * 255.0 + normal * self.noise + 0.5) as u8);
                }
            }
        }
        pixels
    }

    /// The lattice, interpolated linearly both ways.
    fn background(&self, x: f64, y: f64) -> Color {
        let (column, right) = cell(x);
        let (row, down) = cell(y);
        let along = |row: usize| mixed(self.lattice[row][column], self.lattice[row][column + 1], right);
        mixed(along(row), along(row + 1), down)
    }
}

impl Thing {
    /// A shape of this size, somewhere with its center in `range` both ways, turned and a little stretched. Black.
    fn placed(shape: Shape, size: f64, range: [f64; 2], stream: &mut Stream) -> Self {
        let center = [stream.between(range[0], range[1]), stream.between(range[0], range[1])];
        // A point of the half circle to the right without sine and cosine, then half turns.
        let t = stream.between(-1.0, 1.0);
        let half_turn = if stream.below(2) == 0 { 1.0 } else { -1.0 };
        let cos = half_turn * (1.0 - t * t) / (1.0 + t * t);
        let sin = half_turn * 2.0 * t / (1.0 + t * t);
        let stretch = stream.between(0.8, 1.25);
        let (across, along) = (size * stretch, size / stretch);
        let inverse = [[cos / across, sin / across], [-sin / along, cos / along]];
        Self { shape, color: [0.0; 3], center, reach: 1.5 * across.max(along), inverse }
    }

    fn clutter(base: Color, stream: &mut Stream) -> Self {
        let color = COLORS[stream.below(COLORS.len() as u64) as usize];
        let contrast = stream.between(0.3, 1.0);
        let size = stream.between(0.05, 0.14);
        let placed = Self::placed(Shape::clutter(stream), size, [0.0, 1.0], stream);
        Self { color: mixed(base, color, contrast), ..placed }
    }

    /// The share of the pixel that it covers.
    fn coverage(&self, column: usize, row: usize, size: usize) -> f64 {
        let pixel = 1.0 / size as f64;
        let x = column as f64 * pixel - self.center[0];
        let y = row as f64 * pixel - self.center[1];
        let reach = self.reach + pixel;
        if x.abs() > reach || y.abs() > reach {
            return 0.0;
        }
        let step = pixel / SAMPLES as f64;
        let mut inside = 0;
        for down in 0..SAMPLES {
            for right in 0..SAMPLES {
                let (x, y) = (x + (right as f64 + 0.5) * step, y + (down as f64 + 0.5) * step);
                let [u, v] = self.inverse.map(|[a, b]| a * x + b * y);
                inside += usize::from(self.shape.contains(u, v));
            }
        }
        inside as f64 / (SAMPLES * SAMPLES) as f64
    }
}

/// Returns mostly a color of the class, which it shares with adjacent classes, and sometimes any color.
fn object_color(class: usize, stream: &mut Stream) -> Color {
    let color = if stream.below(5) > 0 {
        // Classes that look alike do not follow each other in the colors: 3 has no factor in common with 8.
        3 * class + stream.below(PREFERRED as u64) as usize
    } else {
        stream.below(COLORS.len() as u64) as usize
    };
    let brightness = stream.between(0.7, 1.15);
    COLORS[color % COLORS.len()].map(|value| value * brightness)
}

/// Returns a dull color with enough contrast to the object.
fn background_color(object: Color, stream: &mut Stream) -> Color {
    let tint = COLORS[stream.below(COLORS.len() as u64) as usize];
    let saturation = stream.between(0.0, 0.5);
    let mut gray = stream.between(0.1, 0.9);
    let dull = |gray: f64| tint.map(|value| gray + (value - 0.5) * saturation);
    let distance = |color: Color| (0..3).map(|channel| (color[channel] - object[channel]).abs()).sum::<f64>();
    if distance(dull(gray)) < 0.6 {
        gray = if gray < 0.5 { gray + 0.4 } else { gray - 0.4 };
    }
    dull(gray)
}

/// `share` of `second`, the rest of `first`.
fn mixed(first: Color, second: Color, share: f64) -> Color {
    std::array::from_fn(|channel| first[channel] + (second[channel] - first[channel]) * share)
}

/// The cell of the lattice at a coordinate from 0 to 1, and the share of the way through it.
fn cell(coordinate: f64) -> (usize, f64) {
    let position = coordinate * (LATTICE - 1) as f64;
    let index = (position as usize).min(LATTICE - 2);
    (index, position - index as f64)
}

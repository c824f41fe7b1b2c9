use tfnas_random::Stream;

use super::shape::Shape;

/// Red, green and blue, from 0 to 1.
type Colour = [f64; 3];

/// Points a pixel is sampled at, along each side.
const SAMPLES: usize = 3;

/// Side of the lattice of colours behind a scene.
const LATTICE: usize = 4;

const COLOURS: [Colour; 8] = [
    [0.86, 0.20, 0.18],
    [0.93, 0.55, 0.14],
    [0.90, 0.84, 0.25],
    [0.30, 0.68, 0.28],
    [0.18, 0.66, 0.70],
    [0.20, 0.36, 0.82],
    [0.58, 0.28, 0.74],
    [0.88, 0.45, 0.66],
];

/// How many colours next to each other a class prefers: each is preferred by three or four classes.
const PREFERRED: usize = 3;

/// Something of one colour before the background.
struct Thing {
    shape: Shape,
    colour: Colour,
    centre: [f64; 2],
    /// Radius of the circle around it.
    reach: f64,
    /// From the picture's coordinates, the centre taken off, to the shape's.
    inverse: [[f64; 2]; 2],
}

/// A picture of a class: coordinates run from 0 to 1 over the picture.
///
/// Everything is computed by +, -, *, / on f64, comparisons and rounding to integers, which give the same bits on every
/// machine.
pub(super) struct Scene {
    lattice: [[Colour; LATTICE]; LATTICE],
    /// The farthest first.
    things: Vec<Thing>,
    /// Of the pixel noise, in steps of a byte.
    noise: f64,
}

impl Scene {
    /// Draws what the picture shows: clutter, the shape of the class before it, and often something before that.
    pub(super) fn new(class: usize, stream: &mut Stream) -> Self {
        let colour = object_colour(class, stream);
        let base = background_colour(colour, stream);
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
            colour: mixed(base, colour, contrast),
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
                let mut colour = self.background((column as f64 + 0.5) / size as f64, (row as f64 + 0.5) / size as f64);
                for thing in &self.things {
                    colour = mixed(colour, thing.colour, thing.coverage(column, row, size));
                }
                for value in colour {
                    // The sum of four uniform bytes is almost normal, with a standard deviation of 148 steps.
                    let bytes = stream.next_u32().to_le_bytes().map(f64::from);
                    let normal = (bytes[0] + bytes[1] + bytes[2] + bytes[3] - 510.0) / 148.0;
                    // The cast rounds down, and takes what is out of range to its nearest end.
                    pixels.push((value * 255.0 + normal * self.noise + 0.5) as u8);
                }
            }
        }
        pixels
    }

    /// The lattice, interpolated linearly both ways.
    fn background(&self, x: f64, y: f64) -> Colour {
        let (column, right) = cell(x);
        let (row, down) = cell(y);
        let along = |row: usize| mixed(self.lattice[row][column], self.lattice[row][column + 1], right);
        mixed(along(row), along(row + 1), down)
    }
}

impl Thing {
    /// A shape of this size, somewhere with its centre in `range` both ways, turned and a little stretched. Black.
    fn placed(shape: Shape, size: f64, range: [f64; 2], stream: &mut Stream) -> Self {
        let centre = [stream.between(range[0], range[1]), stream.between(range[0], range[1])];
        // A point of the half circle to the right without sine and cosine, then half turns.
        let t = stream.between(-1.0, 1.0);
        let half_turn = if stream.below(2) == 0 { 1.0 } else { -1.0 };
        let cos = half_turn * (1.0 - t * t) / (1.0 + t * t);
        let sin = half_turn * 2.0 * t / (1.0 + t * t);
        let stretch = stream.between(0.8, 1.25);
        let (across, along) = (size * stretch, size / stretch);
        let inverse = [[cos / across, sin / across], [-sin / along, cos / along]];
        Self { shape, colour: [0.0; 3], centre, reach: 1.5 * across.max(along), inverse }
    }

    fn clutter(base: Colour, stream: &mut Stream) -> Self {
        let colour = COLOURS[stream.below(COLOURS.len() as u64) as usize];
        let contrast = stream.between(0.3, 1.0);
        let size = stream.between(0.05, 0.14);
        let placed = Self::placed(Shape::clutter(stream), size, [0.0, 1.0], stream);
        Self { colour: mixed(base, colour, contrast), ..placed }
    }

    /// The share of the pixel that it covers.
    fn coverage(&self, column: usize, row: usize, size: usize) -> f64 {
        let pixel = 1.0 / size as f64;
        let x = column as f64 * pixel - self.centre[0];
        let y = row as f64 * pixel - self.centre[1];
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

/// Mostly one of the class's own colours, which it shares with its neighbours; one of all sometimes.
fn object_colour(class: usize, stream: &mut Stream) -> Colour {
    let colour = if stream.below(5) > 0 {
        // Classes that look alike do not follow each other in the colours: 3 has no factor in common with 8.
        3 * class + stream.below(PREFERRED as u64) as usize
    } else {
        stream.below(COLOURS.len() as u64) as usize
    };
    let brightness = stream.between(0.7, 1.15);
    COLOURS[colour % COLOURS.len()].map(|value| value * brightness)
}

/// A dull colour that the object can be seen before.
fn background_colour(object: Colour, stream: &mut Stream) -> Colour {
    let tint = COLOURS[stream.below(COLOURS.len() as u64) as usize];
    let saturation = stream.between(0.0, 0.5);
    let mut grey = stream.between(0.1, 0.9);
    let dull = |grey: f64| tint.map(|value| grey + (value - 0.5) * saturation);
    let distance = |colour: Colour| (0..3).map(|channel| (colour[channel] - object[channel]).abs()).sum::<f64>();
    if distance(dull(grey)) < 0.6 {
        grey = if grey < 0.5 { grey + 0.4 } else { grey - 0.4 };
    }
    dull(grey)
}

/// `share` of `second`, the rest of `first`.
fn mixed(first: Colour, second: Colour, share: f64) -> Colour {
    std::array::from_fn(|channel| first[channel] + (second[channel] - first[channel]) * share)
}

/// The cell of the lattice at a coordinate from 0 to 1, and the share of the way through it.
fn cell(coordinate: f64) -> (usize, f64) {
    let position = coordinate * (LATTICE - 1) as f64;
    let index = (position as usize).min(LATTICE - 2);
    (index, position - index as f64)
}

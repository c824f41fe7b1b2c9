//! Converts architecture parameters to the most probable architecture.

use crate::architecture::{Architecture, ArchitectureError, Choice};
use crate::space::Space;
use crate::widths::Widths;

/// Why architecture parameters cannot be parsed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ParseError {
    /// The number of vectors, or of entries in a vector, is wrong.
    #[error("{found} {what}, but the space has {expected}")]
    Shape {
        /// The counted items.
        what: String,
        /// Number found.
        found: usize,
        /// Expected number.
        expected: usize,
    },
    /// A parameter is not finite: the search diverged.
    #[error("{place}: entry {index} is {value}, the search has diverged")]
    NotFinite {
        /// Name of the vector, such as `stage1.block2.log_alphas`.
        place: String,
        /// Index of the entry, from 0.
        index: usize,
        /// The value.
        value: f32,
    },
    /// The widths belong to another space.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
}

/// Returns the most probable architecture.
///
/// * `log_alphas`: per block, `[K]` f32 log-probabilities of its operations.
/// * `betas`: per group, one f32 per block, unnormalized.
/// * `widths`: the current widths. The chosen operations keep theirs.
///
/// A block uses the first maximum of `exp(log_alphas)`, and a group keeps its blocks up to and including the first
/// maximum of `softmax(betas)`. Both are rounded to f32 before they are compared, as in the authors' code, so
/// parameters that differ by one bit can tie; ties select the first.
///
/// Source: `get_op_and_depth_weights` and `parse_architecture` in the authors' `parsing_model.py`.
///
/// # Errors
/// Returns [`ParseError`] for vectors of another space, or with a value that is not finite.
pub fn parse(
    space: &Space,
    log_alphas: &[Vec<f32>],
    betas: &[Vec<f32>],
    widths: &Widths,
) -> Result<Architecture, ParseError> {
    check_parameters(space, log_alphas, betas)?;
    check_count("blocks have widths", widths.rows().len(), space.blocks().len())?;
    let mut groups = Vec::with_capacity(betas.len());
    for (group, values) in betas.iter().enumerate() {
        let depth = argmax(&softmax(values)) + 1;
        let choices = (0..depth).map(|index| {
            let position = space.position(group, index);
            let probabilities: Vec<f32> = log_alphas[position].iter().map(|&x| exp(x)).collect();
            let operation = argmax(&probabilities);
            Choice { operation, width: widths.get(position, operation) }
        });
        groups.push(choices.collect());
    }
    Ok(Architecture::new(space, groups)?)
}

/// Checks that there is one vector per block and group, of the right length and finite.
pub(crate) fn check_parameters(space: &Space, log_alphas: &[Vec<f32>], betas: &[Vec<f32>]) -> Result<(), ParseError> {
    check_count("blocks have log_alphas", log_alphas.len(), space.blocks().len())?;
    check_count("block groups have betas", betas.len(), space.groups().len())?;
    for (block, values) in space.blocks().iter().zip(log_alphas) {
        let place = format!("{}.log_alphas", block.name());
        check_vector(&place, values, space.operations().len())?;
    }
    for (group, values) in betas.iter().enumerate() {
        let place = format!("stage{}.betas", group + 1);
        check_vector(&place, values, space.blocks_of(group).len())?;
    }
    Ok(())
}

fn check_count(what: &str, found: usize, expected: usize) -> Result<(), ParseError> {
    if found == expected {
        return Ok(());
    }
    Err(ParseError::Shape { what: what.to_owned(), found, expected })
}

fn check_vector(place: &str, values: &[f32], expected: usize) -> Result<(), ParseError> {
    check_count(&format!("entries in {place}"), values.len(), expected)?;
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(ParseError::NotFinite { place: place.to_owned(), index, value: values[index] }),
    }
}

/// Returns the index of the largest of some finite values; ties select the first.
pub fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

/// Softmax in f32.
fn softmax(values: &[f32]) -> Vec<f32> {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f32> = values.iter().map(|&value| f64::from(value - largest).exp() as f32).collect();
    let sum: f32 = exponentials.iter().sum();
    exponentials.into_iter().map(|value| value / sum).collect()
}

/// The exponential of a finite f32, bit for bit equal to NumPy's on processors with fused multiply-add.
///
/// The result is not always the nearest f32, and ties between neighboring parameters depend on it. After reducing the
/// argument by a multiple of ln 2 (Cody and Waite), a rational function approximates the rest.
///
/// Source of the constants: NumPy, `loops_exponent_log.dispatch.c.src` (BSD-3-Clause).
fn exp(x: f32) -> f32 {
    const LARGEST: f32 = 88.722_84;
    const SMALLEST: f32 = -103.972_084;
    const LN_2: [f32; 2] = [-0.693_145_75, -1.428_606_8e-6];
    const NUMERATOR: [f32; 6] = [5.082_763e-4, 6.757_897e-3, 5.114_512e-2, 0.247_361_54, 0.725_766_5, 1.0];
    const DENOMINATOR: [f32; 3] = [0.021_595_094, -0.274_233_55, 1.0];

    if x >= LARGEST {
        return f32::INFINITY;
    }
    if x <= SMALLEST {
        return 0.0;
    }
    let doublings = (x * std::f32::consts::LOG2_E).round_ties_even();
    let rest = LN_2.iter().fold(x, |rest, part| doublings.mul_add(*part, rest));
    let polynomial =
        |coefficients: &[f32]| coefficients.iter().fold(0.0f32, |value, coefficient| value.mul_add(rest, *coefficient));
    let quotient = polynomial(&NUMERATOR) / polynomial(&DENOMINATOR);
    (f64::from(quotient) * f64::from(doublings).exp2()) as f32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Uniform parameters.
    fn uniform(space: &Space) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
        let operations = space.operations().len();
        let log_alphas = vec![vec![-(operations as f32).ln(); operations]; space.blocks().len()];
        let groups = space.groups().iter();
        (log_alphas, groups.map(|group| vec![0.0; group.blocks]).collect())
    }

    #[test]
    fn ties_select_the_first() {
        let space = Space::small();
        let (log_alphas, betas) = uniform(&space);
        let widths = Widths::initial(&space);
        let parsed = parse(&space, &log_alphas, &betas, &widths).unwrap();
        for (block, choice) in parsed.choices(&space) {
            assert_eq!(choice.operation, 0);
            assert_eq!(choice.width, block.initial_width(&space.operations()[0]));
        }
        assert_eq!(parsed.block_count(), 3);
    }

    #[test]
    fn the_largest_parameters_decide_operation_and_depth() {
        let space = Space::small();
        let (mut log_alphas, mut betas) = uniform(&space);
        log_alphas[4][2] = 0.0;
        betas[2][1] = 0.5;
        let parsed = parse(&space, &log_alphas, &betas, &Widths::max(&space)).unwrap();
        assert_eq!(parsed.groups()[2].len(), 2);
        assert_eq!(parsed.groups()[2][1], Choice { operation: 2, width: 256 });
    }

    #[test]
    fn non_finite_parameters_are_named() {
        let space = Space::small();
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (mut log_alphas, betas) = uniform(&space);
            log_alphas[1][3] = value;
            let error = parse(&space, &log_alphas, &betas, &Widths::initial(&space)).unwrap_err();
            assert!(error.to_string().starts_with("stage2.block1.log_alphas: entry 3 is"), "{error}");
        }
        let (log_alphas, mut betas) = uniform(&space);
        betas[1][0] = f32::NAN;
        let error = parse(&space, &log_alphas, &betas, &Widths::initial(&space)).unwrap_err();
        assert!(error.to_string().starts_with("stage2.betas: entry 0 is NaN"), "{error}");
    }

    #[test]
    fn parameters_of_another_space_are_rejected() {
        let space = Space::small();
        let (log_alphas, betas) = uniform(&space);
        let widths = Widths::initial(&space);
        let error = parse(&space, &log_alphas[1..], &betas, &widths).unwrap_err();
        assert_eq!(error.to_string(), "5 blocks have log_alphas, but the space has 6");
        let error = parse(&space, &log_alphas, &betas[1..], &widths).unwrap_err();
        assert_eq!(error.to_string(), "2 block groups have betas, but the space has 3");
        let other = Widths::initial(&Space::cifar());
        assert!(parse(&space, &log_alphas, &betas, &other).is_err());
    }

    /// `[(x.view(numpy.uint32), numpy.exp(x).view(numpy.uint32)) for x in numpy.float32([…])]` in NumPy 2.4.6.
    #[test]
    fn the_exponential_matches_numpy() {
        let cases: [(u32, u32); 10] = [
            (0x00000000, 0x3f800000),
            (0xbf800000, 0x3ebc5ab1),
            (0xc0051592, 0x3e000000),
            (0x3824feeb, 0x3f80014b),
            (0xc1a40000, 0x30abd1d8),
            (0xc2ce0000, 0x00000001),
            (0x42b00000, 0x7ef882b7),
            (0xc00407bd, 0x3e022022),
            (0xc00407bc, 0x3e022024),
            (0x3f000000, 0x3fd3094c),
        ];
        for (x, expected) in cases {
            assert_eq!(exp(f32::from_bits(x)).to_bits(), expected, "{x:#x}");
        }
    }
}

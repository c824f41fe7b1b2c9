//! Bi-sampling: Gumbel noise, the path it selects, a second path through the remaining operations, and the relaxed
//! sample.
//!
//! Paths are drawn on the host. The relaxed sample is computed on the device, because it must be differentiable. Both
//! take the noise as `[block][operation]`.

use tch::{Kind, Tensor};
use tfnas::parse::argmax;
use tfnas_random::Stream;

/// Minimum temperature of a relaxed sample.
const MIN_TEMPERATURE: f64 = 1e-6;

/// Gumbel noise, `[block][operation]`.
pub type Noise = Vec<Vec<f32>>;

/// The index of the operation selected in each block.
pub type Path = Vec<usize>;

/// Draws standard Gumbel noise for every operation of every block, in block order.
pub fn draw_noise(blocks: usize, operations: usize, stream: &mut Stream) -> Noise {
    let mut row = || (0..operations).map(|_| stream.gumbel() as f32).collect();
    (0..blocks).map(|_| row()).collect()
}

/// Returns the path of a Gumbel-softmax sample: in each block the operation with the largest `log_alpha + noise`.
///
/// The temperature does not affect the argmax. Ties select the first operation.
pub fn gumbel_path(log_alphas: &[Vec<f32>], noise: &Noise) -> Path {
    let rows = log_alphas.iter().zip(noise);
    rows.map(|(log_alphas, noise)| {
        let perturbed: Vec<f32> = log_alphas.iter().zip(noise).map(|(a, g)| a + g).collect();
        argmax(&perturbed)
    })
    .collect()
}

/// Returns the most probable path: in each block the operation with the largest `log_alpha`; ties select the first.
pub fn most_probable_path(log_alphas: &[Vec<f32>]) -> Path {
    log_alphas.iter().map(|row| argmax(row)).collect()
}

/// Draws a path uniformly among those that differ from `taken` in every block.
///
/// If the space has a single operation, the result is `taken`.
pub fn draw_remaining_path(taken: &Path, operations: usize, stream: &mut Stream) -> Path {
    if operations < 2 {
        return taken.clone();
    }
    let positions: Vec<usize> = taken.iter().map(|_| stream.below(operations as u64 - 1) as usize).collect();
    remaining_path(taken, &positions)
}

/// Returns the path that selects in each block the operation at the given position of the ascending list of operations
/// not in `taken`.
pub fn remaining_path(taken: &Path, positions: &[usize]) -> Path {
    let blocks = taken.iter().zip(positions);
    blocks.map(|(&taken, &position)| position + usize::from(position >= taken)).collect()
}

/// Returns the relaxed sample softmax((`log_alphas` + noise) / temperature), `[blocks, operations]`, differentiable.
///
/// `log_alphas`: one `[operations]` f32 per block. A temperature below 1e-6 is taken as 1e-6: the sample is one-hot long before,
/// and the quotient would overflow.
pub fn relaxed_sample(log_alphas: &[&Tensor], noise: &Noise, temperature: f64) -> Tensor {
    let log_alphas = Tensor::stack(log_alphas, 0);
    let flat: Vec<f32> = noise.iter().flatten().copied().collect();
    let noise = Tensor::from_slice(&flat).view_as(&log_alphas).to_device(log_alphas.device());
    ((log_alphas + noise) / temperature.max(MIN_TEMPERATURE)).softmax(-1, Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfnas_random::StreamId;

    #[test]
    fn ties_select_the_first_operation() {
        assert_eq!(most_probable_path(&[vec![-2.0, -1.0, -1.0], vec![0.0, -1.0, 0.0]]), [1, 0]);
        assert_eq!(gumbel_path(&[vec![-1.0, -2.0]], &vec![vec![0.0, 1.5]]), [1]);
    }

    #[test]
    fn a_vanishing_temperature_gives_a_one_hot_sample() {
        let log_alphas = [Tensor::from_slice(&[-1.0f32, -2.0, -1.5])];
        for temperature in [1e-6, 1e-40, 1e-300] {
            let sample = relaxed_sample(&[&log_alphas[0]], &vec![vec![0.0, 3.0, 0.0]], temperature);
            assert_eq!([0, 1, 2].map(|operation| sample.double_value(&[0, operation])), [0.0, 1.0, 0.0]);
        }
    }

    #[test]
    fn remaining_paths_cover_exactly_the_other_operations() {
        let taken = vec![0, 2, 3];
        let mut seen = [[false; 4]; 3];
        for index in 0..200 {
            let mut stream = Stream::new(1, StreamId::UniformPath, 0, index);
            for (block, operation) in draw_remaining_path(&taken, 4, &mut stream).into_iter().enumerate() {
                seen[block][operation] = true;
            }
        }
        for (block, &taken) in taken.iter().enumerate() {
            let others: Vec<bool> = (0..4).map(|operation| operation != taken).collect();
            assert_eq!(seen[block].to_vec(), others);
        }
    }

    #[test]
    fn with_one_operation_both_paths_are_equal() {
        let mut stream = Stream::new(1, StreamId::UniformPath, 0, 0);
        assert_eq!(draw_remaining_path(&vec![0, 0], 1, &mut stream), [0, 0]);
    }

    #[test]
    fn the_relaxed_sample_sharpens_as_temperature_falls() {
        let log_alphas = Tensor::from_slice(&[-1f32, -1.5, -2.0]);
        let noise = vec![vec![0.1f32, 1.0, 0.0]];
        let warm = relaxed_sample(&[&log_alphas], &noise, 5.0);
        let cold = relaxed_sample(&[&log_alphas], &noise, 0.1);
        assert!((warm.sum(Kind::Double).double_value(&[]) - 1.0).abs() < 1e-6);
        assert!(cold.double_value(&[0, 1]) > 0.97 && warm.double_value(&[0, 1]) < 0.4);
    }

    #[test]
    fn noise_has_the_mean_of_the_gumbel_distribution() {
        let mut stream = Stream::new(3, StreamId::Gumbel, 0, 0);
        let noise = draw_noise(100, 100, &mut stream);
        let mean: f32 = noise.iter().flatten().sum::<f32>() / 1e4;
        // Euler's constant; the standard error of the mean is 0.013.
        assert!((mean - 0.5772).abs() < 0.05, "{mean}");
    }
}

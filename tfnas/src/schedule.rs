//! Schedules by epoch: learning rates, temperature and drop-connect rates. Epochs count from 0.
//!
//! The authors' code reads its rate from PyTorch's scheduler outside of a step, which gives different values in
//! different versions of PyTorch. These are the closed-form formulas.

/// The cosine schedule: from `base` in epoch 0 to 0 after the last of `epochs`.
///
/// Source: `CosineAnnealingLR` in closed form, with `eta_min` 0.
pub fn cosine(base: f64, epoch: usize, epochs: usize) -> f64 {
    let progress = std::f64::consts::PI * epoch as f64 / epochs.max(1) as f64;
    base * (1.0 + progress.cos()) / 2.0
}

/// Returns the cosine schedule, with the first `warm_up` epochs scaled by `(epoch + 1) / warm_up`.
///
/// The published training warms up for 5 epochs if the batch is larger than 256, and not at all otherwise.
///
/// Source: the main loop of the authors' `train_eval.py`.
pub fn cosine_with_warm_up(base: f64, epoch: usize, epochs: usize, warm_up: usize) -> f64 {
    let rate = cosine(base, epoch, epochs);
    if epoch < warm_up { rate * (epoch as f64 + 1.0) / warm_up as f64 } else { rate }
}

/// Returns the temperature of the Gumbel-softmax in an epoch: `initial` up to and including epoch `warm_up`, then
/// multiplied by `decay` after every epoch.
///
/// Multiplied step by step, as in the authors' code (published: 5.0, 0.96, 10 epochs).
pub fn temperature(initial: f64, decay: f64, warm_up: usize, epoch: usize) -> f64 {
    (warm_up..epoch).fold(initial, |temperature, _| temperature * decay)
}

/// Returns the drop-connect rate of each block, second stem first, growing linearly to `rate` at the last block.
///
/// * `kept_blocks`: number of blocks after the second stem. The result has one more entry.
///
/// Only blocks with a residual connection use their rate.
///
/// Source: `Network._make_stage` in the authors' `models/model_eval.py`.
pub fn drop_connect_rates(rate: f64, kept_blocks: usize) -> Vec<f64> {
    let count = kept_blocks + 1;
    (1..=count).map(|index| rate * index as f64 / count as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cosine_falls_from_its_base_to_zero() {
        assert_eq!(cosine(0.2, 0, 250), 0.2);
        assert!((cosine(0.2, 125, 250) - 0.1).abs() < 1e-15);
        assert!(cosine(0.2, 249, 250) < 1e-5);
        assert_eq!(cosine(0.2, 0, 0), 0.2);
    }

    #[test]
    fn the_warm_up_grows_linearly() {
        let rate = |epoch| cosine_with_warm_up(0.2, epoch, 1_000_000, 5) / 0.2;
        for (epoch, share) in [0.2, 0.4, 0.6, 0.8, 1.0, 1.0].into_iter().enumerate() {
            assert!((rate(epoch) - share).abs() < 1e-6);
        }
        assert_eq!(cosine_with_warm_up(0.2, 3, 250, 0), cosine(0.2, 3, 250));
    }

    #[test]
    fn the_temperature_falls_after_the_first_architecture_epoch() {
        assert_eq!(temperature(5.0, 0.5, 10, 0), 5.0);
        assert_eq!(temperature(5.0, 0.5, 10, 10), 5.0);
        assert_eq!(temperature(5.0, 0.5, 10, 11), 2.5);
        assert_eq!(temperature(5.0, 0.5, 10, 13), 0.625);
    }

    #[test]
    fn drop_connect_grows_linearly_from_the_second_stem_to_the_last_block() {
        assert_eq!(drop_connect_rates(0.2, 3), [0.05, 0.1, 0.2 * 3.0 / 4.0, 0.2]);
        assert_eq!(drop_connect_rates(0.2, 0), [0.2]);
    }
}

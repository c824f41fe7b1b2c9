//! Random architectures of a given latency, as a baseline for the searched one.

use tfnas_random::Stream;

use crate::architecture::Architecture;
use crate::elasticity::{RefitError, refit};
use crate::exact_fit::{ExactFitError, fit_exactly};
use crate::space::Space;
use crate::table::LatencyTable;

/// Maximum number of random architectures to try.
const ATTEMPTS: usize = 10_000;

/// Why no random architecture of a latency was found.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RandomArchitectureError {
    /// The tolerance is negative or not finite.
    #[error("the tolerance is {tolerance_ms} ms: it must be a number of milliseconds, not negative")]
    Tolerance {
        /// The tolerance.
        tolerance_ms: f64,
    },
    /// No random architecture could be fitted.
    #[error(
        "none of {ATTEMPTS} random architectures could be fitted to {target_ms} ms, less at most {tolerance_ms} ms: use a target closer to the middle of what the table can reach, or a larger tolerance"
    )]
    NotFound {
        /// The target latency.
        target_ms: f64,
        /// Allowed distance below the target.
        tolerance_ms: f64,
    },
    /// The target or the table is invalid.
    #[error(transparent)]
    Refit(#[from] RefitError),
    /// The target or the table is invalid, in a space with a width step.
    #[error(transparent)]
    Fit(#[from] ExactFitError),
}

impl Architecture {
    /// Returns a random architecture with a latency of at most `target_ms` and at least `target_ms - tolerance_ms`
    /// milliseconds.
    ///
    /// Depths and operations are uniformly random. The widths start at their initial values and are fitted by
    /// elasticity-scaling like in a search; in a space with a width step, they are then fitted one by one. An
    /// architecture that cannot be fitted is drawn again.
    ///
    /// # Errors
    /// Returns [`RandomArchitectureError`] if the target or the tolerance is invalid, or no architecture can be fitted.
    pub fn random_near(
        space: &Space,
        table: &LatencyTable,
        target_ms: f64,
        tolerance_ms: f64,
        stream: &mut Stream,
    ) -> Result<Self, RandomArchitectureError> {
        if !(target_ms.is_finite() && target_ms > 0.0) {
            return Err(RefitError::Target { target_ms }.into());
        }
        if !(tolerance_ms.is_finite() && tolerance_ms >= 0.0) {
            return Err(RandomArchitectureError::Tolerance { tolerance_ms });
        }
        let wanted = target_ms - tolerance_ms..=target_ms;
        for _ in 0..ATTEMPTS {
            let drawn =
                Self::drawn(space, stream, |block, operation, _| block.initial_width(&space.operations()[operation]));
            let (fitted, ms) = if space.definition().width_step == 1 {
                let fitted = refit(space, &drawn, table, target_ms)?;
                (fitted.architecture, fitted.after_ms)
            } else {
                // Scaling all widths at once is too coarse to come close to a target.
                match fit_exactly(space, &drawn, table, target_ms, None) {
                    Ok(fitted) if fitted.changes.is_empty() => (fitted.architecture, fitted.after_ms),
                    Ok(_) | Err(ExactFitError::Unreachable { .. }) => continue,
                    Err(error) => return Err(error.into()),
                }
            };
            if wanted.contains(&ms) {
                return Ok(fitted);
            }
        }
        Err(RandomArchitectureError::NotFound { target_ms, tolerance_ms })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::HashSet;
    use tfnas_random::StreamId;

    fn stream(index: u32) -> Stream {
        Stream::new(0, StreamId::RandomArchitecture, 0, index)
    }

    #[test]
    fn random_architectures_are_just_below_the_target() {
        let (space, table) = (Space::imagenet(), LatencyTable::titan_rtx());
        let mut found = HashSet::new();
        for index in 0..20 {
            let near = || Architecture::random_near(&space, &table, 12.0, 0.05, &mut stream(index));
            let architecture = near().unwrap();
            let ms = table.architecture_ms(&space, &architecture).unwrap();
            assert!((11.95..=12.0).contains(&ms), "{ms}");
            assert_eq!(architecture, near().unwrap());
            found.insert(architecture);
        }
        assert_eq!(found.len(), 20);
    }

    #[test]
    fn random_architectures_with_steps_are_just_below_the_target() {
        let definition = crate::SpaceDefinition { width_step: 8, ..Space::imagenet().definition().clone() };
        let (space, table) = (Space::new(definition).unwrap(), LatencyTable::titan_rtx());
        for index in 0..20 {
            let architecture = Architecture::random_near(&space, &table, 12.0, 0.05, &mut stream(index)).unwrap();
            let ms = table.architecture_ms(&space, &architecture).unwrap();
            assert!((11.95..=12.0).contains(&ms), "{ms}");
            assert!(architecture.groups().iter().flatten().all(|choice| choice.width % 8 == 0));
        }
    }

    #[test]
    fn unreachable_targets_are_errors() {
        let (space, table) = (Space::imagenet(), LatencyTable::titan_rtx());
        let near = |target_ms, tolerance_ms| {
            Architecture::random_near(&space, &table, target_ms, tolerance_ms, &mut stream(0)).unwrap_err()
        };
        let error = near(1.0, 0.1);
        assert!(matches!(error, RandomArchitectureError::NotFound { .. }));
        let error = near(12.0, f64::NAN);
        assert!(matches!(error, RandomArchitectureError::Tolerance { .. }));
        let error = near(-1.0, 0.1);
        assert!(matches!(error, RandomArchitectureError::Refit(_)));
    }
}

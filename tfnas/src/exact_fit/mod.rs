//! Fits a network to a target latency that is always met.
//!
//! Elasticity-scaling ([`refit`]) changes all widths together, so it ends a step away from the target, and above the
//! target if operations and depth exceed it at their smallest widths. [`fit_exactly`] closes both gaps: it changes
//! operations and depth until the network can meet the target, scales the widths as published, and then changes one
//! width, a pair of widths, or all of them until the latency is at most [`TOLERANCE`] below the target.

mod change;
mod choice_fit;
mod width_fit;

pub use change::{Change, changes};

use crate::architecture::Architecture;
use crate::elasticity::{RefitError, refit};
use crate::parse::{ParseError, check_parameters};
use crate::space::Space;
use crate::table::{LatencyTable, TableError};
use choice_fit::ChoiceFit;
use width_fit::WidthFit;

/// Maximum distance of a fitted network below the target if its widths can be adjusted, as a fraction of the target.
pub const TOLERANCE: f64 = 1e-3;

/// The architecture parameters of a search. They determine which choices are changed first.
#[derive(Clone, Copy, Debug)]
pub struct Preferences<'a> {
    /// Log-probabilities of the operations, `[block][K]`.
    pub log_alphas: &'a [Vec<f32>],
    /// Weights of the depths before the softmax, `[group][block]`.
    pub betas: &'a [Vec<f32>],
}

/// A network that meets a target.
#[derive(Clone, Debug, PartialEq)]
pub struct ExactFit {
    /// The network.
    pub architecture: Architecture,
    /// Latency before, in milliseconds.
    pub before_ms: f64,
    /// Latency after fitting, in milliseconds. At most the target.
    pub after_ms: f64,
    /// The changed operations and depths, in the order of the blocks. Empty if changing widths was enough.
    pub changes: Vec<Change>,
}

/// Why a network cannot be fitted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ExactFitError {
    /// The target is not a positive number.
    #[error("the target latency is {target_ms} ms: it must be positive")]
    Target {
        /// The target.
        target_ms: f64,
    },
    /// No network of the space meets the target.
    #[error(
        "no network of this space meets a target of {target_ms} ms: the predicted latency of the fastest one is {fastest_ms:.4} ms"
    )]
    Unreachable {
        /// The target latency.
        target_ms: f64,
        /// Latency of the fastest network of the space.
        fastest_ms: f64,
    },
    /// The preferences belong to another space, or are not finite.
    #[error(transparent)]
    Preferences(#[from] ParseError),
    /// The architecture belongs to another space, or the table does not cover it.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Fits `architecture` to `target_ms` milliseconds: at most the target, and at most [`TOLERANCE`] below it if the
/// widths can be adjusted that finely. If the network is faster than the target at its largest widths, it gets its
/// largest widths.
///
/// * Operations and depth do not change if some of their widths meet the target. Otherwise they are changed one at a
///   time until some do: an operation of a kept block to a faster one, or a group to fewer blocks. The change with the
///   smallest loss of log-probability per millisecond saved (at the smallest latencies) comes first. Without
///   `preferences` all choices are equally probable. Then the smallest single change that suffices comes first; if none
///   suffices, the one that saves the most time, so that few changes are made.
/// * A width is not used if a larger one is at least as fast: measured curves can decrease with the width.
/// * A network that is close enough keeps its widths. Otherwise elasticity-scaling runs first, from the current widths
///   (a changed operation starts at its initial width). Then, until the tolerance is met: the change of one width that
///   closes most of the gap; the smallest pair of changes that closes it, or the pair that closes most of it; the best
///   combination of all widths.
///
/// The result depends only on the arguments.
///
/// # Errors
/// Returns [`ExactFitError`] if the target is invalid or unreachable, or the table does not cover the architecture.
/// Every target that [`LatencyTable::reachable_ms`] contains is met.
pub fn fit_exactly(
    space: &Space,
    architecture: &Architecture,
    table: &LatencyTable,
    target_ms: f64,
    preferences: Option<&Preferences<'_>>,
) -> Result<ExactFit, ExactFitError> {
    if !(target_ms.is_finite() && target_ms > 0.0) {
        return Err(ExactFitError::Target { target_ms });
    }
    if let Some(preferences) = preferences {
        check_parameters(space, preferences.log_alphas, preferences.betas)?;
    }
    let before_ms = table.architecture_ms(space, architecture)?;
    let mut feasible = architecture.clone();
    let mut widths = WidthFit::new(space, &feasible, table, target_ms)?;
    if !widths.is_feasible() {
        feasible = ChoiceFit::new(space, table, preferences)?.make_feasible(architecture, target_ms)?;
        widths = WidthFit::new(space, &feasible, table, target_ms)?;
    }
    if !widths.use_largest_if_feasible() {
        widths.use_architecture(space, &feasible);
        if !(widths.is_close() && before_ms <= target_ms) {
            let scaled = match refit(space, &feasible, table, target_ms) {
                Ok(scaled) => scaled.architecture,
                Err(RefitError::Table(error)) => return Err(error.into()),
                Err(RefitError::Target { target_ms }) => return Err(ExactFitError::Target { target_ms }),
            };
            widths.use_architecture(space, &scaled);
            widths.close_gap();
        }
    }
    let fitted = feasible.with_widths(&widths.widths());
    Ok(ExactFit {
        before_ms,
        after_ms: table.architecture_ms(space, &fitted)?,
        changes: changes(space, architecture, &fitted),
        architecture: fitted,
    })
}

#[cfg(test)]
mod tests;

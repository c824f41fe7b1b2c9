//! Fits a network to a target latency that is always met.
//!
//! Elasticity-scaling ([`refit`]) changes all widths together, so it ends a step away from the target, and above the
//! target if operations and depth exceed it at their smallest widths. [`fit_exactly`] closes both gaps: it changes
//! operations and depth until the network can meet the target, scales the widths as published, and then changes one
//! width, a pair of widths, or all of them until the latency is at most [`TOLERANCE`] below the target.

mod change;
mod give_way;
mod stairs;

pub use change::{Change, changes};

use crate::architecture::Architecture;
use crate::elasticity::{RefitError, refit};
use crate::parse::{ParseError, check_parameters};
use crate::space::Space;
use crate::table::{LatencyTable, TableError};
use give_way::GiveWay;
use stairs::Staircases;

/// How far below the target a fitted network may be if its widths can be adjusted, as a share of the target.
pub const TOLERANCE: f64 = 1e-3;

/// The architecture parameters of a search, which determine the choices to change first.
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
    /// The target is not a positive time.
    #[error("the target latency is {target_ms} ms: it must be positive")]
    Target {
        /// The target.
        target_ms: f64,
    },
    /// No network of the space is so fast.
    #[error(
        "no network of this space meets a target of {target_ms} ms: by the table the fastest one takes {fastest_ms:.4} ms"
    )]
    Unreachable {
        /// The target latency.
        target_ms: f64,
        /// Latency of the fastest network of the space.
        fastest_ms: f64,
    },
    /// Preferences of another space, or that are not finite.
    #[error(transparent)]
    Preferences(#[from] ParseError),
    /// The architecture belongs to another space, or the table does not cover it.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Fits `architecture` to `target_ms` milliseconds: at most the target, and at most [`TOLERANCE`] below it if the
/// widths can be adjusted that finely. A network that is faster than the target at its largest widths gets its largest
/// widths.
///
/// * Operations and depth do not change if some of their widths meet the target. Otherwise they are changed one at a
///   time until some do: an operation of a kept block to a faster one, or a group to fewer blocks. The change that
///   loses the least log-probability per millisecond saved at the smallest latencies comes first. Without `preferences`
///   all choices are equally probable: then the change comes first that suffices alone and saves the least beyond,
///   otherwise the one that saves the most, so that as little as possible is changed.
/// * A width is not used if a larger one is at least as fast: measured curves can decrease with the width.
/// * A network that is near enough keeps its widths. Otherwise elasticity-scaling comes first, from the current widths
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
    let mut possible = architecture.clone();
    let mut stairs = Staircases::new(space, &possible, table, target_ms)?;
    if !stairs.can_fit() {
        possible = GiveWay::new(space, table, preferences)?.until_fit(architecture, target_ms)?;
        stairs = Staircases::new(space, &possible, table, target_ms)?;
    }
    if !stairs.take_largest_if_fit() {
        stairs.take(space, &possible);
        if !(stairs.is_near() && before_ms <= target_ms) {
            let scaled = match refit(space, &possible, table, target_ms) {
                Ok(scaled) => scaled.architecture,
                Err(RefitError::Table(error)) => return Err(error.into()),
                Err(RefitError::Target { target_ms }) => return Err(ExactFitError::Target { target_ms }),
            };
            stairs.take(space, &scaled);
            stairs.close_gap();
        }
    }
    let fitted = possible.with_widths(&stairs.widths());
    Ok(ExactFit {
        before_ms,
        after_ms: table.architecture_ms(space, &fitted)?,
        changes: changes(space, architecture, &fitted),
        architecture: fitted,
    })
}

#[cfg(test)]
mod tests;

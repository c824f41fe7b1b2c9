//! Fits widths to the target latency.

use tfnas::elasticity::refit;
use tfnas::exact_fit::{Preferences, fit_exactly};
use tfnas::{Architecture, LatencyTable, Space, TableError};

use crate::candidate::SearchResult;
use crate::error::SelectError;
use crate::genes::Genes;

/// Fraction of the target that the latency at the largest widths must reach.
const SMALLEST_SHARE: f64 = 0.8;

/// Fits architectures to one target latency.
pub(crate) struct Fitter<'a> {
    space: &'a Space,
    table: &'a LatencyTable,
    target_ms: f64,
    /// The smallest possible latency of a candidate.
    least_ms: f64,
    /// Latency at the smallest and at the largest width, `[block][operation]`.
    bounds: Vec<Vec<(f64, f64)>>,
}

/// An architecture fitted to the target latency.
pub(crate) struct Fitted {
    pub(crate) architecture: Architecture,
    pub(crate) ms: f64,
}

impl<'a> Fitter<'a> {
    /// # Errors
    /// Returns [`SelectError::Target`] for an invalid target, [`SelectError::Unreachable`] if no network meets it, and
    /// [`SelectError::Table`] if the table lacks rows of the space.
    pub(crate) fn new(space: &'a Space, table: &'a LatencyTable, target_ms: f64) -> Result<Self, SelectError> {
        if !(target_ms.is_finite() && target_ms > 0.0) {
            return Err(SelectError::Target { target_ms });
        }
        let reachable = table.reachable_ms(space)?;
        if target_ms < reachable.min_ms {
            return Err(SelectError::Unreachable { target_ms, min_ms: reachable.min_ms });
        }
        let row = |block: &tfnas::Block| -> Result<Vec<(f64, f64)>, TableError> {
            let operations = space.operations().iter();
            operations
                .map(|operation| {
                    let curve = table.curve(&block.key(operation))?;
                    let (min, max) = (block.min_width(operation), block.max_width(operation));
                    let ms = |width| curve.ms(width).unwrap_or(f64::NAN);
                    Ok((ms(min), ms(max)))
                })
                .collect()
        };
        let bounds = space.blocks().iter().map(row).collect::<Result<_, _>>()?;
        let least_ms = SMALLEST_SHARE * target_ms.min(reachable.max_ms);
        Ok(Self { space, table, target_ms, least_ms, bounds })
    }

    pub(crate) fn space(&self) -> &'a Space {
        self.space
    }

    pub(crate) fn table(&self) -> &'a LatencyTable {
        self.table
    }

    /// Fits the widths of the genes to the target. Returns `None` if the latency exceeds the target at the smallest
    /// widths, or is far below it at the largest.
    pub(crate) fn fit(&self, genes: &Genes) -> Result<Option<Fitted>, SelectError> {
        if !self.may_fit(genes) {
            return Ok(None);
        }
        let fitted = fit_exactly(self.space, &genes.architecture(self.space)?, self.table, self.target_ms, None)?;
        let fits = fitted.changes.is_empty() && (self.least_ms..=self.target_ms).contains(&fitted.after_ms);
        Ok(fits.then_some(Fitted { architecture: fitted.architecture, ms: fitted.after_ms }))
    }

    /// [`fit`](Self::fit) with less accuracy, fast enough for thousands of candidates.
    pub(crate) fn rough(&self, genes: &Genes) -> Result<Option<Fitted>, SelectError> {
        if !self.may_fit(genes) {
            return Ok(None);
        }
        let fitted = refit(self.space, &genes.architecture(self.space)?, self.table, self.target_ms)?;
        let fits = (self.least_ms..=self.target_ms).contains(&fitted.after_ms);
        Ok(fits.then_some(Fitted { architecture: fitted.architecture, ms: fitted.after_ms }))
    }

    /// Changes an architecture as little as necessary to meet the target, starting with the least probable choices of
    /// the search.
    pub(crate) fn fit_changed(
        &self,
        architecture: &Architecture,
        search: Option<&SearchResult>,
    ) -> Result<Fitted, SelectError> {
        let preferences = search.map(|search| Preferences { log_alphas: &search.log_alphas, betas: &search.betas });
        let fitted = fit_exactly(self.space, architecture, self.table, self.target_ms, preferences.as_ref())?;
        Ok(Fitted { architecture: fitted.architecture, ms: fitted.after_ms })
    }

    /// Whether the target is between the latencies at the smallest and at the largest widths, or slightly above.
    fn may_fit(&self, genes: &Genes) -> bool {
        let mut range = (self.table.base_ms(), self.table.base_ms());
        for (group, operations) in genes.0.iter().enumerate() {
            for (index, &operation) in operations.iter().enumerate() {
                let (min, max) = self.bounds[self.space.position(group, index)][operation];
                range = (range.0 + min, range.1 + max);
            }
        }
        range.0 <= self.target_ms && range.1 >= self.least_ms
    }
}

//! `search.verify: measured`: corrects the target until the measured latency of the network meets it.

use tfnas::exact_fit::{Preferences, fit_exactly};
use tfnas::{Architecture, LatencyTable, ModelConfig, Space};
use tfnas_stages::Verify;

use crate::error::{Context as _, StageError};
use crate::reference::Measured;

/// How often the target is corrected at most.
const CORRECTIONS: usize = 3;

/// A network and its measured latency.
pub struct Verified {
    /// The architecture, with other widths if its latency missed the target, and other operations and depths if that did not
    /// suffice.
    pub architecture: Architecture,
    /// Its measured latency.
    pub measured: Measured,
    /// The corrected targets, in milliseconds of the table.
    pub corrected_ms: Vec<f64>,
}

/// Fits an architecture until its measured latency, at the speed that the machine had when the table was measured, is within
/// 2 % of the target. A network that is faster even at its largest widths meets it too.
///
/// * `preferences`: those of the search, by which operations and depths are changed, if known.
/// * `measure`: measures an architecture.
///
/// # Errors
/// Returns an error if three corrections do not suffice, or if a network cannot be measured or fitted.
pub fn verify(
    space: &Space,
    table: &LatencyTable,
    target_ms: f64,
    architecture: Architecture,
    preferences: Option<&Preferences<'_>>,
    mut measure: impl FnMut(&Architecture) -> Result<Measured, StageError>,
) -> Result<Verified, StageError> {
    let mut architecture = architecture;
    let mut corrected_ms = Vec::new();
    loop {
        let measured = measure(&architecture)?;
        let measured_ms = measured.at_table_speed_ms();
        let share = measured_ms / target_ms;
        if (share - 1.0).abs() <= Verify::TOLERANCE {
            return Ok(Verified { architecture, measured, corrected_ms });
        }
        let predicted_ms = table.architecture_ms(space, &architecture).context("latency.table")?;
        let corrected = predicted_ms / share;
        let fitted = fit_exactly(space, &architecture, table, corrected, preferences);
        let refitted = fitted.ok().map(|fitted| fitted.architecture).filter(|refitted| *refitted != architecture);
        match refitted {
            Some(refitted) if corrected_ms.len() < CORRECTIONS => architecture = refitted,
            None if share < 1.0 => return Ok(Verified { architecture, measured, corrected_ms }),
            _ => {
                return Err(StageError::with_hint(
                    format!(
                        "the measured latency is {measured_ms:.4} ms for a target of {target_ms:.4} ms, after {} corrections of \
                         the target",
                        corrected_ms.len()
                    ),
                    "run again on a quieter machine, raise lookup.budget_s, or set search.verify: predicted",
                ));
            }
        }
        corrected_ms.push(corrected);
    }
}

/// Returns the network of an architecture.
pub fn config_of(space: &Space, architecture: &Architecture, classes: usize) -> Result<ModelConfig, StageError> {
    ModelConfig::from_architecture(space, architecture, classes).context("architecture")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tfnas_random::{Stream, StreamId};
    use tfnas_torch::timing::NetworkTime;

    use super::*;

    /// A table by which a network takes 1 ms and 0.01 ms for each channel of its blocks.
    fn table(space: &Space) -> LatencyTable {
        let rows = space.needed_rows().into_iter().map(|row| {
            let widths = [1, row.max_width.max(2)];
            let knots = widths.map(|width| tfnas::Knot { width, ms: 0.01 * width as f64 });
            (row.key, tfnas::LatencyCurve::new(knots.to_vec()).unwrap())
        });
        let header = tfnas::TableHeader { name: "test".to_owned(), ..tfnas::TableHeader::default() };
        LatencyTable::new(header, 1.0, rows.collect()).unwrap()
    }

    fn measured(ms: f64) -> Measured {
        Measured { time: NetworkTime { median_ms: ms, low_ms: ms, high_ms: ms }, drift: None }
    }

    fn start(space: &Space, table: &LatencyTable) -> (Architecture, f64) {
        let architecture = Architecture::random(space, &mut Stream::new(4, StreamId::RandomArchitecture, 0, 0));
        // Its widths can be changed in both directions.
        let target_ms = 0.75 * fit_exactly(space, &architecture, table, 1e6, None).unwrap().after_ms;
        (fit_exactly(space, &architecture, table, target_ms, None).unwrap().architecture, target_ms)
    }

    #[test]
    fn a_network_that_meets_the_target_is_left_as_it_is() {
        let space = Space::small();
        let table = table(&space);
        let (architecture, target_ms) = start(&space, &table);
        let found =
            verify(&space, &table, target_ms, architecture.clone(), None, |_| Ok(measured(1.019 * target_ms))).unwrap();
        assert_eq!(found.architecture, architecture);
        assert_eq!(found.corrected_ms, [0.0; 0]);
    }

    #[test]
    fn a_table_that_predicts_too_little_is_corrected() {
        let space = Space::small();
        let table = table(&space);
        let (architecture, target_ms) = start(&space, &table);
        for factor in [1.1, 0.9] {
            let predicted = |architecture: &Architecture| table.architecture_ms(&space, architecture).unwrap();
            let found = verify(&space, &table, target_ms, architecture.clone(), None, |architecture| {
                Ok(measured(factor * predicted(architecture)))
            });
            let found = found.unwrap();
            assert!((found.measured.time.median_ms / target_ms - 1.0).abs() <= Verify::TOLERANCE, "{factor}");
            assert_eq!(found.corrected_ms.len(), 1);
            assert!((found.corrected_ms[0] * factor / target_ms - 1.0).abs() < 0.01, "{factor}");
        }
    }

    #[test]
    fn operations_and_depths_change_if_the_smallest_widths_do_not_suffice() {
        let space = Space::small();
        let table = table(&space);
        let (architecture, _) = start(&space, &table);
        let predicted = |architecture: &Architecture| table.architecture_ms(&space, architecture).unwrap();
        let target_ms = 1.25 * table.reachable_ms(&space).unwrap().min_ms;
        let fitted = fit_exactly(&space, &architecture, &table, target_ms, None).unwrap().architecture;
        let found =
            verify(&space, &table, target_ms, fitted.clone(), None, |network| Ok(measured(1.2 * predicted(network))));
        assert!(!tfnas::exact_fit::changes(&space, &fitted, &found.unwrap().architecture).is_empty());
    }

    #[test]
    fn a_latency_that_does_not_follow_the_widths_is_an_error() {
        let space = Space::small();
        let table = table(&space);
        let (architecture, target_ms) = start(&space, &table);
        let never = verify(&space, &table, target_ms, architecture, None, |_| Ok(measured(1.1 * target_ms)));
        assert!(format!("{:?}", never.err().unwrap()).contains("after 3 corrections"));
    }

    #[test]
    fn a_network_that_is_fast_at_its_largest_widths_meets_the_target() {
        let space = Space::small();
        let table = table(&space);
        let (architecture, target_ms) = start(&space, &table);
        let largest = fit_exactly(&space, &architecture, &table, 1e6, None).unwrap().architecture;
        let found =
            verify(&space, &table, target_ms, largest.clone(), None, |_| Ok(measured(0.5 * target_ms))).unwrap();
        assert_eq!(found.architecture, largest);
    }
}

//! The current width of every operation of every block, which elasticity-scaling changes.

use serde::Serialize;

use crate::allowed_widths::AllowedWidths;
use crate::architecture::Architecture;
use crate::definition::Operation;
use crate::space::{Block, Space};

/// One width per (block, operation), within the bounds of its operation.
///
/// It serializes as rows. Pass deserialized rows to [`Widths::new`], which validates them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Widths {
    rows: Vec<Vec<usize>>,
}

/// Why widths do not match a space.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WidthError {
    /// The number of rows, or of entries in a row, is wrong.
    #[error("{found} {what}, but the space has {expected}")]
    Shape {
        /// The counted items.
        what: String,
        /// Number found.
        found: usize,
        /// Expected number.
        expected: usize,
    },
    /// A width is not allowed.
    #[error("{block}: width {width} of {operation}: it must be {allowed}")]
    OutOfBounds {
        /// Name of the block.
        block: String,
        /// Name of the operation.
        operation: String,
        /// The width.
        width: usize,
        /// The allowed widths.
        allowed: AllowedWidths,
    },
}

impl Widths {
    /// Returns the initial widths of a search.
    pub fn initial(space: &Space) -> Self {
        Self::filled(space, Block::initial_width)
    }

    /// Returns the largest widths, which are those of the supernet's weights.
    pub fn max(space: &Space) -> Self {
        Self::filled(space, Block::max_width)
    }

    /// Validates one row per block with one width per operation.
    ///
    /// # Errors
    /// Returns [`WidthError::Shape`] for a wrong number of rows or entries, and [`WidthError::OutOfBounds`] for the
    /// first width that is not allowed.
    pub fn new(space: &Space, rows: Vec<Vec<usize>>) -> Result<Self, WidthError> {
        check_count("blocks have widths", rows.len(), space.blocks().len())?;
        for (block, row) in space.blocks().iter().zip(&rows) {
            let what = format!("operations of {} have widths", block.name());
            check_count(&what, row.len(), space.operations().len())?;
            for (operation, &width) in row.iter().enumerate() {
                check_width(space, block, operation, width)?;
            }
        }
        Ok(Self { rows })
    }

    /// Returns the width of an operation of a block, both counted from 0 over the complete space.
    ///
    /// # Panics
    /// Panics if there is no such block or operation.
    pub fn get(&self, block: usize, operation: usize) -> usize {
        self.rows[block][operation]
    }

    /// Changes one width.
    ///
    /// # Errors
    /// Returns [`WidthError::OutOfBounds`] if the width is not allowed. Nothing is changed then.
    ///
    /// # Panics
    /// Panics if there is no such block or operation.
    pub fn set(&mut self, space: &Space, block: usize, operation: usize, width: usize) -> Result<(), WidthError> {
        check_width(space, &space.blocks()[block], operation, width)?;
        self.rows[block][operation] = width;
        Ok(())
    }

    /// Sets the widths of the operations that an architecture of the same space chose.
    pub fn adopt(&mut self, space: &Space, architecture: &Architecture) {
        for (block, choice) in architecture.choices(space) {
            let row = &mut self.rows[space.position(block.group, block.index)];
            row[choice.operation] = choice.width;
        }
    }

    /// All widths, `[block][operation]`.
    pub fn rows(&self) -> &[Vec<usize>] {
        &self.rows
    }

    fn filled(space: &Space, width: impl Fn(&Block, &Operation) -> usize) -> Self {
        let row = |block| {
            let operations = space.operations().iter();
            operations.map(|operation| width(block, operation)).collect()
        };
        Self { rows: space.blocks().iter().map(row).collect() }
    }
}

/// Checks that this width is allowed for an operation of this block.
pub(crate) fn check_width(space: &Space, block: &Block, operation: usize, width: usize) -> Result<(), WidthError> {
    let operation = &space.operations()[operation];
    let allowed = block.widths(operation);
    if allowed.contains(width) {
        return Ok(());
    }
    Err(WidthError::OutOfBounds { block: block.name(), operation: operation.name(), width, allowed })
}

fn check_count(what: &str, found: usize, expected: usize) -> Result<(), WidthError> {
    if found == expected {
        return Ok(());
    }
    Err(WidthError::Shape { what: what.to_owned(), found, expected })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Choice;

    #[test]
    fn initial_and_maximum_widths_are_multiples_of_the_input_channels() {
        let space = Space::imagenet();
        assert_eq!(Widths::initial(&space).rows()[0], [48, 96, 48, 96, 48, 96, 48, 96]);
        assert_eq!(Widths::max(&space).rows()[17][..2], [768, 1536]);
    }

    #[test]
    fn a_width_out_of_bounds_is_rejected_and_changes_nothing() {
        let space = Space::small();
        let mut widths = Widths::initial(&space);
        let before = widths.clone();
        for width in [0, 15, 33] {
            let error = widths.set(&space, 0, 0, width).unwrap_err().to_string();
            let expected = format!("stage1.block1: width {width} of k3_e3: it must be 16 to 32");
            assert_eq!(error, expected);
        }
        assert_eq!(widths, before);
        widths.set(&space, 0, 0, 16).unwrap();
        assert_eq!(widths.get(0, 0), 16);
    }

    #[test]
    fn widths_round_trip_and_are_validated() {
        let space = Space::small();
        let widths = Widths::initial(&space);
        let text = serde_json::to_string(&widths).unwrap();
        let rows: Vec<Vec<usize>> = serde_json::from_str(&text).unwrap();
        assert_eq!(Widths::new(&space, rows.clone()).unwrap(), widths);

        let error = Widths::new(&space, rows[1..].to_vec()).unwrap_err().to_string();
        assert_eq!(error, "5 blocks have widths, but the space has 6");
        let mut short = rows;
        short[1].pop();
        let error = Widths::new(&space, short).unwrap_err().to_string();
        assert_eq!(error, "3 operations of stage2.block1 have widths, but the space has 4");
    }

    #[test]
    fn adopting_an_architecture_changes_only_its_widths() {
        let space = Space::small();
        let mut widths = Widths::initial(&space);
        let choice = |operation, width| vec![Choice { operation, width }];
        let groups = vec![choice(2, 40), choice(0, 25), choice(1, 33)];
        let architecture = Architecture::new(&space, groups).unwrap();
        widths.adopt(&space, &architecture);
        let mut expected = Widths::initial(&space);
        expected.set(&space, 0, 2, 40).unwrap();
        expected.set(&space, 1, 0, 25).unwrap();
        expected.set(&space, 3, 1, 33).unwrap();
        assert_eq!(widths, expected);
    }
}

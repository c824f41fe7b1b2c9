//! The differences between two networks of a space.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;
use crate::space::Space;

/// An operation or a depth that a fit changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A kept block has another operation.
    Operation {
        /// Name of the block, such as `stage1.block2`.
        block: String,
        /// Index of the operation before.
        from: usize,
        /// Index of the operation after.
        to: usize,
        /// The names of both operations, such as `k5_e6_se`.
        names: [String; 2],
    },
    /// A group keeps a different number of blocks.
    Depth {
        /// The group, from 0.
        group: usize,
        /// Number of blocks before.
        from: usize,
        /// Number of blocks after.
        to: usize,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation { block, names: [from, to], .. } => write!(f, "{block}: {from} -> {to}"),
            Self::Depth { group, from, to } => write!(f, "stage{}: {from} -> {to} blocks", group + 1),
        }
    }
}

/// Returns the depths and operations in which two networks of a space differ, group by group. Operations of blocks that
/// only one of them keeps are ignored.
pub fn changes(space: &Space, before: &Architecture, after: &Architecture) -> Vec<Change> {
    let mut changes = Vec::new();
    for (group, (before, after)) in before.groups().iter().zip(after.groups()).enumerate() {
        if before.len() != after.len() {
            changes.push(Change::Depth { group, from: before.len(), to: after.len() });
        }
        for (block, (before, after)) in space.blocks_of(group).iter().zip(before.iter().zip(after)) {
            let (from, to) = (before.operation, after.operation);
            if from != to {
                let names = [from, to].map(|operation| space.operations()[operation].name());
                changes.push(Change::Operation { block: block.name(), from, to, names });
            }
        }
    }
    changes
}

//! Reads architecture parameters, widths and architectures of golden cases, which are keyed by `stage1`, `block2`.

use serde_json::Value;
use tfnas::{Architecture, Choice, Space, Widths};

use super::cases::{f32s, usizes};

/// Returns the `log_alphas` of every block.
pub fn log_alphas(space: &Space, case: &Value) -> Vec<Vec<f32>> {
    let blocks = space.blocks().iter();
    blocks.map(|block| f32s(&case["log_alphas"][block.name()])).collect()
}

/// Returns the `betas` of every group.
pub fn betas(space: &Space, case: &Value) -> Vec<Vec<f32>> {
    let groups = 1..=space.groups().len();
    groups.map(|group| f32s(&case["betas"][format!("stage{group}")])).collect()
}

/// Returns the width of every operation of every block.
pub fn widths(space: &Space, case: &Value) -> Widths {
    let rows = space.blocks().iter().map(|block| {
        let (stage, name) = names(block.group, block.index);
        usizes(&case["widths"][stage][name])
    });
    Widths::new(space, rows.collect()).unwrap()
}

/// Returns the kept blocks with their operations; the widths are in another field of the case.
pub fn architecture(space: &Space, operations: &Value, widths: &Value) -> Architecture {
    let mut groups = vec![Vec::new(); space.groups().len()];
    for block in space.blocks() {
        let (stage, name) = names(block.group, block.index);
        if let Some(operation) = operations[&stage][&name].as_u64() {
            groups[block.group].push(Choice {
                operation: operation as usize,
                width: widths[&stage][&name].as_u64().unwrap() as usize,
            });
        }
    }
    Architecture::new(space, groups).unwrap()
}

fn names(group: usize, index: usize) -> (String, String) {
    (format!("stage{}", group + 1), format!("block{}", index + 1))
}

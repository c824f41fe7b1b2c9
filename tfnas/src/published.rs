//! The two tables published by the authors, embedded in this crate.

use crate::table::LatencyTable;

impl LatencyTable {
    /// The authors' table of a Titan RTX, batch size 32 (`latency_gpu.pkl` of AberHu/TF-NAS, MIT license).
    pub fn titan_rtx() -> Self {
        shipped(include_str!("../../latency_tables/titan-rtx-b32.table"))
    }

    /// The authors' table of one thread of a Xeon Gold 6130, batch size 1 (`latency_cpu.pkl` of AberHu/TF-NAS, MIT
    /// license).
    pub fn xeon_gold_6130() -> Self {
        shipped(include_str!("../../latency_tables/xeon-gold-6130-b1.table"))
    }
}

fn shipped(text: &str) -> LatencyTable {
    LatencyTable::parse(text).expect("the embedded tables are checked by a test")
}

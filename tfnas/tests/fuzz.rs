//! Parsers must return an error or a value for damaged and random text: no panics, bounded time and memory.
//!
//! Each parser gets 10,000 inputs, or the number in `TFNAS_FUZZ_INPUTS`. An input depends only on its index.
#![allow(clippy::unwrap_used)]

use tfnas::{Architecture, LatencyTable, ModelConfig, Space};
use tfnas_random::{Stream, StreamId};
use tfnas_testutils::damage::{check_memory, damaged, inputs};

/// Returns a table with two short rows.
fn small_table() -> LatencyTable {
    let text = "\
latency table 1
name: test
unit: ms
batch: 1
base_ms: 0.5

MBInvertedResBlock_4_2_0_2_k3_s1_relu
2: 0.1
10: 0.4

MBInvertedResBlock_4_2_2_2_k5_s1_swish
2: 0.2
10: 0.3
";
    LatencyTable::parse(text).unwrap()
}

#[test]
fn damaged_tables_are_parsed_or_rejected() {
    let text = small_table().to_text();
    for index in 0..inputs() {
        let damaged = damaged(text.as_bytes(), index);
        if let Ok(table) = LatencyTable::parse(&String::from_utf8_lossy(&damaged)) {
            assert_eq!(LatencyTable::parse(&table.to_text()).unwrap(), table);
        }
    }
    check_memory();
}

#[test]
fn damaged_configs_are_parsed_or_rejected() {
    let space = Space::small();
    let mut stream = Stream::new(0, StreamId::RandomArchitecture, 0, 0);
    let architecture = Architecture::random(&space, &mut stream);
    let text = ModelConfig::from_architecture(&space, &architecture, 10).unwrap().to_text();
    for index in 0..inputs() {
        let damaged = damaged(text.as_bytes(), index);
        if let Ok(config) = ModelConfig::parse(&String::from_utf8_lossy(&damaged)) {
            assert_eq!(ModelConfig::parse(&config.to_text()).unwrap(), config);
        }
    }
    check_memory();
}

#[test]
fn damaged_spaces_are_parsed_or_rejected() {
    let text = serde_json::to_string(Space::small().definition()).unwrap();
    for index in 0..inputs() {
        let damaged = damaged(text.as_bytes(), index);
        if let Ok(definition) = serde_json::from_slice(&damaged)
            && let Ok(space) = Space::new(definition)
        {
            let mut stream = Stream::new(0, StreamId::RandomArchitecture, 1, index);
            Architecture::random(&space, &mut stream).check(&space).unwrap();
        }
    }
    check_memory();
}

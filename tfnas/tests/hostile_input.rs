//! Readers against damaged and random input: an error or a value, never a panic, always soon.
#![allow(clippy::unwrap_used)]

use tfnas::pickle::{self, Limits};
use tfnas::{Architecture, LatencyTable, ModelConfig, Space, TableHeader};
use tfnas_random::{Purpose, Stream};

const INPUTS: u32 = 10_000;

/// The bytes after a few random changes: flipped bits, other bytes, removed, repeated and moved pieces.
fn damaged(bytes: &[u8], index: u32) -> Vec<u8> {
    let mut stream = Stream::new(0, Purpose::Synthetic, 1, index);
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + stream.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = stream.below(bytes.len() as u64) as usize;
        let length = 1 + stream.below(8.min((bytes.len() - at) as u64)) as usize;
        match stream.below(6) {
            0 => bytes[at] ^= 1 << stream.below(8),
            1 => bytes[at] = stream.below(256) as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..at + length)),
            4 => bytes.extend_from_within(at..at + length),
            _ => {
                let piece: Vec<u8> = bytes.drain(at..at + length).collect();
                let to = stream.below(bytes.len() as u64 + 1) as usize;
                bytes.splice(to..to, piece);
            }
        }
    }
    bytes
}

fn header() -> TableHeader {
    TableHeader { name: "test".to_owned(), ..TableHeader::default() }
}

/// A table of two short rows.
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
fn damaged_pickles_of_tables_are_read_or_refused() {
    let bytes = small_table().to_pickle();
    let read = |index| LatencyTable::from_pickle(&damaged(&bytes, index), header());
    let refused = (0..INPUTS).filter(|&index| read(index).is_err()).count();
    assert!(refused > INPUTS as usize / 2);
}

#[test]
fn random_opcodes_are_read_or_refused() {
    const OPCODES: &[u8] = b"(.012FIJKLMNPQRSTUVXabcd}eghijl]opqrstu)GBC\n\x00\x01\x02\x80\x81\x85\x86\x87\
        \x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96";
    let limits = Limits { globals: &[("a", "b")], ..Limits::default() };
    for index in 0..10 * INPUTS {
        let mut stream = Stream::new(0, Purpose::Synthetic, 2, index);
        let length = stream.below(60);
        let opcode = |_| OPCODES[stream.below(OPCODES.len() as u64) as usize];
        let bytes: Vec<u8> = (0..length).map(opcode).collect();
        if let Ok(pickle) = pickle::parse(&bytes, &limits) {
            pickle.mapping(pickle.root());
            assert!(!pickle.kind(pickle.root()).is_empty());
        }
    }
}

#[test]
fn damaged_texts_of_tables_are_read_or_refused() {
    let text = small_table().to_text();
    for index in 0..INPUTS {
        let damaged = damaged(text.as_bytes(), index);
        if let Ok(table) = LatencyTable::parse(&String::from_utf8_lossy(&damaged)) {
            assert_eq!(LatencyTable::parse(&table.to_text()).unwrap(), table);
        }
    }
}

#[test]
fn damaged_configs_are_read_or_refused() {
    let space = Space::small();
    let mut stream = Stream::new(0, Purpose::RandomArchitecture, 0, 0);
    let architecture = Architecture::random(&space, &mut stream);
    let text = ModelConfig::from_architecture(&space, &architecture, 10).unwrap().to_text();
    for index in 0..INPUTS {
        let damaged = damaged(text.as_bytes(), index);
        if let Ok(config) = ModelConfig::parse(&String::from_utf8_lossy(&damaged)) {
            assert_eq!(ModelConfig::parse(&config.to_text()).unwrap(), config);
        }
    }
}

#[test]
fn damaged_spaces_are_spaces_or_refused() {
    let text = serde_json::to_string(Space::small().definition()).unwrap();
    for index in 0..INPUTS {
        let damaged = damaged(text.as_bytes(), index);
        if let Ok(definition) = serde_json::from_slice(&damaged)
            && let Ok(space) = Space::new(definition)
        {
            let mut stream = Stream::new(0, Purpose::RandomArchitecture, 1, index);
            Architecture::random(&space, &mut stream).check(&space).unwrap();
        }
    }
}

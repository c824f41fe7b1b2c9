//! Damaged input, and a limit on the memory of parsers.

use tfnas_random::{Stream, StreamId};

use crate::peak_memory::peak_memory_bytes;

/// Environment variable that overrides [`INPUTS`].
const OTHER_COUNT: &str = "TFNAS_FUZZ_INPUTS";
const INPUTS: u32 = 10_000;
/// Memory limit for all parsers together, in MiB.
const MEMORY_MIB: u64 = 256;

/// Returns the number of inputs for each parser.
pub fn inputs() -> u32 {
    std::env::var(OTHER_COUNT).map_or(INPUTS, |count| count.parse().unwrap())
}

/// Applies a few random changes to the bytes: flipped bits, other bytes, extreme numbers, and removed, repeated or
/// moved parts.
pub fn damaged(bytes: &[u8], index: u32) -> Vec<u8> {
    let mut stream = Stream::new(0, StreamId::Synthetic, 1, index);
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + stream.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = stream.below(bytes.len() as u64) as usize;
        let length = 1 + stream.below(8.min((bytes.len() - at) as u64)) as usize;
        match stream.below(7) {
            0 => bytes[at] ^= 1 << stream.below(8),
            1 => bytes[at] = stream.below(256) as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..at + length)),
            4 => bytes.extend_from_within(at..at + length),
            5 => bytes[at..at + length].fill([0, 0x7f, 0xff][stream.below(3) as usize]),
            _ => {
                let piece: Vec<u8> = bytes.drain(at..at + length).collect();
                let to = stream.below(bytes.len() as u64 + 1) as usize;
                bytes.splice(to..to, piece);
            }
        }
    }
    bytes
}

/// Panics if the peak memory of this process exceeds the limit.
pub fn check_memory() {
    let Some(peak) = peak_memory_bytes() else {
        println!("SKIPPED: this system does not report the peak memory of a process");
        return;
    };
    let peak_mib = peak >> 20;
    assert!(peak_mib < MEMORY_MIB, "peak memory is {peak_mib} MiB, and the limit is {MEMORY_MIB} MiB");
}

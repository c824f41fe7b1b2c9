//! Damaged input, and how much memory reading it took.
#![allow(dead_code, clippy::unwrap_used)]

use tfnas_random::{Stream, StreamId};

/// Names how many inputs each reader gets instead of [`INPUTS`].
const OTHER_COUNT: &str = "TFNAS_FUZZ_INPUTS";
const INPUTS: u32 = 10_000;
/// What all readers together may take, in kibibytes.
const MEMORY_KIB: u64 = 256 << 10;

/// How many inputs each reader gets.
pub fn inputs() -> u32 {
    std::env::var(OTHER_COUNT).map_or(INPUTS, |count| count.parse().unwrap())
}

/// The bytes after a few random changes: flipped bits, other bytes, numbers at their extremes, removed, repeated and moved
/// pieces.
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

/// Fails if this process ever took more memory than its readers may.
pub fn check_memory() {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        println!("SKIPPED: this system does not say how much memory a process took");
        return;
    };
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < MEMORY_KIB, "{peak} KiB at most, more than {MEMORY_KIB}");
}

//! Readers with damaged and random input return a value or an error, in bounded time and memory, and never panic.
//!
//! Each reader gets 10,000 inputs, or the number in `TFNAS_FUZZ_INPUTS`. An input depends only on its index.
#![allow(clippy::unwrap_used)]

use tfnas::state_shapes::TensorShape;
use tfnas::{LatencyTable, Space, TableHeader};
use tfnas_pytorch_files::checkpoint::{Checkpoint, Dtype, PlainTensor, Wanted, WeightsFile, to_safetensors, write_pth};
use tfnas_pytorch_files::pickle::{self, Foreign, Limits};
use tfnas_pytorch_files::{table_from_pickle, table_to_pickle};
use tfnas_random::{Stream, StreamId};
use tfnas_testutils::damage::{check_memory, damaged, inputs};
use tfnas_testutils::legacy_checkpoint::{Named, legacy_checkpoint};

fn header() -> TableHeader {
    TableHeader { name: "test".to_owned(), ..TableHeader::default() }
}

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
fn damaged_pickles_of_tables_do_not_panic() {
    let bytes = table_to_pickle(&small_table());
    let read = |index| table_from_pickle(&damaged(&bytes, index), header());
    let rejected = (0..inputs()).filter(|&index| read(index).is_err()).count();
    assert!(rejected > inputs() as usize / 2);
    check_memory();
}

#[test]
fn random_opcodes_do_not_panic() {
    const OPCODES: &[u8] = b"(.012FIJKLMNPQRSTUVXabcd}eghijl]opqrstu)GBC\n\x00\x01\x02\x80\x81\x85\x86\x87\
        \x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96";
    let strict = Limits { globals: &[("a", "b")], ..Limits::default() };
    let opaque = Limits { foreign: Foreign::Opaque, ..Limits::default() };
    for index in 0..inputs() {
        let mut stream = Stream::new(0, StreamId::Synthetic, 2, index);
        let length = stream.below(60);
        let opcode = |_| OPCODES[stream.below(OPCODES.len() as u64) as usize];
        let bytes: Vec<u8> = (0..length).map(opcode).collect();
        for limits in [&strict, &opaque] {
            if let Ok(pickle) = pickle::parse(&bytes, limits) {
                pickle.mapping(pickle.root());
                pickle.made_by(pickle.root());
                assert!(!pickle.kind(pickle.root()).is_empty());
            }
        }
    }
    check_memory();
}

#[test]
fn long_repetitions_of_an_opcode_stay_within_the_limits() {
    for opcode in 0..=u8::MAX {
        for beginning in [&b""[..], b"N", b"]q\0(", b"}(", b"\x80\x04\x8c\x01x\x94"] {
            let mut bytes = beginning.to_vec();
            bytes.resize(1 << 20, opcode);
            assert!(pickle::parse(&bytes, &Limits::default()).is_err() || opcode == b'.');
            let opaque = Limits { foreign: Foreign::Opaque, ..Limits::default() };
            assert!(pickle::parse(&bytes, &opaque).is_err() || opcode == b'.');
        }
    }
    check_memory();
}

/// Reads everything in damaged copies of a weights file.
fn read_damaged_weights(file: &[u8]) {
    for index in 0..inputs() {
        let bytes = damaged(file, index);
        if let Ok(read) = WeightsFile::read(&bytes) {
            for (_, tensor) in &read.state_dict.tensors {
                assert_eq!(tensor.bytes().len(), tensor.byte_count());
                tensor.not_finite();
            }
            write_pth(Vec::new(), &read.state_dict.tensors).unwrap();
            to_safetensors(&read.state_dict.tensors).unwrap();
        }
    }
    check_memory();
}

/// Returns a file with three tensors.
fn with_tensors(write: impl Fn(&[(String, PlainTensor<'_>)]) -> Vec<u8>) -> Vec<u8> {
    let numbers: Vec<u8> = (0..24).collect();
    let tensor = |dtype: Dtype, shape: &[usize]| {
        let length = shape.iter().product::<usize>() * dtype.size();
        PlainTensor::contiguous(dtype, shape.to_vec(), &numbers[..length]).unwrap()
    };
    write(&[
        ("module.a.weight".to_owned(), tensor(Dtype::F32, &[2, 3])),
        ("module.a.bias".to_owned(), tensor(Dtype::F64, &[3])),
        ("module.steps".to_owned(), tensor(Dtype::I64, &[])),
    ])
}

#[test]
fn damaged_checkpoint_archives_do_not_panic() {
    read_damaged_weights(&with_tensors(|tensors| write_pth(Vec::new(), tensors).unwrap()));
}

#[test]
fn damaged_safetensors_do_not_panic() {
    read_damaged_weights(&with_tensors(|tensors| to_safetensors(tensors).unwrap()));
}

/// `{"args": argparse.Namespace(lr=1), "ema": {"module": {"w": float16 of two}}}` in the container before PyTorch 1.6.
const WITH_CODE: [&[u8]; 7] = [
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.",
    b"\x80\x02}X\x0d\0\0\0little_endian\x88s.",
    b"\x80\x02}(X\x04\0\0\0argscargparse\nNamespace\n)\x81}X\x02\0\0\0lrK\x01sb",
    b"X\x03\0\0\0ema}X\x06\0\0\0module}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(",
    b"(X\x07\0\0\0storagectorch\nHalfStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x02tQK\0K\x02\x85K\x01\x85\x89}tRssu.",
    b"\x80\x02(X\x01\0\0\x000t.",
    b"\x02\0\0\0\0\0\0\0\0\x3e\0\xc0",
];

#[test]
fn damaged_checkpoints_with_other_objects_do_not_panic() {
    let file = WITH_CODE.concat();
    let network = [TensorShape { name: "w".to_owned(), shape: vec![2], dtype: Dtype::F32 }];
    let wanted = Wanted { network: Some(&network), key: None };
    let mut read = WeightsFile::find(&file, &wanted).unwrap().state_dict;
    read.fit(&network).unwrap();
    assert_eq!((read.key.as_str(), read.tensors[0].1.to_f32()), ("ema.module", Some(vec![1.5, -2.0])));
    for index in 0..inputs() {
        let bytes = damaged(&file, index);
        let Ok(checkpoint) = Checkpoint::parse(&bytes) else { continue };
        checkpoint.foreign();
        for key in [None, Some("ema.module"), Some("ema.module.w")] {
            let _ = checkpoint.find(&Wanted { network: None, key });
        }
        if let Ok(mut state) = checkpoint.find(&wanted) {
            checkpoint.fields(&state);
            state.choice();
            let _ = state.fit(&network);
        }
    }
    check_memory();
}

#[test]
fn damaged_search_checkpoints_do_not_panic() {
    let space = Space::small();
    let file = small_search(&space);
    assert!(Checkpoint::parse(&file).unwrap().search(&space).unwrap().architecture(&space).is_ok());
    for index in 0..inputs() {
        let bytes = damaged(&file, index);
        if let Ok(checkpoint) = Checkpoint::parse(&bytes) {
            if let Ok(state) = checkpoint.state_dict() {
                checkpoint.fields(&state);
            }
            checkpoint.foreign();
            if let Ok(search) = checkpoint.search(&space) {
                let _ = search.architecture(&space);
            }
        }
    }
    check_memory();
}

/// Returns the checkpoint of a search of a space before its first epoch, without weights.
fn small_search(space: &Space) -> Vec<u8> {
    let mut tensors: Vec<Named> = Vec::new();
    let mut masks = Vec::new();
    for (group, blocks) in (0..space.groups().len()).map(|group| (group, space.blocks_of(group))) {
        for block in blocks {
            let operations = space.operations().len();
            tensors.push((format!("{}.log_alphas", block.name()), vec![operations], vec![-1.0; operations]));
        }
        tensors.push((format!("stage{}.betas", group + 1), vec![blocks.len()], vec![0.0; blocks.len()]));
        let of_blocks = blocks.iter().map(|block| {
            let mask = |operation| {
                let width = block.initial_width(operation);
                (0..block.max_width(operation)).map(|channel| if channel < width { 1.0 } else { 0.0 }).collect()
            };
            space.operations().iter().map(mask).collect()
        });
        masks.push(of_blocks.collect());
    }
    legacy_checkpoint(&tensors, &masks)
}

//! Error messages for damaged and malicious checkpoints and for other files.
#![allow(clippy::unwrap_used)]

use super::archive_writer::ArchiveWriter;
use super::{Checkpoint, CheckpointError, Dtype, PlainTensor, WeightsFile, WeightsFormat, to_safetensors, write_pth};
use crate::pickle::PickleWriter;

/// Returns an archive with these entries.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ArchiveWriter::new(Vec::new());
    for (name, content) in entries {
        writer.entry(name, content).unwrap();
    }
    writer.finish().unwrap()
}

/// Returns `{"state_dict": {name: tensor}}` with one storage of `stored` f32 values and tensors with this offset, sizes
/// and strides.
fn pickle(names: &[&str], key: &str, stored: i64, offset: i64, sizes: &[i64], strides: &[i64]) -> Vec<u8> {
    let mut writer = PickleWriter::new();
    writer.empty_dict();
    writer.mark();
    writer.text("state_dict");
    writer.empty_dict();
    writer.mark();
    for name in names {
        writer.text(name);
        writer.global("torch._utils", "_rebuild_tensor_v2");
        writer.mark();
        writer.mark();
        writer.text("storage");
        writer.global("torch", "FloatStorage");
        writer.text(key);
        writer.text("cpu");
        writer.int(stored);
        writer.tuple();
        writer.persistent();
        writer.int(offset);
        for numbers in [sizes, strides] {
            writer.mark();
            numbers.iter().for_each(|number| writer.int(*number));
            writer.tuple();
        }
        writer.tuple();
        writer.reduce();
    }
    writer.set_items();
    writer.set_items();
    writer.finish()
}

const STORAGE: &[u8] = &[0; 16];

fn valid_checkpoint() -> Vec<u8> {
    let pickle = pickle(&["a"], "0", 4, 0, &[2, 2], &[2, 1]);
    archive(&[("x/data.pkl", &pickle), ("x/data/0", STORAGE), ("x/version", b"3\n")])
}

/// Returns the error message for an invalid file.
fn message_for(bytes: &[u8]) -> String {
    match Checkpoint::parse(bytes) {
        Ok(checkpoint) => checkpoint.state_dict().unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn assert_rejected(bytes: &[u8], expected: &str) {
    let message = message_for(bytes);
    assert!(message.contains(expected), "{message}");
}

#[test]
fn tensors_of_a_checkpoint_are_read() {
    let bytes = valid_checkpoint();
    let checkpoint = Checkpoint::parse(&bytes).unwrap();
    assert_eq!(checkpoint.format(), WeightsFormat::PthZip);
    let state = checkpoint.state_dict().unwrap();
    assert_eq!(state.tensors.len(), 1);
    assert_eq!((state.tensors[0].0.as_str(), state.tensors[0].1.shape()), ("a", &[2, 2][..]));
}

#[test]
fn errors_name_the_kind_of_other_files() {
    let mut tar = vec![0; 600];
    tar[257..262].copy_from_slice(b"ustar");
    for (bytes, expected) in [
        (&b""[..], "it is empty"),
        (b"hello", "begins neither as a zip archive"),
        (b"\x80\x02N.", "a pickle alone"),
        (b"\x1f\x8b\x08", "gzip"),
        (&tar, "before 0.1.10"),
    ] {
        assert_rejected(bytes, expected);
    }
}

#[test]
fn truncated_archives_are_rejected() {
    let bytes = valid_checkpoint();
    for length in 0..bytes.len() {
        assert!(Checkpoint::parse(&bytes[..length]).is_err(), "{length}");
    }
    assert_rejected(&bytes[..bytes.len() - 30], "truncated");
}

#[test]
fn errors_name_the_invalid_entry_of_an_archive() {
    let pickle = pickle(&["a"], "0", 4, 0, &[4], &[1]);
    let (pickle, storage) = (("x/data.pkl", pickle.as_slice()), ("x/data/0", STORAGE));
    for (entries, expected) in [
        (&[pickle, storage, storage][..], "entry 'x/data/0' comes twice"),
        (&[pickle], "storage '0': the archive does not have it"),
        (&[storage], "no data.pkl"),
        (&[("data.pkl", pickle.1), storage], "no data.pkl"),
        (&[pickle, storage, ("y/data.pkl", pickle.1)], "more than one data.pkl"),
        (&[pickle, ("x/data/0", &[0; 15])], "storage '0': 15 bytes, where 4 of float32 are expected"),
        (&[pickle, storage, ("x/byteorder", b"big")], "big-endian"),
    ] {
        assert_rejected(&archive(entries), expected);
    }

    let mut flipped = valid_checkpoint();
    let at = flipped.windows(16).position(|window| window == STORAGE).unwrap();
    flipped[at + 3] ^= 1;
    assert_rejected(&flipped, "checksum");
}

/// Returns the position of the directory entry of `name`.
fn directory_entry(bytes: &[u8], name: &str) -> usize {
    let named = bytes.windows(name.len()).rposition(|window| window == name.as_bytes()).unwrap();
    named - 46
}

#[test]
fn compressed_encrypted_and_misplaced_entries_are_rejected() {
    for (offset, byte, expected) in [
        (10, 8, "is compressed"),
        (20, 99, "is compressed"),
        (8, 1, "is encrypted"),
        (42, 9, "is not at the offset in the directory"),
    ] {
        let mut bytes = valid_checkpoint();
        let entry = directory_entry(&bytes, "x/data/0");
        bytes[entry + offset] = byte;
        assert_rejected(&bytes, expected);
    }
}

/// Returns an archive with `depth` entries that are nested in each other around `content`.
fn nested(depth: usize, content: &[u8]) -> Vec<u8> {
    let mut bytes = content.to_vec();
    let mut entries = Vec::new();
    for level in 0..depth {
        let name = format!("x/{level:03}");
        let mut shared = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let size = bytes.len() as u32;
        shared.extend([crc32fast::hash(&bytes), size, size].map(u32::to_le_bytes).concat());
        shared.extend((name.len() as u16).to_le_bytes());
        bytes = [b"PK\x03\x04", shared.as_slice(), &[0, 0], name.as_bytes(), &bytes].concat();
        entries.push((name, shared, bytes.len()));
    }
    let start = bytes.len();
    for (name, shared, length) in entries {
        let offset = (start - length) as u32;
        let header = [b"PK\x01\x02\x14\0", shared.as_slice(), &[0; 12], &offset.to_le_bytes(), name.as_bytes()];
        bytes.extend(header.concat());
    }
    let length = bytes.len() - start;
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([depth as u16, depth as u16].map(u16::to_le_bytes).concat());
    bytes.extend([length as u32, start as u32].map(u32::to_le_bytes).concat());
    bytes.extend([0, 0]);
    bytes
}

#[test]
fn overlapping_entries_are_rejected() {
    assert_rejected(&nested(1, &[7; 5000]), "no data.pkl");
    assert_rejected(&nested(100, &[7; 5000]), "overlaps others");
}

#[test]
fn counts_in_headers_are_not_trusted() {
    let mut bytes = valid_checkpoint();
    let end = bytes.len() - 22;
    bytes[end + 10..end + 12].fill(0xff);
    assert_rejected(&bytes, "directory is damaged");
    bytes[end + 12..end + 20].fill(0xff);
    assert_rejected(&bytes, "end record is damaged");

    let mut large = valid_checkpoint();
    let mut record = b"PK\x06\x06".to_vec();
    record.extend([0; 28]);
    record.extend([u64::MAX, 40, 0].map(u64::to_le_bytes).concat());
    let end = large.split_off(large.len() - 22);
    let start = large.len() as u64;
    large.extend(record);
    large.extend(b"PK\x06\x07\0\0\0\0");
    large.extend(start.to_le_bytes());
    large.extend([1, 0, 0, 0]);
    large.extend(end);
    assert_rejected(&large, "more than 100000 entries");
}

#[test]
fn errors_name_invalid_tensors() {
    for (stored, offset, sizes, strides, expected) in [
        (4, 0, &[5][..], &[1][..], "'a': shape [5] has more elements than the storage, which has 4"),
        (4, 3, &[2], &[1], "'a': shape [2] with strides [1] from element 3 is outside"),
        (4, 0, &[1 << 40], &[0], "has more elements than the storage"),
        (4, 0, &[1 << 40, 1 << 40], &[1, 1], "has more elements than the storage"),
        (4, -1, &[1], &[1], "'a': its offset is not a number"),
        (4, 0, &[-1], &[1], "'a': its sizes are not a tuple"),
        (4, 0, &[1], &[-1], "'a': its strides are not a tuple"),
        (4, 0, &[1], &[], "'a': 1 sizes and 0 strides"),
        (-4, 0, &[1], &[1], "storage '0': its size is not a number"),
        (1 << 62, 0, &[1], &[1], "storage '0': 16 bytes, where"),
    ] {
        let pickle = pickle(&["a"], "0", stored, offset, sizes, strides);
        assert_rejected(&archive(&[("x/data.pkl", &pickle), ("x/data/0", STORAGE)]), expected);
    }
}

#[test]
fn duplicate_names_and_repeated_storages_are_rejected() {
    let twice = pickle(&["a", "a"], "0", 4, 0, &[4], &[1]);
    assert_rejected(&archive(&[("x/data.pkl", &twice), ("x/data/0", STORAGE)]), "has 'a' twice");

    let names: Vec<String> = (0..50).map(|index| index.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let storage = vec![0; 1 << 20];
    let many = pickle(&names, "0", 1 << 18, 0, &[1 << 18], &[1]);
    assert_rejected(
        &archive(&[("x/data.pkl", &many), ("x/data/0", &storage)]),
        "they use the same storages repeatedly",
    );
}

#[test]
fn errors_name_code_that_is_not_run() {
    for (pickle, name) in [
        (&b"cos\nsystem\n(S'harm'\ntR."[..], "os.system"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "builtins.eval"),
        (b"ctorch.hub\nload\n.", "torch.hub.load"),
        (b"ctorch\nload\n.", "torch.load"),
        (b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n.", "_rebuild_tensor_v2.__globals__"),
        (b"cmodels.model_eval\nNetwork\n)\x81.", "models.model_eval.Network"),
        (b"ctorch\nQInt8Storage\n.", "torch.QInt8Storage"),
    ] {
        let message = message_for(&archive(&[("x/data.pkl", pickle)]));
        assert!(message.contains(name) && message.contains("was not run"), "{message}");
    }
}

#[test]
fn errors_name_values_that_are_no_tensors() {
    for (pickle, expected) in [
        (&b"N."[..], "it contains None"),
        (b"}X\x05\0\0\0epochK\x01s.", "it contains 'epoch'"),
        (b"}X\x0a\0\0\0state_dict}X\x01\0\0\0aK\x01ss.", "'a': it is an integer, not a tensor"),
        (b"}X\x0a\0\0\0state_dict}K\x01K\x01ss.", "an integer as a name"),
        (b"}X\x0a\0\0\0state_dict]s.", "no 'state_dict'"),
        (b"}X\x01\0\0\0aK\x01Qs.", "the reference is not a tuple"),
    ] {
        assert_rejected(&archive(&[("x/data.pkl", pickle)]), expected);
    }
    // A dictionary that contains itself, and deeply nested calls.
    assert_rejected(&archive(&[("x/data.pkl", b"}q\0X\x0a\0\0\0state_dicth\0s.")]), "not a tensor");
    let mut deep = b"}X\x0a\0\0\0state_dict}X\x01\0\0\0a".to_vec();
    deep.extend(b"ctorch._utils\n_rebuild_parameter\n(".repeat(10_000));
    deep.push(b'N');
    deep.extend(b"tR".repeat(10_000));
    deep.extend(b"ss.");
    assert_rejected(&archive(&[("x/data.pkl", &deep)]), "which is not supported");
}

#[test]
fn format_is_detected_and_both_formats_give_equal_tensors() {
    let bytes: Vec<u8> = (0..48).collect();
    let tensors = [
        ("module.b".to_owned(), PlainTensor::contiguous(Dtype::F32, vec![3, 4], &bytes).unwrap()),
        ("module.a".to_owned(), PlainTensor::contiguous(Dtype::I64, vec![], &bytes[..8]).unwrap()),
    ];
    let files = [
        (write_pth(Vec::new(), &tensors).unwrap(), WeightsFormat::PthZip, ["b", "a"]),
        (to_safetensors(&tensors).unwrap(), WeightsFormat::Safetensors, ["a", "b"]),
    ];
    for (file, format, order) in files {
        let read = WeightsFile::read(&file).unwrap();
        assert_eq!(read.format, format);
        assert_eq!(read.state_dict.prefix, "module.");
        let names: Vec<&str> = read.state_dict.tensors.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, order);
        for (name, tensor) in &read.state_dict.tensors {
            let (_, written) = tensors.iter().find(|(written, _)| written.ends_with(name)).unwrap();
            assert_eq!((tensor.dtype(), tensor.shape()), (written.dtype(), written.shape()));
            assert_eq!(tensor.bytes(), written.bytes());
        }
    }
}

#[test]
fn entries_of_an_archive_are_aligned() {
    let content = [0x5a; 64];
    let tensor = PlainTensor::contiguous(Dtype::U8, vec![64], &content).unwrap();
    for length in 1..70 {
        let file = write_pth(Vec::new(), &[("n".repeat(length), tensor.clone())]).unwrap();
        let at = file.windows(64).rposition(|window| window == content).unwrap();
        assert_eq!(at % 64, 0);
    }
}

#[test]
fn safetensors_header_that_is_too_long_is_rejected() {
    let mut file = u64::MAX.to_le_bytes().to_vec();
    file.push(b'{');
    assert!(WeightsFile::read(&file).unwrap_err().to_string().contains("its header would have"));
    let error = Checkpoint::parse(&file).unwrap_err();
    assert!(matches!(error, CheckpointError::Unknown(_)));
}

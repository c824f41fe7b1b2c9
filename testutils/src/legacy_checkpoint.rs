//! Writes a search checkpoint of the original in the container that PyTorch used before version 1.6.

use tfnas_pytorch_files::pickle::PickleWriter;

/// Name, shape and values of a tensor.
pub type Named = (String, Vec<usize>, Vec<f32>);

/// Returns `{"epoch": 3, "state_dict": …, "mc_mask_dddict": …}`. The names begin with `module.`, and the storages are
/// tagged `cuda:0`.
///
/// * `masks`: `[group][block][operation][channel]`.
pub fn legacy_checkpoint(tensors: &[Named], masks: &[Vec<Vec<Vec<f32>>>]) -> Vec<u8> {
    let mut pickle = Pickled { writer: PickleWriter::new(), storages: Vec::new() };
    pickle.writer.empty_dict();
    pickle.writer.mark();
    pickle.writer.text("epoch");
    pickle.writer.int(3);
    pickle.writer.text("state_dict");
    pickle.ordered_dict();
    for (name, shape, values) in tensors {
        pickle.writer.text(&format!("module.{name}"));
        pickle.tensor(shape, values);
    }
    pickle.writer.set_items();
    pickle.writer.text("mc_mask_dddict");
    pickle.ordered_dict();
    for (group, blocks) in masks.iter().enumerate() {
        pickle.writer.text(&format!("stage{}", group + 1));
        pickle.ordered_dict();
        for (block, operations) in blocks.iter().enumerate() {
            pickle.writer.text(&format!("block{}", block + 1));
            pickle.ordered_dict();
            for (operation, mask) in operations.iter().enumerate() {
                pickle.writer.int(operation as i64);
                pickle.tensor(&[mask.len()], mask);
            }
            pickle.writer.set_items();
        }
        pickle.writer.set_items();
    }
    pickle.writer.set_items();
    pickle.writer.set_items();

    let mut system = PickleWriter::new();
    system.empty_dict();
    system.mark();
    system.text("little_endian");
    system.bool(true);
    system.set_items();
    let mut keys = PickleWriter::new();
    keys.mark();
    for key in 0..pickle.storages.len() {
        keys.text(&key.to_string());
    }
    keys.tuple();

    let mut bytes = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.".to_vec();
    bytes.extend(system.finish());
    bytes.extend(pickle.writer.finish());
    bytes.extend(keys.finish());
    for values in pickle.storages {
        bytes.extend((values.len() as u64).to_le_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    bytes
}

struct Pickled {
    writer: PickleWriter,
    storages: Vec<Vec<f32>>,
}

impl Pickled {
    /// Begins a dictionary.
    fn ordered_dict(&mut self) {
        self.writer.global("collections", "OrderedDict");
        self.writer.empty_tuple();
        self.writer.reduce();
        self.writer.mark();
    }

    fn tensor(&mut self, shape: &[usize], values: &[f32]) {
        let writer = &mut self.writer;
        writer.global("torch._utils", "_rebuild_tensor_v2");
        writer.mark();
        writer.mark();
        writer.text("storage");
        writer.global("torch", "FloatStorage");
        writer.text(&self.storages.len().to_string());
        writer.text("cuda:0");
        writer.int(values.len() as i64);
        writer.tuple();
        writer.persistent();
        writer.int(0);
        let mut strides = vec![1; shape.len()];
        for dimension in (1..shape.len()).rev() {
            strides[dimension - 1] = strides[dimension] * shape[dimension];
        }
        for sizes in [shape, &strides] {
            writer.mark();
            sizes.iter().for_each(|size| writer.int(*size as i64));
            writer.tuple();
        }
        writer.bool(false);
        writer.global("collections", "OrderedDict");
        writer.empty_tuple();
        writer.reduce();
        writer.tuple();
        writer.reduce();
        self.storages.push(values.to_vec());
    }
}

//! A state dict as `torch.save` writes it, so that `torch.load(weights_only=True)` accepts it.

use std::io::{self, Write};

use super::archive_writer::ArchiveWriter;
use super::dtype::storage_class;
use super::tensor::PlainTensor;
use crate::pickle::PickleWriter;

/// The folder of the archive.
const FOLDER: &str = "archive";
/// The version of PyTorch's archives of tensors.
const VERSION: &[u8] = b"3\n";

/// Why a checkpoint cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the checkpoint: {0}")]
pub struct PthError(#[from] io::Error);

/// Writes `{"state_dict": {name: tensor, …}}` in PyTorch's zip archive. The same tensors in the same order give the
/// same bytes.
///
/// # Errors
/// Returns [`PthError`] if the output cannot be written, or exceeds the format's limit of 4 GiB or 65,000 tensors.
pub fn write_pth<W: Write>(output: W, tensors: &[(String, PlainTensor<'_>)]) -> Result<W, PthError> {
    let mut archive = ArchiveWriter::new(output);
    archive.entry(&format!("{FOLDER}/data.pkl"), &pickled(tensors))?;
    archive.entry(&format!("{FOLDER}/byteorder"), b"little")?;
    for (key, (_, tensor)) in tensors.iter().enumerate() {
        archive.entry(&format!("{FOLDER}/data/{key}"), &tensor.bytes())?;
    }
    archive.entry(&format!("{FOLDER}/version"), VERSION)?;
    Ok(archive.finish()?)
}

fn pickled(tensors: &[(String, PlainTensor<'_>)]) -> Vec<u8> {
    let mut writer = PickleWriter::new();
    writer.empty_dict();
    writer.mark();
    writer.text("state_dict");
    empty_ordered_dict(&mut writer);
    writer.mark();
    for (key, (name, tensor)) in tensors.iter().enumerate() {
        writer.text(name);
        rebuild(&mut writer, key, tensor);
    }
    writer.set_items();
    writer.set_items();
    writer.finish()
}

/// `_rebuild_tensor_v2(storage, 0, sizes, strides, False, OrderedDict())`.
fn rebuild(writer: &mut PickleWriter, key: usize, tensor: &PlainTensor<'_>) {
    writer.global("torch._utils", "_rebuild_tensor_v2");
    writer.mark();
    writer.mark();
    writer.text("storage");
    writer.global("torch", storage_class(tensor.dtype()));
    writer.text(&key.to_string());
    writer.text("cpu");
    writer.int(tensor.elements() as i64);
    writer.tuple();
    writer.persistent();
    writer.int(0);
    sizes(writer, tensor.shape());
    sizes(writer, &tensor.row_by_row());
    writer.bool(false);
    empty_ordered_dict(writer);
    writer.tuple();
    writer.reduce();
}

fn sizes(writer: &mut PickleWriter, sizes: &[usize]) {
    writer.mark();
    for size in sizes {
        writer.int(*size as i64);
    }
    writer.tuple();
}

fn empty_ordered_dict(writer: &mut PickleWriter) {
    writer.global("collections", "OrderedDict");
    writer.empty_tuple();
    writer.reduce();
}

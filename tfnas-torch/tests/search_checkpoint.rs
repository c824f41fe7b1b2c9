//! Starting a search from an earlier one: this project's file, or a checkpoint of the authors' code.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use tch::{Device, Kind, Tensor};
use tfnas::{Space, Widths};
use tfnas_testutils::legacy_checkpoint::{Named, legacy_checkpoint};
use tfnas_torch::Module;
use tfnas_torch::search_checkpoint::SearchFile;
use tfnas_torch::supernet_state::SupernetState;
use tfnas_torch::weights::write_file;

const CLASSES: usize = 3;

/// A state that is not the initial one.
fn state(space: &Space) -> SupernetState {
    let mut state = SupernetState::new(space, CLASSES, 5, Device::Cpu);
    let mut widths = Widths::initial(space);
    widths.set(space, 2, 1, 40).unwrap();
    widths.set(space, 0, 0, 30).unwrap();
    state.set_widths(&widths);
    state
}

/// Serializes the state in the format of the authors' code.
fn checkpoint(space: &Space, state: &SupernetState) -> Vec<u8> {
    let values = |tensor: &Tensor| {
        let mut values = vec![0f32; tensor.numel()];
        tensor.detach().to_kind(Kind::Float).contiguous().copy_data(&mut values, tensor.numel());
        values
    };
    let tensors = state.full().state();
    let tensors = tensors.iter().map(|(name, tensor)| {
        let shape = tensor.size().iter().map(|&size| size as usize).collect();
        (name.to_owned(), shape, values(tensor))
    });
    let tensors: Vec<Named> = tensors.collect();
    let masks = (0..space.groups().len()).map(|group| {
        let blocks = space.blocks_of(group).iter().map(|block| {
            let kept = &state.kept()[space.position(group, block.index)];
            let masks = space.operations().iter().zip(kept).map(|(operation, kept)| {
                let mut mask = vec![0.0; block.max_width(operation)];
                kept.iter().for_each(|&channel| mask[channel] = 1.0);
                mask
            });
            masks.collect()
        });
        blocks.collect()
    });
    legacy_checkpoint(&tensors, &masks.collect::<Vec<_>>())
}

#[track_caller]
fn assert_same(found: &SupernetState, expected: &SupernetState) {
    assert_eq!(found.kept(), expected.kept());
    let (found, expected) = (found.state(), expected.state());
    assert_eq!(found.len(), expected.len());
    for ((name, found), (expected_name, expected)) in found.iter().zip(expected.iter()) {
        assert_eq!(name, expected_name);
        assert!(found.equal(expected), "{name}");
    }
}

fn read(path: &Path, space: &Space, classes: usize) -> Result<SupernetState, String> {
    let wanted = SearchFile { path, key: None };
    wanted.read(space, classes, Device::Cpu).map(|(state, _)| state).map_err(|error| error.to_string())
}

#[test]
fn a_search_starts_from_safetensors_or_a_legacy_checkpoint() {
    let space = Space::small();
    let state = state(&space);
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("search.safetensors");
    write_file(&state.state(), &own).unwrap();
    assert_same(&read(&own, &space, CLASSES).unwrap(), &state);
    let original = folder.path().join("searched_model_03.pth.tar");
    std::fs::write(&original, checkpoint(&space, &state)).unwrap();
    assert_same(&read(&original, &space, CLASSES).unwrap(), &state);
}

#[test]
fn a_checkpoint_of_another_space_or_class_count_is_rejected() {
    let space = Space::small();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("searched_model_03.pth.tar");
    std::fs::write(&file, checkpoint(&space, &state(&space))).unwrap();
    let error = read(&file, &Space::cifar(), CLASSES).unwrap_err();
    assert!(error.contains("belongs to another space"), "{error}");
    let error = read(&file, &space, 4).unwrap_err();
    assert!(error.contains("classifier.linear.weight: shape [3, 96], expected [4, 96]"), "{error}");
}

#[test]
fn invalid_masks_are_rejected_with_their_block_and_operation() {
    let space = Space::small();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("searched_model_03.pth.tar");
    let mut bytes = checkpoint(&space, &state(&space));
    // The last number of the file is the last entry of the last mask.
    let end = bytes.len() - 4;
    bytes[end..].copy_from_slice(&0.5f32.to_le_bytes());
    std::fs::write(&file, bytes).unwrap();
    let error = read(&file, &space, CLASSES).unwrap_err();
    assert!(error.contains("the mask of stage3.block3, operation 3: it has 0.5"), "{error}");
}

//! Compatibility with PyTorch: this crate and PyTorch read each other's checkpoints with equal bytes.
#![allow(clippy::unwrap_used)]

mod python;

use python::{python_with, run};
use serde_json::{Value, json};
use tfnas_pytorch_files::checkpoint::{Checkpoint, CheckpointError, Dtype, Field, PlainTensor, write_pth};

/// Loads a checkpoint with `weights_only`, loads part of it into a module, and prints all tensors.
const LOAD: &str = "
import json, sys, torch
checkpoint = torch.load(sys.argv[1], weights_only=True, map_location='cpu')
state = checkpoint['state_dict']
module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.BatchNorm2d(3))
module.load_state_dict({name[4:]: tensor for name, tensor in state.items() if name.startswith('net.')}, strict=True)
mapped = torch.load(sys.argv[1], weights_only=True, mmap=True)['state_dict']
assert all(torch.equal(mapped[name], tensor) for name, tensor in state.items())
raw = lambda tensor: list(tensor.contiguous().view(-1).view(torch.uint8).tolist()) if tensor.numel() else []
print(json.dumps([[n, str(t.dtype)[6:], list(t.shape), raw(t.reshape(-1))] for n, t in state.items()]))
";

/// Writes tensors of every dtype and of unusual layouts together with other common objects in both containers, and
/// prints the tensors.
const SAVE: &str = "
import json, sys, torch
from collections import OrderedDict
torch.manual_seed(0)
base = torch.arange(24, dtype=torch.float32)
state = OrderedDict([
    ('transposed', base.view(4, 6).t()),
    ('channels_last', torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)),
    ('slice', base[3:7]),
    ('every_other', base[1::2]),
    ('shared', base),
    ('parameter', torch.nn.Parameter(torch.randn(3))),
    ('scalar', torch.tensor(3)),
    ('empty', torch.zeros(0, 4)),
])
for name in 'float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool'.split():
    state[name] = torch.tensor([0, 1, 1], dtype=getattr(torch, name))
checkpoint = {'epoch': 3, 'best_acc_top1': 61.25, 'note': None, 'device': torch.device('cpu'), 'size': torch.Size([1]),
              'dtype': torch.float32, 'accuracy': torch.tensor(0.5), 'state_dict': state}
try:
    import numpy
    checkpoint['numpy'] = numpy.float64(61.5)
except ImportError:
    pass
torch.save(checkpoint, sys.argv[1])
torch.save(checkpoint, sys.argv[2], _use_new_zipfile_serialization=False)
torch.save({**checkpoint, 'state_dict': {'module.' + name: tensor for name, tensor in state.items()}}, sys.argv[3])
torch.save(state, sys.argv[4])
torch.save(torch.nn.Linear(2, 2), sys.argv[5])
import argparse, datetime, pathlib, types
code = {'args': argparse.Namespace(lr=0.1, out=pathlib.Path('/x')), 'more': types.SimpleNamespace(a=1),
        'when': datetime.datetime.now(), 'optimizer': torch.optim.AdamW(torch.nn.Linear(2, 2).parameters()),
        'complex': torch.complex(torch.ones(2), torch.ones(2)), 'float8': torch.ones(2).to(torch.float8_e4m3fn)}
code['scheduler'] = torch.optim.lr_scheduler.CosineAnnealingLR(code['optimizer'], 10)
torch.save({**code, 'state': {'model': state}}, sys.argv[6])
torch.save({**code, 'model_ema': {'module': state}}, sys.argv[7], _use_new_zipfile_serialization=False)
raw = lambda tensor: tensor.detach().contiguous().view(-1).view(torch.uint8).tolist() if tensor.numel() else []
print(json.dumps([[n, str(t.dtype)[6:], list(t.shape), raw(t)] for n, t in state.items()]))
";

fn described(name: &str, tensor: &PlainTensor<'_>) -> Value {
    json!([name, tensor.dtype().name(), tensor.shape(), tensor.bytes().into_owned()])
}

#[test]
fn pytorch_loads_our_checkpoints_with_weights_only() {
    let Some(python) = python_with("torch") else { return };
    let bytes: Vec<u8> = (0..96).map(|byte| byte % 2).collect();
    let tensor = |dtype: Dtype, shape: &[usize]| {
        let length = shape.iter().product::<usize>() * dtype.size();
        PlainTensor::contiguous(dtype, shape.to_vec(), &bytes[..length]).unwrap()
    };
    let mut tensors = vec![
        ("net.0.weight", tensor(Dtype::F32, &[3, 2, 1, 1])),
        ("net.0.bias", tensor(Dtype::F32, &[3])),
        ("net.1.weight", tensor(Dtype::F32, &[3])),
        ("net.1.bias", tensor(Dtype::F32, &[3])),
        ("net.1.running_mean", tensor(Dtype::F32, &[3])),
        ("net.1.running_var", tensor(Dtype::F32, &[3])),
        ("net.1.num_batches_tracked", tensor(Dtype::I64, &[])),
        ("empty", tensor(Dtype::F32, &[0, 3])),
    ];
    for dtype in [Dtype::F64, Dtype::F16, Dtype::Bf16, Dtype::I32, Dtype::I16, Dtype::I8, Dtype::U8, Dtype::Bool] {
        tensors.push((dtype.name(), tensor(dtype, &[2, 3])));
    }
    let tensors: Vec<_> = tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ours.pth.tar");
    std::fs::write(&file, write_pth(Vec::new(), &tensors).unwrap()).unwrap();
    let loaded: Value = serde_json::from_str(&run(&python, LOAD, &[file.to_str().unwrap()])).unwrap();
    let written = tensors.iter().map(|(name, tensor)| described(name, tensor));
    assert_eq!(loaded, written.collect::<Value>());
}

#[test]
fn checkpoints_of_pytorch_are_read_with_equal_bytes() {
    let Some(python) = python_with("torch") else { return };
    let folder = tempfile::tempdir().unwrap();
    let files =
        ["zip", "legacy", "module", "bare", "network", "code", "code_legacy"].map(|name| folder.path().join(name));
    let paths = files.each_ref().map(|file| file.to_str().unwrap());
    let saved: Value = serde_json::from_str(&run(&python, SAVE, &paths)).unwrap();
    for (index, file) in files[..4].iter().enumerate() {
        let bytes = std::fs::read(file).unwrap();
        let checkpoint = Checkpoint::parse(&bytes).unwrap();
        let state = checkpoint.state_dict().unwrap();
        let read: Value = state.tensors.iter().map(|(name, tensor)| described(name, tensor)).collect();
        assert_eq!(read, saved, "{}", file.display());
        assert_eq!(state.module_prefix(), index == 2);
        let fields = checkpoint.fields(&state);
        let field = |name: &str| fields.iter().find(|(found, _)| found == name).map(|(_, field)| field.clone());
        if index < 3 {
            for (name, expected) in [
                ("epoch", Field::Number(3.0)),
                ("best_acc_top1", Field::Number(61.25)),
                ("note", Field::None),
                ("accuracy", Field::Number(0.5)),
            ] {
                assert_eq!(field(name), Some(expected), "{}", file.display());
            }
            assert!(matches!(field("numpy"), None | Some(Field::Number(61.5))), "{:?}", field("numpy"));
        } else {
            assert!(fields.is_empty());
        }
    }
    for (file, key) in files[5..].iter().zip(["state.model", "model_ema.module"]) {
        let bytes = std::fs::read(file).unwrap();
        let checkpoint = Checkpoint::parse(&bytes).unwrap();
        let state = checkpoint.state_dict().unwrap();
        let read: Value = state.tensors.iter().map(|(name, tensor)| described(name, tensor)).collect();
        assert_eq!((&read, state.key.as_str()), (&saved, key), "{}", file.display());
        assert!(checkpoint.foreign().contains(&"argparse.Namespace".to_owned()));
    }
    let network = std::fs::read(&files[4]).unwrap();
    let error = Checkpoint::parse(&network).unwrap().state_dict().unwrap_err();
    assert!(matches!(error, CheckpointError::WholeModule { .. }), "{error}");
    assert!(error.to_string().contains("torch.nn.modules.linear.Linear"), "{error}");
}

use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::{Device, Kind, Tensor};
use tfnas_c10d::ProcessGroup;
use tfnas_torch::NamedTensors;
use tfnas_torch::weights::{from_bytes, to_bytes};

use crate::error::{Context as _, StageError};
use crate::resume::CheckpointDir;

/// Name of the tensor that holds the numbers which are no tensors: JSON, as bytes.
const NUMBERS: &str = "numbers";

/// Saves a stage's state: tensors, and plain numbers beside them, in one file.
pub struct Checkpointer {
    folder: CheckpointDir,
    every: Duration,
    last: Instant,
}

impl Checkpointer {
    /// Keeps states in `folder`, within an epoch at most every `every_s` seconds.
    pub fn new(folder: CheckpointDir, every_s: f64) -> Self {
        let every = Duration::try_from_secs_f64(every_s).unwrap_or(Duration::MAX);
        Self { folder, every, last: Instant::now() }
    }

    /// Returns the state of the furthest resume point, where there is one.
    ///
    /// # Errors
    /// If the folder cannot be read, or holds the state of something else.
    pub fn load<N: DeserializeOwned>(&self) -> Result<Option<(N, NamedTensors)>, StageError> {
        self.folder.latest()?.map(|bytes| Self::read(&bytes)).transpose()
    }

    /// The state of rank 0's furthest resume point, on all ranks, where there is one. All ranks must call it.
    ///
    /// # Errors
    /// As [`load`](Self::load); and if the ranks do not all come.
    pub fn load_on_ranks<N: DeserializeOwned>(
        &self,
        ranks: &ProcessGroup,
        device: Device,
    ) -> Result<Option<(N, NamedTensors)>, StageError> {
        // Another rank may see an older folder than rank 0: files travel slowly between machines.
        let point = if ranks.rank() == 0 { self.folder.latest()? } else { None };
        let bytes = broadcast_bytes(point.as_deref().unwrap_or_default(), ranks, device)?;
        if bytes.is_empty() { Ok(None) } else { Self::read(&bytes).map(Some) }
    }

    fn read<N: DeserializeOwned>(bytes: &[u8]) -> Result<(N, NamedTensors), StageError> {
        let tensors = from_bytes(bytes).context("resume point")?;
        let numbers = tensors.get(NUMBERS).ok_or_else(|| StageError::new("the resume point has no numbers"))?;
        let mut json = vec![0u8; numbers.numel()];
        numbers.copy_data(&mut json, numbers.numel());
        Ok((serde_json::from_slice(&json).context("resume point")?, tensors))
    }

    /// Returns whether a resume point within an epoch is due.
    pub fn is_due(&self) -> bool {
        self.last.elapsed() >= self.every
    }

    /// Saves the state in which `step` steps of an epoch are done.
    ///
    /// # Errors
    /// As [`save`](Checkpointer::save).
    pub fn save_epoch<N: Serialize>(
        &mut self,
        (epoch, step): (usize, usize),
        numbers: &N,
        tensors: NamedTensors,
    ) -> Result<(), StageError> {
        self.save(((epoch as u64) << 32) + step as u64, numbers, tensors)
    }

    /// Saves a state; `position` grows with the work done.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save<N: Serialize>(
        &mut self,
        position: u64,
        numbers: &N,
        mut tensors: NamedTensors,
    ) -> Result<(), StageError> {
        let json = serde_json::to_vec(numbers).context("resume point")?;
        tensors.insert(NUMBERS.to_owned(), Tensor::from_slice(&json));
        self.folder.save(position, &to_bytes(&tensors).context("resume point")?)?;
        self.last = Instant::now();
        Ok(())
    }
}

/// The bytes of rank 0, on all ranks.
fn broadcast_bytes(own: &[u8], ranks: &ProcessGroup, device: Device) -> Result<Vec<u8>, StageError> {
    let length = Tensor::from_slice(&[own.len() as i64]).to_device(device);
    ranks.broadcast(&[length.shallow_clone()], 0)?;
    let length = length.int64_value(&[0]);
    if length == 0 {
        return Ok(Vec::new());
    }
    let bytes = match ranks.rank() {
        0 => Tensor::from_slice(own).to_device(device),
        _ => Tensor::zeros([length], (Kind::Uint8, device)),
    };
    ranks.broadcast(&[bytes.shallow_clone()], 0)?;
    let mut all = vec![0u8; bytes.numel()];
    bytes.copy_data(&mut all, bytes.numel());
    Ok(all)
}

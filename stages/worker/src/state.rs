//! Saving and restoring the state of a stage, so that it can resume.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::{Device, Kind, Tensor};
use tfnas_c10d::ProcessGroup;
use tfnas_torch::NamedTensors;
use tfnas_torch::phase::{Phase, in_phase};
use tfnas_torch::weights::{from_bytes, to_bytes};

use crate::error::{Context as _, StageError};
use crate::resume::CheckpointDir;

/// Name of the tensor that contains the state other than tensors, as the bytes of its JSON.
const NUMBERS: &str = "numbers";

/// Saves and restores the state of a stage, tensors and JSON in one file.
pub struct Checkpointer {
    folder: CheckpointDir,
    interval: Duration,
    last: Instant,
}

impl Checkpointer {
    /// Saves to `folder`. Within an epoch, a resume point is due every `interval_s` seconds.
    pub fn new(folder: CheckpointDir, interval_s: f64) -> Self {
        let interval = Duration::try_from_secs_f64(interval_s).unwrap_or(Duration::MAX);
        Self { folder, interval, last: Instant::now() }
    }

    /// Loads the latest resume point; returns `None` if there is none.
    ///
    /// # Errors
    /// Returns an error if the folder cannot be read or the resume point is not valid.
    pub fn load<N: DeserializeOwned>(&self) -> Result<Option<(N, NamedTensors)>, StageError> {
        self.folder.latest()?.map(|bytes| Self::read(&bytes)).transpose()
    }

    /// Loads the latest resume point on rank 0 and broadcasts it; returns `None` if there is none. All ranks must call this.
    ///
    /// # Errors
    /// Returns the errors of [`load`](Self::load), and an error if another rank is lost.
    pub fn load_on_ranks<N: DeserializeOwned>(
        &self,
        ranks: &ProcessGroup,
        device: Device,
    ) -> Result<Option<(N, NamedTensors)>, StageError> {
        // On a network file system, another rank may not yet see the files of rank 0.
        let point = if ranks.rank() == 0 { self.folder.latest()? } else { None };
        let bytes = broadcast_bytes(point.as_deref().unwrap_or_default(), ranks, device)?;
        if bytes.is_empty() { Ok(None) } else { Self::read(&bytes).map(Some) }
    }

    fn read<N: DeserializeOwned>(bytes: &[u8]) -> Result<(N, NamedTensors), StageError> {
        let tensors = from_bytes(bytes).context("resume point")?;
        let numbers =
            tensors.get(NUMBERS).ok_or_else(|| StageError::new("the resume point has no tensor `numbers`"))?;
        let mut json = vec![0u8; numbers.numel()];
        numbers.copy_data(&mut json, numbers.numel());
        Ok((serde_json::from_slice(&json).context("resume point")?, tensors))
    }

    /// Returns whether a resume point within an epoch is due.
    pub fn is_due(&self) -> bool {
        self.last.elapsed() >= self.interval
    }

    /// Saves the state after `step` steps of `epoch`.
    ///
    /// # Errors
    /// Returns the errors of [`save`](Checkpointer::save).
    pub fn save_epoch<N: Serialize>(
        &mut self,
        (epoch, step): (usize, usize),
        numbers: &N,
        tensors: NamedTensors,
    ) -> Result<(), StageError> {
        self.save(((epoch as u64) << 32) + step as u64, numbers, tensors)
    }

    /// Saves a state. `position` must increase with progress.
    ///
    /// # Errors
    /// Returns an error if the resume point cannot be written.
    pub fn save<N: Serialize>(
        &mut self,
        position: u64,
        numbers: &N,
        mut tensors: NamedTensors,
    ) -> Result<(), StageError> {
        in_phase(Phase::Checkpoint, || {
            let json = serde_json::to_vec(numbers).context("resume point")?;
            tensors.insert(NUMBERS.to_owned(), Tensor::from_slice(&json));
            self.folder.save(position, &to_bytes(&tensors).context("resume point")?)
        })?;
        self.last = Instant::now();
        Ok(())
    }
}

/// Broadcasts the bytes of rank 0 to all ranks.
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

//! The ranks of a training: what they agree on, and sums over all of them.

use tch::{Device, Tensor};
use tfnas_c10d::{ProcessGroup, ReduceOperation};
use tfnas_images::Shard;
use tfnas_torch::loss::AverageMeter;

use crate::error::StageError;

/// Steps between agreements on a GPU, for which the host has to wait for the GPU. On a CPU the ranks agree after every step.
const AGREE_EVERY_ON_GPU: usize = 32;

/// What to do after a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepDecision {
    /// Write a resume point and end.
    pub stop: bool,
    /// Write a resume point.
    pub save: bool,
}

/// Statistics of an epoch.
#[derive(Clone, Debug, Default)]
pub struct EpochStats {
    /// Losses and correct predictions.
    pub meter: AverageMeter,
    /// Images that could not be read.
    pub skipped: usize,
}

/// This process as one of the ranks of a training; the only one if there is no group.
#[derive(Clone, Copy)]
pub struct RankGroup<'a> {
    group: Option<&'a ProcessGroup>,
    device: Device,
}

impl<'a> RankGroup<'a> {
    /// * `device`: where exchanged tensors are.
    pub fn new(group: Option<&'a ProcessGroup>, device: Device) -> Self {
        Self { group, device }
    }

    /// Returns the group, if there are several ranks.
    pub fn group(self) -> Option<&'a ProcessGroup> {
        self.group
    }

    /// Returns the number of this rank, from 0.
    pub fn rank(self) -> usize {
        self.group.map_or(0, ProcessGroup::rank)
    }

    /// Returns the number of ranks.
    pub fn world_size(self) -> usize {
        self.group.map_or(1, ProcessGroup::world_size)
    }

    /// Returns whether this rank writes resume points and outputs.
    pub fn is_first(self) -> bool {
        self.rank() == 0
    }

    /// Returns this rank's part of every batch; `None` for the whole batch.
    pub fn shard(self, even: bool) -> Option<Shard> {
        let group = self.group?;
        Some(Shard { rank: group.rank(), world_size: group.world_size(), even })
    }

    /// Returns what any rank decided after `steps` steps; all ranks return the same after the same step.
    ///
    /// # Errors
    /// Returns an error if a rank does not take part.
    pub fn agree_on(self, own: StepDecision, steps: usize) -> Result<StepDecision, StageError> {
        let Some(group) = self.group else { return Ok(own) };
        if self.device.is_cuda() && !steps.is_multiple_of(AGREE_EVERY_ON_GPU) {
            return Ok(StepDecision::default());
        }
        let mut decisions = Tensor::from_slice(&[i64::from(own.stop), i64::from(own.save)]).to_device(self.device);
        group.all_reduce(&mut decisions, ReduceOperation::Max)?;
        Ok(StepDecision { stop: decisions.int64_value(&[0]) > 0, save: decisions.int64_value(&[1]) > 0 })
    }

    /// Returns the sum of the statistics of all ranks, on each of them.
    ///
    /// # Errors
    /// Returns an error if a rank does not take part.
    pub fn sum_stats(self, own: &EpochStats) -> Result<EpochStats, StageError> {
        let Some(group) = self.group else { return Ok(own.clone()) };
        let meter = own.meter.over_ranks(group, self.device)?;
        let mut skipped = Tensor::from_slice(&[own.skipped as i64]).to_device(self.device);
        group.all_reduce(&mut skipped, ReduceOperation::Sum)?;
        Ok(EpochStats { meter, skipped: skipped.int64_value(&[0]) as usize })
    }
}

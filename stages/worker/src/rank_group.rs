//! The ranks of a distributed training: decisions that all ranks share, and statistics summed over them.

use tch::{Device, Tensor};
use tfnas_c10d::{ProcessGroup, ReduceOperation};
use tfnas_images::Shard;
use tfnas_torch::loss::AverageMeter;

use crate::error::StageError;

/// Steps between decisions on a GPU, because the host must wait for the GPU to exchange them. The ranks also decide after the
/// last step of an epoch; on a CPU after every step.
const AGREE_EVERY_ON_GPU: usize = 32;

/// What to do after a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepDecision {
    /// Write a resume point and stop.
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
    /// * `device`: device of the tensors that the ranks exchange.
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

    /// Returns this rank's share of every batch; `None` if this is the only rank.
    ///
    /// * `even`: whether all ranks get the same number of images of every batch.
    pub fn shard(self, even: bool) -> Option<Shard> {
        let group = self.group?;
        Some(Shard { rank: group.rank(), world_size: group.world_size(), even })
    }

    /// Combines the decisions of all ranks after a step: stop or save if any rank wants to. All ranks return the same.
    ///
    /// * `done`, `remaining`: number of steps of the epoch, with this one and after it.
    ///
    /// # Errors
    /// Returns an error if another rank is lost.
    pub fn agree_on(self, own: StepDecision, done: usize, remaining: usize) -> Result<StepDecision, StageError> {
        let Some(group) = self.group else { return Ok(own) };
        if self.device.is_cuda() && !done.is_multiple_of(AGREE_EVERY_ON_GPU) && remaining > 0 {
            return Ok(StepDecision::default());
        }
        let mut decisions = Tensor::from_slice(&[i64::from(own.stop), i64::from(own.save)]).to_device(self.device);
        group.all_reduce(&mut decisions, ReduceOperation::Max)?;
        Ok(StepDecision { stop: decisions.int64_value(&[0]) > 0, save: decisions.int64_value(&[1]) > 0 })
    }

    /// Checks that all ranks get the same number of images of every batch.
    ///
    /// * `key`: the configuration key of the batch size, for the message.
    ///
    /// # Errors
    /// Returns an error if the batch size is not a multiple of the number of ranks.
    pub fn check_batch(self, key: &str, batch: usize) -> Result<(), StageError> {
        let ranks = self.world_size();
        if batch.is_multiple_of(ranks) {
            return Ok(());
        }
        Err(StageError::with_hint(
            format!("{key} is {batch}, which is not a multiple of the number of ranks ({ranks})"),
            format!("set {key} to a multiple of {ranks}, or change the number of ranks"),
        ))
    }

    /// Sums the statistics of all ranks. All ranks return the sum.
    ///
    /// # Errors
    /// Returns an error if another rank is lost.
    pub fn sum_stats(self, own: &EpochStats) -> Result<EpochStats, StageError> {
        Ok(EpochStats { meter: self.sum_meter(&own.meter)?, skipped: self.sum(own.skipped)? })
    }

    /// Sums a meter of all ranks. All ranks return the sum.
    ///
    /// # Errors
    /// Returns an error if another rank is lost.
    pub fn sum_meter(self, own: &AverageMeter) -> Result<AverageMeter, StageError> {
        match self.group {
            Some(group) => Ok(own.over_ranks(group, self.device)?),
            None => Ok(own.clone()),
        }
    }

    /// Sums a number of all ranks. All ranks return the sum.
    ///
    /// # Errors
    /// Returns an error if another rank is lost.
    pub fn sum(self, own: usize) -> Result<usize, StageError> {
        let Some(group) = self.group else { return Ok(own) };
        let mut sum = Tensor::from_slice(&[own as i64]).to_device(self.device);
        group.all_reduce(&mut sum, ReduceOperation::Sum)?;
        Ok(sum.int64_value(&[0]) as usize)
    }
}

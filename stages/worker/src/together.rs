//! What the ranks of a training settle among themselves, as one of them sees it.

use tch::{Device, Tensor};
use tfnas_c10d::{ProcessGroup, ReduceOperation};
use tfnas_images::Shard;
use tfnas_torch::loss::Meter;

use crate::error::StageError;

/// On a GPU the ranks agree on what is to be done at every this many steps: the host waits for the GPU then. On a CPU they
/// always do.
const AGREE_EVERY_ON_GPU: usize = 32;

/// What is to be done after a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// To end, with a resume point.
    pub stop: bool,
    /// To make a resume point.
    pub save: bool,
}

/// What was seen of an epoch.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Losses and hits.
    pub meter: Meter,
    /// Images that could not be read.
    pub skipped: usize,
}

/// This process among the ranks of a training; alone where there is no group.
#[derive(Clone, Copy)]
pub struct Together<'a> {
    group: Option<&'a ProcessGroup>,
    device: Device,
}

impl<'a> Together<'a> {
    /// This process in that group; what is exchanged lies on the device.
    pub fn new(group: Option<&'a ProcessGroup>, device: Device) -> Self {
        Self { group, device }
    }

    /// The group, where there are several ranks.
    pub fn group(self) -> Option<&'a ProcessGroup> {
        self.group
    }

    /// Number of this rank, from 0.
    pub fn rank(self) -> usize {
        self.group.map_or(0, ProcessGroup::rank)
    }

    /// How many there are.
    pub fn world_size(self) -> usize {
        self.group.map_or(1, ProcessGroup::world_size)
    }

    /// Whether this rank makes resume points and results.
    pub fn is_first(self) -> bool {
        self.rank() == 0
    }

    /// This rank's part of every batch; none for the whole.
    pub fn shard(self, even: bool) -> Option<Shard> {
        let group = self.group?;
        Some(Shard { rank: group.rank(), world_size: group.world_size(), even })
    }

    /// What any rank wants to be done after so many steps, which all learn after the same one.
    ///
    /// # Errors
    /// If the ranks do not all come.
    pub fn agree(self, own: Wish, steps: usize) -> Result<Wish, StageError> {
        let Some(group) = self.group else { return Ok(own) };
        if self.device.is_cuda() && !steps.is_multiple_of(AGREE_EVERY_ON_GPU) {
            return Ok(Wish::default());
        }
        let mut wishes = Tensor::from_slice(&[i64::from(own.stop), i64::from(own.save)]).to_device(self.device);
        group.all_reduce(&mut wishes, ReduceOperation::Max)?;
        Ok(Wish { stop: wishes.int64_value(&[0]) > 0, save: wishes.int64_value(&[1]) > 0 })
    }

    /// What all ranks have seen, on all of them.
    ///
    /// # Errors
    /// If the ranks do not all come.
    pub fn gather(self, own: &Seen) -> Result<Seen, StageError> {
        let Some(group) = self.group else { return Ok(own.clone()) };
        let meter = own.meter.over_ranks(group, self.device)?;
        let mut skipped = Tensor::from_slice(&[own.skipped as i64]).to_device(self.device);
        group.all_reduce(&mut skipped, ReduceOperation::Sum)?;
        Ok(Seen { meter, skipped: skipped.int64_value(&[0]) as usize })
    }
}

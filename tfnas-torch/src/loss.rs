//! Classification loss and accuracy.

use tch::{Device, Kind, Reduction, Tensor};
use tfnas_c10d::{CollectiveError, ProcessGroup, ReduceOperation};

/// Labels with this value do not count in the loss. No label has it.
const IGNORE_INDEX: i64 = -100;

/// Mean cross-entropy, `[]`.
///
/// * `logits`: `[N, classes]` f32.
/// * `labels`: `[N]` i64, each below the number of classes.
/// * `label_smoothing`: ε; the target is (1 - ε) on the label plus ε / classes on every class.
///
/// Source: `CrossEntropyLabelSmooth` in the authors' `train_eval.py`; with ε = 0 PyTorch's `CrossEntropyLoss`.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor, label_smoothing: f64) -> Tensor {
    logits.cross_entropy_loss(labels, None::<&Tensor>, Reduction::Mean, IGNORE_INDEX, label_smoothing)
}

/// Returns whether the label of each sample is among the `k` largest logits: `[N]` bool, on the device.
///
/// With fewer than `k` classes, every sample counts as correct.
pub fn topk_correct(logits: &Tensor, labels: &Tensor, k: i64) -> Tensor {
    let k = k.min(logits.size()[1]);
    let (_, best) = logits.topk(k, 1, true, true);
    best.eq_tensor(&labels.unsqueeze(1)).any_dim(1, false)
}

/// Running sums of loss and correct predictions over batches. They stay on the device, so adding a batch does not
/// synchronize.
#[derive(Debug, Default)]
pub struct AverageMeter {
    /// Sums of loss, top-1 and top-5 correct predictions, `[3]` f64.
    sums: Option<Tensor>,
    count: i64,
}

/// The means of an [`AverageMeter`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Averages {
    /// Mean loss per sample.
    pub loss: f64,
    /// Top-1 accuracy, 0 to 1.
    pub top1: f64,
    /// Top-5 accuracy, 0 to 1.
    pub top5: f64,
    /// Number of samples.
    pub count: i64,
}

impl Clone for AverageMeter {
    fn clone(&self) -> Self {
        Self { sums: self.sums.as_ref().map(Tensor::copy), count: self.count }
    }
}

impl AverageMeter {
    /// Creates an empty meter.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a batch: its mean loss `[]`, logits `[N, classes]` and labels `[N]`.
    pub fn add(&mut self, loss: &Tensor, logits: &Tensor, labels: &Tensor) {
        let samples = labels.size()[0];
        let logits = logits.detach();
        let batch = Tensor::stack(
            &[
                loss.detach().to_kind(Kind::Double) * samples,
                topk_correct(&logits, labels, 1).sum(Kind::Double),
                topk_correct(&logits, labels, 5).sum(Kind::Double),
            ],
            0,
        );
        self.sums = Some(match self.sums.take() {
            Some(sums) => sums + batch,
            None => batch,
        });
        self.count += samples;
    }

    /// Returns the sums and the number of samples, `[4]` f64, for a checkpoint.
    pub fn state(&self) -> Tensor {
        let sums = self.sums.as_ref().map_or_else(|| Tensor::zeros([3], (Kind::Double, Device::Cpu)), Tensor::copy);
        Tensor::cat(&[sums.to_device(Device::Cpu), Tensor::from_slice(&[self.count as f64])], 0)
    }

    /// Restores a [`state`](AverageMeter::state) onto a device; returns `None` if the tensor has another shape.
    pub fn restore(state: &Tensor, device: Device) -> Option<Self> {
        if state.size() != [4] {
            return None;
        }
        let count = state.double_value(&[3]) as i64;
        let sums = state.narrow(0, 0, 3).to_kind(Kind::Double).to_device(device).copy();
        Some(Self { sums: (count > 0).then_some(sums), count })
    }

    /// Sums the meters of all ranks. Blocks until all ranks have called it.
    ///
    /// # Errors
    /// Returns a [`CollectiveError`] if a rank does not take part.
    pub fn over_ranks(&self, ranks: &ProcessGroup, device: Device) -> Result<Self, CollectiveError> {
        let mut state = self.state().to_device(device);
        ranks.all_reduce(&mut state, ReduceOperation::Sum)?;
        Ok(Self::restore(&state, device).expect("a sum of states has the shape of a state"))
    }

    /// Returns the means; synchronizes with the device. `None` before the first sample.
    pub fn read(&self) -> Option<Averages> {
        let sums = self.sums.as_ref().filter(|_| self.count > 0)?;
        let mean = |index| sums.double_value(&[index]) / self.count as f64;
        Some(Averages { loss: mean(0), top1: mean(1), top5: mean(2), count: self.count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits() -> Tensor {
        Tensor::from_slice(&[2f32, 0.0, 1.0, 0.0, 3.0, -1.0]).view([2, 3])
    }

    #[test]
    fn label_smoothing_equals_cross_entropy_with_soft_targets() {
        let labels = Tensor::from_slice(&[0i64, 2]);
        let log_probabilities = logits().log_softmax(-1, Kind::Double);
        let rows: Vec<f64> = (0..6).map(|i| log_probabilities.double_value(&[i / 3, i % 3])).collect();
        let epsilon = 0.1;
        let row = |values: &[f64], label: usize| {
            let mean: f64 = values.iter().sum::<f64>() / 3.0;
            -((1.0 - epsilon) * values[label] + epsilon * mean)
        };
        let expected = (row(&rows[..3], 0) + row(&rows[3..], 2)) / 2.0;
        let found = cross_entropy(&logits(), &labels, epsilon).double_value(&[]);
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }

    #[test]
    fn topk_correct_counts_labels_among_the_k_largest_logits() {
        let labels = Tensor::from_slice(&[2i64, 1]);
        let count = |k| topk_correct(&logits(), &labels, k).sum(Kind::Int64).int64_value(&[]);
        assert_eq!(count(1), 1);
        assert_eq!(count(2), 2);
        assert_eq!(count(5), 2, "all three classes are among the top five");
    }

    #[test]
    fn a_restored_meter_gives_the_same_averages() {
        let mut meter = AverageMeter::new();
        let labels = Tensor::from_slice(&[0i64, 0]);
        meter.add(&Tensor::from(1.1f32), &logits(), &labels);
        let mut restored = AverageMeter::restore(&meter.state(), Device::Cpu).expect("a state of a meter");
        for meter in [&mut meter, &mut restored] {
            meter.add(&Tensor::from(0.3f32), &logits(), &labels);
        }
        assert_eq!(meter.read(), restored.read());
        let empty = AverageMeter::restore(&AverageMeter::new().state(), Device::Cpu);
        assert_eq!(empty.and_then(|meter| meter.read()), None);
    }

    #[test]
    fn a_meter_weights_batches_by_their_size() {
        let mut meter = AverageMeter::new();
        assert_eq!(meter.read(), None);
        meter.add(&Tensor::from(1f32), &logits(), &Tensor::from_slice(&[0i64, 0]));
        meter.add(&Tensor::from(4f32), &logits().narrow(0, 0, 1), &Tensor::from_slice(&[0i64]));
        let reading = meter.read().expect("three samples");
        assert_eq!(reading.count, 3);
        assert!((reading.loss - 2.0).abs() < 1e-12);
        assert!((reading.top1 - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(reading.top5, 1.0);
    }
}

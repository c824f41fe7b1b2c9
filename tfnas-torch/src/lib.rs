//! The TF-NAS method on libtorch: supernet, derived network, losses, optimizers, training and latency measurement.
//!
//! # Modules
//!
//! * [`layers`]: convolutions, batch norms, inverted residual blocks. They own their tensors.
//! * [`named_tensors`]: the tensors of a network by their `state_dict` names, and their [`Role`]; [`mod@initialize`]:
//!   initialization; [`weights`]: files.
//! * [`supernet`], [`gumbel`], [`search_step`], [`supernet_state`]: the search; [`search_checkpoint`]: warm starts.
//! * [`derived`], [`drop_masks`], [`trainer`]: training and testing of the derived network; [`mixed_precision`],
//!   [`data_parallel`]: lower precision, and several ranks.
//! * [`loss`], [`gradient`], [`optim`]: shared by search and training.
//! * [`preprocess`], [`device`]: conversion of bytes to tensors, and device selection.
//! * [`timing`]: the latency of blocks and of complete networks; [`phase`]: where the time of a training goes.
//!
//! # An epoch of the search
//!
//! ```no_run
//! # use tch::{Device, Tensor};
//! # use tfnas::{LatencyTable, Space};
//! # use tfnas_random::{StreamId, Stream};
//! # use tfnas_torch::supernet_state::SupernetState;
//! # use tfnas_torch::gumbel::{draw_noise, draw_remaining_path, gumbel_path};
//! # use tfnas_torch::optim::{Adam, AdamSettings, Sgd, SgdSettings};
//! # use tfnas_torch::search_step::{LatencyObjective, OptimizerStep, architecture_step, weight_step};
//! # use tfnas_torch::supernet::Latencies;
//! # use tfnas_torch::{Module, Role};
//! # fn epoch(
//! #     space: &Space, table: &LatencyTable, state: &mut SupernetState, seed: u64, epoch: u32, temperature: f64,
//! #     weight_settings: SgdSettings, architecture_settings: AdamSettings, batches: Vec<[Tensor; 4]>, device: Device,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let supernet = state.slice();
//! let latencies = Latencies::look_up(table, space, &state.widths(), device)?;
//! let objective = LatencyObjective { latencies: &latencies, target_ms: 15.0, weight: 0.1 };
//! let weights = Sgd::new(supernet.tensors(Role::Weight), weight_settings);
//! let mut weights = OptimizerStep::in_f32(weights, 5.0, device);
//! let architecture = Adam::new(supernet.tensors(Role::Architecture), architecture_settings);
//! let mut architecture = OptimizerStep::in_f32(architecture, 5.0, device);
//! let (blocks, operations) = (space.blocks().len(), space.operations().len());
//! let mut log_alphas = supernet.read_log_alphas();
//! for (step, [images, labels, more_images, more_labels]) in (0..).zip(batches) {
//!     let stream = |purpose| Stream::new(seed, purpose, epoch, step);
//!     let path = gumbel_path(&log_alphas, &draw_noise(blocks, operations, &mut stream(StreamId::Gumbel)));
//!     let other = draw_remaining_path(&path, operations, &mut stream(StreamId::UniformPath));
//!     weight_step(&supernet, &mut weights, &images, &labels, &[path, other])?;
//!     if step % 2 == 0 {
//!         let noise = draw_noise(blocks, operations, &mut stream(StreamId::ArchitectureGumbel));
//!         let (x, y) = (&more_images, &more_labels);
//!         architecture_step(&supernet, &mut architecture, &objective, x, y, &noise, temperature)?;
//!         log_alphas = supernet.read_log_alphas();
//!     }
//! }
//! state.scatter(&supernet);
//! // Then tfnas::parse::parse, tfnas::elasticity::refit, Widths::adopt and state.set_widths.
//! # Ok(())
//! # }
//! ```
//!
//! In the warm-up epochs, [`weight_step`](search_step::weight_step) gets one path and there is no architecture step.
//!
//! # An epoch of training
//!
//! ```no_run
//! # use tch::Tensor;
//! # use tfnas_torch::derived::DerivedNetwork;
//! # use tfnas_torch::drop_masks::{DropMasks, DropRates, StepKey};
//! # use tfnas_torch::loss::AverageMeter;
//! # use tfnas_torch::trainer::{Trainer, TrainStepError};
//! # fn epoch(
//! #     network: &DerivedNetwork, trainer: &mut Trainer, rate: f64, seed: u64, epoch: u32, batches: Vec<[Tensor; 2]>,
//! # ) -> Result<(), TrainStepError> {
//! trainer.optimizer.set_rate(rate);
//! let rates = DropRates { dropout: 0.2, drop_connect: 0.2 };
//! let mut meter = AverageMeter::new();
//! for (step, [images, labels]) in (0..).zip(batches) {
//!     let masks = DropMasks::draw(network, rates, labels.size()[0] as usize, StepKey { seed, epoch, step });
//!     let outcome = trainer.step(network, &images, &labels, &masks)?;
//!     meter.add(&outcome.loss, &outcome.logits, &labels);
//! }
//! let trained = meter.read(); // The first synchronization with the device.
//! let folded = network.folded(); // For validation and test.
//! # Ok(())
//! # }
//! ```
//!
//! # Conventions
//!
//! * Feature maps are f32, `[N, C, H, W]`, channels-last; axis letters as in [`tfnas`].
//! * Random numbers come from [`tfnas_random`]'s streams, on the host, and never from libtorch's generator. On a CPU
//!   the same calls give the same bytes in every process with the same number of threads.
//! * A step does not synchronize with the device: losses, norms and correct counts stay on the device until they are
//!   read. The one exception is reading `log_alphas` after an architecture step, because the next path is chosen on the
//!   host.
//! * Invalid input (bytes, labels, files, saved states, tables) is reported as an error by the public functions.
//!   Internal shapes match by construction; errors raised by libtorch there (such as out of memory) panic with its
//!   message.

mod batch_too_small;
pub mod data_parallel;
pub mod derived;
pub mod device;
pub mod drop_masks;
pub mod gradient;
pub mod gumbel;
pub mod initialize;
pub mod layers;
pub mod loss;
mod mixed_block;
mod mixed_group;
pub mod mixed_precision;
pub mod named_tensors;
pub mod optim;
pub mod phase;
pub mod preprocess;
pub mod search_checkpoint;
pub mod search_step;
pub mod supernet;
pub mod supernet_state;
pub mod timing;
pub mod trainer;
pub mod weights;

pub use batch_too_small::BatchTooSmall;
pub use named_tensors::{Module, NamedTensors, Role};

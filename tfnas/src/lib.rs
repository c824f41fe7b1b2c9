//! The TF-NAS method without tensors: spaces, architectures, latency tables and fitting, on plain numbers.
//!
//! # Modules
//!
//! * [`definition`], [`space`]: a search space before and after validation; the built-in ones are [`Space::imagenet`],
//!   [`Space::cifar`] and [`Space::small`].
//! * [`allowed_widths`], [`widths`], [`architecture`]: the possible widths; the current width of every operation; one
//!   network of a space.
//! * [`parse`]: converts architecture parameters to the most probable architecture.
//! * [`elasticity`], [`channels`]: fits widths to a target latency, and selects the channels that are kept.
//! * [`exact_fit`]: fits widths, and if necessary operations and depth, until the target is met.
//! * [`block_key`], [`curve`], [`table`]: latency by block and width, in milliseconds; its text form ([`table_text`]),
//!   and the range of latencies that a space can reach ([`reachable`]).
//! * [`random_architecture`]: random networks of a given latency, for comparison.
//! * [`config`], [`config_text`]: the authors' `model.config`; [`space_match`]: finds it in a space; [`state_shapes`]:
//!   the tensors of the network.
//! * [`normalization`]: mean and standard deviation of image colors.
//! * [`cost`], [`schedule`]: parameters and FLOPs; learning rates, temperature, drop-connect rates.
//!
//! Files of PyTorch, including the authors' tables and checkpoints, are read and written by `tfnas-pytorch-files`.
//!
//! # Names
//!
//! Axes, in the documentation of this crate and of those that build on it: N batch, C channels, H and W pixels, K
//! candidate operations of a block, E mid channels of an operation (its width).
//!
//! Names of the authors' code (`AberHu/TF-NAS`) and paper (arXiv 2008.05314), and the corresponding names here:
//!
//! | authors | here |
//! |---|---|
//! | stage, `stage1` … `stage6` | block group, from 0; `stage1.block2` in messages and files |
//! | `PRIMITIVES`, `MBI_k3_e6_se` | [`Space::operations`], [`Operation`], `k3_e6_se` |
//! | `MixedOP`, `MixedStage` | [`Block`], [`Group`] (their tensors are in another crate) |
//! | `mid_channels`, `mc_num` | width |
//! | `mc_num_dddict` | [`Widths`] |
//! | `mc_maxnum_dddict` | [`Widths::max`] |
//! | `mc_mask_dddict` | the result of [`channels::kept_channels`] for every operation |
//! | `parsed_arch` with its widths | [`Architecture`] |
//! | `parse_architecture` | [`parse::parse`] |
//! | `lat_lookup`, `latency_gpu.pkl` | [`LatencyTable`] |
//! | `lat_lookup_key_dddict` | [`Block::key`], [`BlockKey`] |
//! | `get_lookup_latency` | [`LatencyTable::architecture_ms`], [`LatencyTable::config_ms`] |
//! | `fit_mc_num_by_latency`, `bound_clip` | [`elasticity::refit`] |
//! | `convert_latency_lookup` | [`curve::monotone`], [`LatencyCurve`] |
//! | `NetworkCfg`, `model.config` | [`ModelConfig`] |
//! | `calculate_FLOPs_in_M` | [`cost::flops`], not divided by a million |
//! | `count_parameters_in_MB` | [`cost::parameters`], not divided by a million |
//! | `T`, `T_decay` | [`schedule::temperature`] |
//! | `drop_connect_rate * block_idx / block_count` | [`schedule::drop_connect_rates`] |

pub mod allowed_widths;
pub mod architecture;
pub mod block_key;
pub mod channels;
pub mod config;
pub mod config_text;
pub mod cost;
pub mod curve;
pub mod definition;
mod dtype;
pub mod elasticity;
pub mod exact_fit;
pub mod normalization;
pub mod parse;
mod published;
pub mod random_architecture;
pub mod reachable;
pub mod schedule;
pub mod space;
mod space_check;
pub mod space_match;
mod spaces;
pub mod state_shapes;
pub mod table;
mod table_header;
pub mod table_text;
pub mod widths;

pub use allowed_widths::AllowedWidths;
pub use architecture::{Architecture, ArchitectureError, Choice};
pub use block_key::BlockKey;
pub use config::{ConvConfig, LinearConfig, MbConvConfig, ModelConfig};
pub use config_text::ConfigError;
pub use curve::{Knot, LatencyCurve};
pub use definition::{Activation, FeatureMix, FirstStem, Group, Operation, SecondStem, SpaceDefinition};
pub use dtype::Dtype;
pub use reachable::Reachable;
pub use space::{Block, NeededRow, Space};
pub use space_check::SpaceError;
pub use table::{LatencyTable, TableError};
pub use table_header::{TableCheck, TableHeader, TableReference};
pub use widths::{WidthError, Widths};

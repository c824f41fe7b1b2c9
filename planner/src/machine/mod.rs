//! Facts about this machine and this build, determined without libtorch.

pub mod build;
pub mod cpu;
mod cpu_limit;
mod device;
mod record;

pub use cpu_limit::CpuLimit;
pub use device::{Device, DeviceError};
pub use record::{differing_facts, key_facts, record};

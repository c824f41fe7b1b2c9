//! Facts about this machine and this build, found without libtorch.

pub mod build;
pub mod cpu;
mod device;
mod record;

pub use device::{Device, DeviceError};
pub use record::{differing_facts, key_facts, record};

//! Doing what the plan says: workers as processes, their ends, and what they leave.

mod ask;
mod attempt;
mod check;
mod death;
mod events;
mod happening;
mod heard;
mod interrupt;
mod outputs;
mod process;
mod program;
mod ranks;
mod room;
mod runner;
mod slurm;
mod torchrun;

pub use ask::{AskError, ask_worker};
pub use happening::{Ending, Happening};
pub use interrupt::Interrupts;
pub use program::{ProgramError, worker_program};
pub use runner::{Finished, Runner};
pub use torchrun::Place;

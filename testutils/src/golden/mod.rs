//! Golden cases: inputs, and the results of the authors' code for them.

pub mod cases;
pub mod formula;
pub mod search;

//! The configuration: one YAML file, overrides from the command line, and the origin of each value.

pub mod data;
mod error;
#[cfg(test)]
mod fuzz;
mod keys;
mod load;
mod matrix;
/// Suggestions for misspelled names.
pub mod nearest;
mod node;
mod origin;
mod paths;
mod schema;
mod set;
mod source;
mod space;
mod syntax;
mod typing;

pub use error::ConfigError;
pub use load::{Configuration, FILE, Variant};
pub use matrix::Axis;
pub use node::{Content, Entry, Node, SyntaxError};
pub use origin::Origin;
pub use paths::resolve;
pub use schema::schema;
pub use set::of_path;
pub use source::{Source, Span};
pub use space::space_named;
pub use typing::TypeError;

//! Transfers results from and to remotes.

mod connection;
mod keys;
mod moved;
mod needed;
mod pulling;
mod several;

pub use connection::{Connection, EXIT_CODES, RemoteOptions};
pub use keys::{sign_key, trusted};
pub use moved::Moved;
pub use needed::{Needed, State, needed};
pub use pulling::Pulling;
pub use several::each;

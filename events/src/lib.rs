//! The event file of a run: what happens during the run, for programs that follow it.
//!
//! The planner appends one JSON object a line ([`EventFile`]) for local workers, ranks and Slurm jobs alike. Each has
//! `time_ms` (milliseconds since 1970, UTC), `event`, the `id` of the instance unless the event is about the whole run,
//! and the fields of the event. The first line is `planned`, the last `finished`; the others are the events of
//! `run --json`, without debug messages and with at most one `progress` a second.
//!
//! The file is not synced and is no part of any result. A planner that is killed may leave half a line at the end;
//! [`Tail`] and [`read`] skip it.
//!
//! | type | use |
//! |---|---|
//! | [`EventFile`] | writes the file |
//! | [`Tail`], [`read`] | read it while it grows, or as a whole |
//! | [`RunProgress`] | the state of each stage and its metrics, computed from the events |

mod event;
mod event_file;
mod progress;
mod tail;

pub use event::{Event, PlannedStage, Record};
pub use event_file::EventFile;
pub use progress::{RunProgress, StageProgress, StageState, Units};
pub use tail::{Line, Tail, read};

//! Builds the book in `docs/` into `target/book/html`. Warnings are errors.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mdbook_driver::MDBook;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

fn main() -> ExitCode {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let problems = Arc::new(AtomicUsize::new(0));
    let built = tracing::subscriber::set_global_default(Problems(Arc::clone(&problems)))
        .map_err(Into::into)
        .and_then(|()| MDBook::load(source))
        .and_then(|book| book.build());
    if let Err(error) = built {
        eprintln!("book: error: {error:#}");
        return ExitCode::FAILURE;
    }
    match problems.load(Ordering::Relaxed) {
        0 => ExitCode::SUCCESS,
        problems => {
            eprintln!("book: {problems} problems");
            ExitCode::FAILURE
        }
    }
}

/// Prints and counts the warnings and errors that mdBook reports.
struct Problems(Arc<AtomicUsize>);

impl Subscriber for Problems {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        let mut message = Message(String::new());
        event.record(&mut message);
        eprintln!("book: {}", message.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The text of an event.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

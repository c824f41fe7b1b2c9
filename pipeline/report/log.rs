use std::fmt;
use std::io::{self, Write};

use clap::ValueEnum;
use indicatif::MultiProgress;
use tfnas_humanize::escaped_lines;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

/// Prefix of the names of this project's crates.
const OURS: &str = "tfnas";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Sets up logging. Bars are suspended while a line is written.
pub fn set_up(format: LogFormat, verbosity: u8, bars: &MultiProgress) {
    let level = match verbosity {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    // Verbose messages of libraries may contain credentials. Their relevant actions are logged by this program.
    let libraries = if verbosity == 0 { LevelFilter::ERROR } else { LevelFilter::INFO };
    let filter = Targets::new().with_default(libraries).with_target(OURS, level);
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(AboveBars(bars.clone()));
    // Later calls in the same process have no effect.
    let _ = match format {
        LogFormat::Json => tracing::subscriber::set_global_default(
            builder
                .json()
                .flatten_event(true)
                .with_target(false)
                .with_current_span(false)
                .with_span_list(false)
                .finish()
                .with(filter),
        ),
        LogFormat::Text => tracing::subscriber::set_global_default(builder.event_format(Plain).finish().with(filter)),
    };
}

/// Writes to standard error above the progress bars.
#[derive(Clone)]
struct AboveBars(MultiProgress);

impl Write for AboveBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // There is no other place to report this error, and returning it would cause a panic.
        let _ = self.0.suspend(|| io::stderr().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for AboveBars {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Formats events as `instance: message`, with a prefix for warnings and errors only.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line::default();
        event.record(&mut line);
        match *event.metadata().level() {
            Level::ERROR => write!(out, "error: ")?,
            Level::WARN => write!(out, "warning: ")?,
            _ => {}
        }
        if let Some(id) = &line.id {
            write!(out, "{id}: ")?;
        }
        // Messages contain names of files, and names in files.
        writeln!(out, "{}", escaped_lines(&line.message))?;
        if let Some(excerpt) = &line.excerpt {
            writeln!(out, "{excerpt}")?;
        }
        match &line.hint {
            Some(hint) => writeln!(out, "  hint: {}", escaped_lines(hint)),
            None => Ok(()),
        }
    }
}

#[derive(Default)]
struct Line {
    message: String,
    id: Option<String>,
    excerpt: Option<String>,
    hint: Option<String>,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            "id" => self.id = Some(value.to_owned()),
            "excerpt" => self.excerpt = Some(value.to_owned()),
            "hint" => self.hint = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

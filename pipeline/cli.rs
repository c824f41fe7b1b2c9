use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};
use indicatif::MultiProgress;
use tfnas_planner::config::nearest::nearest;
use tfnas_report::Invocation;
use tfnas_stages::Stage;

use crate::commands;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{self, LogFormat, out};

/// From a folder of images and a latency budget to a trained network
///
/// Seven stages (split, lookup, search, select, parse, train, test). A stage reruns only when its cache key changes.
#[derive(Parser, Debug)]
#[command(name = "tfnas-pipeline", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 a stage or a check failed, 2 wrong usage, configuration, data or store, 130 interrupted."
)]
pub struct Cli {
    #[command(flatten)]
    options: Options,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Run(commands::run::Run),
    Plan(commands::plan::Plan),
    Status(commands::status::Status),
    Explain(commands::explain::Explain),
    Config(commands::config::Config),
    Watch(commands::watch::Watch),
    Log(commands::log::Log),
    Note(commands::note::Note),
    Show(commands::show::Show),
    Lineage(commands::lineage::Lineage),
    Report(commands::report::Report),
    Compare(commands::compare::Compare),
    Check(commands::check::Check),
    Audit(commands::audit::Audit),
    Export(commands::export::Export),
    Predict(commands::predict::Predict),
    Publish(commands::publish::Publish),
    Split(commands::split::Split),
    Table(commands::table::Table),
    Weights(commands::weights::Weights),
    Cache(commands::cache::Cache),
    Keys(commands::keys::Keys),
    Gc(commands::gc::Gc),
    Init(commands::init::Init),
    Doctor(commands::doctor::Doctor),
    Completions(commands::completions::Completions),
    Man(commands::man::Man),
}

/// Returns how `run` was called, from the arguments of the program. `None` if they are those of another command.
pub fn invocation(arguments: &[String]) -> Option<Invocation> {
    let words = std::iter::once("tfnas-pipeline").chain(arguments.iter().map(String::as_str));
    let Cli { options, command } = Cli::try_parse_from(words).ok()?;
    let text = |path: PathBuf| path.display().to_string();
    match command {
        Command::Run(run) => {
            Some(Invocation { stages: run.stages, config: options.config.map(text), store: options.store.map(text) })
        }
        _ => None,
    }
}

/// Parses the command line, runs the command, and returns the exit code.
pub fn main() -> Exit {
    let parsed = Cli::try_parse();
    let bars = MultiProgress::new();
    let Cli { options, command } = match parsed {
        Ok(cli) => cli,
        Err(message) => {
            let format = wanted_format(std::env::args_os());
            report::set_up(format, 0, &bars);
            if format == LogFormat::Json && message.use_stderr() {
                let text = message.render().to_string();
                tracing::error!(hint = stage_hint(&message), "{}", text.trim().trim_start_matches("error: "));
                return Exit::Usage;
            }
            return explain(&message);
        }
    };
    report::set_up(options.log_format, options.verbose, &bars);
    let done = match command {
        Command::Run(run) => run.execute(&options, bars),
        Command::Plan(plan) => plan.execute(&options),
        Command::Status(status) => status.execute(&options),
        Command::Explain(explain) => explain.execute(&options),
        Command::Config(config) => config.execute(&options),
        Command::Watch(watch) => watch.execute(&options),
        Command::Log(log) => log.execute(&options),
        Command::Note(note) => note.execute(&options),
        Command::Show(show) => show.execute(&options),
        Command::Lineage(lineage) => lineage.execute(&options),
        Command::Report(report) => report.execute(&options),
        Command::Compare(compare) => compare.execute(&options),
        Command::Check(check) => check.execute(&options, bars),
        Command::Audit(audit) => audit.execute(&options, bars),
        Command::Export(export) => export.execute(&options),
        Command::Predict(predict) => predict.execute(&options),
        Command::Publish(publish) => publish.execute(&options),
        Command::Split(split) => split.execute(&options),
        Command::Table(table) => table.execute(&options),
        Command::Weights(weights) => weights.execute(&options),
        Command::Cache(cache) => cache.execute(&options, &bars),
        Command::Keys(keys) => keys.execute(&options),
        Command::Gc(gc) => gc.execute(&options),
        Command::Init(init) => init.execute(),
        Command::Doctor(doctor) => doctor.execute(&options),
        Command::Completions(completions) => completions.execute(),
        Command::Man(man) => man.execute(),
    };
    let exit = done.unwrap_or_else(report_error);
    match out::check() {
        // After an interruption, exit code 130 is more important than an error on standard output.
        Err(error) if exit != Exit::Interrupted => report_error(error),
        _ => exit,
    }
}

/// Prints the help, the version, or an error about the command line.
fn explain(message: &clap::Error) -> Exit {
    let written = message.print();
    if message.use_stderr() {
        if let Some(hint) = stage_hint(message) {
            eprintln!("\n  hint: {hint}");
        }
        return Exit::Usage;
    }
    out::record(written);
    out::check().map_or_else(report_error, |()| Exit::Done)
}

/// Returns a hint if the name of a stage stands in the place of a command.
fn stage_hint(message: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(word)) = message.get(ContextKind::InvalidSubcommand) else { return None };
    let is_command = message.kind() == ErrorKind::InvalidSubcommand;
    let stage = nearest(word, Stage::ALL.iter().map(|stage| stage.name())).filter(|_| is_command)?;
    Some(format!("`{stage}` is a stage: `run {stage}` runs it"))
}

/// Returns the format of messages that a command line names that cannot be parsed.
fn wanted_format(arguments: impl Iterator<Item = OsString>) -> LogFormat {
    let words: Vec<OsString> = arguments.take_while(|word| word != "--").collect();
    let is_json = words.iter().any(|word| word == "--log-format=json")
        || words.windows(2).any(|pair| pair[0] == "--log-format" && pair[1] == "json");
    if is_json { LogFormat::Json } else { LogFormat::Text }
}

fn report_error(error: CommandError) -> Exit {
    let CommandError { kind, message, excerpt, hint, source, .. } = error;
    tracing::error!(excerpt, hint, "{message}");
    let mut cause = source.as_deref().and_then(|source| source.source());
    while let Some(error) = cause {
        tracing::debug!("caused by: {error}");
        cause = error.source();
    }
    kind.exit()
}

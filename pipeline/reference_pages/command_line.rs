use std::fmt::Write as _;

use clap::{Arg, Command};

use super::cell;

const HEAD: &str = "\
# Command line

<!-- Generated from the command line's definition by pipeline/reference_pages. Do not edit. -->

All commands and options, as `--help` describes them. [Commands at a glance](overview.md) is shorter. `tfnas-pipeline man --out FOLDER`
writes this page as manual pages, and `tfnas-pipeline completions SHELL` prints shell completions.
";

/// Returns the page about all commands and options.
pub fn page(mut program: Command) -> String {
    program.build();
    let mut text = HEAD.to_owned();
    text.push_str("\n## Options of every command\n\n");
    table(&mut text, program.get_arguments().filter(|argument| argument.is_global_set()));
    for command in commands(&program) {
        section(&mut text, command, &[], 2);
    }
    text
}

/// Returns the commands below a command.
fn commands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| command.get_name() != "help" && !command.is_hide_set())
}

fn section(text: &mut String, command: &Command, above: &[&str], level: usize) {
    let names = [above, &[command.get_name()]].concat();
    // Writing to a String cannot fail.
    let _ = write!(text, "\n{} {}\n\n", "#".repeat(level), names.join(" "));
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    for paragraph in about.split("\n\n") {
        let _ = write!(text, "{}\n\n", cell(paragraph));
    }
    let usage = command.clone().render_usage().to_string();
    let _ = write!(text, "```text\n{}\n```\n", usage.trim_start_matches("Usage: "));
    let mut own = command.get_arguments().filter(|argument| !argument.is_global_set() && !is_help(argument)).peekable();
    if own.peek().is_some() {
        text.push('\n');
        table(text, own);
    }
    if let Some(after) = command.get_after_help() {
        let _ = write!(text, "\n{}\n", cell(&after.to_string()));
    }
    for command in commands(command) {
        section(text, command, &names, level + 1);
    }
}

fn is_help(argument: &Arg) -> bool {
    matches!(argument.get_id().as_str(), "help" | "version") || argument.is_hide_set()
}

fn table<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    text.push_str("| argument or option | meaning |\n|---|---|\n");
    for argument in arguments.filter(|argument| !is_help(argument)) {
        let _ = writeln!(text, "| {} | {} |", spelling(argument), meaning(argument));
    }
}

/// Returns how an argument is written: `-c`, `--config FILE`.
fn spelling(argument: &Arg) -> String {
    let takes_values = argument.is_positional() || argument.get_action().takes_values();
    let values: Vec<String> = match argument.get_value_names() {
        Some(names) if takes_values => names.iter().map(|name| name.to_string().replace('|', "\\|")).collect(),
        _ => Vec::new(),
    };
    let mut values = values.join(" ");
    if argument.is_positional() {
        let several = argument.get_num_args().is_some_and(|count| count.max_values() > 1);
        values.push_str(if several { "…" } else { "" });
        return if argument.is_required_set() { format!("`{values}`") } else { format!("`[{values}]`") };
    }
    let short = argument.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    let long = argument.get_long().unwrap_or_default();
    let optional = argument.get_num_args().is_some_and(|count| count.min_values() == 0 && count.takes_values());
    match (values.as_str(), optional) {
        ("", _) => format!("{short}`--{long}`"),
        (values, true) => format!("{short}`--{long}[={values}]`"),
        (values, false) => format!("{short}`--{long} {values}`"),
    }
}

/// Returns the help of an argument, with its possible values and its default.
fn meaning(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut text = cell(&help);
    let takes_values = argument.get_action().takes_values();
    let values = if takes_values { argument.get_possible_values() } else { Vec::new() };
    if !values.is_empty() {
        let values: Vec<String> = values
            .iter()
            .map(|value| match value.get_help() {
                Some(help) => format!("`{}` ({})", value.get_name(), cell(&help.to_string())),
                None => format!("`{}`", value.get_name()),
            })
            .collect();
        let _ = write!(text, ": {}", values.join(", "));
    }
    if takes_values && !argument.get_default_values().is_empty() && !argument.is_hide_default_value_set() {
        let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let _ = write!(text, " [default: {}]", defaults.join(", "));
    }
    text
}

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::cli::Cli;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::report::out::print_bytes;

/// Print the completion script of a shell
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub fn execute(&self) -> Result<Exit, CommandError> {
        let mut command = Cli::command();
        let name = command.get_name().to_owned();
        let mut text = Vec::new();
        generate(self.shell, &mut command, name, &mut text);
        print_bytes(&text);
        Ok(Exit::Done)
    }
}

use std::process::ExitCode;

/// How the program ends; scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: what was asked for is done.
    Done,
    /// 1: a stage failed, or what was checked is not as it should be.
    Failed,
    /// 2: usage, configuration, data or store: nothing was done.
    Usage,
    /// 130: ended by Ctrl-C or a request to end.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => 0.into(),
            Exit::Failed => 1.into(),
            Exit::Usage => 2.into(),
            Exit::Interrupted => tfnas_stages::INTERRUPTED.into(),
        }
    }
}

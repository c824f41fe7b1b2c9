use std::process::ExitCode;

/// The exit codes. Scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: success.
    Done,
    /// 1: a stage or a check failed.
    Failed,
    /// 2: wrong usage, configuration, data or store; nothing was done.
    Usage,
    /// 130: interrupted by Ctrl-C or another signal.
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

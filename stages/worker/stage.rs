//! The worker `tfnas-stage`, which `tfnas-pipeline` starts.
//!
//! `run JOB` runs one stage while the planner waits, `detached FOLDER SUBMISSION` runs one that can outlive the planner. `join`
//! runs another rank of the job of rank 0, and `release` tells waiting ranks that there are no more jobs. `answer VERSION`
//! answers a request on standard input that is not part of a run.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [verb, job] if verb == "run" => tfnas_worker::run(Path::new(job)),
        [verb] if verb == "join" => tfnas_worker::join(tfnas_worker::StopSource::StandardInput),
        [verb, detached] if verb == "join" && detached == "--detached" => {
            tfnas_worker::join(tfnas_worker::StopSource::Signals)
        }
        [verb] if verb == "release" => tfnas_worker::release(),
        [verb, folder, number] if verb == "detached" => match number.to_str().and_then(|number| number.parse().ok()) {
            Some(number) => tfnas_worker::run_detached(Path::new(folder), number),
            None => usage(),
        },
        [verb, version] if verb == "answer" => tfnas_worker::answer(version),
        [verb] if verb == "--version" => {
            let version =
                format!("tfnas-stage {} (protocol {})", tfnas_worker::VERSION, tfnas_stages::PROTOCOL_VERSION);
            match tfnas_worker::print_line(&version) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    tfnas_worker::print_error(&format!("tfnas-stage: cannot write to standard output: {error}"));
                    ExitCode::from(2)
                }
            }
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    tfnas_worker::print_error(
        "tfnas-stage is started by tfnas-pipeline: tfnas-stage run JOB | detached FOLDER SUBMISSION | join | release | \
         answer VERSION | --version",
    );
    ExitCode::from(2)
}

//! Requests of the planner that are not part of a run.

mod check_table;
mod latency;
mod predict;
mod torchscript;

use std::ffi::OsStr;
use std::io::{Read, stdin};
use std::process::ExitCode;

use serde::Serialize;
use tfnas_stages::Request;

pub(crate) use latency::WARM_UP_PASSES;

use crate::VERSION;
use crate::console::{print_error, print_line};
use crate::error::{Context as _, StageError, exit_code};

/// Maximum size of a request, in bytes. A request to classify a million images has about 100 MB.
const MAX_REQUEST_BYTES: u64 = 1 << 30;

/// Answers the [`Request`] on standard input, which a planner of this version wrote. Errors are printed to standard error.
///
/// Exit codes: 0 on success, 1 on failure, 2 for a request of another version or one that cannot be read.
pub fn answer(version: &OsStr) -> ExitCode {
    if version != VERSION {
        print_error(&format!("the request is of tfnas-pipeline {}, this is tfnas-stage {VERSION}", version.display()));
        return ExitCode::from(2);
    }
    let mut text = String::new();
    let read = stdin().lock().take(MAX_REQUEST_BYTES).read_to_string(&mut text);
    let request = read.map_err(|error| error.to_string()).and_then(|_| parse(&text));
    match request {
        Ok(request) => exit_code(reply(&request)),
        Err(error) => {
            print_error(&format!("the request on standard input cannot be read: {error}"));
            ExitCode::from(2)
        }
    }
}

fn parse(text: &str) -> Result<Request, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn reply(request: &Request) -> Result<(), StageError> {
    match request {
        Request::CheckTable(request) => print(&check_table::check(request)?),
        Request::Latency(request) => print(&latency::measure(request)?),
        Request::Predict(request) => predict::predict(request, &mut |prediction| print(prediction)),
        Request::TorchScript(request) => torchscript::export(request),
    }
}

fn print(reply: &impl Serialize) -> Result<(), StageError> {
    let text = serde_json::to_string(reply).context("reply")?;
    print_line(&text).context("cannot write to standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_invalid_numbers_or_unknown_fields_is_rejected() {
        let latency = |resolution: &str, more: &str| {
            parse(&format!(
                r#"{{"latency": {{"config": "c", "resolution": {resolution}, "batch": 1, "threads": 1, "passes": 51, "seed": 0,
                    "device": "cpu"{more}}}}}"#
            ))
        };
        assert!(matches!(latency("224", ""), Ok(Request::Latency(_))));
        for rejected in
            [latency("0", ""), latency("\"many\"", ""), latency("224", ", \"unknown\": 1"), parse("{}"), parse("")]
        {
            assert!(rejected.is_err(), "{rejected:?}");
        }
    }
}

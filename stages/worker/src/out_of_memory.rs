//! Converts out-of-memory panics from libtorch to errors of the stage.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tfnas_stages::Stage;

use crate::error::{StageError, StageResult};

/// Substrings of libtorch's messages if the device or the host runs out of memory.
const MESSAGES: [&str; 2] = ["out of memory", "can't allocate memory"];

/// Runs a stage and converts an out-of-memory panic to an error. Other panics are not caught.
pub fn catch(stage: Stage, run: impl FnOnce() -> StageResult) -> StageResult {
    // The stage's state is not used again after a panic.
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result,
        Err(panic) => Err(error_of(stage, panic.as_ref()).unwrap_or_else(|| resume_unwind(panic))),
    }
}

fn error_of(stage: Stage, panic: &(dyn Any + Send)) -> Option<StageError> {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied())?;
    if !MESSAGES.iter().any(|message| text.contains(message)) {
        return None;
    }
    // tch wraps the message: called `Result::unwrap()` on an `Err` value: Torch("CUDA out of memory. Tried …\n…").
    let message = text.split_once("Torch(\"").map_or(text, |(_, message)| message);
    let message = message.split("\\n").next().unwrap_or(message).trim_end_matches("\")");
    Some(StageError::with_hint(format!("memory ran out: {message}"), stage.spec().memory_hint()))
}

#[cfg(test)]
mod tests {
    use tfnas_stages::Metrics;

    use super::*;

    fn message_of(text: &'static str) -> Option<(String, Option<String>)> {
        match error_of(Stage::Train, &text) {
            Some(StageError::Failed { message, hint, .. }) => Some((message, hint)),
            _ => None,
        }
    }

    #[test]
    fn an_out_of_memory_panic_is_an_error_with_a_hint() {
        let text = r#"called `Result::unwrap()` on an `Err` value: Torch("CUDA out of memory. Tried to allocate 2.00 GiB.\nat …")"#;
        let (message, hint) = message_of(text).unwrap_or_default();
        assert_eq!(message, "memory ran out: CUDA out of memory. Tried to allocate 2.00 GiB.");
        assert!(hint.is_some_and(|hint| hint.contains("train.batch")));
    }

    #[test]
    fn other_panics_are_not_converted() {
        assert_eq!(message_of("index out of bounds"), None);
        assert!(matches!(catch(Stage::Test, || Ok(Metrics::new())), Ok(metrics) if metrics.is_empty()));
    }
}

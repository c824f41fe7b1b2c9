use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::Sender;

use tfnas_stages::Event;

/// The maximum length of a line of a worker. Longer lines are not parsed as events.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// A message to the thread that monitors a worker.
#[derive(Debug)]
pub enum WorkerMessage {
    /// The worker sent an event.
    Event(Event),
    /// The worker wrote a line that is not an event.
    UnparsedLine(String),
    /// The worker's standard output was closed.
    Closed,
    /// The user requested an orderly stop.
    Stop,
    /// The user requested an immediate stop.
    Kill,
    /// The planner exits. Detached jobs continue.
    Detach,
}

/// Reads a worker's standard output to its end and forwards its lines as messages.
pub fn forward(output: impl Read, sender: &Sender<WorkerMessage>) {
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        let read = serde_json::from_str(text)
            .map_or_else(|_| WorkerMessage::UnparsedLine(text.chars().take(500).collect()), WorkerMessage::Event);
        if sender.send(read).is_err() {
            return;
        }
    }
    // The receiver is gone if the monitor has already noticed that the worker has exited.
    let _ = sender.send(WorkerMessage::Closed);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc::channel;

    use super::*;

    fn read(text: &[u8]) -> Vec<WorkerMessage> {
        let (sender, receiver) = channel();
        forward(text, &sender);
        drop(sender);
        receiver.iter().collect()
    }

    #[test]
    fn other_lines_are_not_parsed_as_events() {
        let messages = read(
            b"{\"event\":\"resumed\",\"at\":\"epoch 2\"}\nOMP: warning\n\xff\n\n{\"event\":\"done\",\"metrics\":{}}",
        );
        assert!(matches!(messages[0], WorkerMessage::Event(Event::Resumed { .. })));
        assert!(matches!(&messages[1], WorkerMessage::UnparsedLine(line) if line == "OMP: warning"));
        assert!(matches!(messages[2], WorkerMessage::UnparsedLine(_)));
        assert!(
            matches!(messages[3], WorkerMessage::Event(Event::Done { .. })),
            "the last line may end without a newline"
        );
        assert!(matches!(messages[4], WorkerMessage::Closed) && messages.len() == 5);
    }

    #[test]
    fn a_line_that_is_too_long_is_split() {
        let messages = read(&vec![b'x'; 3 << 20]);
        assert_eq!(messages.len(), 4);
    }
}

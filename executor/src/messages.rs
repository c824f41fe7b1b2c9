use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::Sender;

use tfnas_stages::Event;

/// The longest line that a worker may write; a longer one is no event.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// What reaches the thread that looks after a worker.
#[derive(Debug)]
pub enum WorkerMessage {
    /// The worker said something.
    Event(Event),
    /// The worker wrote a line that is no event.
    UnparsedLine(String),
    /// The worker's standard output ended.
    Closed,
    /// The user wants an orderly end.
    Stop,
    /// The user wants an end at once.
    Kill,
    /// The planner ends, and what can go on without it is to go on.
    Detach,
}

/// Reads a worker's standard output to its end, and passes on what it says.
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
    // Nobody listens any more when the worker's end was noticed first.
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
    fn events_and_other_lines_are_told_apart() {
        let mails = read(
            b"{\"event\":\"resumed\",\"at\":\"epoch 2\"}\nOMP: warning\n\xff\n\n{\"event\":\"done\",\"metrics\":{}}",
        );
        assert!(matches!(mails[0], WorkerMessage::Event(Event::Resumed { .. })));
        assert!(matches!(&mails[1], WorkerMessage::UnparsedLine(line) if line == "OMP: warning"));
        assert!(matches!(mails[2], WorkerMessage::UnparsedLine(_)));
        assert!(
            matches!(mails[3], WorkerMessage::Event(Event::Done { .. })),
            "the last line may end without a newline"
        );
        assert!(matches!(mails[4], WorkerMessage::Closed) && mails.len() == 5);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mails = read(&vec![b'x'; 3 << 20]);
        assert_eq!(mails.len(), 4);
    }
}

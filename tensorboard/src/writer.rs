use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::message::{
    Content, Dim, Event, Metadata, PluginData, START, STRING, SessionLog, Shape, Summary, Tensor, Value, What,
};
use crate::record::record;

/// The version of the format, the first record of each file.
const VERSION: &str = "brain.Event:2";
/// Maximum number of files of one second and one process in a folder.
const MAX_FILES: usize = 1000;

/// Writes an event file in a folder. TensorBoard shows each folder as a run.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: File,
    /// Size of the complete records, in bytes.
    length: u64,
    /// The last step of each scalar.
    last: BTreeMap<String, u64>,
}

impl EventWriter {
    /// Creates a new file in a folder, which is created if necessary.
    ///
    /// # Errors
    /// Returns an error if the folder or the file cannot be created or written.
    pub fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let process = std::process::id();
        for number in 0..MAX_FILES {
            let path = folder.join(format!("events.out.tfevents.{:010}.{process}.{number}", now.as_secs()));
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => {
                    let mut writer = Self { path, file, length: 0, last: BTreeMap::new() };
                    writer.write(0, now.as_secs_f64(), What::FileVersion(VERSION.to_owned()))?;
                    // The values of earlier files in the folder, from an earlier export of the same run, are overwritten.
                    writer.start(0, now.as_secs_f64())?;
                    return Ok(writer);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether the file has a value of a scalar.
    pub fn has(&self, tag: &str) -> bool {
        self.last.contains_key(tag)
    }

    /// Writes a value of a scalar. If the step is not larger than the last one, all scalars are overwritten from this step
    /// on, as after a restart from a checkpoint.
    ///
    /// * `time_s`: seconds since 1970.
    ///
    /// # Errors
    /// Returns an error if the record cannot be written.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64, time_s: f64) -> io::Result<()> {
        if self.last.get(tag).is_some_and(|last| *last >= step) {
            self.start(step, time_s)?;
            self.last.retain(|_, last| *last < step);
        }
        self.last.insert(tag.to_owned(), step);
        self.summary(tag, step, time_s, Content::SimpleValue(value as f32), None)
    }

    /// Writes a text. TensorBoard shows it as Markdown.
    ///
    /// * `time_s`: seconds since 1970.
    ///
    /// # Errors
    /// Returns an error if the record cannot be written.
    pub fn text(&mut self, tag: &str, text: &str, time_s: f64) -> io::Result<()> {
        let tensor = Tensor {
            dtype: STRING,
            shape: Some(Shape { dim: vec![Dim { size: 1 }] }),
            string_val: vec![text.as_bytes().to_vec()],
        };
        let metadata = Metadata { plugin_data: Some(PluginData { plugin_name: "text".to_owned() }) };
        self.summary(tag, 0, time_s, Content::Tensor(tensor), Some(metadata))
    }

    fn summary(
        &mut self,
        tag: &str,
        step: u64,
        time_s: f64,
        content: Content,
        metadata: Option<Metadata>,
    ) -> io::Result<()> {
        let value = Value { tag: tag.to_owned(), content: Some(content), metadata };
        self.write(step, time_s, What::Summary(Summary { value: vec![value] }))
    }

    /// Starts a session: all earlier values from this step on are overwritten.
    fn start(&mut self, step: u64, time_s: f64) -> io::Result<()> {
        self.write(step, time_s, What::SessionLog(SessionLog { status: START }))
    }

    fn write(&mut self, step: u64, wall_time: f64, what: What) -> io::Result<()> {
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        let event = Event { wall_time, step, what: Some(what) };
        let bytes = record(&event.encode_to_vec());
        if let Err(error) = self.file.write_all(&bytes) {
            // Readers stop at an incomplete record. If it cannot be removed either, the error says enough.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Splits the bytes of a file into its events, and checks the lengths.
    fn events(mut bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let content = &bytes[12..12 + length];
            assert_eq!(record(content), bytes[..length + 16], "length and checksums");
            events.push(Event::decode(content).unwrap());
            bytes = &bytes[length + 16..];
        }
        events
    }

    #[test]
    fn the_bytes_of_a_scalar_are_those_of_tensorflow() {
        // Written by torch.utils.tensorboard: Event(wall_time=1.0, step=3, summary=[Value(tag="a", simple_value=0.5)]).
        let summary = Summary {
            value: vec![Value { tag: "a".to_owned(), content: Some(Content::SimpleValue(0.5)), metadata: None }],
        };
        let event = Event { wall_time: 1.0, step: 3, what: Some(What::Summary(summary)) };
        let expected = b"\x09\0\0\0\0\0\0\xf0\x3f\x10\x03\x2a\x0a\x0a\x08\x0a\x01a\x15\0\0\0\x3f";
        assert_eq!(event.encode_to_vec(), expected);
    }

    #[test]
    fn a_file_starts_with_its_version_and_has_every_value() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(&folder.path().join("a/b")).unwrap();
        writer.scalar("loss", 0, 2.0, 5.0).unwrap();
        writer.text("configuration", "seed: 0", 5.0).unwrap();
        let events = events(&fs::read(writer.path()).unwrap());
        assert_eq!(events[0].what, Some(What::FileVersion("brain.Event:2".to_owned())));
        assert_eq!(events[1].what, Some(What::SessionLog(SessionLog { status: START })), "it replaces earlier files");
        assert_eq!(events.len(), 4);
        let Some(What::Summary(summary)) = &events[3].what else { panic!("{events:?}") };
        assert_eq!(summary.value[0].metadata.as_ref().unwrap().plugin_data.as_ref().unwrap().plugin_name, "text");
        assert_eq!(EventWriter::create(&folder.path().join("a/b")).unwrap().path().parent(), writer.path().parent());
        assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 2, "a second writer has its own file");
    }

    #[test]
    fn repeated_steps_are_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path()).unwrap();
        for (tag, step) in [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 1), ("b", 1), ("a", 2)] {
            writer.scalar(tag, step, 0.0, 1.0).unwrap();
        }
        let events = events(&fs::read(writer.path()).unwrap());
        let starts: Vec<i64> = events
            .iter()
            .filter(|event| matches!(event.what, Some(What::SessionLog(_))))
            .map(|event| event.step)
            .collect();
        assert_eq!(starts, [0, 1]);
    }
}

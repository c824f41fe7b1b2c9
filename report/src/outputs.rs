//! Values of a report that are not stage outputs. The formats of stage outputs are defined in `tfnas_stages`.

use serde::Deserialize;
use tfnas_stages::StageOutput;

/// Measured latency of a complete network, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Measured {
    /// The median.
    #[serde(rename = "measured_lat_ms")]
    pub median: f64,
    /// The lower quartile.
    #[serde(default, rename = "measured_lat_ms_low")]
    pub low: Option<f64>,
    /// The upper quartile.
    #[serde(default, rename = "measured_lat_ms_high")]
    pub high: Option<f64>,
    /// The latency at the speed that the machine had when the table was measured.
    #[serde(default, rename = "measured_lat_ms_at_table_speed")]
    pub at_table_speed: Option<f64>,
}

impl Measured {
    /// Returns the latency that can be compared with the table.
    pub fn comparable_ms(&self) -> f64 {
        self.at_table_speed.unwrap_or(self.median)
    }
}

/// An output of a stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Output<T> {
    /// The run does not have it.
    #[default]
    Absent,
    /// The file exists but cannot be read, for this reason.
    Unreadable(String),
    /// The parsed content.
    Read(T),
}

impl<T> Output<T> {
    /// Returns the content, if it was read.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Read(value) => Some(value),
            Self::Absent | Self::Unreadable(_) => None,
        }
    }

    /// Returns whether the run does not have this output.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Returns why the output cannot be read.
    pub fn problem(&self) -> Option<&str> {
        match self {
            Self::Unreadable(why) => Some(why),
            Self::Absent | Self::Read(_) => None,
        }
    }
}

impl<T: StageOutput> Output<T> {
    /// Parses the bytes of the file.
    pub fn from_json(bytes: &[u8]) -> Self {
        match T::from_json(bytes) {
            Ok(value) => Self::Read(value),
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tfnas_stages::TestReport;

    use super::*;

    #[test]
    fn invalid_bytes_are_unreadable() {
        for bytes in [&b"{\"top1\": 0."[..], b"", b"[]", b"\xff\xfe"] {
            let read: Output<TestReport> = Output::from_json(bytes);
            assert!(read.problem().is_some(), "{bytes:?}");
        }
    }
}

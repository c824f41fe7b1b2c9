//! Moments, as other people's formats write them.

use std::fmt;

use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment in milliseconds since 1970, UTC, of the years 0 to 9999; written as in RFC 3339 (`2026-01-31T12:00:00.5Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(OffsetDateTime);

impl Timestamp {
    /// Returns the moment; none outside the years that can be written.
    pub fn from_ms(ms: i64) -> Option<Self> {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?;
        (0..=9999).contains(&moment.year()).then_some(Self(moment))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn moments_are_written_as_in_rfc_3339() {
        let text = |ms| Timestamp::from_ms(ms).map(|moment| moment.to_string());
        assert_eq!(text(0).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(text(1_709_210_096_789).unwrap(), "2024-02-29T12:34:56.789Z");
        assert_eq!(text(-1).unwrap(), "1969-12-31T23:59:59.999Z");
        assert_eq!((text(i64::MAX), text(i64::MIN)), (None, None));
    }
}

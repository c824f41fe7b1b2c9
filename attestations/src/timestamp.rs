//! Moments, as other people's formats write them.

use std::fmt;

use serde::{Serialize, Serializer};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// A UTC time in milliseconds since 1970, in the years 0 to 9999. It is written in RFC 3339 form
/// (`2026-01-31T12:00:00.500Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Returns the time, or `None` outside the supported years.
    pub fn from_ms(ms: i64) -> Option<Self> {
        // The first moment of the year 0 and that of the year 10000.
        const YEARS_MS: std::ops::Range<i64> = -719_528 * DAY_MS..2_932_897 * DAY_MS;
        YEARS_MS.contains(&ms).then_some(Self(ms))
    }

    /// Returns the same moment with its offset in digits, which some readers want.
    pub(crate) fn with_offset(self) -> String {
        self.to_string().replace('Z', "+00:00")
    }

    /// Returns its year, month and day.
    fn date(self) -> (i64, i64, i64) {
        // Days since 0000-03-01, in eras of 400 years (H. Hinnant, "chrono-compatible low-level date algorithms").
        let shifted = self.0.div_euclid(DAY_MS) + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        (year_of_era + era * 400 + i64::from(month <= 2), month, day)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let of_day = self.0.rem_euclid(DAY_MS);
        let (second, ms) = (of_day / 1000, of_day % 1000);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if ms > 0 {
            write!(f, ".{ms:03}")?;
        }
        f.write_str("Z")
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
    fn timestamps_are_formatted_as_in_rfc_3339() {
        let text = |ms| Timestamp::from_ms(ms).map(|moment| moment.to_string());
        assert_eq!(text(0).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(text(1_709_210_096_789).unwrap(), "2024-02-29T12:34:56.789Z");
        assert_eq!(Timestamp::from_ms(1500).unwrap().with_offset(), "1970-01-01T00:00:01.500+00:00");
        assert_eq!(text(-1).unwrap(), "1969-12-31T23:59:59.999Z");
        assert_eq!((text(i64::MAX), text(i64::MIN)), (None, None));
        assert_eq!(text(253_402_300_799_999).unwrap(), "9999-12-31T23:59:59.999Z");
        assert_eq!(text(253_402_300_800_000), None);
        assert_eq!(text(-62_167_219_200_000).unwrap(), "0000-01-01T00:00:00Z");
        assert_eq!(text(-62_167_219_200_001), None);
    }
}

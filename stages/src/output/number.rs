//! Numbers that may not be finite. JSON has no other word for them than `null`, so a loss that diverged is written as
//! `null`; it is read back as NaN, and so is a number that an older file does not have. Readers that show or compare
//! numbers ask [`finite`].

use serde::{Deserialize, Deserializer};

/// Returns a number, or `None` if it is NaN or infinite.
pub fn finite(number: f64) -> Option<f64> {
    Some(number).filter(|number| number.is_finite())
}

/// The value of a number that a file does not have.
pub const fn missing() -> f64 {
    f64::NAN
}

/// Reads a number, `null` as NaN.
pub fn nullable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// Reads rows of numbers, `null` as NaN.
pub fn nullable_rows<'de, D, N>(deserializer: D) -> Result<Vec<Vec<N>>, D::Error>
where
    D: Deserializer<'de>,
    N: Deserialize<'de> + From<f32>,
{
    let rows: Vec<Vec<Option<N>>> = Vec::deserialize(deserializer)?;
    Ok(rows.into_iter().map(|row| row.into_iter().map(|number| number.unwrap_or(f32::NAN.into())).collect()).collect())
}

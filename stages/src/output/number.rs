//! Numbers that may not be finite. JSON cannot represent them, so the loss of a diverged training is written as `null`. `null`
//! and numbers that are missing in older files are read as NaN. Readers use [`finite`] before they print or compare numbers.

use serde::{Deserialize, Deserializer};

/// Returns `None` if the number is NaN or infinite.
pub fn finite(number: f64) -> Option<f64> {
    Some(number).filter(|number| number.is_finite())
}

/// The default of a number that is missing in a file.
pub const fn missing() -> f64 {
    f64::NAN
}

/// Deserializes a number; `null` becomes NaN.
pub fn nullable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// Deserializes rows of numbers; `null` becomes NaN.
pub fn nullable_rows<'de, D, N>(deserializer: D) -> Result<Vec<Vec<N>>, D::Error>
where
    D: Deserializer<'de>,
    N: Deserialize<'de> + From<f32>,
{
    let rows: Vec<Vec<Option<N>>> = Vec::deserialize(deserializer)?;
    Ok(rows.into_iter().map(|row| row.into_iter().map(|number| number.unwrap_or(f32::NAN.into())).collect()).collect())
}

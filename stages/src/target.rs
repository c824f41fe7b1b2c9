//! The target latency: `search.target_lat_ms` in the configuration.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tfnas::Reachable;

/// The latency that a network must meet: in milliseconds, or as a position in the range of latencies that the table can reach
/// (`40%`). A percentage works before the table has been measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Predicted latency in milliseconds.
    Ms(f64),
    /// Position between the fastest (0 %) and the slowest (100 %) network of the space.
    Percent(f64),
}

/// The target latency is outside the range that networks of the space can reach.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "search.target_lat_ms: {target_lat_ms} ms cannot be reached: networks of this space take {min_ms:.4} to {max_ms:.4} ms \
     by the table; choose a target in that range"
)]
pub struct UnreachableTarget {
    target_lat_ms: f64,
    min_ms: f64,
    max_ms: f64,
}

impl Target {
    /// Returns the target in milliseconds.
    ///
    /// # Errors
    /// Returns an error if all networks of the space are slower than the target, or all are faster.
    pub fn within(self, reachable: &Reachable) -> Result<f64, UnreachableTarget> {
        let (min_ms, max_ms) = (reachable.min_ms, reachable.max_ms);
        let target_lat_ms = match self {
            Self::Ms(ms) => ms,
            // Rounding must not leave the range.
            Self::Percent(percent) => (min_ms + (max_ms - min_ms) * percent / 100.0).clamp(min_ms, max_ms),
        };
        if target_lat_ms > 0.0 && (min_ms..=max_ms).contains(&target_lat_ms) {
            Ok(target_lat_ms)
        } else {
            Err(UnreachableTarget { target_lat_ms, min_ms, max_ms })
        }
    }

    /// Returns an error message if the value is out of range.
    pub(crate) fn validate(self) -> Result<(), String> {
        match self {
            Self::Ms(ms) if !(ms > 0.0 && ms.is_finite()) => Err(format!("must be above 0, not {ms}")),
            Self::Percent(percent) if !(0.0..=100.0).contains(&percent) => {
                Err(format!("must be between 0% and 100%, not {percent}%"))
            }
            _ => Ok(()),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Ms(ms) => serializer.serialize_f64(*ms),
            Self::Percent(percent) => serializer.serialize_str(&format!("{percent}%")),
        }
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TargetVisitor)
    }
}

struct TargetVisitor;

impl Visitor<'_> for TargetVisitor {
    type Value = Target;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("milliseconds, or a percentage of the reachable range such as `40%`")
    }

    fn visit_f64<E: de::Error>(self, ms: f64) -> Result<Target, E> {
        Ok(Target::Ms(ms))
    }

    fn visit_u64<E: de::Error>(self, ms: u64) -> Result<Target, E> {
        Ok(Target::Ms(ms as f64))
    }

    fn visit_i64<E: de::Error>(self, ms: i64) -> Result<Target, E> {
        Ok(Target::Ms(ms as f64))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Target, E> {
        let percent = text.strip_suffix('%').and_then(|number| number.trim().parse().ok());
        percent.map(Target::Percent).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_target_is_a_number_or_a_percentage_and_survives_a_round_trip() {
        for (text, target) in [("12", Target::Ms(12.0)), ("12.5", Target::Ms(12.5)), ("\"40%\"", Target::Percent(40.0))]
        {
            let read: Target = serde_json::from_str(text).unwrap();
            assert_eq!(read, target);
            assert_eq!(serde_json::from_str::<Target>(&serde_json::to_string(&read).unwrap()).unwrap(), target);
        }
        for text in ["\"12\"", "\"12 ms\"", "true", "null", "[1]"] {
            assert!(serde_json::from_str::<Target>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_percentage_is_a_position_in_the_range_of_the_table() {
        let space = tfnas::Space::imagenet();
        let reachable = tfnas::LatencyTable::titan_rtx().reachable_ms(&space).unwrap();
        let quarter = Target::Percent(25.0).within(&reachable).unwrap();
        assert!((quarter - (0.75 * reachable.min_ms + 0.25 * reachable.max_ms)).abs() < 1e-9);
        assert_eq!(Target::Percent(100.0).within(&reachable), Ok(reachable.max_ms));
        assert_eq!(Target::Ms(15.0).within(&reachable), Ok(15.0));
        let message = Target::Ms(900.0).within(&reachable).unwrap_err().to_string();
        assert!(message.starts_with("search.target_lat_ms: 900 ms cannot be reached: networks"), "{message}");
        assert!(Target::Percent(101.0).validate().is_err() && Target::Ms(0.0).validate().is_err());
    }
}

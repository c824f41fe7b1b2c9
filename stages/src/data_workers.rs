//! The number of threads that load images: `data.workers` in the configuration.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Number of threads for `auto` if the stage computes on the CPU: they share the cores with the computation.
const AUTO_CPU_THREADS: usize = 4;
/// Maximum number of threads for `auto` if the stage computes on a GPU.
const MAX_AUTO_GPU_THREADS: usize = 64;

/// Number of threads that decode and augment images in advance: a number, or `auto`. Affects only speed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataWorkers {
    /// All cores (at most 64) if the stage computes on a GPU, four threads if it computes on the CPU.
    #[default]
    Auto,
    /// This many threads; with 0, the compute thread decodes the images.
    Count(usize),
}

impl DataWorkers {
    /// Returns the number of threads for one process that may use `cores` cores.
    pub fn threads(self, on_gpu: bool, cores: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Auto if on_gpu => cores.clamp(1, MAX_AUTO_GPU_THREADS),
            Self::Auto => AUTO_CPU_THREADS,
        }
    }
}

impl Serialize for DataWorkers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Count(count) => serializer.serialize_u64(*count as u64),
        }
    }
}

impl<'de> Deserialize<'de> for DataWorkers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DataWorkersVisitor)
    }
}

struct DataWorkersVisitor;

impl Visitor<'_> for DataWorkersVisitor {
    type Value = DataWorkers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, 0 or above, or auto")
    }

    fn visit_u64<E: de::Error>(self, count: u64) -> Result<DataWorkers, E> {
        usize::try_from(count)
            .map(DataWorkers::Count)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(count), &self))
    }

    fn visit_i64<E: de::Error>(self, count: i64) -> Result<DataWorkers, E> {
        let unsigned = u64::try_from(count).map_err(|_| E::invalid_value(de::Unexpected::Signed(count), &self))?;
        self.visit_u64(unsigned)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<DataWorkers, E> {
        if text == "auto" { Ok(DataWorkers::Auto) } else { Err(E::invalid_value(de::Unexpected::Str(text), &self)) }
    }
}

impl JsonSchema for DataWorkers {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DataWorkers".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "const": "auto" }] })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn auto_uses_all_cores_on_a_gpu_and_four_threads_on_a_cpu() {
        assert_eq!(DataWorkers::Auto.threads(true, 16), 16);
        assert_eq!(DataWorkers::Auto.threads(true, 0), 1);
        assert_eq!(DataWorkers::Auto.threads(false, 16), 4);
        assert_eq!(DataWorkers::Count(0).threads(true, 16), 0);
    }

    #[test]
    fn only_a_number_or_auto_is_accepted() {
        for (text, value) in [("3", DataWorkers::Count(3)), ("\"auto\"", DataWorkers::Auto)] {
            assert_eq!(serde_json::from_str::<DataWorkers>(text).unwrap(), value);
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
        }
        for text in ["-1", "1.5", "\"all\"", "null"] {
            let error = serde_json::from_str::<DataWorkers>(text).unwrap_err().to_string();
            assert!(error.contains("a whole number, 0 or above, or auto"), "{error}");
        }
    }
}

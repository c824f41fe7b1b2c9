//! Paths in JSON, for `#[serde(with = "path_text")]`: a string if the path is UTF-8, otherwise an array of bytes. So any path
//! reaches the worker unchanged.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::de::{SeqAccess, Visitor};
use serde::{Deserializer, Serialize, Serializer};

/// Serializes a path.
pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    match path.to_str() {
        Some(text) => serializer.serialize_str(text),
        None => path.as_os_str().as_bytes().serialize(serializer),
    }
}

/// Deserializes a path.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    struct PathVisitor;

    impl<'de> Visitor<'de> for PathVisitor {
        type Value = PathBuf;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a path: a string, or an array of bytes")
        }

        fn visit_str<E>(self, text: &str) -> Result<PathBuf, E> {
            Ok(text.into())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<PathBuf, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = access.next_element()? {
                bytes.push(byte);
            }
            Ok(OsString::from_vec(bytes).into())
        }
    }

    deserializer.deserialize_any(PathVisitor)
}

/// The same for `Option<PathBuf>`.
pub mod option {
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Text(#[serde(with = "super")] PathBuf);

    /// Serializes a path or null.
    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        path.clone().map(Text).serialize(serializer)
    }

    /// Deserializes a path or null.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Text>::deserialize(deserializer)?.map(|Text(path)| path))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Paths {
        #[serde(with = "super")]
        one: PathBuf,
        #[serde(default, with = "super::option")]
        two: Option<PathBuf>,
    }

    #[test]
    fn paths_survive_a_round_trip_and_utf8_paths_are_strings() {
        let non_utf8 = PathBuf::from(OsString::from_vec(b"/a/\xff".to_vec()));
        let plain = PathBuf::from("/a/b");
        for (one, two) in [(plain.clone(), None), (non_utf8.clone(), Some(plain.clone())), (plain, Some(non_utf8))] {
            let paths = Paths { one, two };
            let text = serde_json::to_string(&paths).unwrap();
            assert_eq!(serde_json::from_str::<Paths>(&text).unwrap(), paths, "{text}");
        }
        assert_eq!(
            serde_json::to_string(&Paths { one: "/é".into(), two: None }).unwrap(),
            r#"{"one":"/é","two":null}"#
        );
    }
}

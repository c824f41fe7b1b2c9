use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::config::Origin;

/// An untyped value of the configuration and the origins of its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value itself.
    pub content: Content,
    /// Where the value came from.
    pub origin: Origin,
}

/// The value of a [`Node`].
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// No value.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Integer(i128),
    /// A finite floating-point number.
    Float(f64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in the order of the file.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key is.
    pub origin: Origin,
    /// The value.
    pub value: Node,
}

/// The text is not valid YAML, or contains something that a configuration cannot.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// Line number, counted from 1, if known.
    pub line: Option<u64>,
    /// What is wrong.
    pub message: String,
}

impl Node {
    /// Returns a map without entries.
    pub fn empty(origin: Origin) -> Self {
        Self { content: Content::Map(Vec::new()), origin }
    }

    /// Parses YAML. `origin` returns the origin of a value from its line.
    ///
    /// # Errors
    /// Returns [`SyntaxError`] if the text is not valid YAML, contains a key twice, or contains a number that is not
    /// finite.
    pub fn parse(yaml: &str, origin: &dyn Fn(u64) -> Origin) -> Result<Self, SyntaxError> {
        if yaml.trim().is_empty() {
            return Ok(Self::empty(origin(1)));
        }
        let options = serde_saphyr::options! { with_snippet: false };
        let raw: Spanned<Raw> =
            serde_saphyr::from_str_with_options(yaml, options).map_err(|error| SyntaxError::of(&error))?;
        Ok(Self::from_raw(raw, origin))
    }

    fn from_raw(raw: Spanned<Raw>, origin: &dyn Fn(u64) -> Origin) -> Self {
        let line = raw.referenced.line().max(1);
        let content = match raw.value {
            Raw::Null => Content::Null,
            Raw::Bool(value) => Content::Bool(value),
            Raw::Integer(value) => Content::Integer(value),
            Raw::Float(value) => Content::Float(value),
            Raw::Text(value) => Content::Text(value),
            Raw::List(items) => Content::List(items.into_iter().map(|item| Self::from_raw(item, origin)).collect()),
            Raw::Map(entries) => Content::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry {
                        origin: origin(key.referenced.line().max(1)),
                        key: key.value,
                        value: Self::from_raw(value, origin),
                    })
                    .collect(),
            ),
        };
        Self { content, origin: origin(line) }
    }

    /// Returns a function for [`parse`](Self::parse) that gives values the origin `path:line`.
    pub fn file_origin(path: &Path) -> impl Fn(u64) -> Origin {
        let path: Arc<Path> = path.into();
        move |line| Origin::File { path: Arc::clone(&path), line }
    }

    /// Returns the entry of a dotted key such as `search.weights.lr`.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
        let entry = self.entries().iter().find(|entry| entry.key == first)?;
        rest.map_or(Some(entry), |rest| entry.value.entry(rest))
    }

    /// Returns the value of a dotted key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// Returns the origin of the value of a dotted key, or [`Origin::Default`] if it is not set.
    pub fn origin_of(&self, key: &str) -> Origin {
        self.get(key).map_or(Origin::Default, |node| node.origin.clone())
    }

    /// Returns the entries of a map. Any other value has none.
    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Sets the value of a dotted key. Creates missing sections. If a parent is not a section, it is replaced by one,
    /// and a wrong type is reported later, when the configuration is typed.
    pub fn set(&mut self, key: &str, value: Self) {
        let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
        if !matches!(self.content, Content::Map(_)) {
            self.content = Content::Map(Vec::new());
            self.origin = value.origin.clone();
        }
        let Content::Map(entries) = &mut self.content else { return };
        let position = entries.iter().position(|entry| entry.key == first).unwrap_or_else(|| {
            let origin = value.origin.clone();
            entries.push(Entry { key: first.to_owned(), origin: origin.clone(), value: Self::empty(origin) });
            entries.len() - 1
        });
        let entry = &mut entries[position];
        match rest {
            Some(rest) => entry.value.set(rest, value),
            None => {
                entry.origin = value.origin.clone();
                entry.value = value;
            }
        }
    }

    /// Removes the entry of a top-level key and returns it.
    pub fn remove(&mut self, key: &str) -> Option<Entry> {
        let Content::Map(entries) = &mut self.content else { return None };
        let position = entries.iter().position(|entry| entry.key == key)?;
        Some(entries.remove(position))
    }

    /// Returns the value as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Integer(value) => u64::try_from(*value)
                .map(Value::from)
                .or_else(|_| i64::try_from(*value).map(Value::from))
                .unwrap_or_else(|_| Value::String(value.to_string())),
            Content::Float(value) => Value::from(*value),
            Content::Text(value) => Value::String(value.clone()),
            Content::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Content::Map(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect())
            }
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("nothing"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
            Self::List(_) => f.write_str("a list"),
            Self::Map(_) => f.write_str("a section of keys"),
        }
    }
}

/// Any YAML value, with the positions of its parts.
enum Raw {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;

        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }

            fn visit_none<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
                Ok(Raw::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
                Ok(Raw::Integer(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
                Ok(Raw::Integer(value.into()))
            }

            fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
                Ok(Raw::Integer(value))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
                // Normalize the sign of zero: equal values must give equal cache keys.
                Ok(Raw::Float(if value == 0.0 { 0.0 } else { value }))
            }

            fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
                Ok(Raw::Text(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = access.next_element()? {
                    items.push(item);
                }
                Ok(Raw::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = access.next_entry()? {
                    entries.push(entry);
                }
                Ok(Raw::Map(entries))
            }
        }

        deserializer.deserialize_any(RawVisitor)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn parse(yaml: &str) -> Result<Node, SyntaxError> {
        Node::parse(yaml, &Node::file_origin(Path::new("p.yaml")))
    }

    #[test]
    fn values_have_the_line_of_the_file_as_origin() {
        let node = parse("search:\n  epochs: 3\n  weights: {lr: 0.5}\nspace: small\n").unwrap();
        assert_eq!(node.origin_of("search.epochs").to_string(), "p.yaml:2");
        assert_eq!(node.origin_of("search.weights.lr").to_string(), "p.yaml:3");
        assert_eq!(node.origin_of("space").to_string(), "p.yaml:4");
        assert_eq!(node.origin_of("seed"), Origin::Default);
    }

    #[test]
    fn set_replaces_a_value_and_creates_missing_sections() {
        let mut node = parse("search: {epochs: 3}").unwrap();
        let set = |text: &str| Node { content: Content::Integer(9), origin: Origin::CommandLine { text: text.into() } };
        node.set("search.epochs", set("--set search.epochs=9"));
        node.set("train.augment.padding", set("--set train.augment.padding=9"));
        assert_eq!(node.to_json().to_string(), r#"{"search":{"epochs":9},"train":{"augment":{"padding":9}}}"#);
        assert_eq!(node.origin_of("search.epochs").to_string(), "--set search.epochs=9");
    }

    #[test]
    fn invalid_yaml_and_repeated_keys_are_errors_with_a_line() {
        assert_eq!(parse("data:\n  root: [a\nspace: b\n").unwrap_err().line, Some(3));
        let error = parse("seed: 1\nspace: small\nseed: 2\n").unwrap_err();
        assert_eq!(error.line, Some(3), "{error}");
    }

    #[test]
    fn numbers_that_are_not_finite_are_errors() {
        assert!(parse("lr: .nan").is_err());
    }

    #[test]
    fn an_empty_file_is_an_empty_map() {
        assert_eq!(parse("# nothing\n").unwrap().entries(), []);
    }
}

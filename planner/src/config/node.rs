use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::config::source::part;
use crate::config::{Origin, Source, Span};

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
    /// Where it is, if known.
    pub span: Option<Span>,
    /// What is wrong.
    pub message: String,
}

/// Returns the origin of a value from its location, and from that of its anchor if the value is named by an alias.
type OriginOf<'a> = &'a dyn Fn(Span, Option<Span>) -> Origin;

impl Node {
    /// Returns a map without entries.
    pub fn empty(origin: Origin) -> Self {
        Self { content: Content::Map(Vec::new()), origin }
    }

    /// Parses YAML.
    ///
    /// # Errors
    /// Returns [`SyntaxError`] if the text is not valid YAML, contains a key twice, or contains a number that is not
    /// finite.
    pub fn parse(source: &Arc<Source>) -> Result<Self, SyntaxError> {
        let origin = |span, anchored: Option<Span>| Origin::Text {
            source: Arc::clone(source),
            span,
            anchored: anchored.map(Box::new),
        };
        Self::parse_with(&source.text, &origin)
    }

    /// Parses the YAML of a command-line option. `option` is the whole option as given by the user.
    ///
    /// # Errors
    /// Returns [`SyntaxError`] as [`parse`](Self::parse) does.
    pub fn parse_option(yaml: &str, option: &Arc<str>) -> Result<Self, SyntaxError> {
        Self::parse_with(yaml, &|span, anchored| Origin::CommandLine {
            text: Arc::clone(option),
            written: part(yaml, anchored.unwrap_or(span)).map(Arc::from),
        })
    }

    fn parse_with(yaml: &str, origin: OriginOf<'_>) -> Result<Self, SyntaxError> {
        if yaml.trim().is_empty() {
            return Ok(Self::empty(origin(Span { line: 1, column: 1, length: 0 }, None)));
        }
        let options = serde_saphyr::options! { with_snippet: false };
        let raw: Spanned<Raw> =
            serde_saphyr::from_str_with_options(yaml, options).map_err(|error| SyntaxError::of(&error, yaml))?;
        Ok(Self::from_raw(raw, origin, None))
    }

    /// Adds origins. `key` is the origin of the value's key. It is also that of a value that has no text of its own: a
    /// section or a list in lines below the key, or nothing.
    fn from_raw(raw: Spanned<Raw>, origin: OriginOf<'_>, key: Option<&Origin>) -> Self {
        let here = origin_of(origin, &raw.referenced, &raw.defined);
        let here = key.filter(|_| raw.referenced.span().is_empty()).cloned().unwrap_or(here);
        let content = match raw.value {
            Raw::Null => Content::Null,
            Raw::Bool(value) => Content::Bool(value),
            Raw::Integer(value) => Content::Integer(value),
            Raw::Float(value) => Content::Float(value),
            Raw::Text(value) => Content::Text(value),
            Raw::List(items) => {
                Content::List(items.into_iter().map(|item| Self::from_raw(item, origin, None)).collect())
            }
            Raw::Map(entries) => Content::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let of_key = origin_of(origin, &key.referenced, &key.defined);
                        Entry { value: Self::from_raw(value, origin, Some(&of_key)), key: key.value, origin: of_key }
                    })
                    .collect(),
            ),
        };
        Self { content, origin: here }
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
        let origin = value.origin.clone();
        self.set_from(key, &origin, value);
    }

    /// Like [`set`](Self::set), for a key that has another origin than its value.
    pub fn set_from(&mut self, key: &str, origin: &Origin, value: Self) {
        let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
        if !matches!(self.content, Content::Map(_)) {
            self.content = Content::Map(Vec::new());
            self.origin = origin.clone();
        }
        let Content::Map(entries) = &mut self.content else { return };
        let position = entries.iter().position(|entry| entry.key == first).unwrap_or_else(|| {
            entries.push(Entry { key: first.to_owned(), origin: origin.clone(), value: Self::empty(origin.clone()) });
            entries.len() - 1
        });
        let entry = &mut entries[position];
        match rest {
            Some(rest) => entry.value.set_from(rest, origin, value),
            None => {
                entry.origin = origin.clone();
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

/// Returns the origin of a value from where it is referenced and defined, which differ for an alias. They also differ in a
/// section that is merged (`<<`) and written there; its values are where they are defined.
fn origin_of(origin: OriginOf<'_>, referenced: &Location, defined: &Location) -> Origin {
    let (here, anchor) = (Span::of(referenced), Span::of(defined));
    let is_before = (anchor.line, anchor.column) < (here.line, here.column);
    match referenced == defined {
        true => origin(here, None),
        false if is_before => origin(here, Some(anchor)),
        false => origin(anchor, None),
    }
}

impl Span {
    /// Converts a location of the parser. An unknown one is the start of the text.
    pub(super) fn of(location: &Location) -> Self {
        if *location == Location::UNKNOWN {
            return Self { line: 1, column: 1, length: 0 };
        }
        let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let (line, column) = (number(location.line()).max(1), number(location.column()).max(1));
        Self { line, column, length: number(location.span().len()) }
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
        Node::parse(&Arc::new(Source::new("p.yaml", yaml)))
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
    fn values_have_their_part_of_the_line_as_place() {
        let node = parse("data:\n  root: größe  # x\nlist: [1, \"a b\"]\nsub: {x: 5}\n").unwrap();
        let place = |key: &str| node.get(key).unwrap().origin.place();
        assert_eq!([place("data"), place("data.root")], ["p.yaml:1:1", "p.yaml:2:9"]);
        assert_eq!([place("list"), place("sub"), place("sub.x")], ["p.yaml:3:7", "p.yaml:4:6", "p.yaml:4:10"]);
        let Content::List(items) = &node.get("list").unwrap().content else { panic!("a list") };
        assert_eq!(items[1].origin.excerpt().unwrap(), "  3 | list: [1, \"a b\"]\n    |           ^^^^^");
        assert_eq!(node.entry("data.root").unwrap().origin.place(), "p.yaml:2:3");
    }

    #[test]
    fn places_count_characters_with_any_line_end_and_a_byte_order_mark() {
        for text in ["\u{feff}ä: 1\r\nsearch: {ü: ö}\r\n", "ä: 1\rsearch: {ü: ö}", "ä: 1\nsearch: {ü: ö}\n"] {
            let origin = &parse(text).unwrap().get("search").unwrap().entries()[0].value.origin.clone();
            assert_eq!(origin.place(), "p.yaml:2:13", "{text:?}");
            assert_eq!(origin.excerpt().unwrap(), "  2 | search: {ü: ö}\n    |             ^", "{text:?}");
        }
    }

    #[test]
    fn an_alias_is_shown_with_the_value_of_its_anchor() {
        let node = parse("train: &t {epochs: 0}\nsearch: *t\nselect:\n  <<: *t\n").unwrap();
        for (key, place) in [("search.epochs", "p.yaml:2:9"), ("select.epochs", "p.yaml:4:7")] {
            let origin = &node.get(key).unwrap().origin;
            assert_eq!(origin.place(), place);
            let excerpt = origin.excerpt().unwrap();
            assert!(
                excerpt.contains("*t\n") && excerpt.contains("^^ the alias of this value:\n  1 | train: "),
                "{excerpt}"
            );
        }
        assert_eq!(node.get("train.epochs").unwrap().origin.excerpt().unwrap().lines().count(), 2);
        let merged = parse("train:\n  <<: &t {epochs: 0}\n").unwrap();
        assert_eq!(merged.get("train.epochs").unwrap().origin.excerpt().unwrap().lines().count(), 2);
        assert_eq!(merged.get("train.epochs").unwrap().origin.place(), "p.yaml:2:19");
    }

    #[test]
    fn set_replaces_a_value_and_creates_missing_sections() {
        let mut node = parse("search: {epochs: 3}").unwrap();
        let set = |text: &str| Node { content: Content::Integer(9), origin: Origin::option(text) };
        node.set("search.epochs", set("--set search.epochs=9"));
        node.set("train.augment.padding", set("--set train.augment.padding=9"));
        assert_eq!(node.to_json().to_string(), r#"{"search":{"epochs":9},"train":{"augment":{"padding":9}}}"#);
        assert_eq!(node.origin_of("search.epochs").to_string(), "--set search.epochs=9");
    }

    #[test]
    fn invalid_yaml_and_repeated_keys_are_errors_with_a_line() {
        assert_eq!(parse("data:\n  root: [a\nspace: b\n").unwrap_err().span.unwrap().line, 3);
        let error = parse("seed: 1\nspace: small\nseed: 2\n").unwrap_err();
        assert_eq!(error.span.unwrap().line, 3, "{error}");
    }

    #[test]
    fn a_tab_in_the_indentation_is_the_place_of_its_error() {
        for (text, line, column) in [("a:\n  b: 1\n\tc: 2\n", 3, 1), ("a:\n\tb: 1\n", 2, 1)] {
            let span = parse(text).unwrap_err().span.unwrap();
            assert_eq!((span.line, span.column), (line, column), "{text:?}");
        }
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

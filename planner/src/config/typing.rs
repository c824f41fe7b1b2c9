use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use crate::config::nearest::suggestion;
use crate::config::{Content, Entry, Node, Origin};

/// A value of the wrong type, or an unknown or missing key.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeError {
    /// The path of the wrong key, innermost part first.
    path: Vec<String>,
    /// Where the value or the key is.
    pub origin: Option<Box<Origin>>,
    /// What is wrong, without key and place.
    pub message: String,
    /// How to fix it.
    pub hint: Option<String>,
    /// If the key is unknown, the keys of its section.
    pub known: &'static [&'static str],
    /// The number, or true or false, that was found, as `message` and `hint` contain it.
    scalar: Option<String>,
}

/// Length up to which a number is shown as the user wrote it, in bytes.
const LONGEST_SCALAR: usize = 40;

/// The message about a key that is missing.
const MISSING: &str = "is missing";

impl TypeError {
    /// Returns whether a key is missing.
    pub fn is_missing(&self) -> bool {
        self.message == MISSING
    }

    /// Returns the path of the key, such as `search.weights.lr` or `groups[2].channels`.
    pub fn key(&self) -> String {
        self.path.iter().rev().fold(String::new(), |mut key, part| {
            if !key.is_empty() && !part.starts_with('[') {
                key.push('.');
            }
            key.push_str(part);
            key
        })
    }

    fn new(message: String) -> Self {
        Self { path: Vec::new(), origin: None, message, hint: None, known: &[], scalar: None }
    }

    fn at(mut self, origin: &Origin) -> Self {
        if self.origin.is_none() {
            self.origin = Some(Box::new(origin.clone()));
            self.restore_scalar(origin);
        }
        self
    }

    /// Replaces the number in the message by what the user wrote: `1e3`, not `1000`.
    fn restore_scalar(&mut self, origin: &Origin) {
        if let (Origin::CommandLine { .. }, Some(hint), Some(_)) = (origin, &mut self.hint, &self.scalar) {
            *hint = hint.replacen("quote it: ", "quote it for YAML and for the shell: '", 1) + "'";
        }
        let Some((found, written)) = self.scalar.take().zip(origin.written()) else { return };
        if written.len() > LONGEST_SCALAR || written.contains(char::is_whitespace) {
            return;
        }
        self.message = self.message.replace(&format!("`{found}`"), &format!("`{written}`"));
        if self.message.starts_with("expected a whole number") && written.bytes().all(|byte| byte.is_ascii_digit()) {
            self.message = format!("the number {written} has too many digits");
        }
        self.hint = self.hint.take().map(|hint| hint.replace(&format!("\"{found}\""), &format!("\"{written}\"")));
    }

    fn below(mut self, part: String) -> Self {
        self.path.push(part);
        self
    }
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TypeError {}

impl de::Error for TypeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = plain(&expected.to_string());
        let scalar = match found {
            Unexpected::Bool(value) => Some(value.to_string()),
            Unexpected::Unsigned(value) => Some(value.to_string()),
            Unexpected::Signed(value) => Some(value.to_string()),
            Unexpected::Float(value) => Some(value.to_string()),
            _ => None,
        };
        let is_text = matches!(expected.as_str(), "a path" | "text");
        let hint = scalar.as_ref().filter(|_| is_text).map(|scalar| format!("quote it: \"{scalar}\""));
        Self { scalar, hint, ..Self::new(format!("expected {expected}, found {}", described(found))) }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::new(format!("expected {}, found {length} values", plain(&expected.to_string())))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self {
            hint: Some(suggestion(variant, expected.iter().copied())),
            ..Self::new(format!("unknown value `{variant}`"))
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let hint = Some(suggestion(field, expected.iter().copied()));
        Self { hint, known: expected, ..Self::new("unknown key".to_owned()) }.below(field.to_owned())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(MISSING.to_owned()).below(field.to_owned())
    }
}

/// Translates serde's type names.
fn plain(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or above".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "text".to_owned(),
        "path string" => "a path".to_owned(),
        "a sequence" => "a list".to_owned(),
        other if other.starts_with("struct ") => "a section of keys".to_owned(),
        other => other
            .strip_prefix("an array of length ")
            .map_or_else(|| other.to_owned(), |length| format!("a list of {length} values")),
    }
}

fn described(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("`{value}`"),
        Unexpected::Signed(value) => format!("`{value}`"),
        Unexpected::Float(value) => format!("`{value}`"),
        Unexpected::Str(value) => format!("the text `{value}`"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a section of keys".to_owned(),
        other => other.to_string(),
    }
}

impl Node {
    /// Deserializes the value as a `T`.
    ///
    /// # Errors
    /// Returns [`TypeError`] with the key and the place of the first mistake.
    pub fn typed<'de, T: de::Deserialize<'de>>(&'de self) -> Result<T, TypeError> {
        T::deserialize(self)
    }

    fn visit<'de, V: Visitor<'de>>(&'de self, visitor: V) -> Result<V::Value, TypeError> {
        match &self.content {
            Content::Null => visitor.visit_unit(),
            Content::Bool(value) => visitor.visit_bool(*value),
            Content::Integer(value) => match (u64::try_from(*value), i64::try_from(*value)) {
                (Ok(value), _) => visitor.visit_u64(value),
                (_, Ok(value)) => visitor.visit_i64(value),
                _ => Err(TypeError::new(format!("the number {value} has too many digits"))),
            },
            Content::Float(value) => visitor.visit_f64(*value),
            Content::Text(value) => visitor.visit_borrowed_str(value),
            Content::List(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
            Content::Map(entries) => visitor.visit_map(Entries { entries: entries.iter(), value: None }),
        }
    }
}

impl<'de> de::Deserializer<'de> for &'de Node {
    type Error = TypeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        self.visit(visitor).map_err(|error| error.at(&self.origin))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        match self.content {
            Content::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// A section without a value has all defaults.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        let read = match self.content {
            Content::Null => visitor.visit_map(Entries { entries: [].iter(), value: None }),
            // serde would read a list as the fields of the struct in order.
            Content::List(_) => Err(de::Error::invalid_type(Unexpected::Seq, &"a section of keys")),
            _ => self.visit(visitor),
        };
        read.map_err(|error| error.at(&self.origin))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        let read = match &self.content {
            Content::Text(text) => {
                let variant: StrDeserializer<'_, TypeError> = text.as_str().into_deserializer();
                visitor.visit_enum(variant)
            }
            other => Err(TypeError::new(format!("expected one of {}, found {other}", variants.join(", ")))),
        };
        read.map_err(|error| error.at(&self.origin))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Items<'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = TypeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, TypeError> {
        let Some((index, node)) = self.items.next() else { return Ok(None) };
        seed.deserialize(node).map(Some).map_err(|error| error.at(&node.origin).below(format!("[{index}]")))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, Entry>,
    value: Option<&'de Entry>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = TypeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, TypeError> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(entry);
        let key: StrDeserializer<'_, TypeError> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|error| error.at(&entry.origin))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, TypeError> {
        let Some(entry) = self.value.take() else {
            return Err(TypeError::new("a value was requested before its key".to_owned()));
        };
        // The error of a value that serde converts after reading has no origin.
        seed.deserialize(&entry.value).map_err(|error| error.at(&entry.value.origin).below(entry.key.clone()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use tfnas_stages::Config;

    use super::*;
    use crate::config::Source;

    fn error(yaml: &str) -> TypeError {
        Node::parse(&Arc::new(Source::new("p.yaml", yaml))).unwrap().typed::<Config>().unwrap_err()
    }

    #[test]
    fn an_unknown_key_error_has_its_line_and_suggests_the_nearest_key() {
        let error = error("data: {root: x}\nsearch:\n  epochs: 3\n  weights:\n    learning: 1\n    momentm: 0.5\n");
        assert_eq!(error.key(), "search.weights.learning");
        let error = self::error("data: {root: x}\nsearch:\n  target_lat: 15\n");
        assert_eq!(
            (error.key().as_str(), error.hint.as_deref()),
            ("search.target_lat", Some("did you mean `target_lat_ms`?"))
        );
        assert_eq!(error.origin.unwrap().to_string(), "p.yaml:3");
    }

    #[test]
    fn a_type_error_names_the_expected_and_the_found_type() {
        let cases = [
            (
                "data: {root: x}\nsearch: {epochs: many}",
                "search.epochs",
                "expected a whole number, 0 or above, found the text `many`",
            ),
            (
                "data: {root: x}\nsearch: {epochs: 2.5}",
                "search.epochs",
                "expected a whole number, 0 or above, found `2.5`",
            ),
            (
                "data: {root: x}\nsearch: {epochs: -1}",
                "search.epochs",
                "expected a whole number, 0 or above, found `-1`",
            ),
            ("data: {root: x}\nsearch: [1, 2]", "search", "expected a section of keys, found a list"),
            (
                "data: {root: x}\nparse: {measure: maybe}",
                "parse.measure",
                "expected true or false, found the text `maybe`",
            ),
            (
                "data: {root: x}\ntrain: {augment: {scale: [0.1]}}",
                "train.augment.scale",
                "expected a list of 2 values, found 1 values",
            ),
        ];
        for (yaml, key, message) in cases {
            let error = error(yaml);
            assert_eq!((error.key().as_str(), error.message.as_str()), (key, message));
        }
    }

    #[test]
    fn a_number_is_shown_as_it_was_written() {
        for (yaml, message) in [
            ("data: {root: x}\ntrain: {epochs: 1e3}", "expected a whole number, 0 or above, found `1e3`"),
            ("seed: 18446744073709551616\ndata: {root: x}", "the number 18446744073709551616 has too many digits"),
            ("data:\n  root: 010", "expected a path, found `010`"),
            ("data: {root: &a 1.50, train: *a}", "expected a path, found `1.50`"),
        ] {
            assert_eq!(error(yaml).message, message);
        }
        assert_eq!(error("data: {root: 010}").hint.as_deref(), Some("quote it: \"010\""));
        assert_eq!(error("data: {root: true}").hint.as_deref(), Some("quote it: \"true\""));
        let set = |text: &str| {
            let mut tree = Node::parse(&Arc::new(Source::new("p.yaml", "data: {root: x}"))).unwrap();
            crate::config::set::apply(&mut tree, text).unwrap();
            tree.typed::<Config>().unwrap_err()
        };
        assert_eq!(set("train.epochs=1e3").message, "expected a whole number, 0 or above, found `1e3`");
        assert_eq!(set("train={epochs: 1e3, batch: 4}").message, "expected a whole number, 0 or above, found `1e3`");
        assert_eq!(set("data.root=2024").hint.as_deref(), Some("quote it for YAML and for the shell: '\"2024\"'"));
    }

    #[test]
    fn an_unknown_value_suggests_the_nearest_and_a_missing_key_names_its_section() {
        let error = error("data:\n  root: x\n  on_bad_image: skp\n");
        assert_eq!((error.key().as_str(), error.hint.as_deref()), ("data.on_bad_image", Some("did you mean `skip`?")));
        let error = self::error("seed: 1\ndata: {train: x}\n");
        assert_eq!((error.key().as_str(), error.message.as_str()), ("data.root", "is missing"));
        assert_eq!(error.origin.unwrap().to_string(), "p.yaml:2");
    }

    #[test]
    fn an_empty_section_has_its_defaults() {
        let node = Node::parse(&Arc::new(Source::new("p.yaml", "data: {root: x}\nsearch:\n"))).unwrap();
        assert_eq!(node.typed::<Config>().unwrap().search.epochs, 90);
    }
}

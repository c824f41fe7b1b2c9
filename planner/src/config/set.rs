use std::path::Path;
use std::sync::Arc;

use crate::config::{ConfigError, Content, Node, space};

/// Applies an argument `key=value` of `--set`. The value is parsed as YAML, so lists and sections are possible.
///
/// # Errors
/// Returns [`ConfigError`] if the text is not of this form, or if the value is not valid YAML.
pub fn apply(tree: &mut Node, text: &str) -> Result<(), ConfigError> {
    let wrong = || ConfigError::Set { text: text.to_owned() };
    let (key, value) = text.split_once('=').ok_or_else(wrong)?;
    let key = key.trim();
    if key.is_empty() || key.split('.').any(str::is_empty) {
        return Err(wrong());
    }
    let typed: Arc<str> = format!("--set {text}").into();
    let mut node = Node::parse_option(value, &typed).map_err(|error| ConfigError::Syntax {
        place: typed.to_string(),
        message: error.message,
        excerpt: None,
    })?;
    if value.trim().is_empty() {
        node.content = Content::Null;
    }
    space::open_for(tree, key);
    tree.set(key, node);
    Ok(())
}

/// Returns the argument of `--set` that sets a key to the path given by an option.
///
/// # Errors
/// Returns an error if the path is not UTF-8.
pub fn of_path(key: &str, option: &'static str, path: &Path) -> Result<String, ConfigError> {
    match path.to_str() {
        Some(text) if is_plain(text) => Ok(format!("{key}={text}")),
        Some(text) => Ok(format!("{key}={}", serde_json::Value::from(text))),
        None => Err(ConfigError::NotText { option, path: path.to_owned() }),
    }
}

/// Returns whether YAML reads a text without quotes as this text.
fn is_plain(text: &str) -> bool {
    let node = Node::parse_option(text, &"".into());
    node.is_ok_and(|node| matches!(node.content, Content::Text(read) if read == text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::Origin;

    fn set(text: &str) -> Result<String, ConfigError> {
        let mut tree = Node::empty(Origin::Default);
        apply(&mut tree, text)?;
        Ok(tree.to_json().to_string())
    }

    #[test]
    fn values_are_typed_as_in_the_file() {
        assert_eq!(set("search.target_lat_ms=12").unwrap(), r#"{"search":{"target_lat_ms":12}}"#);
        assert_eq!(set("search.target_lat_ms=[12, 15]").unwrap(), r#"{"search":{"target_lat_ms":[12,15]}}"#);
        assert_eq!(set("data.root=/a=b").unwrap(), r#"{"data":{"root":"/a=b"}}"#);
        assert_eq!(set("lookup.import=").unwrap(), r#"{"lookup":{"import":null}}"#);
    }

    #[test]
    fn paths_of_options_are_text() {
        for path in ["/a/b.config", "/a b/#c", "/a: b", "2024", "true", "/a #b", "- x"] {
            let text = of_path("train.from", "--from", Path::new(path)).unwrap();
            let expected = serde_json::json!({"train": {"from": path}});
            assert_eq!(set(&text).unwrap(), expected.to_string(), "{text}");
        }
        assert_eq!(of_path("train.from", "--from", Path::new("/a")).unwrap(), "train.from=/a");
    }

    #[test]
    fn text_without_key_and_value_is_an_error() {
        for text in ["seed", "=1", "a..b=1", ".=1"] {
            assert!(matches!(set(text), Err(ConfigError::Set { .. })), "{text}");
        }
        assert!(matches!(set("a=[1"), Err(ConfigError::Syntax { .. })));
    }
}

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use tfnas::{Space, SpaceDefinition, SpaceError};
use tfnas_fs::read_text_limited;
use tfnas_stages::SpaceChoice;

use crate::config::load::MAX_BYTES;
use crate::config::nearest::suggestion;
use crate::config::{ConfigError, Content, Entry, Node, Origin, Source, resolve};

/// Returns the search space of the key `space`, and how the configuration specifies it: by a known name, by a file, by
/// either with another `width_step`, or by a complete definition.
///
/// # Errors
/// Returns [`ConfigError`] if the name is unknown, the file cannot be read, or the definition is invalid. The error
/// names the place of the invalid field.
pub fn read(node: Option<&Node>, base: &Path) -> Result<(SpaceChoice, Space), ConfigError> {
    let Some(node) = node else {
        return named("imagenet", &Origin::Default);
    };
    match &node.content {
        Content::Text(text) if is_file(text) => {
            let path = resolve(base, Path::new(text));
            let yaml = read_text_limited(&path, MAX_BYTES).map_err(|error| {
                let message = format!("cannot read the space {}: {error}", path.display());
                ConfigError::value("space", &node.origin, message)
            })?;
            let source = Arc::new(Source::new(path.display().to_string(), &yaml));
            let node = Node::parse(&source).map_err(|error| ConfigError::syntax(&source, &error))?;
            defined(&node, "")
        }
        Content::Text(name) => named(name, &node.origin),
        Content::Map(entries) if is_based(entries) => based(node, base),
        Content::Map(_) => defined(node, "space"),
        other => {
            let message = format!("expected a name, a file or the space itself, found {other}");
            Err(ConfigError::value("space", &node.origin, message))
        }
    }
}

/// Returns the search space that an option names: a known name or a file.
///
/// # Errors
/// Returns [`ConfigError`] if the name is unknown, the file cannot be read, or the definition is invalid.
pub fn space_named(text: &str) -> Result<Space, ConfigError> {
    let origin = Origin::option(format!("--space {text}"));
    let node = Node { content: Content::Text(text.to_owned()), origin };
    read(Some(&node), Path::new("")).map(|(_, space)| space)
}

/// Returns whether a value of `space` is a path of a file, not a known name.
fn is_file(text: &str) -> bool {
    text.contains('/') || Path::new(text).extension().is_some_and(|end| end == "yaml" || end == "yml")
}

/// The keys of a derived space besides `base`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Based {
    width_step: Option<usize>,
}

/// The keys of a derived space such as `space: {base: cifar, width_step: 8}`.
const BASE: &str = "base";
const WIDTH_STEP: &str = "width_step";

/// Returns whether the entries derive a space from another one, instead of defining it completely.
fn is_based(entries: &[Entry]) -> bool {
    let step_alone = !entries.is_empty() && entries.iter().all(|entry| entry.key == WIDTH_STEP);
    step_alone || entries.iter().any(|entry| entry.key == BASE)
}

fn based(node: &Node, base: &Path) -> Result<(SpaceChoice, Space), ConfigError> {
    let mut rest = node.clone();
    let origin = rest.remove(BASE).map(|entry| entry.value);
    let (choice, space) = match &origin {
        None => read(None, base)?,
        Some(text) if matches!(text.content, Content::Text(_)) => read(Some(text), base)?,
        Some(other) => {
            let message = format!("expected a name or a file, found {}", other.content);
            return Err(ConfigError::value("space.base", &other.origin, message));
        }
    };
    let Based { width_step } = rest.typed().map_err(|error| ConfigError::wrong_type("space", &error))?;
    let step = width_step.unwrap_or(space.definition().width_step);
    if step == space.definition().width_step {
        return Ok((choice, space));
    }
    let definition = SpaceDefinition { width_step: step, ..space.definition().clone() };
    let stepped = Space::new(definition.clone()).map_err(|error| not_a_space(node, "space", &error))?;
    Ok((SpaceChoice::Own(Box::new(definition)), stepped))
}

/// Turns `space: cifar` into a section with this name as its base before `space.width_step` is set.
pub fn open_for(tree: &mut Node, key: &str) {
    let inside = [BASE, WIDTH_STEP].iter().any(|inside| key.strip_prefix("space.") == Some(inside));
    let Some(name) = tree.get("space").filter(|node| matches!(node.content, Content::Text(_))).cloned() else { return };
    if inside {
        tree.set("space.base", name);
    }
}

fn named(name: &str, origin: &Origin) -> Result<(SpaceChoice, Space), ConfigError> {
    Space::by_name(name).map(|space| (SpaceChoice::Named(name.to_owned()), space)).ok_or_else(|| {
        let hint = suggestion(name, Space::names().iter().copied());
        ConfigError::value("space", origin, format!("unknown space `{name}`"))
            .with_hint(format!("{hint} (or a file that ends in .yaml, or the space itself)"))
    })
}

fn defined(node: &Node, section: &str) -> Result<(SpaceChoice, Space), ConfigError> {
    let definition: SpaceDefinition = node.typed().map_err(|error| ConfigError::wrong_type(section, &error))?;
    let space = Space::new(definition.clone()).map_err(|error| not_a_space(node, section, &error))?;
    Ok((SpaceChoice::Own(Box::new(definition)), space))
}

fn not_a_space(node: &Node, section: &str, error: &SpaceError) -> ConfigError {
    let message = error.to_string();
    let origin = place(node, &field(error));
    let key = if section.is_empty() { "space" } else { section };
    ConfigError::value(key, origin, message)
}

/// Returns the path of the invalid field; empty for the complete definition.
fn field(error: &SpaceError) -> String {
    match error {
        SpaceError::OutOfRange { field, .. }
        | SpaceError::EvenKernel { field, .. }
        | SpaceError::Count { field, .. }
        | SpaceError::InitialWidth { field, .. }
        | SpaceError::NoExpansion { field, .. }
        | SpaceError::NothingToStride { field } => field.clone(),
        SpaceError::NoWidth { .. } => WIDTH_STEP.to_owned(),
        SpaceError::DuplicateOperation { second, .. } => format!("operations[{second}]"),
        _ => String::new(),
    }
}

/// Returns the origin of a field such as `groups[2].channels`, or of the innermost part of its path that is present.
fn place<'a>(node: &'a Node, field: &str) -> &'a Origin {
    let mut here = node;
    for part in field.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
        let next = match &here.content {
            Content::List(items) => part.parse().ok().and_then(|index: usize| items.get(index)),
            _ => here.get(part),
        };
        match next {
            Some(node) => here = node,
            None => break,
        }
    }
    &here.origin
}

use std::path::Path;

use tfnas::{Space, SpaceDefinition, SpaceError};
use tfnas_stages::SpaceChoice;

use crate::bounded;
use crate::config::load::MAX_BYTES;
use crate::config::nearest::suggestion;
use crate::config::{ConfigError, Content, Node, Origin, resolve};

/// Returns the space that `space:` says, and how the configuration named it: by a known name, a file, or in full.
///
/// # Errors
/// [`ConfigError`] for a name that is unknown, a file that cannot be read, and a definition that is no space: the
/// place of the field that is wrong.
pub fn read(node: Option<&Node>, base: &Path) -> Result<(SpaceChoice, Space), ConfigError> {
    let Some(node) = node else {
        return named("imagenet", &Origin::Default);
    };
    match &node.content {
        Content::Text(text) if is_file(text) => {
            let path = resolve(base, Path::new(text));
            let yaml = bounded::read_text(&path, MAX_BYTES).map_err(|source| ConfigError::Read {
                what: "space",
                path: path.clone(),
                source,
            })?;
            let file = path.display().to_string();
            let node =
                Node::parse(&yaml, &Node::file_origin(&path)).map_err(|error| ConfigError::syntax(&file, &error))?;
            defined(&node, "")
        }
        Content::Text(name) => named(name, &node.origin),
        Content::Map(_) => defined(node, "space"),
        other => {
            let message = format!("expected a name, a file or the space itself, found {other}");
            Err(ConfigError::value("space", &node.origin, message))
        }
    }
}

/// Returns the space that an option names: by a known name or a file.
///
/// # Errors
/// As [`read`].
pub fn space_named(text: &str) -> Result<Space, ConfigError> {
    let origin = Origin::CommandLine { text: format!("--space {text}").into() };
    let node = Node { content: Content::Text(text.to_owned()), origin };
    read(Some(&node), Path::new("")).map(|(_, space)| space)
}

/// Whether a text under `space:` names a file rather than a known space.
fn is_file(text: &str) -> bool {
    text.contains('/') || Path::new(text).extension().is_some_and(|end| end == "yaml" || end == "yml")
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

/// The path of the field at fault; empty where it is the whole definition.
fn field(error: &SpaceError) -> String {
    match error {
        SpaceError::OutOfRange { field, .. }
        | SpaceError::EvenKernel { field, .. }
        | SpaceError::Count { field, .. }
        | SpaceError::InitialWidth { field, .. }
        | SpaceError::NoExpansion { field, .. }
        | SpaceError::NothingToStride { field } => field.clone(),
        SpaceError::DuplicateOperation { second, .. } => format!("operations[{second}]"),
        _ => String::new(),
    }
}

/// Where a field like `groups[2].channels` stands, or the innermost part of its path that is written.
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

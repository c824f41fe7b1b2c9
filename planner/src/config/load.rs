use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tfnas::Space;
use tfnas_artifacts::Remote;
use tfnas_fs::read_text_limited;
use tfnas_stages::{Config, InvalidValue, Stage};

use crate::config::matrix::{self, Axis};
use crate::config::nearest::{alternatives, nearest, suggestion};
use crate::config::schema::{default_of, schema};
use crate::config::{ConfigError, Content, Node, Origin, Source, TypeError, data, keys, resolve, set, space};
use crate::generated_images;

/// The default file name of the configuration.
pub const FILE: &str = "pipeline.yaml";
/// Maximum size of a configuration file.
pub(super) const MAX_BYTES: u64 = 16 << 20;
const REMOTE: &str = "cache.remote";
/// The configuration that is used if there is no file.
pub const EMBEDDED: &str = include_str!("default.yaml");

/// A validated configuration: one [`Variant`] for each combination of the values of its lists.
pub struct Configuration {
    /// Path of the file; `None` if the embedded default is used.
    pub file: Option<PathBuf>,
    /// The folder that relative paths are relative to.
    pub base: PathBuf,
    /// The keys with more than one value.
    pub axes: Vec<Axis>,
    /// One variant for each combination of values; at least one.
    pub variants: Vec<Variant>,
}

/// The configuration of one pipeline.
pub struct Variant {
    /// The index of the chosen value in each of [`Configuration::axes`].
    pub chosen: Vec<usize>,
    /// The values that were set, with their origins.
    pub tree: Node,
    /// The effective configuration, with defaults.
    pub config: Config,
    /// The search space.
    pub space: Space,
}

impl Configuration {
    /// Reads `file`, or else `pipeline.yaml` in the current folder, or else the embedded default. Then applies the
    /// arguments of `--set`.
    ///
    /// # Errors
    /// Returns [`ConfigError`] with the place and key of the first mistake.
    pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Self, ConfigError> {
        let found = Path::new(FILE);
        let file = file.or_else(|| found.exists().then_some(found));
        let mut tree = match file {
            Some(path) => read_file(path)?,
            None => parse(Source::new("embedded default", EMBEDDED))?,
        };
        for text in sets {
            set::apply(&mut tree, text)?;
        }
        Self::of(tree, file)
    }

    /// Validates a configuration that was read from `file`, if any.
    pub(super) fn of(mut tree: Node, file: Option<&Path>) -> Result<Self, ConfigError> {
        let base = file.and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        let axes = matrix::take_axes(&mut tree)?;
        let variants = matrix::combinations(&axes)
            .into_iter()
            .map(|chosen| Variant::new(&tree, &axes, chosen, &base))
            .collect::<Result<_, _>>()?;
        Ok(Self { file: file.map(Path::to_owned), base, axes, variants })
    }

    /// Returns the first variant, to read keys that have the same value in all variants.
    pub fn shared(&self) -> &Variant {
        &self.variants[0]
    }

    /// Returns where the value of a key was set that a message is about. Of several values, and of the items of a list, it is
    /// the first that occurs in the message. For a path below `data.root`, it is that of the root if the path is a default or
    /// the root does not exist.
    pub fn origin_in(&self, key: &str, message: &str) -> Origin {
        let named = |values: &[Node]| {
            let value = values.iter().find(|value| message.contains(&value.content.to_string()));
            value.map(|value| value.origin.clone())
        };
        if let Some(axis) = self.axes.iter().find(|axis| axis.key == key) {
            return named(&axis.values).unwrap_or(Origin::Default);
        }
        let shared = self.shared();
        let has_root = || self.resolve(&shared.config.data.root).exists();
        let item = match shared.tree.get(key).map(|node| &node.content) {
            Some(Content::List(items)) => named(items),
            _ => None,
        };
        match shared.origin_of(key) {
            origin if key.starts_with("data.") && (origin == Origin::Default || !has_root()) => {
                shared.origin_of("data.root")
            }
            origin => item.unwrap_or(origin),
        }
    }

    /// Resolves a path of the configuration relative to [`base`](Self::base).
    pub fn resolve(&self, path: &Path) -> PathBuf {
        resolve(&self.base, path)
    }

    /// Returns the effective configuration, including defaults, which can be loaded again. Lists of values are below `matrix`,
    /// except that of the target latency if it comes first. Some optional keys are left out at their defaults.
    pub fn effective(&self) -> Value {
        let mut variants = self.variants.iter().map(Variant::to_json);
        let mut value = variants.next().expect("there is at least one variant");
        for other in variants {
            self.remove_derived("", &mut value, &other);
        }
        for (index, axis) in self.axes.iter().enumerate() {
            let list = Value::Array(axis.values.iter().map(Node::to_json).collect());
            match axis.key.rsplit_once('.') {
                Some((section, name)) if index == 0 && axis.key == matrix::TARGET => value[section][name] = list,
                _ => value[matrix::SECTION][&axis.key] = list,
            }
        }
        value
    }

    /// Returns the [effective configuration](Self::effective) with every key. A key that is not set and has no default is null.
    pub fn complete(&self) -> Value {
        let (mut value, schema) = (self.effective(), schema());
        let variants: Vec<Value> = self.variants.iter().map(Variant::to_json).collect();
        for key in keys::values(&schema) {
            let pointer = format!("/{}", key.replace('.', "/"));
            let is_inside_a_value = key.rsplit_once('.').is_some_and(|(section, _)| {
                let section = value.pointer(&format!("/{}", section.replace('.', "/")));
                !section.is_some_and(Value::is_object)
            });
            // A key that has other values in other variants has no default.
            if is_inside_a_value || variants.iter().any(|variant| variant.pointer(&pointer).is_some()) {
                continue;
            }
            if let Some(default) = default_of(&schema, &key) {
                let names = key.split('.');
                *names.fold(&mut value, |section, name| &mut section[name]) = default;
            }
        }
        value
    }

    /// Returns where a key of [`complete`](Self::complete) was set.
    pub fn origin_of(&self, key: &str) -> Origin {
        let of_axis = key.strip_prefix(matrix::SECTION).and_then(|rest| rest.strip_prefix('.'));
        match of_axis.and_then(|key| self.axis(key)) {
            Some(axis) => axis.origin.clone(),
            None => self.shared().origin_of(key),
        }
    }

    /// Returns the list of values of a key, if it has one.
    pub fn axis(&self, key: &str) -> Option<&Axis> {
        self.axes.iter().find(|axis| axis.key == key)
    }

    /// Removes values that differ in another variant although the key has no list: defaults that depend on a key with a list.
    fn remove_derived(&self, above: &str, value: &mut Value, other: &Value) {
        let Value::Object(entries) = value else { return };
        entries.retain(|name, value| {
            let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
            let other = other.get(name);
            // Of a space that is derived from another one, `matrix` has only the list of a key.
            if other == Some(value) || self.axis(&key).is_some() || key == "space" {
                return true;
            }
            match other {
                Some(other) if value.is_object() && other.is_object() => {
                    self.remove_derived(&key, value, other);
                    true
                }
                _ => false,
            }
        });
    }
}

impl Variant {
    fn new(tree: &Node, axes: &[Axis], chosen: Vec<usize>, base: &Path) -> Result<Self, ConfigError> {
        let mut tree = tree.clone();
        for (axis, value) in axes.iter().zip(&chosen) {
            space::open_for(&mut tree, &axis.key);
            tree.set_from(&axis.key, &axis.origin, axis.values[*value].clone());
        }
        let mut typed = tree.clone();
        let named = typed.remove("space").map(|entry| entry.value);
        let mut config: Config = typed.typed().map_err(|error| wrong_type(&error))?;
        let (choice, space) = space::read(named.as_ref(), base)?;
        config.space = choice;
        config.search.fit = Some(config.search.fit_in(space.definition()));
        config.select.resolve(&space);
        data::settle(&mut config, &tree, base)?;
        if let Some(Err((name, message))) = config.data.generate.as_ref().map(generated_images::check) {
            let key = format!("data.generate.{name}");
            return Err(ConfigError::value(&*key, &origin_of(&tree, &key), message));
        }
        if let Some(Err(error)) = config.cache.remote.as_deref().map(Remote::check_url) {
            let origin = tree.origin_of(REMOTE).without_value(REMOTE);
            return Err(ConfigError::value(REMOTE, &origin, error.to_string()).without_excerpt());
        }
        let validated =
            config.validate_shared().and_then(|()| config.validate_resolution(space.definition().resolution));
        let validated = validated.and_then(|()| Stage::ALL.iter().try_for_each(|stage| config.validate(*stage)));
        validated.map_err(|invalid| refused(&tree, &invalid))?;
        Ok(Self { chosen, tree, config, space })
    }

    /// Checks what a stage needs only if it runs: see [`Config::validate_batch_shares`].
    ///
    /// # Errors
    /// Returns the first invalid value.
    pub fn check_to_run(&self, stage: Stage) -> Result<(), ConfigError> {
        self.config.validate_batch_shares(stage).map_err(|invalid| refused(&self.tree, &invalid))
    }

    fn to_json(&self) -> Value {
        serde_json::to_value(&self.config).expect("a configuration is plain structs of strings and finite numbers")
    }

    /// Returns the origin of the value of a key such as `search.weights.lr` or `space.groups[2].channels`. If the key
    /// is part of something that one value names, such as a space given by its name, returns the origin of that value.
    pub fn origin_of(&self, key: &str) -> Origin {
        origin_of(&self.tree, key)
    }
}

fn origin_of(tree: &Node, key: &str) -> Origin {
    let mut here = tree;
    for part in key.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
        let below = match &here.content {
            Content::List(items) => part.parse().ok().and_then(|index: usize| items.get(index)),
            _ => here.get(part),
        };
        match below {
            Some(node) => here = node,
            None if matches!(here.content, Content::Map(_) | Content::Null) => return Origin::Default,
            None => break,
        }
    }
    here.origin.clone()
}

fn refused(tree: &Node, invalid: &InvalidValue) -> ConfigError {
    ConfigError::value(&invalid.key, &place(tree, invalid), &*invalid.message)
}

/// Returns the place of an invalid value. The place of a default is that of the key that makes it invalid, or else of the
/// section that contains it.
fn place(tree: &Node, invalid: &InvalidValue) -> Origin {
    let keys = std::iter::once(invalid.key.as_str()).chain(invalid.because);
    let set = keys.map(|key| origin_of(tree, key)).find(|origin| *origin != Origin::Default);
    let section = || {
        let ends = invalid.key.rmatch_indices('.').map(|(end, _)| end);
        ends.filter_map(|end| tree.entry(&invalid.key[..end])).map(|entry| entry.origin.clone()).next()
    };
    set.or_else(section).unwrap_or(Origin::Default)
}

fn read_file(path: &Path) -> Result<Node, ConfigError> {
    let yaml = read_text_limited(path, MAX_BYTES).map_err(|source| ConfigError::Read {
        what: "configuration",
        path: path.to_owned(),
        source,
    })?;
    parse(Source::new(path.display().to_string(), &yaml))
}

fn parse(source: Source) -> Result<Node, ConfigError> {
    let source = Arc::new(source);
    Node::parse(&source).map_err(|error| ConfigError::syntax(&source, &error))
}

/// Converts a type error. `matrix` is added to the known keys of the top level, because it is parsed separately. A key that
/// belongs into another section is suggested there.
fn wrong_type(error: &TypeError) -> ConfigError {
    let key = error.key();
    if error.is_missing() && key.starts_with("data") {
        // The whole text lacks the key, so that no part of it is the place.
        let wrong = ConfigError::wrong_type("", error);
        let wrong = if key == "data" { wrong.without_excerpt() } else { wrong };
        return wrong.with_hint("name the folder of the images, as `data: {root: ~/images}`");
    }
    let wrong = ConfigError::wrong_type("", error);
    if error.known.is_empty() {
        return wrong;
    }
    let (section, name) = key.rsplit_once('.').unwrap_or(("", &key));
    let at_top = section.is_empty().then_some(matrix::SECTION);
    let known: Vec<&str> = error.known.iter().copied().chain(at_top).collect();
    let elsewhere = keys::of_name(name);
    match nearest(name, known.iter().copied()) {
        None if !elsewhere.is_empty() => wrong.with_hint(format!("did you mean {}?", alternatives(&elsewhere))),
        _ => wrong.with_hint(suggestion(name, known)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const YAML: &str = "data: {root: x}\nspace: cifar\n";

    fn load(yaml: &str, sets: &[&str]) -> Result<Configuration, ConfigError> {
        let mut tree = parse(Source::new("p.yaml", yaml)).unwrap();
        sets.iter().try_for_each(|text| set::apply(&mut tree, text))?;
        Configuration::of(tree, None)
    }

    fn configs(configuration: &Configuration) -> Vec<&Config> {
        configuration.variants.iter().map(|variant| &variant.config).collect()
    }

    #[test]
    fn the_effective_configuration_can_be_read_back() {
        for (set, variants) in [
            ("seed=0", 1),
            ("search.target_lat_ms=[12, 15]", 2),
            ("matrix={train.lr: [0.1, 0.2], search.target_lat_ms: [12, 15]}", 4),
            ("matrix={data.exif_orientation: [ignore, apply]}", 2),
            ("matrix={data.root: [a, b]}", 2),
            // The default of `search.fit` depends on the space.
            ("matrix={space: [imagenet, cifar]}", 2),
            ("matrix={space.width_step: [4, 8]}", 2),
            ("data.generate={}", 1),
        ] {
            let configuration = load(YAML, &[set]).unwrap();
            assert_eq!(configuration.variants.len(), variants, "{set}");
            for json in [configuration.effective(), configuration.complete()] {
                let again = load(&json.to_string(), &[]).unwrap();
                assert_eq!(configs(&again), configs(&configuration), "{set}: {json}");
            }
        }
    }

    #[test]
    fn the_complete_configuration_has_every_key() {
        let schema = schema();
        let configuration = load(YAML, &["matrix={train.lr: [0.1, 0.2]}", "data.decode=exact"]).unwrap();
        let complete = configuration.complete();
        for key in keys::values(&schema) {
            let optional = [matrix::SECTION, "data.generate."];
            let is_there = complete.pointer(&format!("/{}", key.replace('.', "/"))).is_some();
            assert!(is_there || optional.iter().any(|start| key.starts_with(start)), "{key}");
        }
        assert_eq!(complete["data"]["exif_orientation"], "ignore");
        assert_eq!(complete["data"]["resize"], Value::Null);
        assert_eq!(complete["matrix"]["train.lr"], serde_json::json!([0.1, 0.2]));
        assert_eq!(configuration.origin_of("matrix.train.lr").to_string(), "--set matrix={train.lr: [0.1, 0.2]}");
        assert_eq!(configuration.origin_of("data.exif_orientation"), Origin::Default);
        assert_eq!(configuration.origin_of("data.decode").to_string(), "--set data.decode=exact");
    }

    #[test]
    fn images_are_not_resized_to_less_than_the_resolution() {
        let message = |sets: &[&str]| load(YAML, sets).err().map(|error| error.to_string()).unwrap_or_default();
        for (resize, is_valid) in [("0", false), ("31", false), ("32", true), ("16384", true), ("16385", false)] {
            let text = message(&[&format!("data.resize={resize}")]);
            assert_eq!(text.is_empty(), is_valid, "{text}");
        }
        let text = message(&["data.resize=32", "space=imagenet"]);
        let expected = "data.resize: must be between 224 (the resolution of the space) and 16384, not 32";
        assert_eq!(text, format!("--set data.resize=32: {expected}"));
    }

    #[test]
    fn parameters_of_generated_images_are_checked() {
        let error = load(YAML, &["data.generate.size=0"]).err().unwrap().to_string();
        assert_eq!(error, "--set data.generate.size=0: data.generate.size: must be between 8 and 1024, not 0");
        assert!(load(YAML, &["data.generate.size=8"]).is_ok());
    }
}

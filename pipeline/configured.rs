//! Takes defaults for options from the configuration: the search space and the number of classes.

use std::path::Path;

use tfnas::Space;
use tfnas_artifacts::ObjectError;
use tfnas_fs::read_text_limited;
use tfnas_images::{ImageList, generated, imagenet100_classes, parse_classes, scan};
use tfnas_planner::config::{Configuration, FILE, space_named};
use tfnas_stages::{Config, Protocol, PublishedSplit, Stage};

use crate::error::CommandError;
use crate::options::Options;
use crate::session::Setup;

/// The space if neither an option nor a configuration specifies one.
const PUBLISHED_SPACE: &str = "imagenet";
/// Maximum size of a file with classes.
const MAX_BYTES: u64 = 64 << 20;

/// Returns the space given by `--space`, else that of the configuration file if there is one, else that of the paper.
pub fn space(options: &Options, named: Option<&str>) -> Result<Space, CommandError> {
    match named {
        Some(name) => Ok(space_named(name)?),
        None if has_file(options) => {
            let mut configuration = Configuration::load(options.config.as_deref(), &options.sets)?;
            Ok(configuration.variants.swap_remove(0).space)
        }
        None => Ok(space_named(PUBLISHED_SPACE)?),
    }
}

/// Returns the number of classes of the networks that the configuration trains: from the images, or, if they are not
/// available, from the last result of `split`. Returns `None` if there is no configuration file, or if neither is
/// available.
pub fn of_configuration(options: &Options) -> Result<Option<usize>, CommandError> {
    if !has_file(options) {
        return Ok(None);
    }
    let setup = Setup::new(options)?;
    match in_data(&setup.configuration)? {
        Some(count) => Ok(Some(count)),
        None => in_store(setup),
    }
}

fn has_file(options: &Options) -> bool {
    options.config.is_some() || Path::new(FILE).exists()
}

fn in_data(configuration: &Configuration) -> Result<Option<usize>, CommandError> {
    let config = &configuration.shared().config;
    if let Some(count) = restricted(configuration, config)? {
        return Ok(Some(count));
    }
    let wrong = |error: &dyn std::error::Error| CommandError::usage(format!("data.train: {error}"));
    let images = configuration.resolve(&config.data.root).join(&config.data.train);
    if images.is_file() {
        let list = ImageList::read_alone(&images).map_err(|error| wrong(&error))?;
        return Ok(Some(list.classes()));
    }
    if images.is_dir() {
        return Ok(Some(scan(&images).map_err(|error| wrong(&error))?.classes.len()));
    }
    Ok(config.data.generate.as_ref().map(|_| generated::CLASSES.len()))
}

/// Returns the number of classes that `split` keeps, if the networks are only trained on these.
fn restricted(configuration: &Configuration, config: &Config) -> Result<Option<usize>, CommandError> {
    if config.train.protocol == Protocol::Published {
        return Ok(None);
    }
    if let Some(file) = config.split.classes_file() {
        let path = configuration.resolve(file);
        let wrong = |error: &dyn std::fmt::Display| CommandError::usage(format!("split.classes: {error}"));
        let text = read_text_limited(&path, MAX_BYTES)
            .map_err(|error| wrong(&format!("cannot read {}: {error}", path.display())))?;
        let names = parse_classes(&text, &path.display().to_string()).map_err(|error| wrong(&error))?;
        return Ok(Some(names.len()));
    }
    let published = config.split.published == Some(PublishedSplit::Imagenet100);
    Ok((published || config.split.classes.is_some()).then(|| imagenet100_classes().len()))
}

fn in_store(setup: Setup) -> Result<Option<usize>, CommandError> {
    let session = setup.read()?;
    let output = session.configuration.shared().config.train.protocol.classes();
    let split = session.graph.instances.iter().find(|instance| instance.stage == Stage::Split);
    let Some(result) = split.map(|split| session.cache.ledger().last_result(&split.id)).transpose()?.flatten() else {
        return Ok(None);
    };
    let Some(classes) = result.outputs.iter().find(|found| found.name == output) else { return Ok(None) };
    match session.cache.store().open_verified(&classes.digest) {
        Ok(path) => {
            let text = read_text_limited(&path, MAX_BYTES)
                .map_err(|error| CommandError::usage(format!("cannot read {}: {error}", path.display())))?;
            Ok(Some(text.lines().count()))
        }
        Err(ObjectError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

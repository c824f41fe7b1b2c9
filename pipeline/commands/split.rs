use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::json;
use tfnas_images::{ImageList, imagenet100, published_list_name};
use tfnas_planner::plan::{External, InputSource};
use tfnas_stages::PublishedSplit;

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};
use crate::session::Setup;

/// Maximum number of missing files that are listed without `-v`.
const NAMED_FILES: usize = 10;
/// The name of the published split as an argument of `--list`.
const IMAGENET100: &str = "imagenet100";

/// Check that every image of the lists exists, and list the missing ones
///
/// The lists are those of the configuration (`data.train`, `data.test`, `split.published`), or the ones that --list names.
/// `run split` creates the split. The exit code is 1 if an image is missing.
#[derive(Args, Debug)]
pub struct Split {
    /// Check that every image of the lists exists
    #[arg(long, required = true)]
    verify: bool,

    /// A list file, or imagenet100 for the two lists of the published split
    #[arg(long, value_name = "FILE", requires = "root")]
    list: Vec<String>,

    /// The folder that the paths of --list start from
    #[arg(long, value_name = "FOLDER", requires = "list")]
    root: Option<PathBuf>,
}

/// A list and the folder of its images.
#[derive(Clone)]
struct Listed {
    name: String,
    list: ImageList,
    root: PathBuf,
}

/// The result of checking a list.
#[derive(Serialize)]
struct Report {
    list: String,
    /// For display: it need not be UTF-8.
    root: String,
    images: usize,
    classes: usize,
    missing: Vec<String>,
}

impl Split {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let lists = match &self.root {
            Some(root) => self.list.iter().map(|name| named(name, root)).collect::<Result<Vec<_>, _>>()?.concat(),
            None => configured(options)?,
        };
        let reports: Vec<Report> = lists.iter().map(Listed::report).collect();
        let missing: usize = reports.iter().map(|report| report.missing.len()).sum();
        if options.json {
            print_json(&json!({ "lists": reports }));
        } else if reports.is_empty() {
            print("the configuration names no list: its images are those of class folders\n");
        } else {
            let named = if options.verbose > 0 { usize::MAX } else { NAMED_FILES };
            reports.iter().for_each(|report| print(&report.text(named)));
        }
        Ok(if missing == 0 { Exit::Done } else { Exit::Failed })
    }
}

impl Listed {
    fn report(&self) -> Report {
        let missing = self.list.missing_files(&self.root);
        Report {
            list: self.name.clone(),
            root: self.root.display().to_string(),
            images: self.list.len(),
            classes: self.list.classes(),
            missing: missing.into_iter().map(|entry| entry.path.clone()).collect(),
        }
    }
}

impl Report {
    fn text(&self, named: usize) -> String {
        let Self { list, root, images, classes, missing } = self;
        if missing.is_empty() {
            return format!("{list}: all {images} images of {classes} classes are under {root}\n");
        }
        let mut text = format!("{list}: {} of {images} images are not under {root}\n", missing.len());
        missing.iter().take(named).for_each(|path| text.push_str(&format!("  {path}\n")));
        if missing.len() > named {
            text.push_str(&format!("  and {} more (-v names all)\n", missing.len() - named));
        }
        text
    }
}

/// Returns the lists of the configuration.
fn configured(options: &Options) -> Result<Vec<Listed>, CommandError> {
    let setup = Setup::new(options)?;
    let externals =
        setup.graph.instances.iter().flat_map(|instance| &instance.inputs).filter_map(|input| match &input.source {
            InputSource::External(external) => Some(external),
            _ => None,
        });
    let mut seen = std::collections::BTreeSet::new();
    let mut lists = Vec::new();
    for external in externals.filter(|external| seen.insert((*external).clone())) {
        match external {
            External::List { root, path, .. } => lists.extend(named(&path.display().to_string(), root)?),
            External::Folder { path, key: "data.train" } if published(&setup) => {
                lists.extend(named(IMAGENET100, path)?);
            }
            _ => {}
        }
    }
    Ok(lists)
}

fn published(setup: &Setup) -> bool {
    let mut variants = setup.configuration.variants.iter();
    variants.any(|variant| variant.config.split.published == Some(PublishedSplit::Imagenet100))
}

/// Returns the list in the file `name`, or both lists of the published split.
fn named(name: &str, root: &Path) -> Result<Vec<Listed>, CommandError> {
    let wrong = |error: tfnas_images::ListError| CommandError::usage(error.to_string());
    let listed = |name: &str, list| Listed { name: name.to_owned(), list, root: root.to_owned() };
    if name == IMAGENET100 {
        let lists = imagenet100().map_err(wrong)?;
        return Ok(vec![listed("imagenet100 train", lists.train), listed("imagenet100 val", lists.val)]);
    }
    let list = ImageList::read_alone(Path::new(name)).map_err(wrong)?;
    let name = published_list_name(&list.to_text()).map_or(name.to_owned(), |known| format!("{name} ({known})"));
    Ok(vec![listed(&name, list)])
}

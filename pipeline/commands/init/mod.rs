mod settings;
mod survey;
mod text;

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use settings::{Machine, Settings};
use survey::Survey;
use tfnas_executor::worker_program;
use tfnas_humanize as humanize;
use tfnas_planner::config::{FILE, space_named};
use tfnas_planner::machine::{CpuLimit, Device, cpu};
use tfnas_stages::DeviceChoice;

use crate::error::CommandError;
use crate::exit::Exit;
use crate::speed::measure_pass_s;

/// The configuration that is written without a folder, with comments that explain the most important keys.
const TEMPLATE: &str = include_str!("../../template.yaml");

/// Write a pipeline.yaml to start from
///
/// `init FOLDER` looks at the images in the folder (one folder per class, or train and test folders of these) and at the machine,
/// and writes settings that suit them and the time, each with its reason. `init` alone, or with the name of a YAML file, writes
/// a template with comments.
#[derive(Args, Debug)]
pub struct Init {
    /// A folder of images, or the file to write a template to [default: pipeline.yaml]
    #[arg(value_name = "FOLDER|FILE")]
    path: Option<PathBuf>,

    /// The file to write for a folder
    #[arg(long, short, value_name = "FILE", default_value = FILE)]
    output: PathBuf,

    /// The time that the pipeline may take: 30m, 4h, 2d
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "1h")]
    time: f64,

    /// The worker's program, which times a few passes [default: tfnas-stage next to this program]
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,
}

impl Init {
    /// Writes the file, unless it exists.
    pub fn execute(&self) -> Result<Exit, CommandError> {
        match &self.path {
            Some(path) if !is_yaml(path) => self.survey(path),
            path => {
                let path = path.as_deref().unwrap_or(Path::new(FILE));
                write_new(path, TEMPLATE)?;
                let path = path.display();
                tracing::info!("wrote {path}: set data.root and search.target_lat_ms, then `tfnas-pipeline run all`");
                Ok(Exit::Done)
            }
        }
    }

    fn survey(&self, folder: &Path) -> Result<Exit, CommandError> {
        if self.output.exists() {
            return Err(exists(&self.output));
        }
        let survey = Survey::of(folder)?;
        let device = Device::find(DeviceChoice::Auto)?;
        let machine = Machine { cores: cpu::cores(), has_gpu: device.kind() == "cuda" };
        let name = Settings::space_for(&survey, machine);
        let worker = worker_program(self.worker.as_deref())?;
        let pass_s = measure_pass_s(&worker, &space_named(name)?, survey.classes.len(), &device, machine.cores)?;
        let settings = Settings::choose(&survey, machine, name, pass_s, self.time);
        let words = format!("{} ({})", device.model(), CpuLimit::of_process());
        write_new(&self.output, &text::text(&survey, &settings, &relative(folder, &self.output), &words))?;
        let images: usize = survey.classes.values().sum();
        tracing::info!("{images} training images in {} classes, {}", survey.classes.len(), formats(&survey));
        if let Some((_, why)) = &survey.unreadable {
            tracing::warn!("skipping an unreadable image: {why}");
        }
        tracing::info!(
            "wrote {}: about {} in all, of it search {}, select {}, train {}; `tfnas-pipeline run all` starts it",
            self.output.display(),
            humanize::duration(settings.total_s()),
            humanize::duration(settings.seconds[0]),
            humanize::duration(settings.seconds[1]),
            humanize::duration(settings.seconds[2]),
        );
        if settings.total_s() > 1.2 * self.time {
            tracing::warn!(
                "that is more than --time {}, even with the smallest settings for these images",
                humanize::duration(self.time)
            );
        }
        Ok(Exit::Done)
    }
}

fn is_yaml(path: &Path) -> bool {
    !path.is_dir() && path.extension().is_some_and(|end| end == "yaml" || end == "yml")
}

fn write_new(path: &Path, text: &str) -> Result<(), CommandError> {
    let written =
        OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => exists(path),
        _ => CommandError::usage(format!("cannot write {}: {error}", path.display())),
    })
}

fn exists(path: &Path) -> CommandError {
    CommandError::usage(format!("{} already exists", path.display()))
        .with_hint("remove it, or name another file (for a folder of images: `--output FILE`)")
}

/// Returns the path of a folder as the configuration file must contain it.
fn relative(folder: &Path, file: &Path) -> PathBuf {
    let parent = file.parent().unwrap_or(Path::new(""));
    if parent.as_os_str().is_empty() || folder.is_absolute() {
        return folder.to_owned();
    }
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (folder, parent) = (absolute(folder), absolute(parent));
    match folder.strip_prefix(&parent) {
        Ok(below) if below.as_os_str().is_empty() => PathBuf::from("."),
        Ok(below) => below.to_owned(),
        Err(_) => folder,
    }
}

fn formats(survey: &Survey) -> String {
    let formats = survey.formats.iter().map(|(extension, count)| format!("{count} {extension}"));
    formats.collect::<Vec<_>>().join(", ")
}

/// Parses a time such as 90s, 30m, 4h or 2d. Returns seconds.
fn seconds(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is not a time such as 30m, 4h or 2d");
    let (number, factor) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1.0),
        Some((at, 'm')) => (&text[..at], 60.0),
        Some((at, 'h')) => (&text[..at], 3600.0),
        Some((at, 'd')) => (&text[..at], 86_400.0),
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = number * factor;
    if seconds > 0.0 && seconds.is_finite() { Ok(seconds) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!([seconds("90s"), seconds("1.5h"), seconds("2d")], [Ok(90.0), Ok(5400.0), Ok(172_800.0)]);
        for wrong in ["", "1", "h", "-1h", "infh", "1w", "1é"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_folder_is_named_from_the_file() {
        assert_eq!(relative(Path::new("photos"), Path::new("pipeline.yaml")), Path::new("photos"));
        assert_eq!(relative(Path::new("a/photos"), Path::new("a/p.yaml")), Path::new("photos"));
        assert_eq!(relative(Path::new("a"), Path::new("a/p.yaml")), Path::new("."));
        assert_eq!(relative(Path::new("/photos"), Path::new("a/p.yaml")), Path::new("/photos"));
    }
}

//! `predict`: classifies images with a trained network.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;
use tempfile::tempdir;
use tfnas_executor::{query_worker, worker_program};
use tfnas_humanize::Columns;
use tfnas_images::{all_images, has_image_extension};
use tfnas_planner::machine::{Device, cpu};
use tfnas_stages::{DeviceChoice, PredictImage, PredictRequest, Prediction, Request, csv_field};

use crate::commands::export::files::NetworkFiles;
use crate::commands::export::network::{Network, Purpose};
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::{Options, parse_device};
use crate::report::{print, print_data, print_json};

/// Number of images that are passed to a worker. It returns all predictions at its end.
const AT_ONCE: usize = 10_000;
/// Batch size of a forward pass.
const BATCH: usize = 32;
/// Classify images with the trained network
///
/// Use the network that the configuration has trained, or the one that --model and --weights name. Images are resized and cropped
/// as in the test.
#[derive(Args, Debug)]
pub struct Predict {
    /// Image files, and folders, whose images are classified at any depth
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,

    /// The number of classes to print for each image
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,

    /// The output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    format: Format,

    /// The network of this stage (train@12), where the configuration has several
    #[arg(long, value_name = "STAGE", conflicts_with = "model")]
    stage: Option<String>,

    #[command(flatten)]
    network: NetworkFiles,

    /// The device to compute on [default: that of the configuration; with --model, auto]
    #[arg(long, value_name = "DEVICE", value_parser = parse_device)]
    device: Option<DeviceChoice>,

    /// The worker's program [default: tfnas-stage next to this program]
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One object for all images, as with --json.
    Json,
    /// One line for each image and class.
    Csv,
}

/// The prediction for an image.
#[derive(Serialize)]
struct Answer {
    image: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<Class>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Class {
    class: String,
    probability: f64,
}

impl Predict {
    /// Prints the most probable classes of each image. If an image cannot be read, this is part of the output, and the
    /// exit code is 1.
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let files = self.files()?;
        let network = self.network.or_configured(options, self.stage.as_deref(), Purpose::Predict)?.read()?;
        let choice = match self.device {
            Some(choice) => choice,
            None if self.network.are_named() => DeviceChoice::Auto,
            None => crate::session::Setup::new(options)?.configuration.shared().config.device,
        };
        let device = Device::find(choice)?;
        let worker = worker_program(self.worker.as_deref())?;
        let mut answers = Vec::with_capacity(files.len());
        for part in files.chunks(AT_ONCE) {
            let predictions = self.ask(&worker, &network, &device, part)?;
            answers.extend(part.iter().zip(predictions).map(|(file, prediction)| answer(file, prediction, &network)));
        }
        let failed = answers.iter().filter(|answer| answer.error.is_some()).count();
        match self.format {
            _ if options.json => print_json(&json!({ "predictions": answers })),
            Format::Json => print_json(&json!({ "predictions": answers })),
            Format::Csv => print_data(&csv(&answers)),
            Format::Table => print(&table(&answers)),
        }
        if failed > 0 {
            tracing::warn!("{failed} of {} images cannot be read", answers.len());
        }
        Ok(if failed > 0 { Exit::Failed } else { Exit::Done })
    }

    /// Returns the files that are given, and the images in the folders that are given.
    fn files(&self) -> Result<Vec<PathBuf>, CommandError> {
        let mut files = Vec::new();
        for path in &self.images {
            if path.is_dir() {
                let found = all_images(path).map_err(|error| CommandError::usage(error.to_string()))?;
                if found.is_empty() {
                    return Err(CommandError::usage(format!("{}: there are no images in this folder", path.display())));
                }
                files.extend(found.iter().map(|name| path.join(name)));
            } else if path.exists() {
                if !has_image_extension(path.as_os_str().as_encoded_bytes()) {
                    tracing::debug!("{}: the name is not that of an image", path.display());
                }
                files.push(path.clone());
            } else {
                return Err(CommandError::usage(format!("{}: there is no such file or folder", path.display())));
            }
        }
        Ok(files)
    }

    fn ask(
        &self,
        worker: &Path,
        network: &Network,
        device: &Device,
        files: &[PathBuf],
    ) -> Result<Vec<Prediction>, CommandError> {
        let scratch = tempdir().map_err(|error| CommandError::failed(format!("cannot create a folder: {error}")))?;
        let write = |name: &str, bytes: &[u8]| {
            let path = scratch.path().join(name);
            std::fs::write(&path, bytes)
                .map_err(|error| CommandError::failed(format!("cannot write {}: {error}", path.display())))?;
            Ok::<_, CommandError>(path)
        };
        let request = PredictRequest {
            config: network.config_file.clone(),
            weights: match &network.converted {
                None => network.weights_file.clone(),
                Some(bytes) => write("weights.safetensors", bytes)?,
            },
            resolution: network.resolution,
            resize: network.resize,
            exif_orientation: network.exif_orientation,
            device: device.to_string(),
            threads: cpu::cores(),
            batch: BATCH,
            top: usize::from(self.top),
            images: files.iter().cloned().map(PredictImage).collect(),
        };
        let answer = query_worker(worker, &Request::Predict(request))?;
        let text = String::from_utf8_lossy(&answer);
        let predictions: Result<Vec<Prediction>, _> = text.lines().map(serde_json::from_str).collect();
        let predictions = predictions
            .map_err(|error| CommandError::failed(format!("the worker's answer cannot be read: {error}")))?;
        if predictions.len() != files.len() {
            let found = predictions.len();
            return Err(CommandError::failed(format!("the worker answered for {found} of {} images", files.len())));
        }
        Ok(predictions)
    }
}

fn answer(file: &Path, prediction: Prediction, network: &Network) -> Answer {
    let name = |class: usize| {
        let names = network.classes.as_deref().unwrap_or_default();
        names.get(class).cloned().unwrap_or_else(|| class.to_string())
    };
    let (classes, error) = match prediction {
        Prediction::Classes(classes) => (classes, None),
        Prediction::Error(error) => (Vec::new(), Some(error)),
    };
    let class = |(class, probability)| Class { class: name(class), probability };
    Answer { image: file.display().to_string(), classes: classes.into_iter().map(class).collect(), error }
}

fn table(answers: &[Answer]) -> String {
    let mut columns = Columns::new(&["image", "class", ">%"]);
    for answer in answers {
        if let Some(error) = &answer.error {
            columns.row([answer.image.clone(), format!("cannot be read: {error}"), String::new()]);
        }
        for (place, class) in answer.classes.iter().enumerate() {
            let image = if place == 0 { answer.image.clone() } else { String::new() };
            columns.row([image, class.class.clone(), format!("{:.1}", 100.0 * class.probability)]);
        }
    }
    columns.to_string()
}

fn csv(answers: &[Answer]) -> String {
    let mut text = String::from("image,rank,class,probability,error\n");
    for answer in answers {
        let image = csv_field(&answer.image);
        if let Some(error) = &answer.error {
            text.push_str(&format!("{image},,,,{}\n", csv_field(error)));
        }
        for (rank, class) in answer.classes.iter().enumerate() {
            text.push_str(&format!("{image},{},{},{:.6},\n", rank + 1, csv_field(&class.class), class.probability));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_image_has_its_own_line() {
        let answers = [
            Answer {
                image: "a.jpg".into(),
                classes: vec![Class { class: "cat".into(), probability: 0.75 }],
                error: None,
            },
            Answer { image: "b.jpg".into(), classes: Vec::new(), error: Some("cut off".into()) },
        ];
        assert_eq!(csv(&answers), "image,rank,class,probability,error\na.jpg,1,cat,0.750000,\nb.jpg,,,,cut off\n");
        assert!(table(&answers).contains("cannot be read: cut off"));
    }
}

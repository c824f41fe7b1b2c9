//! Classifies images.

use std::fs::read_to_string;
use std::path::Path;
use std::thread;

use tch::{Kind, Tensor};
use tfnas::ModelConfig;
use tfnas_c10d::cuda::set_numerics;
use tfnas_images::{EvalTransform, ExifOrientation, LoadError, RgbImage, read_image};
use tfnas_stages::{PredictImage, PredictRequest, Prediction};
use tfnas_torch::derived::{DerivedNetwork, FoldedNetwork};
use tfnas_torch::device::{find_device, set_threads};
use tfnas_torch::preprocess::Preprocess;
use tfnas_torch::weights::{load, read_file};

use crate::error::{Context as _, StageError};
use crate::images::exif_orientation;

/// Classifies the images of a request, and passes each prediction to `print` in their order. Images that cannot be read are
/// predictions too.
pub(super) fn predict(
    request: &PredictRequest,
    print: &mut dyn FnMut(&Prediction) -> Result<(), StageError>,
) -> Result<(), StageError> {
    set_threads(request.threads);
    let device = find_device(&request.device).context("device")?;
    if device.is_cuda() {
        set_numerics(false)?;
    }
    let config = read_to_string(&request.config).context(request.config.display())?;
    let config = ModelConfig::parse(&config).context(request.config.display())?;
    let network = DerivedNetwork::new(&config, device);
    load(&network, &read_file(&request.weights).context("weights")?).context(request.weights.display())?;
    let classifier = Classifier {
        network: network.folded(),
        preprocess: Preprocess::new(request.resolution, device),
        reader: Reader {
            transform: EvalTransform { resize: request.resize, resolution: request.resolution },
            orientation: exif_orientation(request.exif_orientation),
        },
        threads: request.threads.max(1),
        top: request.top,
    };
    for images in request.images.chunks(request.batch.max(1)) {
        for prediction in classifier.predict(images)? {
            print(&prediction)?;
        }
    }
    Ok(())
}

struct Classifier {
    network: FoldedNetwork,
    preprocess: Preprocess,
    reader: Reader,
    threads: usize,
    top: usize,
}

/// Reads and transforms image files in the same way as the stage `test`.
struct Reader {
    transform: EvalTransform,
    orientation: ExifOrientation,
}

impl Classifier {
    fn predict(&self, images: &[PredictImage]) -> Result<Vec<Prediction>, StageError> {
        let read = self.reader.read_all(images, self.threads);
        let pixels: Vec<u8> = read.iter().flatten().flat_map(|image| image.pixels.iter().copied()).collect();
        let count = read.iter().flatten().count();
        let mut rows = Vec::new();
        if count > 0 {
            let batch = self.preprocess.images(&pixels, count).context("batch")?;
            let probabilities = self.network.forward(&batch).softmax(-1, Kind::Double);
            let top = (self.top as i64).min(probabilities.size()[1]);
            let (values, classes) = probabilities.topk(top, 1, true, true);
            rows = numbers(&values).into_iter().zip(numbers(&classes)).collect();
        }
        let mut rows = rows.into_iter();
        let prediction = |read: Result<RgbImage, String>| match read {
            Ok(_) => {
                let (values, classes) = rows.next().expect("a row for each image that was read");
                Prediction::Classes(classes.into_iter().map(|class| class as usize).zip(values).collect())
            }
            Err(error) => Prediction::Error(error),
        };
        Ok(read.into_iter().map(prediction).collect())
    }
}

impl Reader {
    /// Reads images in parallel; the result has their order.
    fn read_all(&self, images: &[PredictImage], threads: usize) -> Vec<Result<RgbImage, String>> {
        let each = images.len().div_ceil(threads).max(1);
        thread::scope(|scope| {
            let part = |images: &'_ [PredictImage]| images.iter().map(|image| self.read(&image.0)).collect::<Vec<_>>();
            let parts: Vec<_> = images.chunks(each).map(|images| scope.spawn(move || part(images))).collect();
            // Panics of the decoder are already converted to errors of their images; this is a panic elsewhere.
            let lost = |images: &[PredictImage]| vec![Err("the reader panicked".to_owned()); images.len()];
            let joined = parts.into_iter().zip(images.chunks(each));
            joined.flat_map(|(part, images)| part.join().unwrap_or_else(|_| lost(images))).collect()
        })
    }

    fn read(&self, path: &Path) -> Result<RgbImage, String> {
        // The planner prints the error next to the path, so the message does not repeat it.
        let image = read_image(path, self.orientation).map_err(|error| match error {
            LoadError::Read { source, .. } => source.to_string(),
            LoadError::Decode { source, .. } => source.to_string(),
            other => other.to_string(),
        })?;
        Ok(self.transform.apply(&image))
    }
}

/// Converts a matrix to rows.
fn numbers(matrix: &Tensor) -> Vec<Vec<f64>> {
    let columns = matrix.size()[1] as usize;
    let flat = matrix.to_kind(Kind::Double).to_device(tch::Device::Cpu).reshape([-1]);
    let mut values = vec![0f64; flat.numel()];
    flat.copy_data(&mut values, flat.numel());
    values.chunks(columns.max(1)).map(<[f64]>::to_vec).collect()
}

//! The stage `test`: tests the trained network on the test images.

use tch::Kind;
use tfnas_stages::{Metrics, TestParams, TestReport, TestedImage};
use tfnas_torch::derived::DerivedNetwork;
use tfnas_torch::weights::load_file;

use crate::context::StageContext;
use crate::error::{Context as _, StageResult};
use crate::evaluate::evaluate;
use crate::images::{DataLoader, classes, evaluation, reading, test_images, untested_classes};
use crate::network::model_config;
use crate::precision::mixed_precision;
use crate::predictions::Predictions;
use crate::rank_group::RankGroup;

/// Runs the stage.
pub fn run(context: &mut StageContext) -> StageResult {
    let params: TestParams = context.params()?;
    let names = classes(context, params.protocol.classes())?;
    let config = model_config(context, names.len())?;
    let network = DerivedNetwork::new(&config, context.device);
    let weights = context.input(params.test.weights.port().name)?.path.clone();
    let notes = load_file(&network, &weights, params.test.weights_key.as_deref());
    for note in notes.context(format!("the weights {}", weights.display()))? {
        context.report.info(format!("{}: {note}", weights.display()));
    }
    let network = network.folded();
    let precision = mixed_precision("test.precision", params.test.precision, context.device)?;

    let source = test_images(context, &names, reading(params.on_bad_image, params.exif_orientation))?;
    let untested = untested_classes(&source, &names);
    if !untested.is_empty() {
        context.report.warn(format!("{} of {} classes have no test images", untested.len(), names.len()));
    }
    let loader = DataLoader::new(params.resolution, names.len(), context.device);
    let options = evaluation(params.resize, params.resolution, params.test.batch, context.job().data_workers);
    let total = source.len();
    let mut done = 0;
    let stop = context.stop.clone();
    let mut predictions = Predictions::create(context.output(TestedImage::FILE), &source, &names)?;
    let (report, profiler) = (&mut context.report, &mut context.profiler);
    profiler.begin_epoch(total.div_ceil(options.batch));
    let found = evaluate(
        &loader,
        &source,
        &options,
        RankGroup::new(None, context.device),
        &stop,
        |images, _| precision.forward(|| network.forward(images)).to_kind(Kind::Float),
        |batch, logits| {
            done += batch.count + batch.skipped;
            report.progress("test", done as u64, total as u64, "images");
            logits.map_or(Ok(()), |logits| predictions.add(batch, logits))?;
            profiler.next_step();
            Ok(())
        },
    )?;
    profiler.end_epoch();
    let tally = predictions.finish()?;
    if found.skipped > 0 {
        let skipped = context.report.describe_skipped(&source.skipped());
        let count = found.skipped;
        context.report.warn(format!("{count} of {total} test images could not be read and were skipped{skipped}"));
    }
    let report = TestReport {
        top1: tally.top1(),
        top5: tally.top5(),
        loss: found.averages.loss,
        images: tally.images(),
        skipped: found.skipped,
        untested,
        classes: tally.classes(&names),
        confusion: Some(tally.confusion(&names)),
    };
    context.write_json(&report)?;
    let data_wait = context.report.data_wait(&loader);
    Ok(Metrics::from([("top1".to_owned(), report.top1), ("top5".to_owned(), report.top5), data_wait]))
}

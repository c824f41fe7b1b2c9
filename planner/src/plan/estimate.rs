//! Estimates how long instances will take, from earlier results and from the speed of the machine.

use tfnas_artifacts::Attempt;
use tfnas_stages::{ImageCounts, Source, Speed, SplitSection, Stage, Work};

use crate::plan::{Action, External, InputSource, Plan, PlanError, Planner, Step};

/// Number of earlier results whose median is used.
const RECENT: u32 = 5;

impl Planner<'_> {
    /// Returns the expected duration of an instance in seconds, or `None` if nothing is known about it.
    ///
    /// The durations of its recent results are scaled by the amount of work, so that ten times the epochs take ten times as
    /// long. Without results, the duration is computed from [`speed`](Self::speed).
    ///
    /// # Errors
    /// Returns [`PlanError`] if the ledger cannot be read.
    pub fn expected_s(&self, instance: usize) -> Result<Option<f64>, PlanError> {
        let node = &self.graph.instances[instance];
        let recent = self.cache.ledger().recent_results(&node.id, node.stage.name(), RECENT)?;
        let work = self.work(instance);
        let images = self.image_counts(instance).unwrap_or(TYPICAL);
        let mut scaled: Vec<f64> =
            recent.iter().filter_map(|result| scaled_s(node.stage, result, work.as_ref(), &images)).collect();
        scaled.sort_by(f64::total_cmp);
        match scaled.get(scaled.len() / 2) {
            Some(seconds) => Ok(Some(*seconds)),
            None => Ok(self.speed.and_then(|speed| self.estimated_s(instance, speed))),
        }
    }

    /// Estimates the duration of the steps of a plan that have no expected duration, at this speed.
    pub fn estimate(&self, plan: &mut Plan, speed: Speed) {
        let unknown = |step: &&mut Step| step.action != Action::Cached && step.expected_s.is_none();
        for step in plan.steps.iter_mut().filter(unknown) {
            step.expected_s = self.estimated_s(step.instance, speed);
        }
    }

    /// Returns the duration of an instance at this speed in seconds, regardless of earlier results. `None` if the number of
    /// images or the amount of work is unknown.
    pub fn estimated_s(&self, instance: usize, speed: Speed) -> Option<f64> {
        Some(self.work(instance)?.seconds(&self.image_counts(instance)?, speed))
    }

    /// Returns how much work an instance is, if known.
    pub fn work(&self, instance: usize) -> Option<Work> {
        let node = &self.graph.instances[instance];
        node.stage.work(&node.params)
    }

    /// Returns the number of images that an instance and its dependencies read, or `None` if the training images are not
    /// identified.
    pub fn image_counts(&self, instance: usize) -> Option<ImageCounts> {
        let config = &self.variant(instance).config;
        let needed = self.graph.closure([instance]);
        let count = |source: Source| {
            let inputs = needed.iter().flat_map(|at| &self.graph.instances[*at].inputs);
            let mut externals = inputs.filter_map(|input| match &input.source {
                InputSource::External(external) if input.port == source.port() => Some(external),
                _ => None,
            });
            self.images_of(externals.next()?)
        };
        let [images, classes] = count(Source::TrainImages)?;
        let training = match config.split.per_class {
            Some(per_class) => images.min(per_class as f64 * classes),
            None => images,
        };
        if config.draws_test() {
            let test = config.split.test_share.unwrap_or(SplitSection::TEST_SHARE) * training;
            return Some(ImageCounts { training: training - test, test });
        }
        Some(ImageCounts { training, test: count(Source::TestImages).map_or(0.0, |[images, _]| images) })
    }

    /// Returns the number of images and of classes of an input.
    fn images_of(&self, external: &External) -> Option<[f64; 2]> {
        let resolved = self.externals.get(external)?;
        Some([resolved.files as f64, resolved.classes as f64])
    }
}

/// The number of images that durations are compared with if it is unknown.
const TYPICAL: ImageCounts = ImageCounts { training: 1e4, test: 1e3 };

/// Returns the duration of a result, scaled to another amount of work. The images are assumed to be the same.
fn scaled_s(stage: Stage, result: &Attempt, work: Option<&Work>, images: &ImageCounts) -> Option<f64> {
    let seconds = result.duration_ms()? as f64 / 1e3;
    let before = result.manifest.parameters_json().and_then(|params| stage.work(&params));
    let (Some(work), Some(before)) = (work, before) else { return Some(seconds) };
    let [now, before] = [work, &before].map(|work| work.seconds(images, Speed::NOMINAL));
    Some(if before > 0.0 { seconds * now / before } else { seconds })
}

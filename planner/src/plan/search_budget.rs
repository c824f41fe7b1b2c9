//! Checks before a search whether its budget is sufficient to choose operations.

use tfnas_stages::{ImageCounts, SearchSection, Stage};

use crate::plan::{Action, Plan, Planner};

/// Weight steps for each operation of a block in the published search: 80 epochs of 3,200 steps after the warm-up, two of
/// eight paths each.
const PUBLISHED: f64 = 64_000.0;
/// Share of them below which a search hardly prefers any operation. At 0.3 % (8 epochs of 4,800 images) two of three choices
/// changed from epoch to epoch.
const FEW: f64 = 0.05;
/// Paths of the supernet that a weight step trains.
const PATHS: f64 = 2.0;

/// A search that is too short to choose operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortSearch {
    /// How short it is, and what to do.
    pub message: String,
    /// Whether `select` chooses among architectures after it, so that it matters little.
    pub is_selected: bool,
}

/// Returns the searches that may run and are too short to choose operations.
pub fn short_searches(planner: &Planner<'_>, plan: &Plan) -> Vec<ShortSearch> {
    let to_run = plan.steps.iter().filter(|step| step.action != Action::Cached).map(|step| step.instance);
    let searches = to_run.filter(|instance| planner.graph.instances[*instance].stage == Stage::Search);
    searches.filter_map(|search| short_search(planner, search)).collect()
}

fn short_search(planner: &Planner<'_>, search: usize) -> Option<ShortSearch> {
    let variant = planner.variant(search);
    let section = &variant.config.search;
    let images = planner.image_counts(search)?;
    let operations = variant.space.operations().len();
    let steps = steps_per_operation(section, variant.config.split.train_share, &images, operations);
    if section.from.is_some() || steps >= FEW * PUBLISHED {
        return None;
    }
    let is_selected = variant.config.select.is_enabled();
    let instead = if is_selected {
        "`select` trains candidates for a few epochs each and chooses the best"
    } else {
        "the network found may be worse than a random one: raise search.epochs, or turn on the stage select (select.candidates)"
    };
    let message = format!(
        "search: about {steps:.0} weight steps for each operation of a block ({PUBLISHED:.0} in the published search), too few to \
         prefer any operation; {instead}"
    );
    Some(ShortSearch { message, is_selected })
}

/// Returns how many weight steps after the warm-up train each operation of a block, on average.
fn steps_per_operation(section: &SearchSection, train_share: f64, images: &ImageCounts, operations: usize) -> f64 {
    let epochs = section.epochs.saturating_sub(section.warmup_epochs) as f64;
    epochs * train_share * images.training / section.batch as f64 * PATHS / operations as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_search_takes_64000_steps_for_each_operation() {
        let section = SearchSection::default();
        let images = ImageCounts { training: 128_000.0, test: 0.0 };
        assert_eq!(steps_per_operation(&section, 0.8, &images, 8), PUBLISHED);
    }

    #[test]
    fn a_search_that_only_warms_up_chooses_nothing() {
        let section = SearchSection { epochs: 3, warmup_epochs: 5, ..SearchSection::default() };
        assert_eq!(steps_per_operation(&section, 0.8, &ImageCounts { training: 1e6, test: 0.0 }, 8), 0.0);
    }
}

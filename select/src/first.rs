//! The initial candidates, before any training: from the search, from rules, and uniform draws.

use std::collections::BTreeSet;

use tfnas::Space;
use tfnas_random::Stream;

use crate::candidate::{Origin, Problem, SearchResult};
use crate::draw::{Draw, Rule, rules, sample, spread, uniform};
use crate::error::SelectError;
use crate::fit::{Fitted, Fitter};
use crate::genes::Genes;
use crate::settings::Settings;

/// Maximum number of draws per requested candidate, and in total at least `MIN_ATTEMPTS`.
const ATTEMPTS: usize = 2_000;
const MIN_ATTEMPTS: usize = 100_000;

/// A candidate under construction.
pub(crate) struct First {
    pub(crate) origin: Origin,
    pub(crate) name: String,
    pub(crate) genes: Genes,
    pub(crate) fitted: Fitted,
}

/// Draws the initial candidates, all different.
pub(crate) struct FirstDraw<'a> {
    fitter: &'a Fitter<'a>,
    seed: u64,
    seen: BTreeSet<Genes>,
    found: Vec<First>,
}

impl<'a> FirstDraw<'a> {
    pub(crate) fn new(fitter: &'a Fitter<'a>, seed: u64) -> Self {
        Self { fitter, seed, seen: BTreeSet::new(), found: Vec::new() }
    }

    /// Returns up to `settings.candidates` initial candidates.
    pub(crate) fn draw(mut self, problem: &Problem, settings: &Settings) -> Result<Vec<First>, SelectError> {
        if let Some(search) = &problem.search {
            check(&problem.space, search)?;
            self.add_parse(search)?;
            let share = (settings.candidates as f64 * settings.from_search).round() as usize;
            let of_search =
                |space: &Space, stream: &mut Stream| sample(space, &search.log_alphas, &search.betas, stream);
            self.add_draws(share, Draw::Search, Origin::SearchSample, of_search)?;
        }
        self.add_rules(settings.rules.min(settings.candidates - self.found.len()))?;
        self.add_draws(settings.candidates, Draw::Uniform, Origin::Uniform, uniform)?;
        if self.found.len() < 2 {
            self.add_changed(settings.candidates)?;
        }
        Ok(self.found)
    }

    fn add_parse(&mut self, search: &SearchResult) -> Result<(), SelectError> {
        search.architecture.check(self.fitter.space())?;
        let fitted = self.fitter.fit_changed(&search.architecture, Some(search))?;
        self.push(Origin::SearchParse, "the search's choice".to_owned(), Genes::of(&fitted.architecture), fitted);
        Ok(())
    }

    fn add_rules(&mut self, count: usize) -> Result<(), SelectError> {
        let mut feasible = Vec::new();
        for Rule { name, genes } in rules(self.fitter.space()) {
            if self.seen.contains(&genes) {
                continue;
            }
            if let Some(fitted) = self.fitter.fit(&genes)? {
                feasible.push((name, genes, fitted));
            }
        }
        for (name, genes, fitted) in spread(feasible, count) {
            self.push(Origin::Rule, name, genes, fitted);
        }
        Ok(())
    }

    /// Draws until there are `size` candidates or draws find nothing new.
    fn add_draws(
        &mut self,
        size: usize,
        draw: Draw,
        origin: Origin,
        genes: impl Fn(&Space, &mut Stream) -> Genes,
    ) -> Result<(), SelectError> {
        let wanted = size.saturating_sub(self.found.len());
        let attempts = ATTEMPTS.saturating_mul(wanted).max(MIN_ATTEMPTS);
        let mut drawn = 0;
        for attempt in 0..attempts {
            if drawn == wanted {
                break;
            }
            let genes = genes(self.fitter.space(), &mut draw.stream(self.seed, attempt as u32));
            if self.seen.contains(&genes) {
                continue;
            }
            // Rejected draws are not remembered: near the edges of the range, they are many.
            if let Some(fitted) = self.fitter.fit(&genes)? {
                drawn += 1;
                let kind = if origin == Origin::SearchSample { "search sample" } else { "uniform draw" };
                self.push(origin, format!("{kind} {drawn}"), genes, fitted);
            }
        }
        Ok(())
    }

    /// Modifies uniform draws until they meet the target, if unmodified draws never do.
    fn add_changed(&mut self, count: usize) -> Result<(), SelectError> {
        let draw = Draw::Uniform;
        for attempt in 0..20 * count {
            if self.found.len() == count {
                break;
            }
            let genes = uniform(self.fitter.space(), &mut draw.stream(self.seed, attempt as u32));
            let fitted = self.fitter.fit_changed(&genes.architecture(self.fitter.space())?, None)?;
            let genes = Genes::of(&fitted.architecture);
            if !self.seen.contains(&genes) {
                let number = self.found.len() + 1;
                self.push(Origin::Uniform, format!("uniform draw {number}, made faster"), genes, fitted);
            }
        }
        Ok(())
    }

    fn push(&mut self, origin: Origin, name: String, genes: Genes, fitted: Fitted) {
        self.seen.insert(genes.clone());
        self.found.push(First { origin, name, genes, fitted });
    }
}

/// Checks that the parameters of a search match this space and are finite.
fn check(space: &Space, search: &SearchResult) -> Result<(), SelectError> {
    let wrong = |place: String, problem: String| Err(SelectError::Search { place, problem });
    let count = |place: &str, found: usize, expected: usize| {
        if found == expected {
            return Ok(());
        }
        wrong(place.to_owned(), format!("{found} entries, but the space has {expected}"))
    };
    let finite = |place: &str, values: &[f32]| match values.iter().find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(value) => wrong(place.to_owned(), format!("{value} is not finite: the search diverged")),
    };
    count("log_alphas", search.log_alphas.len(), space.blocks().len())?;
    count("betas", search.betas.len(), space.groups().len())?;
    for (block, values) in space.blocks().iter().zip(&search.log_alphas) {
        let place = format!("{}.log_alphas", block.name());
        count(&place, values.len(), space.operations().len())?;
        finite(&place, values)?;
    }
    for (group, values) in search.betas.iter().enumerate() {
        let place = format!("stage{}.betas", group + 1);
        count(&place, values.len(), space.blocks_of(group).len())?;
        finite(&place, values)?;
    }
    Ok(())
}

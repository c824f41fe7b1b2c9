use std::collections::{BTreeMap, BTreeSet};

use tfnas_artifacts::{Attempt, Cache, CacheError, Digest, Field, Hit, KeyError, KeyManifest, LedgerError, Outcome};
use tfnas_stages::{KeyFacts, Speed};

use crate::config::{Configuration, Variant};
use crate::machine::{Device, key_facts};
use crate::plan::{Action, Cause, CauseField, Changes, ExternalInputs, Graph, InputSource, Plan, Step, manifest};

/// Determines what runs and why, without side effects.
pub struct Planner<'a> {
    /// The configuration.
    pub configuration: &'a Configuration,
    /// The instances of the configuration.
    pub graph: &'a Graph,
    /// The device of each variant of the configuration.
    pub devices: &'a [Device],
    /// The inputs that are not made by stages.
    pub externals: &'a ExternalInputs,
    /// The store and the ledger.
    pub cache: &'a Cache,
    /// The measured speed of this machine, if known, for the expected duration of stages that never ran.
    pub speed: Option<Speed>,
}

/// The plan cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The parameters of an instance have no canonical form.
    #[error("{id}: {source}")]
    Key {
        /// The instance.
        id: String,
        /// The parameter and what is wrong with it.
        source: KeyError,
    },
    /// The store or the ledger cannot be read.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl From<LedgerError> for PlanError {
    fn from(error: LedgerError) -> Self {
        Self::Cache(error.into())
    }
}

impl Planner<'_> {
    /// Returns the variant of the configuration that an instance belongs to.
    pub fn variant(&self, instance: usize) -> &Variant {
        &self.configuration.variants[self.graph.instances[instance].variant]
    }

    /// Returns the device that an instance uses.
    pub fn device(&self, instance: usize) -> &Device {
        &self.devices[self.graph.instances[instance].variant]
    }

    /// Plans the selected instances and their dependencies. Instances in `forced` run even if they are cached.
    ///
    /// # Errors
    /// Returns [`PlanError`] if a key cannot be computed, or if the store or the ledger cannot be read.
    pub fn plan(&self, chosen: &BTreeSet<usize>, forced: &BTreeSet<usize>) -> Result<Plan, PlanError> {
        let mut results = BTreeMap::new();
        let mut steps = Vec::new();
        for instance in self.graph.closure(chosen.iter().copied()) {
            let step = self.step(instance, &results, forced.contains(&instance))?;
            if let Some(hit) = &step.hit {
                results.insert(instance, hit.clone());
            }
            steps.push(step);
        }
        Ok(Plan { steps })
    }

    /// Plans one instance, given the known results of its dependencies.
    fn step(&self, position: usize, results: &BTreeMap<usize, Attempt>, forced: bool) -> Result<Step, PlanError> {
        let step = Step {
            instance: position,
            action: Action::Unknown,
            manifest: None,
            hit: None,
            because: Vec::new(),
            expected_s: None,
        };
        let Some(manifest) = self.manifest(position, results)? else {
            let because = self.unknown_inputs(position, results)?;
            return Ok(Step { because, expected_s: self.expected_s(position)?, ..step });
        };
        let found = self.cache.find(&manifest.key())?;
        if let (Some(hit), false) = (&found.result, forced) {
            return Ok(Step { action: Action::Cached, hit: Some(hit.clone()), manifest: Some(manifest), ..step });
        }
        let because = self.reasons(position, &manifest, forced, &found)?;
        let expected_s = self.expected_s(position)?;
        Ok(Step { action: Action::Run, because, expected_s, manifest: Some(manifest), ..step })
    }

    /// Returns the fields of an instance's cache key, or `None` if an input is not known yet.
    ///
    /// # Errors
    /// Returns [`PlanError::Key`] if the parameters have no canonical form.
    pub fn manifest(
        &self,
        position: usize,
        results: &BTreeMap<usize, Attempt>,
    ) -> Result<Option<KeyManifest>, PlanError> {
        let facts = key_facts(self.key_facts(position), self.device(position));
        match self.inputs(position, &|upstream, output| output_of(results, upstream, output)) {
            Some(inputs) => self.manifest_of(position, &inputs, &facts).map(Some),
            None => Ok(None),
        }
    }

    /// Returns the digests of an instance's inputs, given those of outputs, or `None` if one is not known yet.
    pub fn inputs(
        &self,
        position: usize,
        output: &dyn Fn(usize, &str) -> Option<Digest>,
    ) -> Option<BTreeMap<&'static str, Digest>> {
        let inputs = &self.graph.instances[position].inputs;
        inputs.iter().map(|input| Some((input.port, self.digest(&input.source, output)?))).collect()
    }

    /// Returns which facts about the environment are part of an instance's cache key.
    pub fn key_facts(&self, position: usize) -> KeyFacts {
        self.graph.instances[position].stage.key_facts(&self.variant(position).config)
    }

    /// Returns the fields of an instance's cache key for these inputs and facts about the environment.
    ///
    /// # Errors
    /// Returns [`PlanError::Key`] if the parameters have no canonical form.
    pub fn manifest_of(
        &self,
        position: usize,
        inputs: &BTreeMap<&'static str, Digest>,
        facts: &BTreeMap<&'static str, String>,
    ) -> Result<KeyManifest, PlanError> {
        let instance = &self.graph.instances[position];
        manifest(instance, inputs, facts).map_err(|source| PlanError::Key { id: instance.id.clone(), source })
    }

    fn digest(&self, source: &InputSource, output: &dyn Fn(usize, &str) -> Option<Digest>) -> Option<Digest> {
        match source {
            InputSource::Instance(upstream, name) => output(*upstream, name),
            InputSource::External(external) => self.externals.get(external).map(|resolved| resolved.digest),
        }
    }

    /// Returns why an instance whose key is known must run, given the cached result of this key, if any.
    ///
    /// # Errors
    /// Returns [`PlanError::Cache`] if the ledger cannot be read.
    pub fn reasons(
        &self,
        position: usize,
        manifest: &KeyManifest,
        forced: bool,
        found: &Hit,
    ) -> Result<Changes, PlanError> {
        let instance = &self.graph.instances[position];
        if forced {
            let at = Some(format!("--force {}", instance.stage.name()));
            return Ok(vec![Cause { at, ..Cause::plain(CauseField::Forced) }]);
        }
        if !found.untrusted.is_empty() || !found.lost.is_empty() {
            let untrusted = found.untrusted.iter().map(ToString::to_string);
            let lost = found.lost.iter().map(ToString::to_string);
            return Ok(untrusted.chain(lost).map(CauseField::UnusableResult).map(Cause::plain).collect());
        }
        let key = manifest.key();
        let ledger = self.cache.ledger();
        let last = ledger.last_attempt(&instance.id)?;
        if let Some(last) = last.filter(|last| last.key == key && last.outcome != Some(Outcome::Done)) {
            // The planner of an attempt without an outcome was killed.
            let outcome = last.outcome.unwrap_or(Outcome::Interrupted).name();
            let cause = last.cause.map_or_else(|| outcome.to_owned(), |cause| format!("{outcome}: {cause}"));
            return Ok(vec![Cause { old: Some(cause.into()), ..Cause::plain(CauseField::LastOutcome) }]);
        }
        let Some(last) = ledger.last_result(&instance.id)? else {
            return Ok(vec![Cause::plain(CauseField::NeverRan)]);
        };
        if last.key == key {
            return Ok(vec![Cause::plain(CauseField::OutputsRemoved)]);
        }
        Ok(self.differences(position, &last.manifest, manifest))
    }

    /// Returns how a manifest differs from an earlier one of the same instance, and where each change comes from.
    pub fn differences(&self, position: usize, old: &KeyManifest, new: &KeyManifest) -> Changes {
        let stage = self.graph.instances[position].stage;
        let changes = Cause::differences(old, new, stage, self.variant(position));
        changes.into_iter().map(|change| self.with_source(position, change)).collect()
    }

    /// Returns the inputs that are not known yet as reasons to run.
    fn unknown_inputs(&self, position: usize, results: &BTreeMap<usize, Attempt>) -> Result<Changes, PlanError> {
        let instance = &self.graph.instances[position];
        let last = self.cache.ledger().last_result(&instance.id)?;
        let known = |upstream, output: &str| output_of(results, upstream, output);
        let unknown = instance.inputs.iter().filter(|input| self.digest(&input.source, &known).is_none());
        Ok(unknown
            .map(|input| {
                let old = last.as_ref().and_then(|last| last.manifest.inputs().get(input.port));
                let change = Cause {
                    old: old.map(|digest| digest.to_string().into()),
                    ..Cause::plain(CauseField::Key(Field::Input(input.port.to_owned())))
                };
                self.with_source(position, change)
            })
            .collect())
    }

    /// Adds the source of an input to its change.
    fn with_source(&self, position: usize, change: Cause) -> Cause {
        let CauseField::Key(Field::Input(port)) = &change.field else { return change };
        let inputs = &self.graph.instances[position].inputs;
        match inputs.iter().find(|input| input.port == port).map(|input| &input.source) {
            Some(InputSource::Instance(upstream, _)) => {
                Cause { via: Some(self.graph.instances[*upstream].id.clone()), ..change }
            }
            Some(InputSource::External(external)) => {
                let at = format!("{} {}", external.key(), external.path().display());
                Cause { at: Some(at), ..change }
            }
            None => change,
        }
    }
}

fn output_of(results: &BTreeMap<usize, Attempt>, instance: usize, output: &str) -> Option<Digest> {
    results.get(&instance)?.output(output).map(|output| output.digest)
}

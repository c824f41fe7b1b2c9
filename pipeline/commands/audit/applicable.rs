//! Which options of `audit` apply to what it audits. An option that would be ignored is an error: a key that was not used
//! must not look like a signature that was checked.

use super::Audit;
use crate::error::CommandError;
use crate::options::Options;

impl Audit {
    /// Checks that each option applies to what is audited. clap checks those that require another option.
    ///
    /// # Errors
    /// Returns an error that names the first option that does not apply, and what it applies to.
    pub(super) fn check_options(&self, options: &Options) -> Result<(), CommandError> {
        let is_folder = self.path.as_ref().is_some_and(|path| path.is_dir());
        let is_file = self.path.as_ref().is_some_and(|path| path.is_file());
        let has_claims = self.claims.is_some();
        if (is_folder && has_claims) || (self.path.is_some() && !is_folder && !is_file) {
            // Another error is reported.
            return Ok(());
        }
        let is_replay = is_folder && self.folder.replay.is_some();
        let is_measured = has_claims && self.measure.measure;
        let has_weights = is_file || self.weights.is_some();
        let is_searched = has_claims && self.config.is_none();
        let given = [
            ("--key", self.folder.key.is_some(), is_folder, "it is for a folder that `publish` wrote: audit DIR"),
            ("--replay", self.folder.replay.is_some(), is_folder, "it is for a folder that `publish` wrote: audit DIR"),
            ("--set", !options.sets.is_empty(), is_replay, "it is for a replay: audit DIR --replay PART"),
            ("--worker", self.worker.is_some(), is_replay || is_measured, "it is for --replay and --measure"),
            ("--weights", self.weights.is_some(), has_claims, "it is for published claims: --claims NAME"),
            ("--weights-key", self.weights_key.is_some(), has_weights, "it is for a file with weights: audit FILE"),
            ("--measure", self.measure.measure, has_claims, "it is for published claims: --claims NAME"),
            ("--seed", self.seed.is_some(), is_searched, "it is for claims without --config"),
        ];
        match given.into_iter().find(|(_, is_given, applies, _)| *is_given && !applies) {
            None => Ok(()),
            Some((name, _, _, hint)) => {
                let subject = match &self.path {
                    Some(path) if is_folder => format!("the folder {}", path.display()),
                    Some(path) => format!("the weights {}", path.display()),
                    None => "these claims".to_owned(),
                };
                Err(CommandError::usage(format!("{name} does not apply to the audit of {subject}")).with_hint(hint))
            }
        }
    }
}

//! Finds artifacts given on the command line.

use tfnas_artifacts::{Cache, Digest, Found};
use tfnas_planner::config::nearest::{nearest, suggestion};
use tfnas_planner::plan::select;

use crate::commands::show::named;
use crate::error::CommandError;
use crate::options::Options;
use crate::session::{Session, Setup, store_to_read};

/// Number of digits from which on a text is the beginning of a digest.
const MIN_DIGITS: usize = 4;

/// An artifact and its store.
pub struct Artifact {
    pub cache: Cache,
    pub digest: Digest,
    /// Name of the output, if the artifact was found by it.
    pub name: Option<String>,
}

/// Finds an artifact: by the first digits of its digest, or as an output of the current configuration, such as
/// `model.config`, or `parse@12/model.config` if there are several instances.
pub fn find(options: &Options, text: &str) -> Result<Artifact, CommandError> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digits && text.len() >= MIN_DIGITS {
        let cache = store_to_read(options)?;
        return match named(&cache, text)? {
            Found::Artifact(digest) => Ok(Artifact { cache, digest, name: None }),
            _ => Err(CommandError::usage(format!("`{text}` is not an artifact"))),
        };
    }
    let setup = Setup::new(options)?;
    let all = select(&setup.graph, &["all".to_owned()])?;
    let mut session = setup.read()?;
    session.identify(&all)?;
    let outputs = outputs(&session)?;
    let mut found: Vec<_> =
        outputs.iter().filter(|(id, name, _)| *name == text || format!("{id}/{name}") == text).collect();
    found.dedup_by_key(|(_, _, digest)| *digest);
    match found[..] {
        [(_, name, digest)] => {
            let (name, digest) = (Some(name.clone()), *digest);
            Ok(Artifact { cache: session.cache, digest, name })
        }
        [] => {
            let complete: Vec<String> = outputs.iter().map(|(id, name, _)| format!("{id}/{name}")).collect();
            // A name without an instance is similar to other names without one.
            let name = nearest(text, outputs.iter().map(|(_, name, _)| name.as_str())).filter(|_| !text.contains('/'));
            let hint = match name {
                _ if is_digits => format!("give the first {MIN_DIGITS} digits of a digest or more"),
                Some(name) => format!("did you mean `{name}`?"),
                None => suggestion(text, complete.iter().map(String::as_str)),
            };
            Err(CommandError::usage(format!("there is no artifact `{text}`")).with_hint(hint))
        }
        _ => {
            let ids: Vec<_> = found.iter().map(|(id, name, _)| format!("{id}/{name}")).collect();
            Err(CommandError::usage(format!("`{text}` matches several artifacts"))
                .with_hint(format!("use one of {}", ids.join(", "))))
        }
    }
}

/// The outputs that are there of the pipeline as it is configured now: instance, name, digest.
fn outputs(session: &Session) -> Result<Vec<(String, String, Digest)>, CommandError> {
    let all = (0..session.graph.instances.len()).collect();
    let plan = session.planner().plan(&all, &Default::default())?;
    let results = plan.steps.iter().filter_map(|step| Some((step.instance, step.hit.as_ref()?)));
    Ok(results
        .flat_map(|(instance, hit)| {
            let id = session.graph.instances[instance].id.clone();
            hit.outputs.iter().map(move |output| (id.clone(), output.name.clone(), output.digest))
        })
        .collect())
}

use clap::Args;
use tfnas_artifacts::{Cache, CacheError, LedgerError, Outcome, Removal, Retention};
use tfnas_humanize as humanize;
use tfnas_humanize::Columns;

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};
use crate::session::store_folder;

/// Remove old results and their artifacts, except those that are pinned or in use
#[derive(Args, Debug)]
pub struct Gc {
    /// Keep this many results of each instance, those used last, and everything they were made from
    #[arg(long, value_name = "N")]
    keep_last: Option<usize>,

    /// Keep artifacts up to this total size (500M, 20G); remove the least recently used first
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,

    /// Show what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

impl Gc {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let retention = Retention { keep_last: self.keep_last, max_bytes: self.max_size };
        let folder = store_folder(options);
        // A mistyped name must not create an empty store.
        if !Cache::exists(&folder)? {
            return Err(CommandError::usage(format!("there is no store in {}", folder.display()))
                .with_hint("`--store FOLDER` names the store; its default is .tfnas next to the configuration"));
        }
        let removal = if self.dry_run {
            Cache::open_to_read(&folder)?.plan_gc(&retention)?
        } else {
            Cache::open(&folder).and_then(|cache| cache.gc(&retention)).map_err(without_space)?
        };
        if options.json {
            print_json(&removal);
        } else {
            print(&text(&removal, self.dry_run));
        }
        Ok(Exit::Done)
    }
}

/// Adds a hint for a full disk. The one in the message recommends `gc`.
fn without_space(error: CacheError) -> CommandError {
    let CacheError::Ledger(LedgerError::Full { path }) = &error else { return error.into() };
    let ledger = path.display();
    CommandError::failed(format!("cannot write the ledger {ledger}: no space left on the file system"))
        .with_hint("remove a file outside of the store first: `gc` needs some space to record what it removes")
}

fn text(removal: &Removal, dry_run: bool) -> String {
    let mut columns = Columns::plain(4);
    for attempt in &removal.attempts {
        let outcome = attempt.outcome.map_or("not ended", Outcome::name);
        let used = format!("last used {} UTC", humanize::moment(attempt.used_ms));
        columns.row([attempt.instance.as_str(), attempt.id.as_str(), outcome, &used]);
    }
    let verb = if dry_run { "would remove" } else { "removed" };
    format!(
        "{columns}{verb} {} attempts and {} artifacts ({}); artifacts of {} stay\n",
        removal.attempts.len(),
        removal.objects,
        humanize::bytes(removal.bytes),
        humanize::bytes(removal.bytes_kept)
    )
}

/// Parses a size: a number of bytes, optionally with the unit K, M, G or T (powers of 1024).
fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size: expected a number such as 500M or 20G");
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 1,
        "M" | "MB" | "MIB" => 2,
        "G" | "GB" | "GIB" => 3,
        "T" | "TB" | "TIB" => 4,
        _ => return Err(wrong()),
    };
    if number.is_finite() && number >= 0.0 { Ok((number * 1024f64.powi(unit)) as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_with_units() {
        assert_eq!(size("1000"), Ok(1000));
        assert_eq!(size("1.5k"), Ok(1536));
        assert_eq!(size("20GiB"), Ok(20 << 30));
        for wrong in ["", "G", "-1", "3 parsecs", "NaN"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}

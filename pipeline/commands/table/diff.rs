use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tfnas_humanize::Columns;

use crate::commands::table::read;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};

/// Compare two tables key by key
#[derive(Args, Debug)]
pub struct Diff {
    /// The first table
    #[arg(value_name = "OLD")]
    old: PathBuf,

    /// The other table
    #[arg(value_name = "NEW")]
    new: PathBuf,
}

struct Row {
    key: String,
    /// Mean ratio of new to old over the widths of the new table's knots; `None` if the key is in one table only.
    ratio: Option<f64>,
    note: &'static str,
}

impl Diff {
    /// Prints the ratio of new to old for each key. The exit code is 1 if the tables differ.
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let (old, new) = (read(&self.old)?, read(&self.new)?);
        let mut rows = vec![Row { key: "base".to_owned(), ratio: Some(new.base_ms() / old.base_ms()), note: "" }];
        for (key, curve) in new.curves() {
            let Ok(before) = old.curve(key) else {
                rows.push(Row { key: key.to_string(), ratio: None, note: "only in the new table" });
                continue;
            };
            let ratios = curve.knots().iter().filter_map(|knot| Some(knot.ms / before.ms(knot.width)?));
            let (sum, count) = ratios.fold((0.0, 0), |(sum, count), ratio| (sum + ratio, count + 1));
            let ratio = (count > 0).then(|| sum / f64::from(count));
            rows.push(Row { key: key.to_string(), ratio, note: if count == 0 { "no width in common" } else { "" } });
        }
        for (key, _) in old.curves().iter().filter(|(key, _)| new.curve(key).is_err()) {
            rows.push(Row { key: key.to_string(), ratio: None, note: "only in the old table" });
        }
        let same = old.base_ms() == new.base_ms() && old.curves() == new.curves();
        if options.json {
            let keys = rows.iter().map(|row| json!({ "key": row.key, "ratio": row.ratio, "note": row.note }));
            print_json(&json!({ "same": same, "keys": keys.collect::<Vec<_>>() }));
        } else {
            let mut columns = Columns::new(&["key", ">new / old", ""]);
            for Row { key, ratio, note } in rows {
                columns.row([key, ratio.map(|ratio| format!("{ratio:.4}")).unwrap_or_default(), note.to_owned()]);
            }
            print(&format!("{columns}{}\n", if same { "the tables are the same" } else { "the tables differ" }));
        }
        Ok(if same { Exit::Done } else { Exit::Failed })
    }
}

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::cell;

const HEAD: &str = "\
# Configuration keys

<!-- Generated from the configuration's definition by pipeline/reference_pages. Do not edit. -->

All keys of `pipeline.yaml`, with their defaults. [Images and configuration](../how-to/images.md) introduces the most important ones. A key is written in its
section or with dots on the command line: `search: {epochs: 90}` is `--set search.epochs=90`. Paths are relative to the folder of the file. Unknown keys are errors.

`tfnas-pipeline config` prints the effective values and where each came from. `tfnas-pipeline config --schema` prints this page as a JSON Schema, which editors use.
[Cache keys](../explanation/cache-keys.md) says which keys make which stage rerun. The defaults are those of the published method; without a
`pipeline.yaml`, an embedded configuration for a small generated image set is used instead.
";

/// Returns the page about all keys of a JSON Schema.
pub fn page(schema: &Value) -> String {
    let page = Page { schema };
    let properties = schema["properties"].as_object().unwrap();
    let mut text = HEAD.to_owned();
    let (sections, top): (Vec<_>, Vec<_>) = properties.iter().partition(|(_, key)| page.section_of(key).is_some());
    text.push_str("\n## Top level\n\n");
    page.table(&mut text, top.iter().map(|(name, key)| page.row(name, key, key.get("default"))));
    for (section_name, key) in sections {
        let section = page.section_of(key).unwrap();
        // Writing to a String cannot fail.
        let _ = write!(text, "\n## {section_name}\n\n{}\n\n", description(key));
        let mut rows = Vec::new();
        page.rows(&mut rows, section_name, section, key.get("default"));
        for name in page.resolve(key)["required"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let required = format!("`{section_name}.{}`", name.as_str().unwrap());
            rows.iter_mut().filter(|row| row[0] == required).for_each(|row| row[1] = "required".to_owned());
        }
        page.table(&mut text, rows.into_iter());
    }
    text
}

struct Page<'a> {
    schema: &'a Value,
}

impl<'a> Page<'a> {
    /// Returns the definition that a key refers to, or the key itself.
    fn resolve(&self, key: &'a Value) -> &'a Value {
        let choices = key["anyOf"].as_array().map(Vec::as_slice).unwrap_or_default();
        let reference = key["$ref"].as_str().or_else(|| choices.iter().find_map(|choice| choice["$ref"].as_str()));
        match reference {
            Some(reference) => self.schema.pointer(reference.trim_start_matches('#')).unwrap(),
            None => key,
        }
    }

    /// Returns the keys below a key, if it is a section.
    fn section_of(&self, key: &'a Value) -> Option<&'a Map<String, Value>> {
        self.resolve(key)["properties"].as_object()
    }

    /// Adds a row for each key of a section and of the sections in it.
    fn rows(
        &self,
        rows: &mut Vec<[String; 3]>,
        above: &str,
        section: &'a Map<String, Value>,
        defaults: Option<&Value>,
    ) {
        for (name, key) in section {
            let name = format!("{above}.{name}");
            let default = defaults.and_then(|defaults| defaults.get(key_of(&name))).or_else(|| key.get("default"));
            let of_stage = &key["additionalProperties"];
            if let Some(below) = self.section_of(key) {
                if key.get("anyOf").is_some() {
                    rows.push(self.row(&name, key, None));
                }
                self.rows(rows, &name, below, default);
            } else if let Some(below) = of_stage.is_object().then(|| self.section_of(of_stage)).flatten() {
                rows.push(self.row(&name, key, None));
                self.rows(rows, &format!("{name}.STAGE"), below, None);
            } else {
                rows.push(self.row(&name, key, default));
            }
        }
    }

    fn row(&self, name: &str, key: &'a Value, default: Option<&Value>) -> [String; 3] {
        let mut meaning = description(key);
        for choice in self.resolve(key)["oneOf"].as_array().map(Vec::as_slice).unwrap_or_default() {
            if let Some(value) = choice["const"].as_str() {
                let _ = write!(meaning, " `{value}`: {}", description(choice));
            }
        }
        let default = match default {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(value) => format!("`{}`", number(value)),
        };
        [format!("`{name}`"), default, meaning]
    }

    fn table(&self, text: &mut String, rows: impl Iterator<Item = [String; 3]>) {
        text.push_str("| key | default | meaning |\n|---|---|---|\n");
        for row in rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
    }
}

/// Returns the last name of a dotted key.
fn key_of(dotted: &str) -> &str {
    dotted.rsplit('.').next().unwrap_or(dotted)
}

fn description(key: &Value) -> String {
    cell(key["description"].as_str().unwrap_or_default())
}

/// Returns a default as it is written in YAML: whole numbers without a fraction.
fn number(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("[{}]", values.iter().map(number).collect::<Vec<_>>().join(", ")),
        Value::Number(found) => match found.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => format!("{float}"),
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}

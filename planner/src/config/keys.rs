//! The names of all configuration keys.

use serde_json::Value;

use crate::config::schema;

/// Returns the dotted keys whose last part is `name` but for case, hyphens and, in a long name, a typing error.
pub fn of_name(name: &str) -> Vec<String> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let name = plain(name);
    let all = all(&schema());
    let distance = |key: &String| strsim::damerau_levenshtein(&name, &plain(key.rsplit('.').next().unwrap_or(key)));
    let nearest = all.iter().map(distance).min().filter(|least| *least <= name.chars().count() / 5);
    all.iter().filter(|key| Some(distance(key)) == nearest).cloned().collect()
}

/// Returns all dotted keys, sections included.
fn all(schema: &Value) -> Vec<String> {
    let mut keys = Vec::new();
    collect(schema, schema, "", &mut keys);
    keys
}

/// Returns the dotted keys that have values of their own, and the optional sections.
pub(super) fn values(schema: &Value) -> Vec<String> {
    let mut keys = all(schema);
    keys.retain(|key| {
        let node = node_of(schema, key);
        node.is_some_and(|node| node["anyOf"].is_array() || resolved(schema, node)["properties"].is_null())
    });
    keys
}

/// Returns the schema of a dotted key.
pub(super) fn node_of<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(schema, |section, name| resolved(schema, section)["properties"].get(name))
}

/// Returns the definition that a key refers to; for an optional section, its definition; else the key itself.
fn resolved<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    let forms = node["anyOf"].as_array().map(Vec::as_slice).unwrap_or_default();
    let reference = node["$ref"].as_str().or_else(|| forms.iter().find_map(|form| form["$ref"].as_str()));
    reference.and_then(|at| schema.pointer(at.trim_start_matches('#'))).unwrap_or(node)
}

fn collect(schema: &Value, node: &Value, above: &str, keys: &mut Vec<String>) {
    let node = node["$ref"].as_str().and_then(|at| schema.pointer(at.trim_start_matches('#'))).unwrap_or(node);
    for (name, below) in node["properties"].as_object().into_iter().flatten() {
        let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        collect(schema, below, &key, keys);
        keys.push(key);
    }
    // An optional section is one of several forms.
    for form in node["anyOf"].as_array().into_iter().flatten() {
        collect(schema, form, above, keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_all_sections() {
        assert_eq!(of_name("target_lat_ms"), ["search.target_lat_ms"]);
        let epochs = of_name("epochs");
        assert!(
            epochs.contains(&"search.epochs".to_owned()) && epochs.contains(&"train.epochs".to_owned()),
            "{epochs:?}"
        );
        assert!(of_name("lr").contains(&"search.weights.lr".to_owned()));
        assert_eq!(of_name("train_per_class"), ["data.generate.train_per_class"]);
        assert_eq!(of_name("target-lat-ms"), ["search.target_lat_ms"]);
        assert_eq!(of_name("epoch"), epochs);
        assert!(of_name("banana").is_empty() && of_name("l").is_empty());
    }
}

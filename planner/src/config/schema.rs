use serde_json::{Value, json};
use tfnas_stages::Config;

use crate::config::keys::node_of;
use crate::config::matrix;

/// Returns the JSON Schema of `pipeline.yaml`: the schema of [`Config`], plus lists of values.
pub fn schema() -> Value {
    let mut schema = Config::schema();
    schema["title"] = json!("pipeline.yaml");
    schema["properties"][matrix::SECTION] = json!({
        "description": "Keys, dotted or nested, with a list of values each: every combination is a separate pipeline.",
        "type": "object",
    });
    if let Some(target) = schema.pointer_mut("/$defs/SearchSection/properties/target_lat_ms") {
        let ms = json!({ "type": "number", "exclusiveMinimum": 0 });
        let share = json!({ "type": "string", "pattern": "^[0-9.]+%$" });
        let one = json!({ "anyOf": [ms, share] });
        let description = target["description"].clone();
        let default = target["default"].clone();
        *target = json!({
            "description": description,
            "default": default,
            "anyOf": [one, { "type": "array", "items": one, "minItems": 1, "uniqueItems": true }],
        });
    }
    schema
}

/// Returns the default of a dotted key; null for a key without a default that can be left out. `None` for a key
/// that must be set.
pub(super) fn default_of(schema: &Value, key: &str) -> Option<Value> {
    let node = node_of(schema, key)?;
    let is_null = |form: &Value| form["type"] == "null";
    let forms = node["anyOf"].as_array().is_some_and(|forms| forms.iter().any(is_null));
    let types = node["type"].as_array().is_some_and(|types| types.iter().any(|name| name == "null"));
    node.get("default").cloned().or_else(|| (forms || types).then_some(Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_all_sections_with_defaults_and_descriptions() {
        let schema = schema();
        let epochs = &schema["$defs"]["TrainSection"]["properties"]["epochs"];
        assert_eq!((&epochs["default"], &epochs["description"]), (&json!(250), &json!("Number of epochs.")));
        assert_eq!(schema["$defs"]["TrainSection"]["additionalProperties"], json!(false));
        assert!(schema["$defs"]["SearchSection"]["properties"]["target_lat_ms"]["anyOf"].is_array(), "{schema}");
        assert_eq!(schema["properties"]["matrix"]["type"], "object");
    }
}

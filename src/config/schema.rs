//! The JSON Schema of the configuration, for editors: generated from the types in
//! [`raw`](super::raw), so it shows what works and nothing else.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::raw;

/// The schema (JSON Schema 2020-12), indented, with a final newline.
pub fn schema() -> String {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<raw::Config>().to_value();
    without_null(&mut schema);
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// An optional member may be left out; nobody should be offered to write `null` for it.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(entries) => entries.iter_mut().for_each(without_null),
        Value::Object(members) => {
            members.values_mut().for_each(without_null);
            if let Some(Value::Array(types)) = members.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = types.as_mut_slice() {
                    let only = only.take();
                    members.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(words)) = members.get_mut("enum") {
                words.retain(|word| !word.is_null());
            }
            if let Some(Value::Array(shapes)) = members.get_mut("anyOf") {
                shapes.retain(|shape| shape.get("type").is_none_or(|kind| kind != "null"));
                if let [Value::Object(only)] = shapes.as_mut_slice() {
                    let only = std::mem::take(only);
                    members.shift_remove("anyOf");
                    for (key, value) in only {
                        members.entry(key).or_insert(value);
                    }
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_shipped_schema_is_the_one_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/schema.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, super::schema()).unwrap();
        }
        let shipped = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            shipped == super::schema(),
            "config/schema.json is out of date: run the tests with UPDATE_GOLDEN=1"
        );
    }
}

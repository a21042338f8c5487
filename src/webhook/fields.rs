//! Details of a visitor as the website's server answers them: names and texts.

use std::sync::Arc;

use serde::Deserialize;

use crate::store::MOST_FIELDS;

#[derive(Deserialize)]
struct Answer {
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    name: String,
    value: String,
}

/// A field's name and what it says.
pub type Named = (Arc<str>, Arc<str>);

/// Reads `{"fields": [{"name": …, "value": …}]}`.
///
/// # Errors
/// It is something else, there are too many, a name is empty or there twice: a sentence that
/// repeats nothing of it.
pub fn read(body: &[u8]) -> Result<Vec<Named>, String> {
    // serde's own words would show values.
    let answer: Answer = serde_json::from_slice(body).map_err(|error| {
        format!(
            "the answer is not {{\"fields\": [{{\"name\": TEXT, \"value\": TEXT}}]}} (line {}, \
             column {})",
            error.line(),
            error.column()
        )
    })?;
    let count = answer.fields.len();
    if count > MOST_FIELDS {
        return Err(format!("the answer has {count} fields; at most {MOST_FIELDS} are taken"));
    }
    let mut fields: Vec<Named> = Vec::with_capacity(count);
    for Field { name, value } in answer.fields {
        if name.is_empty() {
            return Err("the answer has a field without a name".to_owned());
        }
        if fields.iter().any(|(known, _)| **known == *name) {
            return Err("the answer has two fields of one name".to_owned());
        }
        fields.push((name.into(), value.into()));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_taken_in_their_order_or_not_at_all() {
        let read = |text: &str| read(text.as_bytes());
        let fields = read(r#"{"fields":[{"name":"Plan","value":"pro"},{"name":"A","value":""}]}"#);
        let names: Vec<_> = fields.unwrap().iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["Plan", "A"]);
        assert_eq!(read(r#"{"fields":[]}"#), Ok(Vec::new()));
        let many =
            format!(r#"{{"fields":[{}]}}"#, vec![r#"{"name":"a","value":"b"}"#; 101].join(","));
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"fields":[{"name":"A","value":25}]}"#,
            r#"{"fields":[{"name":"A","value":null}]}"#,
            r#"{"fields":[{"name":"","value":"x"}]}"#,
            r#"{"fields":[{"name":"A","value":"x"},{"name":"A","value":"y"}]}"#,
            &many,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let secretive = read(r#"{"fields":[{"name":"A","value":{"SECRET":1}}]}"#).unwrap_err();
        assert!(!secretive.contains("SECRET"), "{secretive}");
    }
}

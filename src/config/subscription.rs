//! A subscription as it is made through the admin API: the configuration's own entry, in JSON.
//!
//! It comes over the network: it names neither files nor the environment, and no problem
//! repeats what may be a password.

use serde_yaml::Value;

use super::place::{Place, Step};
use super::problem::Problem;
use super::read::take_out;
use super::report::Report;
use super::{blank, compile, raw, read};
use crate::plan::{Reach, Webhook};

const SECRET: &str = "{ \"value\": TEXT }, or the text alone";

/// Reads an entry of `webhooks:`, in JSON, as one that was made through the admin API and may
/// go so far. Its secrets are `{ "value": … }`, or the text alone.
///
/// # Errors
/// What is wrong with it and what was expected, in sentences; places are JSON pointers.
pub fn subscription(entry: &str, reach: Reach) -> Result<Webhook, String> {
    // Strict JSON; the tree refuses duplicate members.
    let mut value: Value =
        serde_json::from_str(entry).map_err(|error| format!("this is no JSON: {error}"))?;
    if !value.is_mapping() {
        return Err("a webhook is a JSON object: { \"name\": …, \"url\": … }".to_owned());
    }
    let mut report = Report::without_lines();
    blank::take_out_blank(&mut value, &mut report);
    only_values(&mut value, &mut report);
    let webhook = read::read::<raw::Webhook>(&mut value, &Place::root(), &mut report)
        .and_then(|raw| compile::subscription(&raw, reach, &mut report));
    match webhook {
        Some(webhook) if report.count() == 0 => Ok(webhook),
        _ => {
            let problems = report.into_problems();
            Err(problems.iter().map(sentence).collect::<Vec<_>>().join("; "))
        }
    }
}

/// Makes every secret a `{ value: … }`, and takes out those that are none.
fn only_values(value: &mut Value, report: &mut Report<'_>) {
    let root = Place::root();
    let mut places = vec![root.key("secret")];
    if let Some(Value::Sequence(list)) = value.get("secrets") {
        places.extend((0..list.len()).map(|index| root.key("secrets").index(index)));
    }
    for place in places {
        let Some(secret) = at(value, &place) else { continue };
        if let Value::String(text) = secret {
            let text = std::mem::take(text);
            *secret = Value::Mapping([("value".into(), text.into())].into_iter().collect());
        }
        for elsewhere in ["file", "env"] {
            if at(value, &place).is_some_and(|secret| secret.get(elsewhere).is_some()) {
                let place = place.key(elsewhere);
                report
                    .key(&place, "a subscription that is made here reads no secret elsewhere")
                    .expected(SECRET);
                take_out(value, &place);
                report.removed(place);
            }
        }
    }
}

/// `secret`, or an entry of `secrets`.
fn at<'v>(value: &'v mut Value, place: &Place) -> Option<&'v mut Value> {
    place.0.iter().try_fold(value, |value, step| match step {
        Step::Key(name) => value.get_mut(name.as_str()),
        Step::Index(index) => value.get_mut(*index),
    })
}

fn sentence(problem: &Problem) -> String {
    let mut text = problem.what.clone();
    if let Some(expected) = &problem.expected {
        text.push_str(&format!(" (expected: {expected})"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Format;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn entry(more: &str) -> String {
        format!(
            "{{\"name\": \"crm\", \"url\": \"https://crm.acme.example/hook?key=hunter2\", \
             \"format\": \"livesupporti\"{more}}}"
        )
    }

    #[test]
    fn a_subscription_is_the_entry_of_the_configuration_in_json() {
        let texts = [
            format!(", \"secret\": \"{SECRET}\""),
            format!(", \"secret\": {{\"value\": \"{SECRET}\"}}"),
            format!(", \"secrets\": [\"{SECRET}\", {{\"value\": \"\\ud83d\\ude00{SECRET}\"}}]"),
        ];
        for (text, keys) in texts.iter().zip([1, 1, 2]) {
            let webhook = subscription(&entry(text), Reach::Outside).unwrap();
            assert_eq!((&*webhook.name, webhook.format), ("crm", Format::Livesupporti));
            assert_eq!(webhook.secrets.len(), keys);
            assert_eq!(webhook.secrets[0].expose(), SECRET.as_bytes());
            assert_eq!(webhook.reach, Reach::Outside);
        }
        let webhook = subscription(&entry(&texts[0]), Reach::Anywhere).unwrap();
        assert_eq!(webhook.reach, Reach::Anywhere);
    }

    #[test]
    fn a_subscription_that_is_wrong_is_told_all_of_it_by_its_places() {
        let secret = format!(", \"secret\": \"{SECRET}\"");
        for (text, told) in [
            ("".to_owned(), "no JSON"),
            ("[]".to_owned(), "a JSON object"),
            ("\"https://crm.acme.example\"".to_owned(), "a JSON object"),
            ("name: crm".to_owned(), "no JSON"),
            (entry(&secret) + "x", "no JSON"),
            (entry(&format!("{secret}, \"name\": \"b\"")), "duplicate"),
            (entry(&format!("{secret}, \"color\": 1")), "/color: unknown key `color`"),
            (entry(&format!("{secret}, \"retry\": []")), "/retry: 0 attempts"),
            (entry(&format!("{secret}, \"retry\": null")), "/retry: nothing stands behind"),
            (entry(&format!("{secret}, \"headers\": {{\"A/b\": 5}}")), "/headers/A~1b: "),
            (entry(&format!("{secret}, \"headers\": {{\"Host\": \"a\"}}")), "/headers/Host: "),
            (entry(", \"secret\": {\"file\": \"/etc/passwd\"}"), "/secret/file: "),
            (entry(", \"secrets\": [{\"env\": \"HOME\"}]"), "/secrets/0/env: "),
            (entry(", \"secret\": {\"value\": 5}"), "/secret/value: this is not how a secret"),
            (entry(", \"secret\": \"short\""), "/secret: a secret that is too short"),
            (entry(""), "`secret` is missing here"),
        ] {
            let problems = subscription(&text, Reach::Outside).unwrap_err();
            assert!(problems.contains(told), "{text}: {problems}");
        }
        let wrong = "{\"name\": \"A\", \"url\": \"ftp://a\", \"format\": \"standrad\"}";
        let problems = subscription(wrong, Reach::Outside).unwrap_err();
        for told in ["/name: ", "/url: ", "/format: `standrad` is not known here"] {
            assert!(problems.contains(told), "{problems}");
        }
    }

    #[test]
    fn no_problem_and_no_debug_text_repeats_a_password() {
        let password = "hunter2-hunter2-hunter2-hunter2!";
        for text in [
            entry(&format!(", \"secret\": [\"{password}\"]")),
            entry(&format!(", \"secret\": {{\"{password}\": 1}}")),
            entry(&format!(", \"secret\": {{\"{password}\": null}}")),
            entry(&format!(", \"secret\": {{\"value\": \"{password}\", \"encoding\": \"hex\"}}")),
            entry(&format!(", \"secret\": \"{password}{password}{password}\"")),
            entry(&format!(", \"headers\": \"Basic {password}\"")),
            entry(&format!(", \"headers\": {{\"Authorization\": \"{password}\\n\"}}")),
            entry(&format!(", \"headers\": {{\"Authorization\": [\"{password}\"]}}")),
            format!("\"{password}\""),
            format!("{{\"url\": \"https://u:{password}@a/\"}}"),
            format!("{{\"url\": [\"https://u:{password}@a/\"]}}"),
            format!("{{\"url\": \"http:/{password}\"}}"),
        ] {
            let problems = subscription(&text, Reach::Outside).unwrap_err();
            assert!(!problems.contains("hunter2"), "{text}: {problems}");
        }
        let good = format!(
            ", \"secret\": \"{password}\", \"headers\": {{\"Authorization\": \"Basic hunter2\"}}"
        );
        let webhook = subscription(&entry(&good), Reach::Outside).unwrap();
        let shown = format!("{webhook:?} {:?} {}", webhook.headers, webhook.shown());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("https://crm.acme.example/hook"), "{shown}");
    }
}

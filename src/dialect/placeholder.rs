//! Ids that are no ids: what a website sends when nobody filled in its template.
//!
//! Such an "id" is the same for everybody, so a signature over it would make all visitors
//! one person. Three shapes are known:
//! - the words in which languages print nothing: `null`, `undefined`, `NaN`, `None`, `nil`,
//!   `[object Object]`;
//! - the whole id in a template's brackets: `{user_id}`, `<id>`, `%USER_ID%`, `%%USER_ID%%`;
//! - a template's sigil anywhere: `{{…}}`, `#{…}`, `${…}`, `<%…%>`.
//!
//! Caveat: a real id of such a shape is refused as well. Therefore words must be all of
//! the id (`nullable-7` is somebody) and are matched only in the spellings that languages
//! print (`Nan` and `none` are names that people have), and braces must hold a name: a
//! GUID in braces, as .NET writes it, is an id, and so is `a{b}c`.

/// Whether the id is an unfilled template.
pub fn is_placeholder(id: &str) -> bool {
    let id = id.trim();
    // Every template has one of these; nearly no id does.
    let marked = id.bytes().any(|byte| matches!(byte, b'{' | b'<' | b'%'));
    is_nothing(id) || marked && (is_bracketed_name(id) || has_template(id))
}

/// JavaScript, Java, SQL, Python and pandas, Go and Ruby, and an object or a promise
/// printed by JavaScript.
fn is_nothing(id: &str) -> bool {
    id.eq_ignore_ascii_case("null")
        || id.eq_ignore_ascii_case("undefined")
        || matches!(id, "NaN" | "nan" | "None" | "nil" | "(null)" | "(nil)")
        || inside(id, "[object ", "]").is_some()
}

fn is_bracketed_name(id: &str) -> bool {
    let name = |text: &str| {
        let part_of_name = |c: char| c.is_alphanumeric() || " _-.:$@|()[]?'/".contains(c);
        text.chars().all(part_of_name) && !is_guid(text)
    };
    inside(id, "<", ">").is_some()
        || inside(id, "{", "}").is_some_and(name)
        || inside(id, "%", "%").is_some_and(name)
        || inside(id, "%%", "%%").is_some_and(name)
}

fn has_template(id: &str) -> bool {
    [("{{", "}}"), ("#{", "}"), ("${", "}"), ("<%", "%>")]
        .iter()
        .any(|(open, close)| id.split_once(open).is_some_and(|(_, rest)| rest.contains(close)))
}

fn inside<'a>(id: &'a str, open: &str, close: &str) -> Option<&'a str> {
    id.strip_prefix(open)?.strip_suffix(close)
}

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::is_placeholder;

    #[test]
    fn unfilled_templates_and_printed_nothing_are_placeholders() {
        for id in [
            "null",
            "NULL",
            "Null",
            "undefined",
            "NaN",
            "nan",
            "None",
            "nil",
            "(null)",
            " null ",
            "[object Object]",
            "[object Promise]",
            "<nil>",
            "{}",
            "{user_id}",
            "{ user.id }",
            "{{user.id}}",
            "{{ user_id }}",
            "#{user_id}",
            "#{externalId}",
            "${userId}",
            "${user?.id}",
            "user-${id}",
            "<USER_ID>",
            "<%= current_user.id %>",
            "<?php echo $id ?>",
            "%USER_ID%",
            "%user%",
            "%%USER_ID%%",
            "#{first}#{last}",
            "id-{{id}}",
        ] {
            assert!(is_placeholder(id), "{id}");
        }
    }

    #[test]
    fn what_only_resembles_them_is_an_id() {
        for id in [
            "nullable-7",
            "null-1",
            "none",
            "Nan",
            "Nil",
            "undefined_user",
            "a{b}c",
            "0",
            "-1",
            "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}",
            "100%",
            "%",
            "50%off%5",
            "a<b>c",
            "<3",
            "$5",
            "#42",
            "{\"a\":1}",
            "jane@example.com",
            "Jos\u{e9}",
            "[42]",
        ] {
            assert!(!is_placeholder(id), "{id}");
        }
    }
}

//! JSON as Newtonsoft.Json writes it with `Formatting.Indented` on Windows, which is what
//! receivers of ASP.NET WebHooks have always been sent: two spaces, CRLF, empty objects and
//! arrays in one piece, text beyond ASCII as it is.

use serde_json::from_str;

/// Lays out compact JSON. What is no JSON comes out as something that is none either.
pub fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut rest) = (0, json);
    while let Some(next) = rest.chars().next() {
        let mut used = next.len_utf8();
        match next {
            '"' => {
                used = end_of_string(rest);
                let literal = rest.get(..used).unwrap_or(rest);
                // A lone surrogate is no text, and stays as it was written.
                match from_str::<String>(literal) {
                    Ok(text) => string(&text, &mut out),
                    Err(_) => out.push_str(literal),
                }
            }
            '{' | '[' => {
                out.push(next);
                let inside = rest.get(1..).unwrap_or_default().trim_start();
                match inside.chars().next() {
                    Some(end @ ('}' | ']')) => {
                        out.push(end);
                        used = rest.len() - inside.len() + 1;
                    }
                    _ => {
                        depth += 1;
                        line(depth, &mut out);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(depth, &mut out);
                out.push(next);
            }
            ',' => {
                out.push(',');
                line(depth, &mut out);
            }
            ':' => out.push_str(": "),
            ' ' | '\n' | '\r' | '\t' => {}
            _ => out.push(next),
        }
        rest = rest.get(used..).unwrap_or_default();
    }
    out
}

fn line(depth: usize, out: &mut String) {
    out.push_str("\r\n");
    out.extend(std::iter::repeat_n("  ", depth));
}

/// How long the string is that the text begins with, quotes included.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `StringEscapeHandling.Default`: what JavaScript takes for the end of a line is escaped.
fn string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_arrays_are_laid_out_and_empty_ones_are_not() {
        let laid_out = indented(r#"{"a":{},"b":[],"c":[1.50,{"d":null}], "e" : [ ] }"#);
        let expected = "{\r\n  \"a\": {},\r\n  \"b\": [],\r\n  \"c\": [\r\n    1.50,\r\n    {\r\n      \
                        \"d\": null\r\n    }\r\n  ],\r\n  \"e\": []\r\n}";
        assert_eq!(laid_out, expected);
    }

    #[test]
    fn text_is_itself_but_for_what_javascript_takes_for_the_end_of_a_line() {
        let laid_out =
            indented(r#"["Zo\u00eb {:,} é \ud83d\ude00","\"\\\/\n\u0001\u2028\u0085'","\ud800"]"#);
        let expected = "[\r\n  \"Zoë {:,} é 😀\",\r\n  \"\\\"\\\\/\\n\\u0001\\u2028\\u0085'\",\r\n  \
                        \"\\ud800\"\r\n]";
        assert_eq!(laid_out, expected);
    }
}

//! A dialect's rules in words: what the website must do, what a request carries, what the
//! backend reads.

use super::page::{Block, Page};
use super::rules;
use crate::config::Builtin;
use crate::dialect::{
    Attributes, AudienceRule, Carrier, Dialect, FieldName, HashField, HmacRules, KeySelection,
    Mechanism, MessagePiece, Names, Pattern, Piece, Pointer, Source,
};
use crate::gate::Fields;

const HEADERS: [&str; 2] = ["header", "taken from"];

/// The page of a built-in dialect.
pub fn page(builtin: &Builtin) -> Page {
    let dialect = &builtin.dialect;
    let mut opening: Vec<Block> = builtin.notes.iter().map(|note| paragraph(note)).collect();
    if let Some(place) = &dialect.documented_at {
        opening.push(Block::Text(format!("Documented at <{place}>.")));
    }
    let signs = match &dialect.mechanism {
        Mechanism::Jwt(rules) => rules::token(rules),
        Mechanism::Hmac(rules) => rules::hash(rules, builtin.key_encoding),
    };
    Page {
        name: dialect.name.to_string(),
        title: dialect.title.clone(),
        opening,
        sections: vec![
            ("What the website signs", signs),
            ("Where a request carries it", vec![carriers(builtin)]),
            ("What the backend reads", vec![Block::Table(HEADERS, proven(dialect))]),
            ("What is claimed without proof", claimed(dialect)),
            ("A site", vec![site(dialect)]),
        ],
    }
}

fn paragraph(note: &str) -> Block {
    match note.strip_prefix("  ") {
        Some(formula) => Block::Code("text", formula.to_owned()),
        None => Block::Text(note.to_owned()),
    }
}

fn carriers(builtin: &Builtin) -> Block {
    Block::List(builtin.dialect.sources.iter().map(carrier).collect())
}

fn carrier(source: &Source) -> String {
    let mut text = match &source.carrier {
        Carrier::Header { names, scheme: Some(scheme) } => {
            format!("header `{}: {scheme} …`", header(&names.proof))
        }
        Carrier::Header { names, scheme: None } => {
            let names = Names {
                proof: header(&names.proof),
                id: names.id.as_deref().map(header),
                email: names.email.as_deref().map(header),
                name: names.name.as_deref().map(header),
            };
            format!("header {}", parts(&names))
        }
        Carrier::Query { names, scheme: Some(scheme) } => {
            format!("query parameter `{}={scheme}%20…`", names.proof)
        }
        Carrier::Query { names, scheme: None } => format!("query parameter {}", parts(names)),
        Carrier::Cookie { names } => format!(
            "cookie {} (on anything but GET and HEAD, and on upgrades, only with an `Origin` of \
             the site's own)",
            parts(names)
        ),
        Carrier::Protocol { names } => format!(
            "WebSocket subprotocol `{}<token>`; the others that are offered are the backend's",
            names.proof
        ),
        Carrier::Json { .. } => {
            format!("member of a JSON body {}", parts(&source.carrier.names()))
        }
        Carrier::Form { names } => format!("field of a form body {}", parts(names)),
        Carrier::Multipart { names } => format!("part of a multipart body {}", parts(names)),
    };
    if source.shared {
        text.push_str(" (a value of another form is somebody else's and passes untouched)");
    }
    text
}

/// `identifier_hash`, with `user_id` (the id) beside it.
fn parts(names: &Names) -> String {
    let beside = [(&names.id, "id"), (&names.email, "email"), (&names.name, "name")];
    let beside: Vec<String> = beside
        .into_iter()
        .filter_map(|(name, what)| match name.as_ref()? {
            name if name == what => Some(format!("`{name}`")),
            name => Some(format!("`{name}` (the {what})")),
        })
        .collect();
    match beside.as_slice() {
        [] => format!("`{}`", names.proof),
        beside => format!("`{}`, with {} beside it", names.proof, listed(beside)),
    }
}

/// A header's name as people write it: `x-user-id` → `X-User-Id`.
fn header(name: &str) -> String {
    let mut start = true;
    let written = name.chars().map(|letter| {
        let shown = if start { letter.to_ascii_uppercase() } else { letter };
        start = letter == '-';
        shown
    });
    written.collect()
}

fn proven(dialect: &Dialect) -> Vec<[String; 2]> {
    let row = |header: &str, value: String| [format!("`Countersign-{header}`"), value];
    match &dialect.mechanism {
        Mechanism::Jwt(rules) => {
            let claims = &rules.claims;
            let mut rows = Vec::new();
            let optional = if claims.id_optional { "; none is no fault" } else { "" };
            rows.push(row("Id", format!("{}{optional}", first_of(&claims.id))));
            for (header, patterns) in [("Name", &claims.name), ("Email", &claims.email)] {
                if !patterns.is_empty() {
                    rows.push(row(header, first_of(patterns)));
                }
            }
            match &claims.attributes {
                Attributes::None => {}
                Attributes::At(place) => rows.push(row("Attributes", pointer(place))),
                Attributes::Rest if claims.keep.is_empty() => {
                    rows.push(row("Attributes", "every other claim".to_owned()));
                }
                Attributes::Rest => {
                    let keep: Vec<String> =
                        claims.keep.iter().map(|name| format!("`{name}`")).collect();
                    let text = format!("every other claim, and {} in any case", listed(&keep));
                    rows.push(row("Attributes", text));
                }
            }
            rows.push(row("Expires", "when the token ends".to_owned()));
            rows
        }
        Mechanism::Hmac(rules) => {
            let covered = covered(rules);
            let id = match covered.first() {
                Some(HashField::Email) if !covered.contains(&HashField::Id) => "the email",
                Some(_) if covered.contains(&HashField::Email) => "the id, else the email",
                _ => "the id",
            };
            let mut rows = vec![row("Id", id.to_owned())];
            for (header, field) in [("Name", HashField::Name), ("Email", HashField::Email)] {
                if covered.contains(&field) {
                    let alone = !rules.message.contains(&MessagePiece::Field(vec![field]));
                    let limits = if alone { ", where it is what was hashed" } else { "" };
                    rows.push(row(header, format!("the {}{limits}", rules::field_word(field))));
                }
            }
            rows
        }
    }
}

fn covered(rules: &HmacRules) -> Vec<HashField> {
    let fields = rules.message.iter().filter_map(|piece| match piece {
        MessagePiece::Field(fields) => Some(fields.as_slice()),
        MessagePiece::Literal(_) => None,
    });
    fields.flatten().copied().collect()
}

fn claimed(dialect: &Dialect) -> Vec<Block> {
    let rules = &dialect.unsigned;
    let names = |unsigned: bool| -> Vec<String> {
        let fields = rules.fields.iter().filter(|field| field.prefix.is_none());
        let fields = fields.filter(|field| field.proof.is_none() == unsigned);
        fields.map(|field| format!("`{}`", field.name)).collect()
    };
    let mut points = Vec::new();
    if rules.fields.is_empty() && rules.copied.is_empty() {
        points.push("No request field of this dialect is read as identity.".to_owned());
    }
    if !names(false).is_empty() {
        points.push(format!(
            "{} stay only where they equal what the credential proves.",
            listed(&names(false))
        ));
    }
    if !names(true).is_empty() {
        let names = names(true);
        points.push(format!("{} are never signed, so they never stay.", listed(&names)));
    }
    if !points.is_empty() {
        points.push(
            "What does not stay is handed over in `Countersign-Claimed` alone; `unsigned: keep` \
             switches this off."
                .to_owned(),
        );
    }
    let fields = Fields::of(rules);
    let nested = fields.shown().filter(|(name, _)| matches!(name, FieldName::At(_)));
    let nested: Vec<String> =
        nested.map(|(name, shown)| format!("`{name}` as `{shown}`")).collect();
    if !nested.is_empty() {
        points.push(format!("`Countersign-Claimed` shows {}.", listed(&nested)));
    }
    if !rules.copied.is_empty() {
        let names: Vec<String> = rules.copied.iter().map(|name| format!("`{name}`")).collect();
        points.push(format!(
            "{} are no identity: they stay, and are copied into `Countersign-Claimed`.",
            listed(&names)
        ));
    }
    for field in &rules.fields {
        if let Some(prefix) = &field.prefix {
            points.push(format!(
                "The object `{}` of a JSON body stays, whoever sends it: its keys get the prefix \
                 `{prefix}` and are copied into `Countersign-Claimed`. Two that become one: 400.",
                field.name
            ));
        }
    }
    if let Some(prefix) = &rules.prefix {
        points.push(format!(
            "`{prefix}` marks attributes that nobody signed: a token with a signed attribute of \
             such a name is refused (`invalid_claim`)."
        ));
    }
    points.push("Messages inside an open WebSocket are not inspected.".to_owned());
    vec![Block::List(points)]
}

fn site(dialect: &Dialect) -> Block {
    let mut lines = vec![
        "sites:".to_owned(),
        "  support:".to_owned(),
        "    upstream: http://127.0.0.1:3000".to_owned(),
        format!("    dialect: {}", dialect.name),
    ];
    let mut key = "secret: { file: keys/k1.secret }";
    let mut id = String::new();
    if let Mechanism::Jwt(rules) = &dialect.mechanism {
        if rules.claims.audience == AudienceRule::Sub {
            lines.push("    audience: 0b1c2d3e-0000-4000-8000-000000000000".to_owned());
        }
        if !rules.algorithms.iter().any(|algorithm| algorithm.is_symmetric()) {
            key = "public_key: { file: keys/k1.pem }";
        }
        id = match &rules.key {
            KeySelection::Kid => " # the id is the token's `kid`".to_owned(),
            KeySelection::Claim(claim) => format!(" # the id is what `{claim}` ends in"),
            _ => id,
        };
    }
    lines.push("    keys:".to_owned());
    lines.push(format!("      - {{ id: k1, {key} }}{id}"));
    Block::Code("yaml", lines.join("\n"))
}

/// The claims that a value is taken from.
fn first_of(patterns: &[Pattern]) -> String {
    let texts: Vec<String> = patterns.iter().map(pattern).collect();
    texts.join(", else ")
}

fn pattern(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Claim(place) => pointer(place),
        Pattern::Text(pieces) => {
            let pieces = pieces.iter().map(|piece| match piece {
                Piece::Literal(literal) => literal.clone(),
                Piece::Claim(place) => format!("{{{}}}", place.0.join("/")),
            });
            format!("`{}`", pieces.collect::<String>())
        }
    }
}

/// A claim as people name it: `email`, `attributes/email`.
pub(super) fn pointer(place: &Pointer) -> String {
    format!("`{}`", place.0.join("/"))
}

/// `a`, `b` and `c`.
pub(super) fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

//! What backends' headers are called, and how long they may be: `headers`.

use super::Compiler;
use super::header_name::{Wrong, check_name, check_prefix};
use crate::config::place::Place;
use crate::config::problem::nearest;
use crate::config::raw::{self, HeaderField};
use crate::gate::contract::{Budget, Field, PREFIX, SiteHeaders, folded, folds_alike};

/// Bytes that a budget may have.
const SMALLEST: usize = 1024;
const LARGEST: usize = 64 * 1024;

/// Names that other software reads.
struct Preset {
    word: &'static str,
    fields: &'static [(Field, &'static str)],
    /// What such software believes besides, of whoever sends it.
    stripped: &'static [&'static str],
}

const PRESETS: [Preset; 3] = [
    Preset {
        word: "remote-user",
        fields: &[
            (Field::Id, "Remote-User"),
            (Field::Name, "Remote-Name"),
            (Field::Email, "Remote-Email"),
        ],
        stripped: &["Remote-Groups"],
    },
    Preset {
        word: "x-forwarded",
        fields: &[
            (Field::Id, "X-Forwarded-User"),
            (Field::Email, "X-Forwarded-Email"),
            (Field::Name, "X-Forwarded-Preferred-Username"),
        ],
        stripped: &["X-Forwarded-Groups", "X-Forwarded-Access-Token"],
    },
    Preset {
        word: "x-auth-request",
        fields: &[
            (Field::Id, "X-Auth-Request-User"),
            (Field::Email, "X-Auth-Request-Email"),
            (Field::Name, "X-Auth-Request-Preferred-Username"),
        ],
        stripped: &["X-Auth-Request-Groups", "X-Auth-Request-Access-Token"],
    },
];

/// What a site's headers depend on besides.
pub struct Ours<'s> {
    pub site: &'s str,
    /// The names of its dialects.
    pub dialects: &'s [&'s str],
    /// What holds for every site.
    pub budget: Budget,
}

/// A site's headers.
pub fn headers(
    compiler: &mut Compiler<'_, '_>,
    raw: Option<&raw::Headers>,
    ours: &Ours<'_>,
    place: &Place,
) -> SiteHeaders {
    let absent = raw::Headers::default();
    let raw = raw.unwrap_or(&absent);
    let prefix = prefix(compiler, raw.prefix.as_deref(), &place.key("prefix"));
    let kept = |field: Field| {
        let Some(only) = &raw.only else { return true };
        field == Field::Status || only.entries().any(|(_, word)| of(*word) == field)
    };
    let own = Field::ALL.iter().filter(|field| kept(**field));
    let mut names =
        Taken { names: own.map(|field| (*field, field.under(prefix.unwrap_or(PREFIX)))).collect() };
    let stripped = names.add_presets(compiler, raw.preset.as_ref(), &place.key("preset"));
    for (field, written) in raw.map.iter().flat_map(raw::Map::entries) {
        let field = of(field);
        let place = place.key("map").key(field.word());
        for (index, name) in written.entries() {
            let place = index.map_or_else(|| place.clone(), |index| place.index(index));
            match check_name(name) {
                Ok(()) => names.add(compiler, field, name, &place),
                Err(wrong) => report(compiler, wrong, &place),
            }
        }
    }
    let written = (raw.max_value, raw.max_total);
    let budget = budget(compiler, written, ours.budget, place);
    let headers = SiteHeaders::new(&names.names, &stripped, prefix, budget);
    check_room(compiler, &headers, ours, place);
    headers
}

/// How long values may be, where nothing is said as long as `inherited` has it.
pub fn budget(
    compiler: &mut Compiler<'_, '_>,
    (max_value, max_total): (Option<raw::Size>, Option<raw::Size>),
    inherited: Budget,
    place: &Place,
) -> Budget {
    let mut within = |size: Option<raw::Size>, word: &str| {
        let raw::Size(size) = size?;
        let sound = (SMALLEST..=LARGEST).contains(&size);
        if !sound {
            compiler
                .report
                .value(&place.key(word), format!("{size} bytes are too few or too many"))
                .expected("1KiB to 64KiB");
        }
        sound.then_some(size)
    };
    let value = within(max_value, "max_value");
    let total = within(max_total, "max_total");
    let is_sound = total.is_some() == max_total.is_some();
    let max_total = total.unwrap_or(inherited.max_total);
    let max_value = value.unwrap_or_else(|| inherited.max_value.min(max_total));
    if max_value > max_total && is_sound {
        compiler
            .report
            .value(
                &place.key("max_value"),
                format!("all values together have {max_total} bytes, fewer than this"),
            )
            .expected("no more than max_total");
    }
    Budget { max_value, max_total }
}

/// What is never left out must fit, however long it is.
fn check_room(
    compiler: &mut Compiler<'_, '_>,
    headers: &SiteHeaders,
    ours: &Ours<'_>,
    place: &Place,
) {
    let least = headers.least_total(ours.site, ours.dialects);
    let budget = headers.budget.max_total;
    if budget >= least || compiler.report.lost_something_in(place) {
        return;
    }
    let top = Place::root().key("headers").key("max_total");
    let place = [place.key("max_total"), place.clone(), top]
        .into_iter()
        .find(|place| compiler.report.has_key(place))
        .unwrap_or_else(Place::root);
    compiler
        .report
        .key(
            &place,
            format!(
                "site {}: what its backend is always told can take {least} bytes, and {budget} \
                 are allowed",
                ours.site
            ),
        )
        .expected("max_total of at least that, or fewer names");
}

fn prefix<'r>(
    compiler: &mut Compiler<'_, '_>,
    raw: Option<&'r str>,
    place: &Place,
) -> Option<&'r str> {
    // Ours, written out.
    let prefix = raw.filter(|prefix| *prefix != PREFIX)?;
    match check_prefix(prefix) {
        Ok(()) => Some(prefix),
        Err(wrong) => {
            report(compiler, wrong, place);
            None
        }
    }
}

fn report(compiler: &mut Compiler<'_, '_>, Wrong(what, expected, hint): Wrong, place: &Place) {
    let problem = compiler.report.value(place, what).expected(expected);
    if !hint.is_empty() {
        problem.hint(hint);
    }
}

/// The names of a site so far; no two are one to a careless reader.
struct Taken {
    names: Vec<(Field, String)>,
}

impl Taken {
    fn add(&mut self, compiler: &mut Compiler<'_, '_>, field: Field, name: &str, place: &Place) {
        let taken = self.names.iter().find(|(_, other)| folds_alike(other, name));
        let Some((other_field, other)) = taken else {
            return self.names.push((field, name.to_owned()));
        };
        let what = if other != name {
            format!("`{name}` and `{other}` are one header to many backends")
        } else if *other_field == field {
            format!("`{name}` stands here for the second time")
        } else {
            format!("`{name}` cannot be both {} and {}", other_field.word(), field.word())
        };
        compiler.report.value(place, what).expected("a header of its own for each");
    }

    /// Adds the names of presets; answers what no client may send besides.
    fn add_presets(
        &mut self,
        compiler: &mut Compiler<'_, '_>,
        raw: Option<&raw::Presets>,
        place: &Place,
    ) -> Vec<&'static str> {
        let mut stripped = Vec::new();
        let mut seen = Vec::new();
        for (index, word) in raw.map(|raw| raw.0.entries()).unwrap_or_default() {
            let place = index.map_or_else(|| place.clone(), |index| place.index(index));
            let Some(preset) = PRESETS.iter().find(|preset| preset.word == word) else {
                let words = PRESETS.iter().map(|preset| preset.word);
                let problem = compiler
                    .report
                    .value(&place, format!("there is no preset `{word}`"))
                    .expected("remote-user, x-forwarded or x-auth-request");
                if let Some(near) = nearest(&folded(word), words) {
                    problem.hint(format!("did you mean `{near}`?"));
                }
                continue;
            };
            if seen.contains(&word) {
                compiler.report.value(&place, format!("`{word}` stands here for the second time"));
                continue;
            }
            seen.push(word);
            for (field, name) in preset.fields {
                self.add(compiler, *field, name, &place);
            }
            stripped.extend(preset.stripped);
        }
        stripped
    }
}

/// A word of the configuration as the gate's own.
fn of(word: HeaderField) -> Field {
    match word {
        HeaderField::Status => Field::Status,
        HeaderField::Reason => Field::Reason,
        HeaderField::Site => Field::Site,
        HeaderField::Dialect => Field::Dialect,
        HeaderField::Id => Field::Id,
        HeaderField::Name => Field::Name,
        HeaderField::Email => Field::Email,
        HeaderField::Attributes => Field::Attributes,
        HeaderField::Claimed => Field::Claimed,
        HeaderField::Details => Field::Details,
        HeaderField::Key => Field::Key,
        HeaderField::Expires => Field::Expires,
        HeaderField::RequestId => Field::RequestId,
        HeaderField::Omitted => Field::Omitted,
        HeaderField::Assertion => Field::Assertion,
    }
}

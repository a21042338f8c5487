//! How a name in a request relates to an identity field, to the most careless reader of
//! names that a backend may have.
//!
//! Names are compared decoded: `a[b]` is read as `/a/b`, `a[]` as `a`, and naming `a` covers
//! all beneath. So is what only PHP takes for a field (`user.id`, `user[id`, ` user_id`),
//! only a reader without regard to case or outer space (ASP.NET: `User_Id`), or only one that
//! writes `a.b` for `a[b]`.

/// A field, and how a parameter's name relates to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Covering {
    /// The field's position.
    pub index: usize,
    /// How near the name comes to it.
    pub reach: Reach,
}

/// How near a name comes to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// It is the field itself.
    Exact,
    /// It is an element of a list of that name, `a[]`, or nearly the name.
    Listed,
    /// It lies within, `a[b]`.
    Beneath,
}

/// How a parameter's name relates to a field of these segments, if it does: to a
/// strict reader, or else to one that ignores case and outer space, to PHP, or to one that
/// takes `a.b` for `a[b]`.
pub(super) fn reach(field: &[String], name: &str) -> Option<Reach> {
    if let Some(reach) = read_as(field, name, |one, other| one == other) {
        return Some(reach);
    }
    let carelessly = |name: &str| read_as(field, name, str::eq_ignore_ascii_case);
    let odd = name.contains(['.', ' ', '\0', '[']);
    let reach = carelessly(name.trim())
        .or_else(|| odd.then(|| carelessly(&as_php_reads(name)))?)
        .or_else(|| odd.then(|| carelessly(&dots_as_brackets(name)))?)?;
    // What only some take for the field itself is never what was proven.
    Some(reach.max(Reach::Listed))
}

/// How a name relates to a field for a reader of this sense of sameness.
fn read_as(field: &[String], name: &str, same: fn(&str, &str) -> bool) -> Option<Reach> {
    let (base, mut brackets) = name.split_at(name.find('[').unwrap_or(name.len()));
    let mut listed = false;
    // The name's segments: `a[b][]` has `a`, `b`.
    let mut segments = std::iter::once(base).chain(std::iter::from_fn(|| {
        loop {
            let Some((segment, rest)) = brackets.strip_prefix('[')?.split_once(']') else {
                // An open bracket: some read the bare name, others do not.
                listed = true;
                return None;
            };
            brackets = rest;
            if !segment.is_empty() {
                return Some(segment);
            }
            listed = true;
        }
    }));
    let found = field.iter().all(|part| segments.next().is_some_and(|own| same(part, own)));
    let beneath = found && segments.next().is_some();
    match (found, beneath, listed) {
        (false, ..) => None,
        (true, true, _) => Some(Reach::Beneath),
        (true, false, true) => Some(Reach::Listed),
        (true, false, false) => Some(Reach::Exact),
    }
}

/// PHP drops leading spaces, ends a name at NUL, and makes `.` and space an underscore; so
/// it makes a bracket that nothing closes.
fn as_php_reads(name: &str) -> String {
    let name = name.split('\0').next().unwrap_or_default().trim_start_matches(' ');
    let (base, brackets) = name.split_at(name.find('[').unwrap_or(name.len()));
    if brackets.contains(']') {
        return base.replace(['.', ' '], "_") + brackets;
    }
    name.replace(['.', ' ', '['], "_")
}

/// `a.b[c]` as `a[b][c]`.
fn dots_as_brackets(name: &str) -> String {
    let (base, brackets) = name.split_at(name.find('[').unwrap_or(name.len()));
    let mut segments = base.split('.');
    let mut read = segments.next().unwrap_or_default().to_owned();
    for segment in segments {
        read.extend(["[", segment, "]"]);
    }
    read + brackets
}

/// One bit for a name's first letter or digit: names that mean one field, however
/// carelessly read, share it. Every bit where that cannot be told: it begins with another
/// script, or holds no letter at all.
pub(super) fn initials(name: &str) -> u64 {
    match name.bytes().find(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii()) {
        Some(first) if first.is_ascii_alphanumeric() => 1 << (first.to_ascii_lowercase() % 64),
        _ => u64::MAX,
    }
}

//! One mistake is found: what would be said of the credential once it is mended?

use super::{Case, Hint, Report, diagnose};

const THEN: &str = "once that is mended: ";

/// Says of a mended credential what a report would say of it.
pub(super) fn and_then(mut hints: Vec<Hint>, case: &Case<'_>) -> Vec<Hint> {
    let report = diagnose(case);
    if report.verified
        && let Some(last) = hints.last_mut()
    {
        last.text.push_str("; nothing else is wrong with it");
    }
    hints.extend(later(report));
    hints
}

/// What a report would say of a mended credential.
pub(super) fn after(case: &Case<'_>) -> Vec<Hint> {
    later(diagnose(case))
}

fn later(report: Report) -> Vec<Hint> {
    let then = |hint: Hint| match hint.text.strip_prefix(THEN) {
        Some(_) => hint,
        None => Hint::new(hint.cause, format!("{THEN}{}", hint.text)),
    };
    report.hints.into_iter().map(then).collect()
}

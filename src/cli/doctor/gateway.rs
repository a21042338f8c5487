//! The gateway, asked as a visitor would: does it do what the file says?

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use serde_json::Value;

use super::ask::{Answer, Place, Unanswered};
use super::report::Check;
use super::visitor::{Visitor, forged, mark, plain};
use crate::assertion::KEY_SET_PATH;
use crate::gate::Mode;
use crate::plan::{Asserts, Plan, Site};

/// Where Countersign itself says whom it takes somebody for.
const WHOAMI: &str = "/.countersign/whoami";
/// Clocks closer than this are the same, in seconds: `Date` has whole ones.
const SAME: u64 = 2;
/// Clocks farther apart than this make good tokens bad, in seconds: the leeway of the strictest
/// vendor that has one (RingCentral).
const HARMFUL: u64 = 10;

/// The way through the gateway.
pub struct Chain<'a> {
    /// The configuration.
    pub plan: &'a Plan,
    /// The site that is looked at.
    pub site: &'a Site,
    /// The gateway.
    pub gateway: &'a Place,
    /// The site's name in requests.
    pub host: &'a str,
}

impl Chain<'_> {
    /// Sends a request through the gateway.
    ///
    /// # Errors
    /// See [`Unanswered`].
    pub async fn ask(&self, request: Request<Bytes>) -> Result<Answer, Unanswered> {
        self.gateway.ask(request, self.host).await
    }

    /// Whether Countersign answers there, for this site, and by which clock.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn reached(&self) -> Result<Vec<Check>, Unanswered> {
        let Ok(request) = plain(WHOAMI) else { return Ok(Vec::new()) };
        let answer = self.ask(request).await?;
        let shown = &self.gateway.shown;
        if !is_ours(&answer.headers) {
            let detail = format!(
                "what answers at {shown} is not Countersign, or somebody between removes its request id"
            );
            return Ok(vec![Check::finding("gateway", detail).hint("--url says where it is")]);
        }
        if answer.status == StatusCode::MISDIRECTED_REQUEST {
            let detail = format!("the instance serves no site at {}", self.host);
            let hint = "it runs with another file, or --host should name the site's host";
            return Ok(vec![Check::finding("gateway", detail).hint(hint)]);
        }
        let mut checks =
            vec![Check::ok("gateway", format!("Countersign answers as {}", self.host))];
        checks.extend(clock("the gateway", &answer));
        Ok(checks)
    }

    /// Whether who signs, who does not, and who forges are told apart as the mode says.
    pub async fn judged(&self, visitor: Option<&Visitor>) -> Vec<Check> {
        let mut checks = Vec::new();
        let Ok(nobody) = plain(WHOAMI) else { return checks };
        let guest = self.ask(nobody.clone()).await;
        checks.push(self.as_expected("guest", "who signs nothing", guest, Who::Nobody));
        let mut forgery = nobody;
        forgery.headers_mut().extend(forged(self.site, &mark()));
        let fooled = self.ask(forgery).await;
        checks.push(self.as_expected("forged", "who makes up our headers", fooled, Who::Nobody));
        let Some(visitor) = visitor.filter(|visitor| !visitor.needs_body()) else { return checks };
        if let Ok(request) = visitor.asks(WHOAMI) {
            let answer = self.ask(request).await;
            checks.push(self.as_expected("signed", "who is signed for", answer, Who::Signed));
        }
        if let Ok(request) = visitor.altered().asks(WHOAMI) {
            let answer = self.ask(request).await;
            checks.push(self.as_expected("altered", "an altered credential", answer, Who::Altered));
        }
        checks
    }

    /// Whether backends find the keys that verify what they are told, where it is signed.
    pub async fn assertion(&self) -> Vec<Check> {
        if matches!(self.plan.asserts, Asserts::Nothing) {
            return Vec::new();
        }
        let Ok(request) = plain(KEY_SET_PATH) else { return Vec::new() };
        let published = match self.ask(request).await {
            Ok(answer) => answer.json(),
            Err(why) => return vec![Check::finding("assertion", why.to_string())],
        };
        let kids = |set: &Value| -> Vec<String> {
            let keys = set.get("keys").and_then(Value::as_array).into_iter().flatten();
            keys.filter_map(|key| Some(key.get("kid")?.as_str()?.to_owned())).collect()
        };
        let published = published.as_ref().map(kids).unwrap_or_default();
        // A generated key is the instance's own: it is in no file.
        let written: Value = serde_json::from_str(&self.plan.key_set()).unwrap_or_default();
        let lacking: Vec<_> =
            kids(&written).into_iter().filter(|kid| !published.contains(kid)).collect();
        vec![match (published.is_empty(), lacking.is_empty()) {
            (true, _) => Check::finding("assertion", format!("{KEY_SET_PATH} publishes no key"))
                .hint("no backend can verify Countersign-Assertion; is `assertion` in force?"),
            (false, false) => {
                let lacking = lacking.join(", ");
                let detail = format!("{KEY_SET_PATH} lacks the file's keys: {lacking}");
                Check::finding("assertion", detail).hint("the instance runs with another file")
            }
            (false, true) => Check::ok("assertion", "its keys are published"),
        }]
    }

    fn as_expected(
        &self,
        name: &'static str,
        what: &str,
        answer: Result<Answer, Unanswered>,
        who: Who,
    ) -> Check {
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) => return Check::finding(name, why.to_string()),
        };
        let (expected, seen) = (who.outcome(self.site.settings.mode), Outcome::of(&answer));
        let mode = self.site.settings.mode.name();
        if seen == Some(expected) {
            return Check::ok(name, format!("{what} is {}, as `{mode}` says", expected.name()));
        }
        let seen = match (seen, code(&answer)) {
            (Some(Outcome::Refused), Some(code)) => format!("refused ({code})"),
            (Some(seen), _) => seen.name().to_owned(),
            (None, _) => format!("answered {}", answer.status.as_u16()),
        };
        let detail = format!("{what} is {seen}; `{mode}` says {}", expected.name());
        Check::finding(name, detail).hint(match who {
            Who::Signed => {
                "`countersign explain` says why; is it the same file, and are the clocks right?"
            }
            _ => "does the instance run with this file? Is it this one that answers?",
        })
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    Signed,
    Altered,
}

/// How he is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Verified,
    Guest,
    Refused,
}

impl Who {
    /// What a mode makes of him (CONTRACT 1).
    const fn outcome(self, mode: Mode) -> Outcome {
        match (mode, self) {
            (Mode::Off, _) | (Mode::Prefer | Mode::Accept | Mode::Observe, Self::Nobody) => {
                Outcome::Guest
            }
            (_, Self::Signed) => Outcome::Verified,
            (Mode::Require, _) | (Mode::Prefer, Self::Altered) => Outcome::Refused,
            (Mode::Accept | Mode::Observe, Self::Altered) => Outcome::Guest,
        }
    }
}

impl Outcome {
    /// How `whoami` answered.
    fn of(answer: &Answer) -> Option<Self> {
        if answer.turns_away() {
            return Some(Self::Refused);
        }
        let told = answer.json()?;
        match told.get("status").and_then(Value::as_str)? {
            "verified" => Some(Self::Verified),
            "guest" => Some(Self::Guest),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Guest => "a guest",
            Self::Refused => "refused",
        }
    }
}

/// Why a refusal is one, where refusals say it.
fn code(answer: &Answer) -> Option<String> {
    Some(answer.json()?.get("code")?.as_str()?.to_owned())
}

fn is_ours(headers: &HeaderMap) -> bool {
    headers.contains_key(&crate::gate::contract::REQUEST_ID)
}

/// How far somebody's clock is from this machine's.
pub fn clock(whose: &str, answer: &Answer) -> Option<Check> {
    let ahead = answer.ahead?;
    let apart = ahead.unsigned_abs();
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    let detail = format!("{whose}'s clock is {apart} s {way} this machine's");
    Some(match apart {
        0..=SAME => Check::ok("clock", format!("{whose} and this machine agree")),
        _ if apart <= HARMFUL => Check::warning("clock", detail),
        _ => Check::finding("clock", detail)
            .hint("run NTP on both: tokens are good for minutes, and one clock decides when"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::report::State;

    #[test]
    fn clocks_that_make_good_tokens_bad_are_a_finding() {
        let answer = |ahead| Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            ahead,
        };
        let state = |ahead| clock("it", &answer(Some(ahead))).map(|check| check.state);
        for (ahead, expected) in [
            (0, State::Ok),
            (-2, State::Ok),
            (3, State::Warning),
            (-10, State::Warning),
            (11, State::Finding),
            (-3600, State::Finding),
        ] {
            assert_eq!(state(ahead), Some(expected), "{ahead}");
        }
        assert!(clock("it", &answer(None)).is_none(), "no `Date`, no judgement");
        let late = clock("the gateway", &answer(Some(-60))).unwrap();
        assert!(late.detail.contains("60 s behind"), "{}", late.detail);
    }

    #[test]
    fn what_a_mode_makes_of_whom_is_what_the_contract_says() {
        use Outcome::{Guest, Refused, Verified};
        for (mode, nobody, altered, signed) in [
            (Mode::Require, Refused, Refused, Verified),
            (Mode::Prefer, Guest, Refused, Verified),
            (Mode::Accept, Guest, Guest, Verified),
            (Mode::Observe, Guest, Guest, Verified),
            (Mode::Off, Guest, Guest, Guest),
        ] {
            let seen = [Who::Nobody, Who::Altered, Who::Signed].map(|who| who.outcome(mode));
            assert_eq!(seen, [nobody, altered, signed], "{}", mode.name());
        }
    }
}

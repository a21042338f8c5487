//! Values with a notation of their own: durations, sizes, moments, modes.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::Deserializer;
use serde_yaml::Value;

use crate::clock::UnixTime;
use crate::config::problem::nearest;
use crate::config::read::Complaint;
use crate::gate;

/// A scalar type: deserialised through its `from_value`, described by a schema of its own.
macro_rules! scalar {
    ($name:ident, $schema:tt) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = Value::deserialize(deserializer)?;
                Self::from_value(&value).map_err(Complaint::into_error)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

/// What somebody wrote, for a message.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(word) => format!("`{word}`"),
        Value::Number(number) => format!("`{number}`"),
        Value::String(text) => format!("`{text}`"),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) | Value::Tagged(_) => "a mapping".to_owned(),
    }
}

/// A duration: `300ms`, `90s`, `7m`, `24h`, `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

const PERIOD: &str = "a duration such as 300ms, 90s, 7m, 24h";
/// Longer than ten years is a slip; it also keeps every sum of times in range.
const LONGEST: u64 = 3650 * 24 * 3600;

scalar!(Period, {
    "description": "A duration: `300ms`, `90s`, `7m`, `24h`, `30d`.",
    "type": "string",
    "pattern": "^[0-9]+(ms|s|m|h|d)$"
});

impl Period {
    /// Reads the notation.
    ///
    /// # Errors
    /// Anything else, and more than ten years.
    pub fn parse(text: &str) -> Result<Self, Complaint> {
        let wrong = || Complaint::new(format!("`{text}` is no duration"), PERIOD);
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let seconds = match unit {
            "ms" => 0,
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 24 * 3600,
            "" => return Err(wrong().hint(format!("add the unit, as in `{number}s`"))),
            _ => return Err(wrong()),
        };
        let period = match seconds {
            0 => Duration::from_millis(number),
            factor => Duration::from_secs(number.saturating_mul(factor)),
        };
        if period.as_secs() > LONGEST {
            return Err(Complaint::new(format!("`{text}` is longer than ten years"), PERIOD));
        }
        Ok(Self(period))
    }

    fn from_value(value: &Value) -> Result<Self, Complaint> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Err(Complaint::new(format!("`{number}` has no unit"), PERIOD)
                .hint(format!("add the unit, as in `{number}s`"))),
            other => Err(Complaint::new(format!("{} is no duration", shown(other)), PERIOD)),
        }
    }
}

/// A duration of whole seconds: token times have no fractions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub u64);

const SECONDS: &str = "a duration of whole seconds such as 90s, 7m, 24h";

scalar!(Seconds, {
    "description": "A duration of whole seconds: `90s`, `7m`, `24h`, `30d`.",
    "type": "string",
    "pattern": "^[0-9]+(s|m|h|d)$"
});

impl Seconds {
    /// Reads the notation.
    ///
    /// # Errors
    /// No duration, or one with fractions of a second.
    pub fn parse(text: &str) -> Result<Self, Complaint> {
        let Period(period) = Period::parse(text)?;
        if period.subsec_nanos() != 0 {
            let what = format!("`{text}` is not a number of whole seconds");
            return Err(Complaint::new(what, SECONDS));
        }
        Ok(Self(period.as_secs()))
    }

    fn from_value(value: &Value) -> Result<Self, Complaint> {
        match value.as_str() {
            Some(text) => Self::parse(text),
            None => Period::from_value(value).map(|Period(period)| Self(period.as_secs())),
        }
    }
}

/// A duration, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeriodOrNone(pub Option<Duration>);

scalar!(PeriodOrNone, {
    "description": "A duration (`90s`, `7m`, `24h`), or `none`.",
    "type": "string",
    "pattern": "^([0-9]+(ms|s|m|h|d)|none)$"
});

impl PeriodOrNone {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        if value.as_str() == Some("none") {
            return Ok(Self(None));
        }
        let Period(period) = Period::from_value(value).map_err(|complaint| Complaint {
            expected: "a duration such as 90s, 7m, 24h, or none",
            ..complaint
        })?;
        Ok(Self(Some(period)))
    }
}

/// A size: `32KiB`, `1MiB`, or a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub usize);

const SIZE: &str = "a size such as 32KiB, 1MiB, or a number of bytes";

scalar!(Size, {
    "description": "A size: `32KiB`, `1MiB`, or a number of bytes.",
    "anyOf": [
        { "type": "integer", "minimum": 0 },
        { "type": "string", "pattern": "^[0-9]+(B|KiB|MiB)?$" }
    ]
});

impl Size {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        let wrong = || Complaint::new(format!("{} is no size", shown(value)), SIZE);
        match value {
            Value::Number(number) => {
                let bytes = number.as_u64().and_then(|bytes| usize::try_from(bytes).ok());
                bytes.map(Self).ok_or_else(wrong)
            }
            Value::String(text) => {
                let digits = text.bytes().take_while(u8::is_ascii_digit).count();
                let (number, unit) = text.split_at(digits);
                let number: usize = number.parse().map_err(|_| wrong())?;
                let factor = match unit.trim_start() {
                    "" | "B" => 1,
                    "KiB" => 1024,
                    "MiB" => 1024 * 1024,
                    "k" | "K" | "kB" | "KB" | "kb" | "Kib" | "kib" => {
                        return Err(wrong().hint(format!("write `{number}KiB`")));
                    }
                    "m" | "M" | "MB" | "mb" | "Mib" | "mib" => {
                        return Err(wrong().hint(format!("write `{number}MiB`")));
                    }
                    _ => return Err(wrong()),
                };
                number.checked_mul(factor).map(Self).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }
}

/// A moment: RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub UnixTime);

const TIME: &str = "a moment as RFC 3339 writes it: 2026-12-01T00:00:00Z";

scalar!(Time, {
    "description": "A moment as RFC 3339 writes it: `2026-12-01T00:00:00Z`.",
    "type": "string",
    "format": "date-time"
});

impl Time {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        let wrong = || Complaint::new(format!("{} is no moment", shown(value)), TIME);
        let text = value.as_str().ok_or_else(wrong)?;
        let timestamp: jiff::Timestamp = text.parse().map_err(|_| {
            let complaint = wrong();
            match text.parse::<jiff::civil::DateTime>() {
                Ok(_) if text.len() == 10 => complaint.hint(format!("write `{text}T00:00:00Z`")),
                Ok(_) => complaint.hint("add the time zone: `Z`, or an offset such as `+01:00`"),
                Err(_) => complaint,
            }
        })?;
        let seconds = u64::try_from(timestamp.as_second())
            .map_err(|_| Complaint::new(format!("{} is before 1970", shown(value)), TIME))?;
        Ok(Self(UnixTime::from_secs(seconds)))
    }
}

/// Who is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub gate::Mode);

const MODES: &str = "require, prefer, accept, observe or off";

scalar!(Mode, {
    "description": "Who is let through: `require` (every visitor is verified), `prefer` (guests are welcome, forgeries are not), `accept` (nobody is turned away), `observe` (a dry run of `require`), `off` (identity is not looked at).",
    "enum": ["require", "prefer", "accept", "observe", "off", false]
});

impl Mode {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        let word = match value {
            // YAML 1.1 tools write `off` so.
            Value::Bool(false) => "off",
            Value::String(word) => word,
            _ => "",
        };
        let mode = gate::Mode::ALL.iter().find(|mode| mode.name() == word);
        mode.map(|mode| Self(*mode)).ok_or_else(|| {
            let complaint = Complaint::new(format!("{} is no mode", shown(value)), MODES);
            match nearest(word, gate::Mode::ALL.iter().map(|mode| mode.name())) {
                Some(near) => complaint.hint(format!("did you mean `{near}`?")),
                None => complaint,
            }
        })
    }
}

/// `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch(pub bool);

scalar!(Switch, {
    "description": "`on` or `off`.",
    "enum": ["on", "off", true, false]
});

impl Switch {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        match value {
            // YAML 1.1 tools write the words so.
            Value::Bool(on) => Ok(Self(*on)),
            Value::String(word) if word == "on" => Ok(Self(true)),
            Value::String(word) if word == "off" => Ok(Self(false)),
            other => {
                let what = format!("{} does not belong here", shown(other));
                Err(Complaint::new(what, "on or off"))
            }
        }
    }
}

/// What a token is known by that serves once: `jti`, which must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SingleUse;

scalar!(SingleUse, {
    "description": "What a token is known by that serves once: `jti`, which must be there.",
    "const": "jti"
});

impl SingleUse {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        if value.as_str() == Some("jti") {
            return Ok(Self);
        }
        let complaint = Complaint::new(format!("{} does not belong here", shown(value)), "jti");
        Err(complaint
            .hint("it is the claim that tells one token from another; absent: any number of uses"))
    }
}

/// Worker threads: a number, or `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads(pub Option<usize>);

scalar!(Threads, {
    "description": "Worker threads: a number, or `auto` (what the container may use).",
    "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 1, "maximum": 1024 }]
});

impl Threads {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        if value.as_str() == Some("auto") {
            return Ok(Self(None));
        }
        let number = value.as_u64().filter(|number| (1..=1024).contains(number));
        match number.and_then(|number| usize::try_from(number).ok()) {
            Some(number) => Ok(Self(Some(number))),
            None => Err(Complaint::new(
                format!("{} is no number of threads", shown(value)),
                "auto, or a number from 1 to 1024",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
        serde_yaml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, millis) in
            [("300ms", 300), ("90s", 90_000), ("7m", 420_000), ("24h", 86_400_000), ("0s", 0)]
        {
            assert_eq!(read::<Period>(text), Ok(Period(Duration::from_millis(millis))), "{text}");
        }
        for text in ["90", "s", "-1s", "1.5s", "1h30m", "99999999999999999999s", "4000d", "[]", "~"]
        {
            assert!(read::<Period>(text).is_err(), "{text}");
        }
        assert_eq!(read::<Seconds>("7m"), Ok(Seconds(420)));
        assert!(read::<Seconds>("1500ms").is_err());
        assert_eq!(read::<PeriodOrNone>("none"), Ok(PeriodOrNone(None)));
    }

    #[test]
    fn sizes_are_bytes_or_binary_multiples() {
        for (text, bytes) in [("0", 0), ("8192", 8192), ("32KiB", 32768), ("1MiB", 1 << 20)] {
            assert_eq!(read::<Size>(text), Ok(Size(bytes)), "{text}");
        }
        for text in ["32KB", "-1", "1.5", "18446744073709551615MiB", "KiB", "x"] {
            assert!(read::<Size>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn moments_are_rfc_3339() {
        let expected = Time(UnixTime::from_secs(1_764_547_200));
        assert_eq!(read::<Time>("2025-12-01T00:00:00Z"), Ok(expected));
        assert_eq!(read::<Time>("2025-12-01T01:00:00+01:00"), Ok(expected));
        for text in ["2025-12-01", "2025-12-01T00:00:00", "1969-01-01T00:00:00Z", "12", "soon"] {
            assert!(read::<Time>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn false_is_the_mode_off() {
        assert_eq!(read::<Mode>("false"), Ok(Mode(gate::Mode::Off)));
        assert_eq!(read::<Mode>("off"), Ok(Mode(gate::Mode::Off)));
        assert!(read::<Mode>("true").is_err());
    }

    #[test]
    fn a_switch_is_on_or_off_in_either_spelling_of_yaml() {
        for (text, on) in [("on", true), ("off", false), ("true", true), ("false", false)] {
            assert_eq!(read::<Switch>(text), Ok(Switch(on)), "{text}");
        }
        for text in ["yes", "1", "~", "[]", "{}", "Off"] {
            assert!(read::<Switch>(text).is_err(), "{text}");
        }
    }
}

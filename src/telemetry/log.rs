//! Log lines on stderr, for people or as JSON, from a queue that never blocks a request.
//!
//! * A full queue drops lines and counts them (`log_lines_dropped_total`).
//! * Crates other than this one are capped at `info` whatever level is asked for: at
//!   `debug` Pingora, h2 and rustls print whole request heads, tokens included.
//! * Control characters in any value are escaped, so nothing that a client sends can
//!   begin a line of its own or drive a terminal.
//!
//! Only the binary calls [`init`]: a library installs no logger.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

/// Lines that wait for stderr's reader; beyond, they are dropped. About 8 MiB.
const QUEUE: usize = 16 * 1024;

/// How and what to log.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LogOptions {
    /// How log lines look.
    #[arg(long = "log-format", value_enum, default_value_t)]
    pub format: Format,
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or directives such as
    /// `info,countersign::reload=debug` [default: RUST_LOG, else info].
    #[arg(long = "log-level", value_name = "LEVEL")]
    pub level: Option<String>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line: `timestamp`, `level`, `target`, `message` and the fields.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `--log-level` or `RUST_LOG` is no level and no list of directives.
    #[error("the log level is not understood: {0}")]
    Level(String),
    /// Somebody else has installed a logger in this process.
    #[error("a logger is already in place: {0}")]
    Taken(String),
}

/// Flushes the queue when dropped: keep it until the process ends.
pub struct LogGuard {
    dropped: ErrorCounter,
    _worker: WorkerGuard,
}

impl LogGuard {
    /// Counts the lines dropped since the start; for `Metrics::follow_dropped_lines`.
    pub fn dropped_lines(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let dropped = self.dropped.clone();
        move || dropped.dropped_lines() as u64
    }
}

/// Installs the process's logger, for `tracing` and `log` alike.
///
/// # Errors
/// A level that is none, or a logger already in place.
pub fn init(options: &LogOptions) -> Result<LogGuard, LogError> {
    let levels = levels(options.level.as_deref())?;
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(QUEUE)
        .thread_name("log")
        .finish(std::io::stderr());
    let dropped = writer.error_counter();
    subscriber(options.format, levels, writer)
        .try_init()
        .map_err(|error| LogError::Taken(error.to_string()))?;
    Ok(LogGuard { dropped, _worker: worker })
}

fn levels(asked: Option<&str>) -> Result<EnvFilter, LogError> {
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    match asked {
        Some(levels) => builder.parse(levels).map_err(|error| LogError::Level(error.to_string())),
        None => builder.from_env().map_err(|error| LogError::Level(error.to_string())),
    }
}

fn subscriber<W>(format: Format, levels: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // The hint keeps the cap from switching the `log` crate to trace for everybody.
    let cap = filter_fn(may_be_told).with_max_level_hint(LevelFilter::TRACE);
    let lines = tracing_subscriber::fmt::layer().event_format(Lines(format)).with_writer(writer);
    Registry::default().with(lines.with_filter(levels.and(cap)))
}

fn may_be_told(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let ours = ["countersign", "access", "audit"]
        .iter()
        .filter_map(|name| target.strip_prefix(name))
        .any(|rest| rest.is_empty() || rest.starts_with("::"));
    ours || *metadata.level() <= Level::INFO
}

/// Writes events as lines.
struct Lines(Format);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // Records of the `log` crate carry their target in a field.
        let mut bridged = BridgedTarget::default();
        if event.metadata().target() == "log" {
            event.record(&mut bridged);
        }
        let target = bridged.0.as_deref().unwrap_or(event.metadata().target());
        let level = event.metadata().level();
        match self.0 {
            Format::Text => {
                SystemTime.format_time(&mut line)?;
                write!(line, " {level:>5} ")?;
                escape(&mut line, target, false)?;
                line.write_char(':')?;
            }
            Format::Json => {
                line.write_str("{\"timestamp\":\"")?;
                SystemTime.format_time(&mut line)?;
                write!(line, "\",\"level\":\"{level}\",\"target\":\"")?;
                escape(&mut line, target, true)?;
                line.write_char('"')?;
            }
        }
        let mut fields = Fields { format: self.0, line: &mut line, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        line.write_str(if self.0 == Format::Json { "}\n" } else { "\n" })
    }
}

#[derive(Default)]
struct BridgedTarget(Option<String>);

impl Visit for BridgedTarget {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

struct Fields<'l, 'w> {
    format: Format,
    line: &'l mut Writer<'w>,
    result: fmt::Result,
}

impl Fields<'_, '_> {
    fn text(&mut self, field: &Field, value: &str) {
        self.put(field, |this| {
            let quoted = match this.format {
                Format::Json => true,
                Format::Text if field.name() == "message" => false,
                Format::Text => value.is_empty() || value.contains([' ', '"', '=']),
            };
            if quoted {
                this.line.write_char('"')?;
            }
            escape(this.line, value, quoted)?;
            if quoted {
                this.line.write_char('"')?;
            }
            Ok(())
        });
    }

    /// Numbers and booleans.
    fn bare(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.put(field, |this| this.line.write_fmt(value));
    }

    fn put(&mut self, field: &Field, value: impl FnOnce(&mut Self) -> fmt::Result) {
        let name = field.name();
        // Where a bridged record comes from is of no interest.
        if self.result.is_err() || name.starts_with("log.") {
            return;
        }
        self.result = match self.format {
            Format::Json => write!(self.line, ",\"{name}\":"),
            Format::Text if name == "message" => self.line.write_char(' '),
            Format::Text => write!(self.line, " {name}="),
        };
        if self.result.is_ok() {
            self.result = value(self);
        }
    }
}

impl Visit for Fields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }
}

/// Writes text in which no control character is left: `\n`, `\r`, `\t`, else `\u001b`.
/// In quotes, `"` and `\` are escaped too, which makes it a JSON string.
fn escape(line: &mut Writer<'_>, text: &str, quoted: bool) -> fmt::Result {
    let mut clean = 0;
    for (at, char) in text.char_indices() {
        let quote = quoted && matches!(char, '"' | '\\');
        if !quote && !is_control(char) {
            continue;
        }
        line.write_str(&text[clean..at])?;
        clean = at + char.len_utf8();
        match char {
            '\n' => line.write_str("\\n")?,
            '\r' => line.write_str("\\r")?,
            '\t' => line.write_str("\\t")?,
            '"' | '\\' => write!(line, "\\{char}")?,
            _ => write!(line, "\\u{:04x}", u32::from(char))?,
        }
    }
    line.write_str(&text[clean..])
}

/// Unicode's control characters, and those that break or turn round a line on a screen.
/// All of them lie below U+10000, as JSON's `\u` needs.
fn is_control(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    /// What was logged on this thread.
    #[derive(Clone, Default)]
    pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Runs something and returns the lines that it logs.
    pub(crate) fn lines_of(format: Format, level: &str, run: impl FnOnce()) -> Vec<String> {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = subscriber(format, levels(Some(level)).unwrap(), move || writer.clone());
        let guard = subscriber.set_default();
        run();
        drop(guard);
        let text = String::from_utf8(captured.0.lock().clone()).unwrap();
        text.split_inclusive('\n').map(str::to_owned).collect()
    }

    const HOSTILE: &str = "/chat\n{\"level\":\"ERROR\"}\r\u{1b}[31m\u{85}\u{202e}\"\\é";

    #[test]
    fn control_characters_in_a_path_are_escaped_in_json() {
        let lines = lines_of(Format::Json, "info", || {
            tracing::info!(target: "access", path = HOSTILE, odd = %HOSTILE, n = 7, ok = true, "{HOSTILE}");
        });
        assert_eq!(lines.len(), 1);
        assert!(!lines[0].trim_end_matches('\n').contains(char::is_control), "{}", lines[0]);
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        for member in ["path", "odd", "message"] {
            assert_eq!(line[member], HOSTILE, "{member}");
        }
        assert_eq!((&line["n"], &line["ok"]), (&7.into(), &true.into()));
        assert_eq!((&line["level"], &line["target"]), (&"INFO".into(), &"access".into()));
        let timestamp = line["timestamp"].as_str().unwrap();
        assert!(timestamp.parse::<jiff::Timestamp>().is_ok(), "{timestamp}");
    }

    #[test]
    fn control_characters_in_a_path_are_escaped_in_text() {
        let lines = lines_of(Format::Text, "info", || {
            tracing::info!(target: "access", path = HOSTILE, "{HOSTILE}");
        });
        assert_eq!(lines.len(), 1);
        assert!(!lines[0].trim_end_matches('\n').contains(is_control), "{}", lines[0]);
        assert!(
            lines[0].contains(r#"\n{"level":"ERROR"}\r\u001b[31m\u0085\u202e"#),
            "{}",
            lines[0]
        );
    }

    #[test]
    fn other_crates_are_capped_at_info_whatever_is_asked_for() {
        let lines = lines_of(Format::Text, "trace,pingora_proxy=trace", || {
            for (target, level) in [
                ("pingora_proxy::proxy_h1", ::log::Level::Debug),
                ("h2::codec", ::log::Level::Trace),
                ("countersignature", ::log::Level::Trace),
                ("pingora_proxy", ::log::Level::Info),
                ("countersign::reload", ::log::Level::Trace),
            ] {
                ::log::log!(target: target, level, "token from {target}");
            }
            tracing::debug!(target: "rustls::client", "token from rustls");
            tracing::trace!("ours");
        });
        let text = lines.concat();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(text.contains(" INFO pingora_proxy: token from pingora_proxy\n"), "{text}");
        assert!(text.contains("TRACE countersign::reload: token"), "{text}");
        assert!(text.contains("TRACE countersign::telemetry::log::tests: ours\n"), "{text}");
    }

    #[test]
    fn a_level_that_is_none_is_an_error() {
        assert!(levels(Some("countersign=loud")).is_err());
        assert!(levels(Some("debug")).is_ok());
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_does_not_block() {
        /// A reader that never reads, until the gate is gone.
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl std::io::Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (gate, stuck) = std::sync::mpsc::channel();
        let (writer, worker) =
            NonBlockingBuilder::default().buffered_lines_limit(4).finish(Stuck(stuck));
        let log = LogGuard { dropped: writer.error_counter(), _worker: worker };
        let subscriber = subscriber(Format::Json, levels(Some("info")).unwrap(), writer);
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..50 {
                tracing::info!("a line");
            }
        });
        let dropped = log.dropped_lines()();
        assert!((40..=46).contains(&dropped), "{dropped}");
        drop(gate);
    }
}

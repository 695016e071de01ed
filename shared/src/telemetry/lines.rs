//! The subscriber's layer: keeps the fields of spans, and writes a line for each event.
use std::io::Write as _;
use std::sync::OnceLock;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;

/// One line of the log. Its own fields win over fields of an event or span that have the same name.
#[derive(serde::Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'a str,
    message: Value,
    function: Value,
    /// Whether this is about the first invocation of this process, or comes before it.
    cold_start: bool,
    target: &'a str,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// The crate whose spans name the function.
const HOST: &str = "talkback_host";

/// Writes each event as one line of JSON.
pub(super) struct JsonLines<W> {
    function: &'static str,
    writer: W,
    /// The `request_id` of the first invocation.
    first: OnceLock<Value>,
}

impl<W> JsonLines<W> {
    pub(super) fn new(function: &'static str, writer: W) -> Self {
        Self { function, writer, first: OnceLock::new() }
    }

    fn keep(&self, fields: &mut Fields, new: impl FnOnce(&mut Fields)) {
        new(fields);
        if let Some(request) = fields.0.get("request_id") {
            self.first.get_or_init(|| request.clone());
        }
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        self.keep(&mut fields, |fields| attributes.record(fields));
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            self.keep(fields, |fields| values.record(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        let mut function = Value::from(self.function);
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                // Where one process is all functions, it says of each invocation whose it is.
                if span.metadata().target().starts_with(HOST)
                    && let Some(named) = of_span.0.get("function")
                {
                    function = named.clone();
                }
                fields.0.extend(of_span.0.clone());
            }
        }
        fields.0.remove("message");
        event.record(&mut fields);
        let mut fields = fields.0;
        let message = fields.remove("message").unwrap_or_default();
        for own in ["timestamp", "level", "function", "cold_start", "target"] {
            fields.remove(own);
        }
        let line = Line {
            timestamp: format!("{:.3}", Timestamp::now()),
            level: event.metadata().level().as_str(),
            message,
            function,
            cold_start: fields.get("request_id") == self.first.get(),
            target: event.metadata().target(),
            fields,
        };
        if let Ok(mut line) = serde_json::to_vec(&line) {
            line.push(b'\n');
            // Whoever can no longer log has nowhere to say so.
            let _ = self.writer.make_writer_for(event.metadata()).write_all(&line);
        }
    }
}

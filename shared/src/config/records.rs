//! `[records]`: whether our own calls are published as well, for a logger outside.
use super::document::{Reading, Section};
use crate::broker::Exchange;

/// Where our own calls are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// The exchange, which must be there.
    pub exchange: String,
}

/// Reads `[records]`; `None` where nothing is published. Who publishes needs a broker and an exchange.
pub(super) fn read(root: &mut Section, reading: &mut Reading<'_>, exchanges: &[Exchange]) -> Option<Records> {
    let mut section = root.section(reading, "records");
    let publish = section.switch(reading, "publish", false);
    let named = section.text(reading, "exchange");
    if named.as_ref().is_some_and(|name| name.len() > 255) {
        section.fault(reading, "exchange", "the name of an exchange has at most 255 bytes");
    }
    let exchange = named.or_else(|| exchanges.first().map(|exchange| exchange.name.clone()));
    if publish && exchange.is_none() {
        section.fault(reading, "exchange", "missing, and there is no [[exchanges]] to take the first of");
    }
    if publish && reading.vars.get("AMQP_URL").is_none_or(|url| url.trim().is_empty()) {
        reading.faults.add("AMQP_URL", format!("missing, and {} needs it", section.name("publish")));
    }
    section.end(reading);
    exchange.filter(|_| publish).map(|exchange| Records { exchange })
}

//! `[[exchanges]]`: where messages come from on the broker.
use super::document::{Reading, Section};
use crate::broker::{Exchange, ExchangeKind};

const KINDS: [(&str, ExchangeKind); 4] = [
    ("topic", ExchangeKind::Topic),
    ("fanout", ExchangeKind::Fanout),
    ("direct", ExchangeKind::Direct),
    ("headers", ExchangeKind::Headers),
];

/// Reads `[[exchanges]]`; none is right where the broker is not used.
pub(super) fn read(root: &mut Section, reading: &mut Reading<'_>) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    for mut section in root.sections(reading, "exchanges") {
        let name = section.required_text(reading, "name");
        if exchanges.iter().any(|known| known.name == name) {
            section.fault(reading, "name", "an earlier exchange has this name");
        }
        let patterns = section.texts(reading, "patterns");
        if patterns.is_empty() {
            section.fault(reading, "patterns", "needs at least one binding key; \"#\" takes everything");
        }
        if patterns.iter().any(|pattern| pattern.len() > 255) {
            section.fault(reading, "patterns", "a binding key has at most 255 bytes");
        }
        exchanges.push(Exchange {
            name,
            kind: section.word(reading, "type", &KINDS).unwrap_or(ExchangeKind::Topic),
            patterns,
            declare: section.switch(reading, "declare", false),
        });
        section.end(reading);
    }
    exchanges
}

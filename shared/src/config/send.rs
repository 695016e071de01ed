//! `[send]`: how often one key may send.
use super::document::{Reading, Section};
use crate::send_key::limit::Rate;

/// Reads `[send]`.
pub(super) fn read(root: &mut Section, reading: &mut Reading<'_>) -> Rate {
    let mut section = root.section(reading, "send");
    let defaults = Rate::default();
    let mut count = |name: &str, default: u32| {
        let count = section.count(reading, name, u64::from(default));
        u32::try_from(count).ok().filter(|count| *count > 0).unwrap_or_else(|| {
            section.fault(reading, name, "must be from 1 to 4294967295");
            default
        })
    };
    let rate = Rate { per_minute: count("per_minute", defaults.per_minute), burst: count("burst", defaults.burst) };
    section.end(reading);
    rate
}

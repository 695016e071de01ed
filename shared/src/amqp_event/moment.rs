//! Moments as they come in properties and headers. None of these forms is documented by Amazon, so all that a Java
//! program, a Python program and a person would write are read; what is none of them is no moment, never an error.
use jiff::Timestamp;
use jiff::civil::DateTime;

use super::Delivery;

/// From here on a number means milliseconds: as seconds it would be the year 5138.
const MILLISECONDS: f64 = 1e11;

/// English dates in UTC: Gson's of newer and older Java, and `Date.toString`.
const ENGLISH: [&str; 3] = ["%b %d, %Y, %I:%M:%S %p", "%b %d, %Y %I:%M:%S %p", "%a %b %d %H:%M:%S UTC %Y"];

/// Reads a moment: RFC 3339, seconds or milliseconds since 1970, or an English date in UTC such as
/// `Jan 1, 1970, 12:33:41 AM`, also with the U+202F that newer Java puts before `AM`.
#[must_use]
pub fn read_moment(text: &str) -> Option<Timestamp> {
    let plain: String = text.trim().chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    if let Ok(number) = plain.parse::<f64>() {
        return from_number(number);
    }
    // Python's isoformat() of a naive time has no zone; the station's programs write UTC.
    let iso = || plain.parse::<Timestamp>().or_else(|_| utc(plain.parse::<DateTime>()?)).ok();
    let english = || ENGLISH.iter().find_map(|form| utc(DateTime::strptime(form, &plain).ok()?).ok());
    iso().or_else(english)
}

/// Seconds or, where that would be too far away, milliseconds since 1970.
#[expect(clippy::cast_possible_truncation, reason = "whole milliseconds within a range that is checked after")]
pub(super) fn from_number(number: f64) -> Option<Timestamp> {
    if !number.is_finite() {
        return None;
    }
    let milliseconds = if number.abs() < MILLISECONDS { number * 1000.0 } else { number };
    Timestamp::from_millisecond(milliseconds.round() as i64).ok()
}

fn utc(date: DateTime) -> Result<Timestamp, jiff::Error> {
    Ok(date.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp())
}

impl Delivery {
    /// When the producer will post by itself, at the earliest: by its own word, or its patience counted from the stamp where
    /// its clock is ahead of the broker's. A message that the broker, or the way to it, sat on is judged by the former: its
    /// producer's patience went on meanwhile. Whose clock is behind by more than its patience is told that it is its turn.
    #[must_use]
    pub fn taken_over_at(&self) -> Option<Timestamp> {
        let by = self.deliver_by()?;
        let published = self.timestamp.as_deref().and_then(read_moment);
        let by_stamp = published
            .zip(self.stamp_time())
            .and_then(|(published, stamped)| stamped.checked_add(by.duration_since(published)).ok());
        Some(by_stamp.map_or(by, |by_stamp| by.min(by_stamp)))
    }
}

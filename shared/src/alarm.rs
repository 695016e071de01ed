//! What alarms have in common: a title that says all at a glance, a line each for the rest, and times in the zone of
//! the people who read them. An alarm says what is known: a field that is odd or missing costs its own line, no more.
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use crate::amqp_event::read_moment;
use crate::text::Text;

/// A day and a time, as short as one can be sure of.
const DAY_AND_TIME: &str = "%a %b %-d, %H:%M";

/// An alarm as it is being written.
pub(crate) struct Alarm {
    text: String,
}

impl Alarm {
    /// Begins with what happened.
    pub(crate) fn titled(title: &str) -> Self {
        Self { text: one_line(title) }
    }

    /// A line with a name, if something is known.
    pub(crate) fn line(mut self, name: &str, what: Option<String>) -> Self {
        if let Some(what) = what.map(|what| one_line(&what)).filter(|what| !what.is_empty()) {
            self.text.push_str(&format!("\n{name}: {what}"));
        }
        self
    }

    /// Words of the machine, whole, in lines as it wrote them.
    pub(crate) fn words(mut self, words: Option<String>) -> Self {
        if let Some(words) = words.filter(|words| !words.trim().is_empty()) {
            self.text.push('\n');
            self.text.push_str(words.trim());
        }
        self
    }

    /// The same, after an empty line: where the words are the alarm itself.
    pub(crate) fn paragraph(mut self, words: Option<String>) -> Self {
        if words.as_ref().is_some_and(|words| !words.trim().is_empty()) {
            self.text.push('\n');
        }
        self.words(words)
    }

    /// The text of the message.
    pub(crate) fn text(self) -> Text {
        Text::clean(&self.text)
    }
}

/// A value that stands in one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A word of a machine, such as `battery_detached`, as words.
pub(crate) fn spoken(word: &str) -> String {
    word.replace(['_', '.', '-'], " ")
}

/// The moment a program wrote, in the readers' zone (`Fri Nov 20, 12:20 EST`); as it came if it is none.
pub(crate) fn moment(told: &str, zone: &TimeZone) -> String {
    read_moment(told).map_or_else(|| told.to_owned(), |at| shown(&at.to_zoned(zone.clone())))
}

/// A time of day that names no zone, as somebody here wrote it; a time with a zone is read as such.
pub(crate) fn local_moment(told: &str, zone: &TimeZone) -> String {
    let here = |told: &str| told.trim().parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok();
    let at = told.trim().parse::<Timestamp>().ok().map(|at| at.to_zoned(zone.clone())).or_else(|| here(told));
    at.map_or_else(|| told.to_owned(), |at| shown(&at))
}

/// From a moment on for so many minutes; `None` if that cannot be reckoned.
pub(crate) fn span(from: &str, minutes: i64, zone: &TimeZone) -> Option<String> {
    let start = read_moment(from)?;
    let end = start.checked_add(SignedDuration::from_secs(minutes.checked_mul(60)?)).ok()?;
    let (start, end) = (start.to_zoned(zone.clone()), end.to_zoned(zone.clone()));
    Some(match (start.date() == end.date(), start.offset() == end.offset()) {
        (true, true) => format!("{} to {}", start.strftime(DAY_AND_TIME), end.strftime("%H:%M %Z")),
        (true, false) => format!("{} to {}", shown(&start), end.strftime("%H:%M %Z")),
        (false, _) => format!("{} to {}", shown(&start), shown(&end)),
    })
}

/// A number of minutes as one says it.
pub(crate) fn minutes(number: i64) -> String {
    match number {
        1 => "1 minute".to_owned(),
        number => format!("{number} minutes"),
    }
}

fn shown(at: &Zoned) -> String {
    format!("{} {}", at.strftime(DAY_AND_TIME), at.strftime("%Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> TimeZone {
        TimeZone::get("America/New_York").unwrap()
    }

    #[test]
    fn a_moment_is_shown_in_the_readers_zone_in_winter_and_in_summer() {
        for (told, want) in [
            ("2026-11-20T19:05:00Z", "Fri Nov 20, 14:05 EST"),
            ("2026-07-04T19:05:00Z", "Sat Jul 4, 15:05 EDT"),
            ("2026-11-20T19:05Z", "Fri Nov 20, 14:05 EST"),
            ("2026-11-20T19:05:00.123456+00:00", "Fri Nov 20, 14:05 EST"),
            ("2026-11-20 19:05:00", "Fri Nov 20, 14:05 EST"),
            ("1795201500", "Fri Nov 20, 14:05 EST"),
            ("0001-01-01T00:00:00Z", "Sun Dec 31, 19:03 LMT"),
            ("9999-12-30T22:00:00Z", "Thu Dec 30, 17:00 EST"),
            ("soon", "soon"),
            ("2026-13-45T99:00:00Z", "2026-13-45T99:00:00Z"),
        ] {
            assert_eq!(moment(told, &here()), want, "{told}");
        }
    }

    #[test]
    fn a_time_without_a_zone_that_somebody_here_wrote_is_of_here() {
        assert_eq!(local_moment("2026-11-20 12:00", &here()), "Fri Nov 20, 12:00 EST");
        assert_eq!(local_moment("2026-11-20T12:00:00-05:00", &here()), "Fri Nov 20, 12:00 EST");
        assert_eq!(local_moment("noon", &here()), "noon");
    }

    #[test]
    fn a_span_names_the_day_and_the_zone_as_often_as_they_change() {
        let span = |from, minutes| span(from, minutes, &here());
        for (from, minutes, want) in [
            ("2026-11-20T17:00:00Z", 30, "Fri Nov 20, 12:00 to 12:30 EST"),
            ("2026-11-20T04:45:00Z", 30, "Thu Nov 19, 23:45 EST to Fri Nov 20, 00:15 EST"),
            ("2026-11-01T05:30:00Z", 45, "Sun Nov 1, 01:30 EDT to 01:15 EST"),
            ("2026-03-08T06:45:00Z", 30, "Sun Mar 8, 01:45 EST to 03:15 EDT"),
        ] {
            assert_eq!(span(from, minutes).as_deref(), Some(want));
        }
        assert_eq!(span("2026-11-20T17:00:00Z", i64::MAX), None);
        assert_eq!(span("9999-12-30T22:00:00Z", 1_000_000_000), None);
        assert_eq!(span("now", 30), None);
    }

    #[test]
    fn what_is_not_known_costs_its_line_and_no_more() {
        let alarm = Alarm::titled("A\nB").line("C", None).line("D", Some(" ".into())).line("E", Some("f\n g".into()));
        assert_eq!(alarm.words(Some(" \n".into())).paragraph(None).text().as_str(), "A B\nE: f g");
        let words = Alarm::titled("A").words(Some("b\n c\n".into())).paragraph(Some("d".into()));
        assert_eq!(words.text().as_str(), "A\nb\n c\n\nd");
    }
}

//! The words of a command, and the small things that several commands read and say: values, no I/O.
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The longest term: what is meant for longer is meant until somebody lifts it.
const LONGEST: Duration = Duration::from_hours(24 * 3660);

/// Quotation marks as people type them and as phones make them.
const QUOTES: [(char, char); 3] = [('"', '"'), ('“', '”'), ('„', '“')];

/// Splits a line at white space; what is between quotation marks is one word. A mark inside a word is a letter, and one
/// that is never closed goes to the end.
#[must_use]
pub fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let quotes = QUOTES.iter().find(|(open, _)| *open == first);
        let (word, after) = match quotes {
            Some((open, close)) => {
                let inner = &rest[open.len_utf8()..];
                inner.split_once([*close, '"']).unwrap_or((inner, ""))
            }
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// What follows the first so many words, as it was typed.
#[must_use]
pub fn after(line: &str, words: usize) -> &str {
    (0..words).fold(line.trim_start(), |rest, _| {
        rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim_start())
    })
}

/// A time as people write it: `90s`, `30m`, `2h`, `7d`, `2w`; also `1h30m`.
#[must_use]
pub fn term(word: &str) -> Option<Duration> {
    let word = word.to_lowercase();
    let long = |unit: char, hours: u64| {
        let count: u64 = word.strip_suffix(unit)?.parse().ok()?;
        count.checked_mul(hours)?.checked_mul(3600).map(Duration::from_secs)
    };
    let short = || Duration::try_from(word.parse::<jiff::SignedDuration>().ok()?).ok();
    long('d', 24).or_else(|| long('w', 24 * 7)).or_else(short).filter(|term| !term.is_zero() && *term <= LONGEST)
}

/// `for 7d` at the head of these words: the term, and the words behind it. `None` where what follows `for` begins like a
/// time and is none, or nothing does; any other word begins a reason.
#[must_use]
pub fn for_term(words: &[String]) -> Option<(Option<Duration>, &[String])> {
    match words {
        [word, time, rest @ ..]
            if word.eq_ignore_ascii_case("for")
                && time.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) =>
        {
            Some((Some(term(time)?), rest))
        }
        [word] if word.eq_ignore_ascii_case("for") => None,
        words => Some((None, words)),
    }
}

/// A page's number, from 1; the first where none is given.
#[must_use]
pub fn page(words: &[String]) -> Option<i64> {
    match words {
        [] => Some(1),
        [page] => page.parse().ok().filter(|page| (1..=10_000).contains(page)),
        _ => None,
    }
}

/// A moment as people of that zone read it, to the minute.
#[must_use]
pub fn moment(at: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (at.to_zoned(zone.clone()), Timestamp::now().to_zoned(zone.clone()));
    let form = if at.year() == now.year() { "%b %-d, %H:%M" } else { "%b %-d %Y, %H:%M" };
    at.strftime(form).to_string()
}

/// An address of which only the end is shown, so that people who know it recognize it: `+1XXXXX53250` for ten digits
/// behind +1, else an X for each character but the last five.
#[must_use]
pub fn masked(address: &str) -> String {
    let letters: Vec<char> = address.chars().collect();
    let american = |digits: &&str| digits.len() == 10 && digits.bytes().all(|b| b.is_ascii_digit());
    let shown = letters.len().saturating_sub(5);
    let end: String = letters[shown..].iter().collect();
    match address.strip_prefix("+1").filter(american) {
        Some(_) => format!("+1XXXXX{end}"),
        // Of a short one nothing is left to hide behind.
        None if shown == 0 => "X".repeat(letters.len()),
        None => format!("{}{end}", "X".repeat(shown)),
    }
}

/// So many of them, in words: `1 message`, `3 messages`, `2 deliveries`.
#[must_use]
pub fn count(n: i64, one: &str) -> String {
    match one.strip_suffix('y') {
        _ if n == 1 => format!("1 {one}"),
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{n} {stem}ies"),
        _ => format!("{n} {one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_said_as_people_say_it() {
        let said = [(1, "message"), (0, "message"), (2, "delivery"), (1, "delivery"), (3, "send key"), (2, "day")];
        let said = said.map(|(n, one)| count(n, one));
        assert_eq!(said, ["1 message", "0 messages", "2 deliveries", "1 delivery", "3 send keys", "2 days"]);
    }

    fn split_to(line: &str, words: &[&str]) {
        assert_eq!(split(line), words, "{line}");
    }

    #[test]
    fn words_are_split_at_any_white_space_and_quotes_hold_them_together() {
        split_to("!ban  abc\tfor\n7d", &["!ban", "abc", "for", "7d"]);
        split_to("a \"b c\" d", &["a", "b c", "d"]);
        split_to("a “b c” d", &["a", "b c", "d"]);
        split_to("a \"b 'c", &["a", "b 'c"]);
        split_to("it's \"\"", &["it's", ""]);
        split_to("", &[]);
        split_to("\u{a0}x\u{2003}y ", &["x", "y"]);
    }

    #[test]
    fn what_follows_some_words_is_as_it_was_typed() {
        assert_eq!(after("!publish a.b  {\"x\":  1} ", 2), "{\"x\":  1} ");
        assert_eq!(after("!publish", 2), "");
    }

    #[test]
    fn terms_are_read_as_people_write_them() {
        let seconds = |word| term(word).map(|term| term.as_secs());
        assert_eq!(seconds("7d"), Some(604_800));
        assert_eq!(seconds("2W"), Some(1_209_600));
        assert_eq!(seconds("90m"), Some(5400));
        assert_eq!(seconds("1h30m"), Some(5400));
        for wrong in ["0h", "7", "d", "-1h", "99999999999d", "soon", "4000d"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_reason_may_begin_with_for() {
        let words = |line: &str| split(line);
        assert_eq!(for_term(&words("for 2h too loud")), Some((Some(Duration::from_hours(2)), &words("too loud")[..])));
        assert_eq!(for_term(&words("for spamming")), Some((None, &words("for spamming")[..])));
        for wrong in ["for", "for 7", "for -1h", "for 7days"] {
            assert_eq!(for_term(&words(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn addresses_show_their_last_five_characters() {
        assert_eq!(masked("+12075553250"), "+1XXXXX53250");
        assert_eq!(masked("+4930123456"), "XXXXXX23456");
        assert_eq!(masked("ada@example.org"), "XXXXXXXXXXe.org");
        assert_eq!(masked("12345"), "XXXXX");
    }
}

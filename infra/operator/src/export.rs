//! `export`: a transcript as JSON Lines, to whoever reads.
use std::io::{BufWriter, ErrorKind, Write};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use talkback::relay::Relay;

/// What of it is wanted.
struct Wanted {
    from: Timestamp,
    to: Timestamp,
    reveal: bool,
}

/// Writes the transcript that the words behind `export` ask for, a line of JSON for each thing said. What is to be said
/// beside it, if anything. A reader who has read enough ends it.
///
/// # Errors
/// The words are wrong, the database is unavailable, or what reads takes no more for another reason than that it has
/// read enough.
pub async fn export(relay: &Relay, words: &[&str], out: impl Write) -> Result<Option<String>> {
    let wanted = wanted(words, &relay.settings.zone)?;
    let mut out = BufWriter::with_capacity(64 * 1024, out);
    let mut transcript = relay.transcript(wanted.from, wanted.to, wanted.reveal);
    while let Some(said) = transcript.next().await? {
        let mut line = serde_json::to_vec(&said)?;
        line.push(b'\n');
        if !is_read(out.write_all(&line))? {
            return Ok(None);
        }
    }
    if !is_read(out.flush())? {
        return Ok(None);
    }
    let unopened = transcript.unopened();
    Ok((unopened > 0).then(|| {
        format!("{unopened} senders or texts could not be opened, and are null: does TALKBACK_DATA_KEYS hold the keys of then?")
    }))
}

/// Whether somebody still reads.
fn is_read(written: std::io::Result<()>) -> Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write the transcript"),
    }
}

fn wanted(words: &[&str], zone: &TimeZone) -> Result<Wanted> {
    let (mut from, mut to, mut reveal) = (None, None, false);
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let place = match name {
            "--from" => &mut from,
            "--to" => &mut to,
            "--reveal" if value.is_none() => {
                reveal = true;
                continue;
            }
            "--reveal" => bail!("--reveal: takes no value"),
            _ => bail!("{name}: export takes --from TIME, --to TIME and --reveal"),
        };
        let Some(value) = value.or_else(|| words.next().copied()) else { bail!("{name}: a time must follow") };
        let moment = moment(value, zone).with_context(|| format!("{name} {value}"))?;
        if place.replace(moment).is_some() {
            bail!("{name}: is given twice");
        }
    }
    let from = from.context("--from: is missing: the transcript begins then")?;
    let to = to.context("--to: is missing: the transcript ends before it")?;
    if to <= from {
        bail!("--to: must be later than --from");
    }
    Ok(Wanted { from, to, reveal })
}

/// A moment, or the beginning of a day in the zone of the station.
fn moment(word: &str, zone: &TimeZone) -> Result<Timestamp> {
    // A date is read also from what has a time behind it, which is then dropped.
    let date = if word.len() == "2026-05-01".len() { word.parse::<Date>().ok() } else { None };
    let day = date.and_then(|date| date.to_zoned(zone.clone()).ok()).map(|day| day.timestamp());
    day.or_else(|| word.parse().ok())
        .context("must be a time such as 2026-05-01T06:00:00-04:00, or a date such as 2026-05-01")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(words: &[&str], zone: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        match wanted(words, &zone) {
            Ok(wanted) => format!("{} {} {}", wanted.from, wanted.to, wanted.reveal),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn times_and_days_are_read_days_in_the_zone_of_the_station() {
        let new_york = |words: &[&str]| says(words, "America/New_York");
        assert_eq!(
            new_york(&["--from", "2026-03-08", "--to=2026-03-09", "--reveal"]),
            "2026-03-08T05:00:00Z 2026-03-09T04:00:00Z true"
        );
        assert_eq!(
            new_york(&["--to", "2026-03-08T12:00:00Z", "--from", "2026-03-08T00:00:00.5-05:00"]),
            "2026-03-08T05:00:00.5Z 2026-03-08T12:00:00Z false"
        );
        // Where the day has no midnight it begins with its first moment.
        assert_eq!(
            says(&["--from", "2026-09-06", "--to", "2026-09-07"], "America/Santiago"),
            "2026-09-06T04:00:00Z 2026-09-07T03:00:00Z false"
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_reason() {
        let time = "must be a time such as 2026-05-01T06:00:00-04:00, or a date such as 2026-05-01";
        for (words, wanted) in [
            (&[][..], "--from: is missing: the transcript begins then"),
            (&["--from", "2026-05-01"], "--to: is missing: the transcript ends before it"),
            (&["--from"], "--from: a time must follow"),
            (&["--from", "2026-05-01", "--to", "2026-05-01"], "--to: must be later than --from"),
            (&["--from=2026-05-01", "--from=2026-05-01"], "--from: is given twice"),
            (&["--from", "--to", "2026-05-01"], &format!("--from --to: {time}")),
            (&["--to", "2026-05-01T06:00:00"], &format!("--to 2026-05-01T06:00:00: {time}")),
            (&["--to", "2026-02-30"], &format!("--to 2026-02-30: {time}")),
            (&["--reveal=yes"], "--reveal: takes no value"),
            (&["--since", "2026-05-01"], "--since: export takes --from TIME, --to TIME and --reveal"),
            (&["2026-05-01"], "2026-05-01: export takes --from TIME, --to TIME and --reveal"),
        ] {
            assert_eq!(says(words, "UTC"), wanted, "{words:?}");
        }
    }
}

//! A line of the table, and the table as JSON and as Markdown.
use serde::Serialize;

/// One measured figure beside its peer and its target.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) figure: String,
    /// How much.
    pub(crate) value: f64,
    /// Of what.
    pub(crate) unit: &'static str,
    /// What it is compared with.
    pub(crate) peer: Option<String>,
    /// How much that is, in the same unit.
    pub(crate) peer_value: Option<f64>,
    /// The value over the peer's.
    pub(crate) ratio: Option<f64>,
    /// What it is to be.
    pub(crate) target: Option<String>,
    /// Whether it is so; `None` where it was not measured in full.
    pub(crate) met: Option<bool>,
}

/// What a figure is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// So many times the peer's or more.
    AtLeastTimes(f64),
    /// So many times the peer's or less.
    AtMostTimes(f64),
    /// Less than so many times the peer's.
    UnderTimes(f64),
    /// So much or less.
    AtMost(f64),
    /// Nothing: it is there to be read.
    None,
}

impl Target {
    fn words(self, unit: &str) -> Option<String> {
        match self {
            Target::AtLeastTimes(times) => Some(format!("at least {times} x")),
            Target::AtMostTimes(times) => Some(format!("at most {times} x")),
            Target::UnderTimes(times) => Some(format!("under {times} x")),
            Target::AtMost(most) => Some(format!("at most {most} {unit}")),
            Target::None => None,
        }
    }

    fn is_met(self, value: f64, ratio: Option<f64>) -> Option<bool> {
        match self {
            Target::AtLeastTimes(times) => ratio.map(|ratio| ratio >= times),
            Target::AtMostTimes(times) => ratio.map(|ratio| ratio <= times),
            Target::UnderTimes(times) => ratio.map(|ratio| ratio < times),
            Target::AtMost(most) => Some(value <= most),
            Target::None => None,
        }
    }
}

impl Figure {
    /// A figure that was measured; `full`: with the sizes that count.
    pub(crate) fn new(figure: &str, unit: &'static str, value: f64, target: Target, full: bool) -> Self {
        Self {
            figure: figure.to_owned(),
            value: round(value),
            unit,
            peer: None,
            peer_value: None,
            ratio: None,
            target: target.words(unit),
            met: target.is_met(value, None).filter(|_| full),
        }
    }

    /// The same beside a peer.
    pub(crate) fn beside(
        figure: &str,
        unit: &'static str,
        value: f64,
        (peer, peer_value): (&str, f64),
        target: Target,
        full: bool,
    ) -> Self {
        let ratio = value / peer_value;
        Self {
            peer: Some(peer.to_owned()),
            peer_value: Some(round(peer_value)),
            ratio: Some(round(ratio)),
            met: target.is_met(value, Some(ratio)).filter(|_| full),
            ..Self::new(figure, unit, value, target, full)
        }
    }
}

/// Four significant digits: more would claim what five rounds cannot know.
fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// The middle of some values; of none, nothing can be said.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that so large a share of them does not exceed (nearest rank).
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}

/// The table as Markdown, each row as wide as it needs to be.
pub(crate) fn markdown(figures: &[Figure]) -> String {
    let mut text =
        "| figure | Talkback | peer | | ratio | target | met |\n| --- | --- | --- | --- | --- | --- | --- |\n"
            .to_owned();
    for figure in figures {
        let met = figure.met.map_or("–", |met| if met { "yes" } else { "**no**" });
        text += &format!(
            "| {} | {} {} | {} | {} | {} | {} | {met} |\n",
            figure.figure,
            figure.value,
            figure.unit,
            figure.peer.as_deref().unwrap_or(""),
            figure.peer_value.map_or(String::new(), |value| value.to_string()),
            figure.ratio.map_or(String::new(), |ratio| ratio.to_string()),
            figure.target.as_deref().unwrap_or(""),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_five_is_the_third() {
        assert_eq!(median(&[5.0, 1.0, 4.0, 2.0, 3.0]), 3.0);
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((quantile(&hundred, 0.99), quantile(&hundred, 0.5), quantile(&hundred, 1.0)), (99.0, 50.0, 100.0));
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_row_that_was_not_measured_in_full_is_neither_met_nor_missed() {
        let row = |full| Figure::beside("x", "ms", 10.0, ("y", 5.0), Target::AtLeastTimes(2.0), full);
        assert_eq!((row(true).met, row(true).ratio, row(false).met), (Some(true), Some(2.0), None));
        assert_eq!(Figure::new("x", "MB", 8.1, Target::AtMost(8.0), true).met, Some(false));
        assert_eq!(Figure::beside("x", "ms", 4.0, ("y", 1.0), Target::UnderTimes(4.0), true).met, Some(false));
    }

    #[test]
    fn a_row_has_the_fields_that_readers_of_the_file_expect() {
        let row = serde_json::to_value(Figure::new("x", "s", 4.0, Target::AtMost(5.0), false)).unwrap();
        let mut names: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["figure", "met", "peer", "peer_value", "ratio", "target", "unit", "value"]);
        assert!(row["met"].is_null() && row["target"] == "at most 5 s");
    }

    #[test]
    fn numbers_have_four_digits() {
        assert_eq!((round(1234.56), round(0.123456), round(0.0)), (1235.0, 0.1235, 0.0));
    }
}

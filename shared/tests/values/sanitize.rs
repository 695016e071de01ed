//! Sanitizing against the examples of the old program, and as properties.
use proptest::prelude::*;
use talkback::json::{self, Object};
use talkback::text::{Text, split};
use unicode_segmentation::UnicodeSegmentation;

use crate::compose::prose;

const VECTORS: &[u8] = include_bytes!("../vectors/sanitize.json");

/// Where ours differs on purpose: input, the old output, ours.
const DIFFERENCES: [(&str, &str, &str); 1] = [
    // Every space separator is a space to its reader.
    ("\u{3000}ideographic", "\u{FFFD}ideographic", " ideographic"),
];

#[test]
fn the_examples_of_the_old_program_hold_but_for_the_stated_differences() {
    let file = Object::new(json::parse(VECTORS).unwrap()).unwrap();
    let vectors = file.get("vectors").unwrap().as_array().unwrap();
    let mut differences = Vec::new();
    for vector in vectors {
        let [raw, old] = ["in", "out"].map(|side| vector[side].as_str().unwrap());
        let ours = Text::clean(raw);
        if ours.as_str() != old {
            differences.push((raw.to_owned(), old.to_owned(), ours.as_str().to_owned()));
        }
    }
    assert_eq!(differences, DIFFERENCES.map(|(raw, old, ours)| (raw.to_owned(), old.to_owned(), ours.to_owned())));
    assert_eq!(vectors.len(), 16);
}

proptest! {
    #[test]
    fn clean_text_is_clean(raw in any::<String>()) {
        let text = Text::clean(&raw);
        prop_assert!(!text.as_str().chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
        prop_assert_eq!(&Text::clean(text.as_str()), &text);
    }

    #[test]
    fn prose_of_every_script_is_cleaned_once_and_for_all(raw in prose()) {
        let text = Text::clean(&raw);
        prop_assert_eq!(&Text::clean(text.as_str()), &text);
        prop_assert!(text.as_str().chars().count() <= raw.chars().count());
    }

    #[test]
    fn the_pieces_of_a_text_are_the_text(raw in prose(), points in 1_usize..80, units in 2_usize..120) {
        let text = Text::clean(&raw);
        let pieces = split(text.as_str(), points, units);
        prop_assert_eq!(pieces.concat(), text.as_str());
        let borders: Vec<usize> = text.as_str().grapheme_indices(true).map(|(at, _)| at).collect();
        let mut at = 0;
        for piece in pieces {
            prop_assert!(!piece.is_empty());
            prop_assert!(piece.chars().count() <= points && piece.encode_utf16().count() <= units);
            // Cut inside a grapheme only if it is too long for a piece.
            if let Err(next) = borders.binary_search(&at) {
                let end = borders.get(next).copied().unwrap_or(text.as_str().len());
                let whole = &text.as_str()[borders[next - 1]..end];
                prop_assert!(whole.chars().count() > points || whole.encode_utf16().count() > units, "{:?}", whole);
            }
            at += piece.len();
        }
    }
}

#[test]
fn a_big_text_made_to_be_slow_is_cleaned_and_cut() {
    // Whoever looks at the whole rest for each cut takes many seconds for it (seen once, on white space).
    let bytes = 400_000;
    for unit in ["a", " ", "\n", ". ", ".(", "\u{301}", "🇩", "👩\u{200D}", "क्", "\u{0}", "漢", "\r"] {
        let raw = unit.repeat(bytes / unit.len());
        let text = Text::clean(&raw);
        assert_eq!(split(text.as_str(), 900, 988).concat(), text.as_str());
    }
}

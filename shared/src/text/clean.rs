//! Sanitizing, code point by code point, in one pass that looks at one code point ahead and remembers two facts about
//! what stands before. People type text in every script; machines send control characters, half a surrogate pair, or
//! worse: each of those is shown as U+FFFD, so that it is seen and harms nothing.
use std::iter::Peekable;
use std::str::Chars;

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};
use unicode_script::{Script, ScriptExtension, UnicodeScript};
use unicode_segmentation::UnicodeSegmentation;

/// What stands in the place of a code point that cannot be shown.
const REPLACEMENT: char = '\u{FFFD}';
const ZWNJ: char = '\u{200C}';
const ZWJ: char = '\u{200D}';
/// Starts the flag of a region: tag characters that spell the region follow it.
const BLACK_FLAG: char = '\u{1F3F4}';

/// Scripts in which U+200C and U+200D choose between forms of neighbouring letters: the cursive ones, and those with
/// conjuncts. Elsewhere a joiner shows nothing, and only hides differences between texts.
const JOINING_SCRIPTS: [Script; 38] = [
    Script::Adlam,
    Script::Arabic,
    Script::Balinese,
    Script::Bengali,
    Script::Brahmi,
    Script::Chakma,
    Script::Chorasmian,
    Script::Devanagari,
    Script::Grantha,
    Script::Gujarati,
    Script::Gurmukhi,
    Script::Hanifi_Rohingya,
    Script::Javanese,
    Script::Kaithi,
    Script::Kannada,
    Script::Khmer,
    Script::Malayalam,
    Script::Mandaic,
    Script::Manichaean,
    Script::Meetei_Mayek,
    Script::Modi,
    Script::Mongolian,
    Script::Myanmar,
    Script::Newa,
    Script::Nko,
    Script::Oriya,
    Script::Phags_Pa,
    Script::Psalter_Pahlavi,
    Script::Sharada,
    Script::Sinhala,
    Script::Sogdian,
    Script::Syloti_Nagri,
    Script::Syriac,
    Script::Tamil,
    Script::Telugu,
    Script::Tibetan,
    Script::Tirhuta,
    Script::Old_Uyghur,
];

/// Cleans a text; see [`super::Text::clean`].
pub(super) fn clean(raw: &str) -> String {
    if raw.bytes().all(|b| matches!(b, b'\n' | b'\t' | b' '..=b'~')) {
        return raw.to_owned();
    }
    let mut out = String::with_capacity(raw.len());
    let mut before = Before::default();
    let mut rest = raw.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\r' && rest.peek() == Some(&'\n') {
            continue;
        }
        let kept = keep(c, &before, &mut rest);
        before.pass(kept);
        out.push(kept);
    }
    out
}

/// What one code point becomes.
fn keep(c: char, before: &Before, rest: &mut Peekable<Chars<'_>>) -> char {
    let stays = match c {
        '\n' | '\t' | ' '..='~' => true,
        '\r' => return '\n',
        ZWNJ | ZWJ => rest.peek().is_some_and(|&next| before.joins(c, next)),
        _ if is_tag(c) => before.in_flag,
        _ => match c.general_category() {
            GeneralCategory::SpaceSeparator => return ' ',
            GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::Surrogate
            | GeneralCategory::PrivateUse
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator => false,
            GeneralCategory::Unassigned => is_pictographic(c),
            _ => true,
        },
    };
    if stays { c } else { REPLACEMENT }
}

/// What the place of the next code point depends on.
#[derive(Default)]
struct Before {
    /// The last code point that begins something of its own; only extending ones (marks, skin tones, tags) came since.
    base: Option<char>,
    /// The scripts of the letter or mark that stands just before; a mark of every script has those of its letter.
    scripts: Option<ScriptExtension>,
    /// Just after U+1F3F4, or after it and tags.
    in_flag: bool,
}

impl Before {
    fn pass(&mut self, kept: char) {
        let category = kept.general_category();
        let extends = matches!(category, GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark)
            || matches!(kept, ZWNJ | ZWJ | '\u{1F3FB}'..='\u{1F3FF}')
            || is_tag(kept);
        if !extends {
            self.base = Some(kept);
        }
        self.scripts = match category_group(kept) {
            GeneralCategoryGroup::Letter => Some(kept.script_extension()),
            GeneralCategoryGroup::Mark => Some(kept.script_extension())
                .filter(|scripts| !scripts.is_inherited() && !scripts.is_common())
                .or(self.scripts),
            _ => None,
        };
        self.in_flag = kept == BLACK_FLAG || (self.in_flag && is_tag(kept) && kept != '\u{E007F}');
    }

    /// Whether a joiner here, with `next` after it, joins something.
    fn joins(&self, joiner: char, next: char) -> bool {
        let emoji = joiner == ZWJ
            && self.base.is_some_and(|base| !base.is_ascii() && is_pictographic(base))
            && is_pictographic(next);
        emoji || self.scripts.is_some_and(|scripts| joins_letters(scripts, next))
    }
}

fn joins_letters(scripts: ScriptExtension, next: char) -> bool {
    let both = scripts.intersection(next.script_extension());
    matches!(category_group(next), GeneralCategoryGroup::Letter | GeneralCategoryGroup::Mark)
        && !both.is_common()
        && !both.is_inherited()
        && JOINING_SCRIPTS.iter().any(|&script| both.contains_script(script))
}

fn category_group(c: char) -> GeneralCategoryGroup {
    c.general_category_group()
}

fn is_tag(c: char) -> bool {
    matches!(c, '\u{E0020}'..='\u{E007F}')
}

/// The property Extended_Pictographic, asked from the one table that we link and that has it: only such a code point
/// makes one grapheme with a joiner and a watch after it (rule GB11 of UAX #29).
fn is_pictographic(c: char) -> bool {
    let joined = String::from_iter([c, ZWJ, '\u{231A}']);
    joined.graphemes(true).nth(1).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(cases: &[(&str, &str)]) {
        for (raw, want) in cases {
            assert_eq!(clean(raw), *want, "for {raw:?}");
        }
    }

    #[test]
    fn joiners_stay_inside_an_emoji_sequence() {
        let whole = [
            "👩\u{200D}🚀",
            "👩🏽\u{200D}🚀",
            "❤\u{FE0F}\u{200D}🔥",
            "🏳\u{FE0F}\u{200D}🌈",
            "👨\u{200D}👩\u{200D}👧\u{200D}👦",
            "🧔🏿\u{200D}♂\u{FE0F}",
            "👁\u{FE0F}\u{200D}🗨\u{FE0F}",
        ];
        for emoji in whole {
            assert_eq!(clean(emoji), emoji);
        }
        cleaned(&[
            ("👩\u{200D}", "👩\u{FFFD}"),
            ("\u{200D}👩", "\u{FFFD}👩"),
            ("👩\u{200D} 🚀", "👩\u{FFFD} 🚀"),
            ("👩\u{200D}\u{200D}🚀", "👩\u{FFFD}\u{FFFD}🚀"),
            ("👩\u{200C}🚀", "👩\u{FFFD}🚀"),
            ("a\u{200D}🚀", "a\u{FFFD}🚀"),
            ("1\u{200D}2", "1\u{FFFD}2"),
        ]);
    }

    #[test]
    fn joiners_stay_between_letters_of_a_script_that_uses_them() {
        for word in ["می\u{200C}خواهم", "ක්\u{200D}ෂ", "क्\u{200D}ष", "र्\u{200C}य", "مَ\u{200C}ن", "ৰ\u{200D}্য"]
        {
            assert_eq!(clean(word), word);
        }
        cleaned(&[
            ("Auf\u{200C}lage", "Auf\u{FFFD}lage"),
            ("می\u{200C} خواهم", "می\u{FFFD} خواهم"),
            ("\u{200C}می", "\u{FFFD}می"),
            ("می\u{200C}a", "می\u{FFFD}a"),
            ("a\u{301}\u{200D}\u{301}", "a\u{301}\u{FFFD}\u{301}"),
            ("µ\u{200C}µ", "µ\u{FFFD}µ"),
            ("\u{301}\u{200D}\u{301}", "\u{301}\u{FFFD}\u{301}"),
        ]);
    }

    #[test]
    fn every_space_is_a_plain_space_and_every_line_end_a_newline() {
        for space in "\u{A0}\u{1680}\u{2000}\u{2003}\u{2009}\u{200A}\u{202F}\u{205F}\u{3000}".chars() {
            assert_eq!(clean(&format!("a{space}b")), "a b");
        }
        cleaned(&[("a\rb", "a\nb"), ("a\r\nb", "a\nb"), ("a\r\r\nb\r", "a\n\nb\n"), ("a\n\rb", "a\n\nb")]);
    }

    #[test]
    fn what_cannot_be_printed_is_shown_as_replaced() {
        cleaned(&[
            ("a\0b", "a\u{FFFD}b"),
            ("a\u{2028}b\u{2029}c", "a\u{FFFD}b\u{FFFD}c"),
            ("\u{FEFF}bom", "\u{FFFD}bom"),
            ("soft\u{AD}hyphen", "soft\u{FFFD}hyphen"),
            ("\u{2066}isolate\u{2069}", "\u{FFFD}isolate\u{FFFD}"),
            ("\u{85}", "\u{FFFD}"),
            ("\u{378}", "\u{FFFD}"),
            ("\u{F0000}", "\u{FFFD}"),
            ("\u{FFFE}", "\u{FFFD}"),
        ]);
    }

    #[test]
    fn tags_stay_only_in_the_flag_of_a_region() {
        let wales = "🏴\u{E0067}\u{E0062}\u{E0077}\u{E006C}\u{E0073}\u{E007F}";
        assert_eq!(clean(wales), wales);
        assert_eq!(clean(&format!("{wales}{wales}!")), format!("{wales}{wales}!"));
        cleaned(&[
            ("a\u{E0067}\u{E007F}", "a\u{FFFD}\u{FFFD}"),
            ("🏴a\u{E0067}", "🏴a\u{FFFD}"),
            ("🏴\u{E007F}\u{E0067}", "🏴\u{E007F}\u{FFFD}"),
            ("🏴\u{E0001}", "🏴\u{FFFD}"),
        ]);
    }

    #[test]
    fn an_emoji_newer_than_our_tables_stays() {
        for newer in ['\u{1FC00}', '\u{1FFFD}', '\u{1F0F7}'] {
            assert_eq!(newer.general_category(), GeneralCategory::Unassigned);
            assert_eq!(clean(&newer.to_string()), newer.to_string());
            let family = format!("{newer}\u{200D}{newer}");
            assert_eq!(clean(&family), family);
        }
        assert_eq!(clean("\u{1FFFE}"), "\u{FFFD}");
    }

    #[test]
    fn pictographic_is_what_the_standard_says() {
        for yes in "©®‼⁉™↔⌚♂☠⚕➡👩🚀🏴🗨".chars() {
            assert!(is_pictographic(yes), "{yes}");
        }
        for no in "a1#*é\u{301}\u{FE0F}\u{200D}\u{1F3FD}🇩ก\u{E33}漢\u{1100}".chars() {
            assert!(!is_pictographic(no), "{no:?}");
        }
    }
}

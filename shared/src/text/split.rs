//! Where a long text is cut: at the best border that still fits, judged within one window at a time, so that the work
//! grows with the text and with nothing else.
use unicode_segmentation::UnicodeSegmentation;

/// How far behind a window its sentence and word borders are looked at: whether "no. | 5" is a border shows only after
/// it. A shorter look costs a worse border, never text.
const LOOK_AHEAD: usize = 32;

/// Cuts a text into pieces of at most `points` code points and at most `units` UTF-16 units, as few as the borders
/// allow. Preferred, within each piece: the last border of paragraphs, else of lines, sentences, words, graphemes.
///
/// Nothing is lost: the pieces, joined, are the text. White space at a border belongs to the piece before it. No piece
/// is empty, and none is blank while white space alone does not fill one; an empty text has none. A grapheme that alone is too long is cut between code points.
#[must_use]
pub fn split(text: &str, points: usize, units: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let fits = fitting(rest, points, units);
        let cut = if fits == rest.len() { fits } else { best_border(rest, fits) };
        let (piece, after) = rest.split_at(cut);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// How many bytes of the text fit; at least one code point's, or the work would have no end.
fn fitting(text: &str, mut points: usize, mut units: usize) -> usize {
    let mut end = 0;
    for c in text.chars() {
        if end > 0 && (points == 0 || units < c.len_utf16()) {
            break;
        }
        points = points.saturating_sub(1);
        units = units.saturating_sub(c.len_utf16());
        end += c.len_utf8();
    }
    end
}

/// The best place to cut at or before `fits`, which lies inside the text.
fn best_border(text: &str, fits: usize) -> usize {
    let window = &text[..after_chars(text, fits, LOOK_AHEAD)];
    // One code point after a border decides whether it is one between graphemes: `window` has it.
    let graphemes: Vec<usize> =
        window.grapheme_indices(true).map(|(at, _)| at).filter(|&at| at > 0).take_while(|&at| at <= fits).collect();
    let Some(&last) = graphemes.last() else { return fits };
    let whole = |at: &usize| graphemes.binary_search(at).is_ok();

    // A border with nothing but white space before it would make a blank piece.
    let said = window.find(|c: char| !c.is_whitespace()).unwrap_or(window.len());
    let (mut paragraph, mut line, mut blank) = (None, None, None);
    let mut newlines = 0;
    for (at, c) in text[..fits].char_indices().skip_while(|&(at, _)| at < said) {
        let end = at + c.len_utf8();
        if !c.is_whitespace() {
            newlines = 0;
            continue;
        }
        newlines += usize::from(c == '\n');
        if !whole(&end) {
            continue;
        }
        // White space after the newlines belongs to their border still.
        blank = Some(end);
        line = if newlines >= 1 { blank } else { line };
        paragraph = if newlines >= 2 { blank } else { paragraph };
    }
    let good = |at: &usize| *at > said && whole(at);
    let sentence =
        || window.split_sentence_bound_indices().map(|(at, _)| at).take_while(|&at| at <= fits).filter(good).last();
    // Where no white space helps (a long URL, a script without spaces), between words as UAX #29 knows them.
    let word = || window.split_word_bound_indices().map(|(at, _)| at).take_while(|&at| at <= fits).filter(good).last();
    paragraph.or(line).or_else(sentence).or(blank).or_else(word).unwrap_or(last)
}

/// The byte offset `count` code points after `from`, or the end.
fn after_chars(text: &str, from: usize, count: usize) -> usize {
    text[from..].char_indices().nth(count).map_or(text.len(), |(at, _)| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, points: usize) -> Vec<&str> {
        split(text, points, usize::MAX)
    }

    #[test]
    fn a_text_that_fits_is_one_piece_and_an_empty_one_is_none() {
        assert_eq!(cut("hello", 5), ["hello"]);
        assert!(cut("", 5).is_empty());
    }

    #[test]
    fn a_paragraph_is_a_better_border_than_a_line_and_so_on_down() {
        assert_eq!(cut("One.\n\nTwo.\nThree. Four five", 22), ["One.\n\n", "Two.\nThree. Four five"]);
        assert_eq!(cut("Two.\nThree. Four five", 15), ["Two.\n", "Three. ", "Four five"].as_slice());
        assert_eq!(cut("Three. Four five", 13), ["Three. ", "Four five"]);
        assert_eq!(cut("four five six", 12), ["four five ", "six"]);
        assert_eq!(cut("abcdefghij", 4), ["abcd", "efgh", "ij"]);
    }

    #[test]
    fn blank_lines_with_spaces_in_them_part_paragraphs_too() {
        assert_eq!(cut("One. A\n \t\n Two. B c d e f g", 20), ["One. A\n \t\n ", "Two. B c d e f g"]);
    }

    #[test]
    fn an_abbreviated_number_is_no_end_of_a_sentence() {
        assert_eq!(cut("It is 3.5 degrees now", 10), ["It is 3.5 ", "degrees ", "now"]);
        assert_eq!(cut("Ask. Come at 8 p.m. tomorrow", 20), ["Ask. ", "Come at 8 p.m. ", "tomorrow"]);
    }

    #[test]
    fn a_script_without_spaces_is_cut_between_words() {
        assert_eq!(cut("今日はカタカナです", 5), ["今日は", "カタカナで", "す"]);
    }

    #[test]
    fn the_limit_in_utf16_units_binds_where_it_is_the_tighter_one() {
        let pieces = split("😀😀😀😀😀", 4, 5);
        assert_eq!(pieces, ["😀😀", "😀😀", "😀"]);
    }

    #[test]
    fn a_grapheme_is_not_cut_while_it_fits() {
        let family = "👨\u{200D}👩\u{200D}👧\u{200D}👦";
        assert_eq!(cut(&format!("ab{family}cd"), 8), ["ab", family, "cd"]);
        // U+0D4E belongs to what follows it, though a word ends after it.
        assert_eq!(cut("aa\u{D4E}!bbb", 3), ["aa", "\u{D4E}!", "bbb"]);
        assert_eq!(cut("🇩🇪🇫🇷🇮🇹", 3), ["🇩🇪", "🇫🇷", "🇮🇹"]);
        assert_eq!(cut("aaa \u{301}bbb", 4), ["aaa", " \u{301}", "bbb"]);
    }

    #[test]
    fn a_grapheme_longer_than_the_limit_is_cut_between_code_points() {
        let zalgo = format!("a{}b", "\u{301}".repeat(9));
        let pieces = cut(&zalgo, 4);
        assert_eq!(pieces.concat(), zalgo);
        assert!(pieces.iter().all(|piece| piece.chars().count() <= 4));
    }

    #[test]
    fn white_space_makes_no_piece_of_its_own_while_it_fits_into_one() {
        assert_eq!(cut("\n\n  one two three", 10), ["\n\n  one ", "two three"]);
        assert_eq!(cut("one\n\n\n\ntwo", 5), ["one\n\n", "\n\ntwo"]);
    }

    #[test]
    fn a_limit_below_one_code_point_still_ends() {
        assert_eq!(split("😀a", 0, 0), ["😀", "a"]);
    }
}

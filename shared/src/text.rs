//! Text that cannot be unclean: its constructor sanitizes. And where a long text is cut.
mod clean;
mod split;

pub use split::split;

/// Clean text: printable code points, newline and tab; never U+0000, CR, or anything that other programs hide in text.
///
/// Cleaning clean text changes nothing, so a text read back from a row is the text that was stored.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Text(String);

impl Text {
    /// Cleans whatever came. CRLF and a lone CR become a newline, every space separator a plain space, what cannot be
    /// printed U+FFFD; joiners, flags of regions and emoji newer than our tables stay where they mean something.
    #[must_use]
    pub fn clean(raw: &str) -> Self {
        Self(clean::clean(raw))
    }

    /// The clean text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing but white space is left.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.0.trim().is_empty()
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

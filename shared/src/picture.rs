//! A picture, and why one is not there. Values: what fetches them is [`crate::fetch`], what takes them a channel.
use bytes::Bytes;
use ring::digest;

/// The formats that chats take; told by the first bytes, never by what somebody says about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// GIF, also moving.
    Gif,
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
}

impl Kind {
    /// So many bytes tell every format.
    pub const TOLD_BY: usize = 8;

    /// The format of a file; `None` where it is none of these.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [0xFF, 0xD8, 0xFF, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(Self::Png),
            _ => None,
        }
    }

    /// As it stands in `Content-Type` and in rows.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Gif => "image/gif",
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }
}

/// A picture whose format is known. A clone shares the bytes. Its `Debug` shows no content.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Its format, by its first bytes.
    pub kind: Kind,
    /// The whole file.
    pub bytes: Bytes,
    /// SHA-256 of the file: what is recorded of it, with its size and type.
    pub sha256: [u8; 32],
}

impl Picture {
    /// The picture that a file is; `None` where it is no gif, jpeg or png.
    #[must_use]
    pub fn of(bytes: Bytes) -> Option<Self> {
        let kind = Kind::of(&bytes)?;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest::digest(&digest::SHA256, &bytes).as_ref());
        Some(Self { kind, bytes, sha256 })
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Picture").field("kind", &self.kind).field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// Why a picture is not there. Its words stand in rows; what people read is made elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Missing {
    /// Its address is one that we do not ask: scheme, port, user info, a forbidden host, a redirect to one of these,
    /// a redirect that leads nowhere, or too many of them.
    Address,
    /// No such name, no connection, no trust in the certificate, or a connection that broke.
    Unreachable,
    /// The time was over.
    Silent,
    /// An HTTP status that is no success.
    Status,
    /// Larger than `[media] max_bytes`, or than the chat's picture service takes.
    TooLarge,
    /// Something else than a gif, jpeg or png.
    NoPicture,
    /// There is no token to upload it with.
    NoToken,
    /// The chat's picture service refuses it.
    Refused,
    /// The chat's picture service did not answer, or says that it cannot now.
    Unavailable,
    /// Who prepared it died too often.
    GaveUp,
}

impl Missing {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::Address,
        Self::Unreachable,
        Self::Silent,
        Self::Status,
        Self::TooLarge,
        Self::NoPicture,
        Self::NoToken,
        Self::Refused,
        Self::Unavailable,
        Self::GaveUp,
    ];

    /// The word in rows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Unreachable => "unreachable",
            Self::Silent => "silent",
            Self::Status => "status",
            Self::TooLarge => "too_large",
            Self::NoPicture => "no_picture",
            Self::NoToken => "no_token",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::GaveUp => "gave_up",
        }
    }

    /// The reason of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|missing| missing.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_format() {
        let told = [
            (&b"GIF87a"[..], Some(Kind::Gif)),
            (b"GIF89a\x01", Some(Kind::Gif)),
            (b"\xff\xd8\xff\xe0", Some(Kind::Jpeg)),
            (b"\x89PNG\r\n\x1a\n", Some(Kind::Png)),
            (b"GIF88a", None),
            (b"\x89PNG\r\n\x1a", None),
            (b"RIFF\0\0\0\0WEBP", None),
            (b"\x1f\x8b\x08", None),
            (b"<svg xmlns=", None),
            (b"", None),
        ];
        for (bytes, kind) in told {
            assert_eq!(Kind::of(bytes), kind, "{bytes:?}");
            assert_eq!(Picture::of(Bytes::from_static(bytes)).map(|picture| picture.kind), kind);
        }
    }

    #[test]
    fn a_picture_is_known_by_its_hash_and_shows_no_content() {
        let picture = Picture::of(Bytes::from_static(b"GIF89a the cat")).unwrap();
        // printf 'GIF89a the cat' | sha256sum
        let hex: String = picture.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "f0a7a68aae9d514f7ddc914393fa664b12026e7d75f9d00e5c7721112f4af769");
        assert_eq!(format!("{picture:?}"), "Picture { kind: Gif, bytes: 14, .. }");
    }

    #[test]
    fn each_reason_is_one_word_that_is_read_back() {
        for missing in Missing::ALL {
            let word = missing.as_str();
            assert!(word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{word}");
            assert_eq!(Missing::parse(word), Some(missing));
        }
        assert_eq!(Missing::parse("shy"), None);
    }
}

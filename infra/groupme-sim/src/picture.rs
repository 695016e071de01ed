//! Pictures: which formats the image service takes, and how large they say they are.

/// A picture that the image service holds.
#[derive(Clone)]
pub(crate) struct Picture {
    /// The last segment of its URL.
    pub(crate) name: String,
    pub(crate) format: Format,
    pub(crate) bytes: axum::body::Bytes,
}

/// What the image service takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Gif,
    Jpeg,
    Png,
}

impl Format {
    /// Told by the first bytes.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [0xFF, 0xD8, 0xFF, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(Self::Png),
            _ => None,
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Gif => "image/gif",
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }

    /// As it stands in the URL.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Gif => "gif",
            Self::Jpeg => "jpeg",
            Self::Png => "png",
        }
    }

    /// Width and height in pixels, which GroupMe puts into the URL; `None` where the file breaks off before.
    pub(crate) fn size(self, bytes: &[u8]) -> Option<(u32, u32)> {
        match self {
            Self::Gif => Some((little(bytes, 6)?, little(bytes, 8)?)),
            Self::Png => {
                let at = |from: usize| Some(u32::from_be_bytes(bytes.get(from..from + 4)?.try_into().ok()?));
                Some((at(16)?, at(20)?))
            }
            Self::Jpeg => jpeg_size(bytes),
        }
    }
}

/// Walks the segments to the frame header: SOF0 to SOF15, without DHT, JPG and DAC, which share their range.
fn jpeg_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        match (*bytes.get(at)?, *bytes.get(at + 1)?) {
            (0xFF, 0xFF) => at += 1,
            (0xFF, 0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF) => {
                return Some((big(bytes, at + 7)?, big(bytes, at + 5)?));
            }
            (0xFF, 0x01 | 0xD0..=0xD8) => at += 2,
            (0xFF, 0xD9 | 0xDA) => return None,
            (0xFF, _) => at += 2 + usize::try_from(big(bytes, at + 2)?).ok()?,
            _ => return None,
        }
    }
}

fn big(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn little(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_known_by_its_first_bytes_and_tells_its_size() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0";
        let gif = b"GIF89a\x0a\x00\x14\x00\x80\0\0";
        let jpeg = b"\xff\xd8\xff\xe0\0\x06JFIF\xff\xff\xc4\0\x04\0\0\xff\xc2\0\x0b\x08\x00\x1e\x00\x28\x01\x01\x11\0";
        for (bytes, format, size) in [
            (png.as_slice(), Format::Png, (640, 480)),
            (gif.as_slice(), Format::Gif, (10, 20)),
            (jpeg.as_slice(), Format::Jpeg, (40, 30)),
        ] {
            assert_eq!(Format::of(bytes), Some(format));
            assert_eq!(format.size(bytes), Some(size));
            for cut in 0..bytes.len() {
                // Whatever is missing, no panic.
                let _ = Format::of(&bytes[..cut]).map(|format| format.size(&bytes[..cut]));
            }
        }
        assert_eq!(Format::of(b"RIFF\0\0\0\0WEBP"), None);
        assert_eq!(Format::of(b"\0\0\0\x18ftypheic"), None);
    }
}

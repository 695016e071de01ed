//! A few small pictures to send: `GET /_sim/samples/:name` is a place that they can be fetched from, as a listener's
//! or a camera's would be. One of them lies with the image service already.

use axum::{
    body::Bytes,
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::picture::{Format, Picture};

const TURNTABLE: &[u8] = include_bytes!("samples/turntable.jpg");

/// Name, media type, content. The last is none that a chat shows: the beginning of a film.
const SAMPLES: [(&str, &str, &[u8]); 4] = [
    ("turntable.jpg", "image/jpeg", TURNTABLE),
    ("tower.png", "image/png", include_bytes!("samples/tower.png")),
    ("on-air.gif", "image/gif", include_bytes!("samples/on-air.gif")),
    ("film.mp4", "video/mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"),
];

/// A picture under `https://i.groupme.com/` that nobody had to upload.
const KEPT: &str = "480x320.jpeg.sample";

/// The picture of that name, if it is the one that is there from the beginning.
pub(crate) fn kept(name: &str) -> Option<Picture> {
    (name == KEPT).then(|| Picture {
        name: name.to_owned(),
        format: Format::Jpeg,
        bytes: Bytes::from_static(TURNTABLE),
    })
}

pub(crate) async fn show(Path(name): Path<String>) -> Response {
    match SAMPLES.iter().find(|(known, ..)| *known == name) {
        Some((_, content_type, bytes)) => {
            ([(header::CONTENT_TYPE, *content_type), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], *bytes)
                .into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sample_is_what_its_type_says() {
        for (name, content_type, bytes) in SAMPLES {
            let format = Format::of(bytes);
            let wanted = (name != "film.mp4").then_some(content_type);
            assert_eq!(format.map(Format::content_type), wanted, "{name}");
            assert!(format.is_none_or(|format| format.size(bytes).is_some()));
        }
        assert!(KEPT.starts_with("480x320.jpeg") && Format::Jpeg.size(TURNTABLE) == Some((480, 320)));
    }
}

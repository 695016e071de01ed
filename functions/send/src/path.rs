//! What stands at which address, and which methods it takes.
use lambda_http::{Request, http::Method};
use percent_encoding::percent_decode_str;

use crate::problem::Problem;

/// What stands at an address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// `/send`
    Send,
    /// `/messages/{uid}`, decoded.
    Message(String),
    /// `/health` and `/`
    Health,
    /// `/stats`
    Stats,
    /// `/v3/bots/post`
    BotsPost,
}

impl Path {
    /// Reads the path of a request; `None` where nothing stands.
    fn of(path: &str) -> Option<Self> {
        match path {
            "/send" => Some(Self::Send),
            "/v3/bots/post" => Some(Self::BotsPost),
            "/" | "" | "/health" => Some(Self::Health),
            "/stats" => Some(Self::Stats),
            // A uid may hold a slash, escaped or not.
            _ => {
                let uid = path.strip_prefix("/messages/").filter(|uid| !uid.is_empty())?;
                Some(Self::Message(percent_decode_str(uid).decode_utf8_lossy().into_owned()))
            }
        }
    }

    /// What stands at the address of a request.
    ///
    /// # Errors
    /// 404 where nothing stands, 405 for a method that the address does not take.
    pub(crate) fn of_request(request: &Request) -> Result<Self, Problem> {
        let path = Self::of(request.uri().path()).ok_or_else(Problem::unknown_path)?;
        path.check(request.method()).map(|()| path)
    }

    /// # Errors
    /// 405 for a method that this address does not take.
    fn check(&self, method: &Method) -> Result<(), Problem> {
        let (taken, allow) = match self {
            Self::Send | Self::BotsPost => (*method == Method::POST, "POST"),
            Self::Message(_) | Self::Health | Self::Stats => {
                ([Method::GET, Method::HEAD].contains(method), "GET, HEAD")
            }
        };
        if taken { Ok(()) } else { Err(Problem::wrong_method(allow)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_known_and_no_other() {
        let message = |uid: &str| Some(Path::Message(uid.to_owned()));
        for (path, want) in [
            ("/send", Some(Path::Send)),
            ("/v3/bots/post", Some(Path::BotsPost)),
            ("/v3/bots/post/", None),
            ("/v3/bots", None),
            ("/bots/post", None),
            ("/", Some(Path::Health)),
            ("", Some(Path::Health)),
            ("/health", Some(Path::Health)),
            ("/stats", Some(Path::Stats)),
            ("/stats/", None),
            ("/messages/0b5c3c6e", message("0b5c3c6e")),
            ("/messages/a%2Fb%25", message("a/b%")),
            ("/messages/a/b", message("a/b")),
            ("/messages/", None),
            ("/messages", None),
            ("/send/", None),
            ("/Send", None),
            ("/sender", None),
        ] {
            assert_eq!(Path::of(path), want, "{path}");
        }
    }

    #[test]
    fn an_address_takes_only_its_own_methods() {
        for (path, taken) in [
            ("/send", vec!["POST"]),
            ("/v3/bots/post", vec!["POST"]),
            ("/health", vec!["GET", "HEAD"]),
            ("/stats", vec!["GET", "HEAD"]),
            ("/messages/7", vec!["GET", "HEAD"]),
        ] {
            for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
                let checked = Path::of(path).unwrap().check(&Method::from_bytes(method.as_bytes()).unwrap());
                assert_eq!(checked.is_ok(), taken.contains(&method), "{method} {path}");
                if let Err(problem) = checked {
                    let response = problem.into_response();
                    assert_eq!(
                        (response.status().as_u16(), response.headers()["allow"].to_str().unwrap()),
                        (405, &*taken.join(", "))
                    );
                }
            }
        }
    }
}

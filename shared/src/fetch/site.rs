//! A host that `[media] allow` opens.
use reqwest::Url;

/// An exact host, and its port where it is not the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    host: String,
    port: Option<u16>,
}

impl Site {
    /// Reads `host` or `host:port`; an IPv6 address stands in brackets. `None` where it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let stray = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '\\' | '@' | '?' | '#' | '*');
        if text.contains(stray) || text.ends_with(':') {
            return None;
        }
        // A URL does not tell a port that is its scheme's own, so both schemes are asked.
        let [http, https] = ["http", "https"].map(|scheme| Url::parse(&format!("{scheme}://{text}/")).ok());
        let (http, https) = (http?, https?);
        Some(Self { host: http.host_str()?.to_owned(), port: http.port().or(https.port()) })
    }

    /// Whether a URL leads to it.
    pub(super) fn is_of(&self, url: &Url) -> bool {
        let port_fits = match self.port {
            Some(port) => url.port_or_known_default() == Some(port),
            None => url.port().is_none(),
        };
        port_fits && url.host_str() == Some(&self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_one_host_at_one_port() {
        let is_of = |site: &str, url: &str| Site::parse(site).unwrap().is_of(&Url::parse(url).unwrap());
        for (site, url, fits) in [
            ("127.0.0.1:8081", "http://127.0.0.1:8081/a.gif", true),
            ("127.0.0.1:8081", "https://127.0.0.1:8081/a.gif", true),
            ("127.0.0.1:8081", "http://127.0.0.1:8082/a.gif", false),
            ("127.0.0.1:8081", "http://127.0.0.1/a.gif", false),
            ("127.0.0.1:8081", "http://127.0.0.2:8081/a.gif", false),
            ("127.0.0.1:8081", "http://localhost:8081/a.gif", false),
            ("Pictures.Example.org", "https://pictures.example.org/", true),
            ("pictures.example.org", "http://pictures.example.org/", true),
            ("pictures.example.org", "https://pictures.example.org:8443/", false),
            ("pictures.example.org", "https://pictures.example.org./", false),
            ("pictures.example.org", "https://more.pictures.example.org/", false),
            ("pictures.example.org:80", "http://pictures.example.org/", true),
            ("pictures.example.org:80", "https://pictures.example.org/", false),
            ("pictures.example.org:443", "https://pictures.example.org/", true),
            ("pictures.example.org:443", "http://pictures.example.org/", false),
            ("[::1]:8081", "http://[0:0::1]:8081/", true),
        ] {
            assert_eq!(is_of(site, url), fits, "{site} {url}");
        }
    }

    #[test]
    fn what_is_no_exact_host_opens_nothing() {
        for text in
            ["", ":8081", "h:", "h:port", "h:99999", "u@h", "https://h", "h/path", "*.h", "h?", "h#", "a b", "::1"]
        {
            assert_eq!(Site::parse(text), None, "{text:?}");
        }
    }
}

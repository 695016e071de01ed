//! The text of an error for a log, with its causes, and without what drivers quote in theirs.
use std::error::Error;

/// An error and its causes, joined by `: `.
///
/// Of a database error only its SQLSTATE and the names of things are told (its message and detail quote values), of an
/// HTTP error the address is left out (it may hold a token), of a JSON error only where in the text it is.
#[must_use]
pub fn describe(error: &(dyn Error + 'static)) -> String {
    let causes: Vec<_> = std::iter::successors(Some(error), |&error| cause(error)).collect();
    // From the innermost out: many errors repeat their cause in their own text, and what it quotes with it.
    let mut told = String::new();
    let mut known: Vec<(String, String)> = Vec::new();
    for error in causes.into_iter().rev() {
        let mut text = one(error);
        for (raw, discreet) in known.iter().rev().filter(|(raw, discreet)| !raw.is_empty() && raw != discreet) {
            text = text.replace(raw, discreet);
        }
        known.push((error.to_string(), text.clone()));
        told = if told.is_empty() || text.contains(&told) { text } else { format!("{text}: {told}") };
    }
    told
}

/// The cause of an error. An I/O error shows what it is made of as itself, and would hide its type.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn one(error: &(dyn Error + 'static)) -> String {
    if let Some(error) = error.downcast_ref::<tokio_postgres::error::DbError>() {
        let names = [("table", error.table()), ("column", error.column()), ("constraint", error.constraint())];
        let names = names.iter().filter_map(|(what, name)| name.map(|name| format!(", {what} {name}")));
        return format!("SQLSTATE {}{}", error.code().code(), names.collect::<String>());
    }
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        let text = error.to_string();
        return error.url().map_or(text.clone(), |url| text.replace(url.as_str(), "…"));
    }
    if let Some(error) = error.downcast_ref::<serde_json::Error>() {
        return format!("JSON: {:?} at line {} column {}", error.classify(), error.line(), error.column());
    }
    error.to_string()
}

//! Rules of the house that a reader would otherwise have to remember.
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Every Rust file of ours, with its text.
pub fn sources() -> Vec<(PathBuf, String)> {
    let root = root();
    let mut folders: Vec<PathBuf> = ["shared", "functions", "infra", "tests"].iter().map(|f| root.join(f)).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && name != "examples" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(found.len() > 100, "only {} files were found", found.len());
    found
}

#[test]
fn every_event_is_used_by_a_test_or_shown_in_the_readme() {
    let root = root();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let sources = sources();
    let mut events = 0;
    for entry in fs::read_dir(root.join("events")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let quoted = [format!("\"{name}\""), format!("{name}.json")];
        let used = |text: &str| quoted.iter().any(|name| text.contains(name.as_str()));
        assert!(used(&readme) || sources.iter().any(|(_, text)| used(text)), "nobody uses events/{name}.json");
        events += 1;
    }
    assert!(events > 30, "only {events} events were found");
}

#[test]
fn a_file_opens_with_what_it_is_for_and_is_no_longer_than_one_can_read() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{} does not say what it is for", path.display());
        let lines = text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines", path.display());
    }
}

#[test]
fn a_function_is_thin() {
    let mut functions = 0;
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("functions")) {
        if ["lib.rs", "main.rs"].iter().any(|name| path.ends_with(name)) {
            let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
            assert!(lines <= 60, "{} has {lines} lines", path.display());
            functions += 1;
        }
    }
    assert_eq!(functions, 10, "five functions of two files each");
}

/// A file that no `mod` names is never compiled, and nothing tells so.
#[test]
fn every_file_is_compiled() {
    let sources = sources();
    for (path, _) in &sources {
        let (folder, name) = (path.parent().unwrap(), path.file_stem().unwrap().to_string_lossy());
        let is_root = ["lib", "main", "build"].contains(&name.as_ref()) || folder.ends_with("tests");
        let parents = [folder.join("lib.rs"), folder.join("main.rs"), folder.with_extension("rs")];
        let named = |text: &str| text.lines().any(|line| line.trim_start().ends_with(&format!("mod {name};")));
        let is_named = sources.iter().any(|(parent, text)| parents.contains(parent) && named(text));
        assert!(is_root || is_named, "no `mod` names {}", path.display());
    }
}

/// Statements that are listed are looked at by the test of plans; one that is written in a call is not.
#[test]
fn every_statement_of_the_store_is_listed() {
    let begins = |sql: &str| {
        let word = sql.split_whitespace().next().unwrap_or("").to_lowercase();
        ["with", "select", "insert", "update", "delete"].contains(&word.as_str())
    };
    let mut statements = 0;
    // Migrations run once, and read no table of ours.
    let steady = |path: &Path| path.starts_with("shared/src/store") && !path.ends_with("migrate.rs");
    for (path, text) in sources().into_iter().filter(|(path, _)| steady(path)) {
        let listed = text.split_once("STATEMENTS: &[Statement]").map_or("", |(_, rest)| rest);
        let listed = listed.split_once(';').map_or("", |(list, _)| list);
        // Every string that begins as a statement does must be the text of a constant that is listed.
        for (at, _) in text.match_indices('"').filter(|(at, _)| begins(&text[at + 1..])) {
            let before = text[..at].trim_end();
            let constant = before.strip_suffix('=').and_then(|before| before.trim_end().strip_suffix(": &str"));
            let name = constant.and_then(|before| before.rsplit(' ').next()).unwrap_or("a text in a call");
            assert!(listed.contains(&format!(", {name})")), "{}: {name} is not in STATEMENTS", path.display());
            statements += 1;
        }
    }
    assert_eq!(statements, talkback::store::statements().len());
}

/// The attacks of a file: name and path of the test, as `cargo xtask chaos` needs them.
fn attacks(path: &Path, text: &str) -> Vec<(String, String)> {
    let module =
        path.with_extension("").iter().skip(2).map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("::");
    let call = |at: usize| text[at..].trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
    let test = |at: usize| text[..at].rsplit_once("\nasync fn ").and_then(|(_, rest)| rest.split('(').next());
    text.match_indices(" attack(")
        .filter_map(|(at, word)| Some((call(at + word.len())?.to_owned(), format!("{module}::{}", test(at)?))))
        .collect()
}

/// An attack that `cargo xtask chaos` does not know is never told with more than its few seeds.
#[test]
fn every_attack_is_in_the_table_of_chaos() {
    let mut written: Vec<(String, String)> = sources()
        .iter()
        .filter(|(path, _)| path.starts_with("tests/stories"))
        .flat_map(|(p, t)| attacks(p, t))
        .collect();
    let mut listed: Vec<(String, String)> =
        xtask::chaos::ATTACKS.iter().map(|attack| (attack.name.to_owned(), attack.test.to_owned())).collect();
    written.sort();
    listed.sort();
    assert_eq!(written, listed, "left: the calls of `attack`; right: infra/xtask/src/chaos/attacks.rs");
}

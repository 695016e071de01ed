//! Everything in `events/`, and the corpus that lies beside the fuzzers: their first inputs, and whatever was found once.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use talkback_properties::{TARGETS, target};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files of a folder, by name.
fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path))
        .collect();
    files.sort();
    files
}

#[test]
fn every_property_holds_of_its_corpus() {
    for target in TARGETS {
        let corpus = files(&root().join("fuzz/corpus").join(target.name));
        assert!(corpus.len() >= 10, "the corpus of {} has {} files", target.name, corpus.len());
        for (name, path) in corpus {
            // A panic says what does not hold, and this of which file.
            println!("{}/{name}", target.name);
            (target.holds)(&fs::read(path).unwrap());
        }
    }
}

#[test]
fn every_property_holds_of_all_that_can_arrive() {
    let mut asked = 0;
    for (name, path) in files(&root().join("events")) {
        println!("events/{name}");
        let bytes = fs::read(path).unwrap();
        let event: Value = serde_json::from_slice(&bytes).unwrap();
        (target("json").holds)(&bytes);
        (target("event").holds)(&bytes);
        (target("http").holds)(&bytes);
        if let Some(body) = event["body"].as_str().filter(|_| event.get("requestContext").is_some()) {
            (target("callback").holds)(body.as_bytes());
        }
        if let Some(key) = event["key"].as_str() {
            let body = event["body"].as_str().map_or_else(|| event["body"].to_string(), str::to_owned);
            let sent = if event["headers"]["alreadysent"] == true { "!" } else { "" };
            (target("source").holds)(format!("{sent}{key}\n{body}").as_bytes());
            (target("callback").holds)(body.as_bytes());
            (target("text").holds)(format!("\u{20}\u{40}{body}").as_bytes());
            asked += 1;
        }
    }
    assert!(asked > 30, "only {asked} payloads");
}

/// A fuzzer that nobody names is never built, and a property without a fuzzer is never attacked.
#[test]
fn every_property_has_its_fuzzer_and_its_corpus() {
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let found = |folder: &str| files(&root().join("fuzz").join(folder)).into_iter().map(|(name, _)| name).collect();
    let (fuzzers, corpora): (BTreeSet<String>, BTreeSet<String>) = (found("fuzz_targets"), found("corpus"));
    assert_eq!(fuzzers, names);
    assert_eq!(corpora, names);
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml does not name {name}");
        let fuzzer = fs::read_to_string(root().join(format!("fuzz/fuzz_targets/{name}.rs"))).unwrap();
        assert!(fuzzer.contains(&format!("target(\"{name}\")")), "the fuzzer {name} asks another property");
    }
}

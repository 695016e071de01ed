//! What runs Talkback without AWS, read by the programs that read it there: compose file, systemd units, reverse proxy.
use std::fs;
use std::path::{Path, PathBuf};

mod compose;
mod proxy;
mod systemd;

/// A file of `infra/`.
fn infra(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(infra(name)).unwrap()
}

/// The settings of `infra/host.env.example`, in its order.
fn example() -> Vec<(String, String)> {
    let text = text("host.env.example");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once('=').expect(line))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

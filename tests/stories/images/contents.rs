//! What an image holds and says of itself.
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use xtask::images::{IMAGES, Revision, VERSION};

use super::built;

/// The limit.
const LARGEST: u64 = 12_000_000;

#[test]
fn every_function_has_an_image_and_so_has_the_host() {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions").read_dir().unwrap();
    let mut programs: Vec<String> = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    programs.push("talkback-host".to_owned());
    programs.sort();
    let mut packed = IMAGES.map(|image| image.program.to_owned()).to_vec();
    packed.sort();
    assert_eq!(packed, programs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_holds_a_program_and_roots_and_runs_as_nobody() {
    let tool = built().await;
    let revision = Revision::of_checkout();
    for image in IMAGES {
        let container = tool.container(&image, &format!("talkback-contents-{}-{}", std::process::id(), image.name));
        let container = container.unwrap();
        let config = &container.config;
        assert_eq!(container.files().unwrap(), ["/etc/ssl/certs/ca-certificates.crt", "/talkback"], "{}", image.name);
        assert_eq!((config.user.as_str(), &*config.entrypoint), ("65532:65532", &["/talkback".to_owned()][..]));
        assert!(config.size < LARGEST, "{} has {} bytes", image.tag(), config.size);
        assert!(config.size > 1_000_000, "{} has {} bytes: what was measured?", image.tag(), config.size);

        let listens = config.environment.iter().any(|set| set == "TALKBACK_LISTEN=0.0.0.0:8080");
        assert_eq!(listens, image.name == "host", "{}: {:?}", image.name, config.environment);

        let label = |name: &str| {
            let name = format!("org.opencontainers.image.{name}");
            config.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| value.as_str())
        };
        assert_eq!(label("title"), Some(&*format!("talkback-{}", image.name)));
        assert_eq!(label("version"), Some(VERSION));
        assert_eq!(label("revision"), Some(&*revision.name));
        assert_eq!(label("licenses"), Some(env!("CARGO_PKG_LICENSE")));
        assert_eq!(label("source"), revision.source.as_deref());
        assert!(label("description").is_some_and(|text| text.contains("Talkback")));
        assert_eq!(label("created"), None, "the same sources make the same image");

        // Whoever breaks into the program cannot change it, whatever lets it write.
        if let Some(root) = container.root().unwrap() {
            for file in ["talkback", "etc/ssl/certs/ca-certificates.crt", "etc/ssl/certs", "."] {
                let meta = root.join(file).metadata().unwrap();
                assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o022), (0, 0, 0), "{file} of {}", image.name);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_sources_make_the_same_image() {
    let tool = built().await;
    // Docker writes the time of the build into layers, except with an exporter of its own.
    if tool.name() == "docker" {
        return;
    }
    let digests = || IMAGES.map(|image| tool.inspect(&image).unwrap().digest);
    let before = digests();
    tokio::task::spawn_blocking(|| xtask::images::build().unwrap()).await.unwrap();
    assert_eq!(digests(), before);
}

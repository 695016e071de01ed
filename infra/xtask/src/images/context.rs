//! What a build of images is given: the programs and the CA roots in a folder of their own, and the revision they are of.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::IMAGES;
use crate::{checkout, programs};

/// Makes the folder anew: what an image may copy, each file in the mode it is to have.
pub(super) fn make(programs: &Path) -> Result<PathBuf> {
    let folder = checkout::target().join("images/context");
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let put = |name: &str, text: &[u8], mode: u32| {
        let file = folder.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))
            .with_context(|| format!("cannot set the mode of {}", file.display()))
    };
    for image in IMAGES {
        let program = programs.join(image.program);
        let text = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
        put(image.program, &text, 0o755)?;
    }
    put("ca-certificates.crt", roots().as_bytes(), 0o644)?;
    let containerfile = checkout::root().join("infra/Containerfile");
    let text = fs::read(&containerfile).with_context(|| format!("cannot read {}", containerfile.display()))?;
    // Named so for docker, which looks for no other; podman and buildah take it, too.
    put("Dockerfile", &text, 0o644)?;
    Ok(folder)
}

/// Mozilla's roots as PEM, by Cargo.lock the same for everybody. This machine's own list may hold roots of its own, of a
/// proxy that reads its traffic, say: they have no business in an image.
fn roots() -> String {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|root| pem(root)).collect()
}

fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    let lines: String =
        text.as_bytes().chunks(64).flat_map(|line| line.iter().copied().chain([b'\n'])).map(char::from).collect();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}

/// Which state of the sources an image is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The commit, with `-dirty` behind it where files differ from it; `unknown` where this is no checkout of git.
    pub name: String,
    /// When it was committed, in seconds since 1970: what tools write as the time of an image and its files.
    pub seconds: u64,
    /// Where the sources are to be had, if everybody can have them there.
    pub source: Option<String>,
}

impl Revision {
    /// The revision of this checkout.
    #[must_use]
    pub fn of_checkout() -> Self {
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            programs::output(command.current_dir(checkout::root()).args(arguments)).map(|said| said.trim().to_owned())
        };
        let Ok(commit) = git(&["rev-parse", "HEAD"]) else {
            return Self { name: "unknown".to_owned(), seconds: 0, source: None };
        };
        let clean = git(&["status", "--porcelain"]).is_ok_and(|said| said.is_empty());
        let seconds = git(&["show", "--no-patch", "--format=%ct", "HEAD"]).ok().and_then(|said| said.parse().ok());
        let source = git(&["remote", "get-url", "origin"]).ok().and_then(|url| public(&url));
        Self { name: if clean { commit } else { format!("{commit}-dirty") }, seconds: seconds.unwrap_or(0), source }
    }
}

/// An address that may be told: of the web, without the password that may stand in it.
fn public(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://")?;
    let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
    Some(format!("https://{}", rest.trim_end_matches(".git")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_sources_is_told_without_its_password() {
        let told =
            ["https://me:secret@host.example/radio/talkback.git", "https://host.example/radio/talkback"].map(public);
        assert_eq!(told, [Some("https://host.example/radio/talkback".to_owned()), told[0].clone()]);
        assert_eq!(["/srv/talkback", "git@host.example:radio/talkback"].map(public), [None, None]);
    }

    #[test]
    fn the_roots_are_pem_of_what_they_were() {
        let text = roots();
        let blocks: Vec<String> = text
            .split("-----BEGIN CERTIFICATE-----\n")
            .skip(1)
            .map(|block| block.split_once("-----END").unwrap().0.replace('\n', ""))
            .collect();
        let read: Vec<Vec<u8>> = blocks.iter().map(|block| STANDARD.decode(block).unwrap()).collect();
        assert!(read.len() > 100, "only {} roots", read.len());
        assert!(read.iter().zip(webpki_root_certs::TLS_SERVER_ROOT_CERTS).all(|(read, root)| read == root.as_ref()));
        assert!(text.lines().all(|line| line.len() <= 64));
    }
}

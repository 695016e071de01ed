//! What builds images and runs what is in them: docker, podman or buildah. The first two are the same to us; buildah has
//! no daemon, and runs a program in the image's files itself.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;
use serde_json::Value;

use super::{Image, Revision, VERSION};
use crate::{accounts, checkout, install, programs};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Docker,
    Podman,
    Buildah,
}

/// The tool of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    kind: Kind,
    program: PathBuf,
}

/// What an image says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The account its program runs as.
    pub user: String,
    /// Its program.
    pub entrypoint: Vec<String>,
    /// Its environment, `NAME=value`.
    pub environment: Vec<String>,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// What all its layers hold, in bytes.
    pub size: u64,
    /// What it is told from all others by.
    pub digest: String,
}

impl Tool {
    /// Docker, podman or buildah, the first that works here; if none does, buildah is installed.
    ///
    /// # Errors
    /// If there is none and it cannot be installed.
    pub fn find() -> Result<Tool> {
        for (kind, name) in [(Kind::Docker, "docker"), (Kind::Podman, "podman"), (Kind::Buildah, "buildah")] {
            let Some(program) = programs::find(name) else { continue };
            let tool = Tool { kind, program };
            // A docker without a daemon is none.
            if programs::succeeds(tool.command().arg("info")) {
                return Ok(tool);
            }
        }
        Ok(Tool { kind: Kind::Buildah, program: install::buildah()? })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Docker => "docker",
            Kind::Podman => "podman",
            Kind::Buildah => "buildah",
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if self.kind == Kind::Buildah && geteuid().is_root() {
            // Overlays need a kernel that lets us; copies of ten megabytes do not.
            command.args(["--storage-driver", "vfs"]);
        }
        command
    }

    /// Without namespaces of its own, which a machine that is a container itself does not give.
    fn isolation(&self) -> &'static [&'static str] {
        if self.kind == Kind::Buildah { &["--isolation", "chroot"] } else { &[] }
    }

    /// Builds an image from this folder.
    pub(super) fn build(&self, image: &Image, folder: &Path, revision: &Revision) -> Result<()> {
        let mut command = self.command();
        command.arg("build").args(self.isolation()).args(["--target", image.stage, "--tag", &image.tag()]);
        let told = [
            ("PROGRAM", image.program),
            ("TITLE", &image.title()),
            ("VERSION", VERSION),
            ("REVISION", &revision.name),
            ("LICENSES", env!("CARGO_PKG_LICENSE")),
        ];
        for (name, value) in told {
            command.args(["--build-arg", &format!("{name}={value}")]);
        }
        let time = revision.seconds.to_string();
        match self.kind {
            Kind::Docker => command.args(["--build-arg", &format!("SOURCE_DATE_EPOCH={time}")]),
            Kind::Podman | Kind::Buildah => command.args(["--timestamp", &time]),
        };
        if let Some(source) = &revision.source {
            command.args(["--label", &format!("org.opencontainers.image.source={source}")]);
        }
        let before = self.inspect(image).map(|config| config.digest).ok();
        programs::output(command.args(["--file".as_ref(), folder.join("Dockerfile").as_os_str()]).arg(folder))?;
        // The one whose name this has taken is of no further use; a container may still hold it.
        if let Some(before) = before.filter(|before| self.inspect(image).is_ok_and(|now| now.digest != *before)) {
            drop(programs::output(self.command().args(["rmi", &before])));
        }
        Ok(())
    }

    /// What an image says of itself.
    ///
    /// # Errors
    /// If there is no such image.
    pub fn inspect(&self, image: &Image) -> Result<Config> {
        let tag = image.tag();
        let arguments = match self.kind {
            Kind::Buildah => ["inspect", "--type", "image", &tag],
            Kind::Docker | Kind::Podman => ["image", "inspect", "--format", "json"],
        };
        let mut command = self.command();
        command.args(arguments);
        if self.kind != Kind::Buildah {
            command.arg(&tag);
        }
        let said: Value = serde_json::from_str(&programs::output(&mut command)?).context("inspect says no JSON")?;
        let (config, digest, size) = if self.kind == Kind::Buildah {
            let manifest: Value =
                serde_json::from_str(said["Manifest"].as_str().context("an image without a manifest")?)?;
            let layers = manifest["layers"].as_array().context("a manifest without layers")?;
            let size = layers.iter().filter_map(|layer| layer["size"].as_u64()).sum();
            (said["OCIv1"]["config"].clone(), said["FromImageID"].clone(), size)
        } else {
            let image = &said[0];
            (image["Config"].clone(), image["Id"].clone(), image["Size"].as_u64().unwrap_or(0))
        };
        let words = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(|word| Some(word.as_str()?.to_owned())).collect()
        };
        let labels = config["Labels"].as_object().into_iter().flatten();
        Ok(Config {
            user: config["User"].as_str().unwrap_or_default().to_owned(),
            entrypoint: words(&config["Entrypoint"]),
            environment: words(&config["Env"]),
            labels: labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect(),
            size,
            digest: digest.as_str().unwrap_or_default().to_owned(),
        })
    }

    /// Makes a container of an image; nothing runs in it yet.
    ///
    /// # Errors
    /// If there is no such image.
    pub fn container(&self, image: &Image, name: &str) -> Result<Container> {
        let config = self.inspect(image)?;
        if config.entrypoint.is_empty() {
            bail!("{} has no program to start", image.tag());
        }
        if self.kind == Kind::Buildah {
            // One of that name was left by a run that was killed.
            drop(programs::output(self.command().args(["rm", name])));
            programs::output(self.command().args(["from", "--pull-never", "--name", name, &image.tag()]))?;
        }
        Ok(Container { tool: self.clone(), name: name.to_owned(), tag: image.tag(), config })
    }
}

/// An image's files, and how its program is run in them. It is removed when this is dropped.
#[derive(Debug)]
pub struct Container {
    tool: Tool,
    name: String,
    tag: String,
    /// What the image says of itself.
    pub config: Config,
}

impl Container {
    /// A command that runs the image's program as the image has it, with this environment beside the image's own, on
    /// the network of this machine. It is sent SIGTERM when we die; SIGTERM ends what runs, with buildah at once.
    ///
    /// # Errors
    /// If this machine has no `setpriv` and cannot do without.
    pub fn command(&self, environment: &BTreeMap<String, String>, arguments: &[&str]) -> Result<Command> {
        let mut command = self.tool.command();
        command.arg("run").args(self.tool.isolation());
        if self.tool.kind == Kind::Buildah {
            command.args(["--cap-drop", "all"]);
        } else {
            command.args(["--rm", "--name", &self.name, "--network", "host", "--read-only"]);
            command.args(["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]);
        }
        // Seen by whoever may list processes: buildah 1.28 takes no values from its own environment. For tests and measurements.
        for (name, value) in environment {
            command.args(["--env", &format!("{name}={value}")]);
        }
        if self.tool.kind == Kind::Buildah {
            // It has no entrypoints: they are for those who run containers, and buildah builds them.
            command.args([&self.name, "--"]).args(&self.config.entrypoint);
        } else {
            command.arg(&self.tag);
        }
        let mut dying = accounts::command(&self.tool.program, None, &checkout::root(), "TERM")?;
        dying.args(command.get_args()).args(arguments);
        Ok(dying)
    }

    /// Where the image's files lie, where that can be told.
    ///
    /// # Errors
    /// If they cannot be made seen.
    pub fn root(&self) -> Result<Option<PathBuf>> {
        if self.tool.kind != Kind::Buildah {
            return Ok(None);
        }
        let said = programs::output(self.tool.command().args(["mount", &self.name]))?;
        Ok(Some(PathBuf::from(said.trim())))
    }

    /// Every file of the image, sorted.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn files(&self) -> Result<Vec<String>> {
        let mut files = match self.root()? {
            Some(root) => listed(&root)?,
            None => self.exported()?,
        };
        files.sort();
        Ok(files)
    }

    /// What docker and podman put into every container is not the image's.
    fn exported(&self) -> Result<Vec<String>> {
        let own =
            ["dev/", "proc/", "sys/", "run/", ".dockerenv", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf"];
        let tar = std::env::temp_dir().join(format!("{}.tar", self.name));
        let name = format!("{}-files", self.name);
        programs::output(self.tool.command().args(["create", "--name", &name, &self.tag]))?;
        let exported = programs::output(self.tool.command().args(["export", "--output"]).arg(&tar).arg(&name));
        drop(programs::output(self.tool.command().args(["rm", &name])));
        let text = exported.and_then(|_| programs::output(Command::new("tar").arg("-tf").arg(&tar)));
        drop(fs::remove_file(&tar));
        let text = text?;
        let files = text.lines().filter(|file| !file.ends_with('/') && !own.iter().any(|own| file.starts_with(own)));
        Ok(files.map(|file| format!("/{file}")).collect())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let word: &[&str] = if self.tool.kind == Kind::Buildah { &["rm"] } else { &["rm", "--force"] };
        drop(programs::output(self.tool.command().args(word).arg(&self.name)));
    }
}

/// Every file below this folder that is no folder itself.
fn listed(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(format!("/{}", entry.path().strip_prefix(root)?.display()));
            }
        }
    }
    Ok(files)
}

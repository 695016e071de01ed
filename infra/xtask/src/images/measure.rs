//! How long it takes until the program of an image is ready: a function, when it asks for its first event; the host, when
//! it says that it is. Lambda is a socket here that hears the question for an event and never answers.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{Container, IMAGES, Image, Tool};
use crate::{checkout, http, install, key, ports, programs, progress::step, secrets, testbed::Servers};

type Environment = BTreeMap<String, String>;

/// Makes the command that is to be started.
type Make<'a> = &'a dyn Fn(&Environment) -> Result<Command>;

/// How often each is started; the median is told.
const ROUNDS: usize = 5;

/// The longest that a start may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The medians of one image, in milliseconds.
pub(super) struct Start {
    pub(super) image: Image,
    /// From the start of its program in the image's files; `None` where the tool shows us no files.
    pub(super) program: Option<f64>,
    /// From the start of the tool that starts it.
    pub(super) container: f64,
}

/// Starts every image again and again.
pub(super) fn starts(tool: &Tool) -> Result<Vec<Start>> {
    let dir = checkout::target().join("images/servers");
    checkout::make(&dir)?;
    install::servers()?;
    // The host is ready when a message would be stored; the functions connect with nobody before their first event.
    let servers = Servers::start(&dir)?;
    let environment = environment(&servers)?;
    IMAGES.iter().map(|image| step(&format!("start {}", image.title()), || start(tool, image, &environment))).collect()
}

fn start(tool: &Tool, image: &Image, environment: &Environment) -> Result<Start> {
    let container = tool.container(image, &format!("{}-measured", image.title()))?;
    let is_host = image.stage == "host";
    if is_host {
        programs::output(&mut container.command(environment, &["migrate"])?)?;
    }
    let root = container.root()?;
    if let Some(root) = &root {
        give_randomness(root)?;
    }
    let ready: fn(&mut Environment, Make<'_>) -> Result<f64> = if is_host { host_is_ready } else { function_is_ready };
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    // The first has read the files from the disk.
    for round in 0..=ROUNDS {
        let mut told = environment.clone();
        told.insert("AWS_LAMBDA_FUNCTION_NAME".to_owned(), image.name.to_owned());
        let took = ready(&mut told, &|told| container.command(told, &[]))?;
        let alone = match &root {
            Some(root) => Some(ready(&mut told, &|told| alone(&container, root, told))?),
            None => None,
        };
        if round > 0 {
            outside.push(took);
            inside.extend(alone);
        }
    }
    Ok(Start { image: *image, program: median(inside), container: median(outside).context("nothing was measured")? })
}

/// The devices that a static program has need of: it finds no libc in which it could look for the system call.
fn give_randomness(root: &Path) -> Result<()> {
    fs::create_dir_all(root.join("dev")).context("cannot make a folder in the container")?;
    let mknod = programs::find("mknod").context("no `mknod`")?;
    for (name, number) in [("random", "8"), ("urandom", "9")] {
        let device = root.join("dev").join(name);
        programs::output(Command::new(&mknod).args(["-m", "666"]).arg(device).args(["c", "1", number]))?;
    }
    Ok(())
}

/// The image's program as its user, with its files as the whole world, and nothing between us and it.
fn alone(container: &Container, root: &Path, environment: &Environment) -> Result<Command> {
    let chroot = programs::find("chroot").context("no `chroot`")?;
    let mut command = Command::new(chroot);
    command.arg(format!("--userspec={}", container.config.user)).arg(root).args(&container.config.entrypoint);
    command.env_clear().envs(environment);
    Ok(command)
}

/// The milliseconds until what is started has asked for an event.
fn function_is_ready(told: &mut Environment, make: Make<'_>) -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port on 127.0.0.1")?;
    told.insert("AWS_LAMBDA_RUNTIME_API".to_owned(), listener.local_addr()?.to_string());
    let (heard, hear) = mpsc::channel();
    thread::spawn(move || {
        let Ok((mut asking, _)) = listener.accept() else { return };
        let mut words = [0; 64];
        let next = b"GET /2018-06-01/runtime/invocation/next";
        if asking.read(&mut words).is_ok_and(|count| words[..count].starts_with(next)) {
            let _ = heard.send(Instant::now());
        }
        // Held open until the program ends.
        drop(asking.read(&mut words));
    });
    took(make(told)?, || hear.recv_timeout(PATIENCE).context("it did not ask for an event"))
}

/// The milliseconds until what is started says that a message sent now would be stored.
fn host_is_ready(told: &mut Environment, make: Make<'_>) -> Result<f64> {
    let address = format!("127.0.0.1:{}", ports::free()?);
    told.insert("TALKBACK_LISTEN".to_owned(), address.clone());
    let deadline = Instant::now() + PATIENCE;
    took(make(told)?, || {
        while !http::get(&format!("http://{address}/readyz"), PATIENCE).is_ok_and(|answer| answer.status == 200) {
            if Instant::now() > deadline {
                bail!("it did not become ready");
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(Instant::now())
    })
}

/// Starts a command, and ends it once it is ready; the milliseconds between.
fn took(mut command: Command, ready: impl FnOnce() -> Result<Instant>) -> Result<f64> {
    let log = checkout::target().join("images/measured.log");
    let out = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).process_group(0);
    let start = Instant::now();
    let mut child = command.spawn().context("cannot start it")?;
    let is_ready = ready();
    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            bail!("it does not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
    let is_ready = is_ready.with_context(|| format!("see {}", log.display()))?;
    Ok(is_ready.duration_since(start).as_secs_f64() * 1e3)
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// What the programs are told. The chat is nowhere: nothing is to be posted.
fn environment(servers: &Servers) -> Result<Environment> {
    let allowed = key::Allowed { sources: vec!["standard".to_owned()], urgent: false, rooms: false, ok200: false };
    let config = checkout::root().join("infra/talkback.toml");
    let (database_url, amqp_url) = servers.urls();
    let told = [
        ("DATABASE_URL", database_url),
        ("AMQP_URL", amqp_url),
        ("TALKBACK_CONFIG", fs::read_to_string(&config).with_context(|| format!("cannot read {}", config.display()))?),
        ("TALKBACK_DATA_KEYS", format!("k1:{}", secrets::key()?)),
        ("TALKBACK_LOOKUP_KEY", secrets::key()?),
        ("TALKBACK_SEND_KEYS", key::entry("measure", &secrets::token()?, &allowed)),
        ("GROUPME_API_URL", "http://127.0.0.1:1".to_owned()),
        ("GROUPME_IMAGE_URL", "http://127.0.0.1:1".to_owned()),
        ("GROUPME_BOT_ID", secrets::hex(&secrets::random::<13>()?)),
        ("GROUPME_GROUP_ID", "10000001".to_owned()),
        ("GROUPME_CALLBACK_TOKEN", secrets::token()?),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
    ];
    Ok(told.map(|(name, value)| (name.to_owned(), value)).into())
}

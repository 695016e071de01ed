//! A folder of messages that are not done with: a file each, written aside, synced and renamed, so that a kill at any
//! moment leaves the old one or the new one. Bounded, locked, and readable by its owner only.
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::journal::Journal;

/// How often a lock that somebody has is tried again.
const LOOK: Duration = Duration::from_millis(20);

/// Who posts: one at a time, so that all keep one pace and one order.
pub(crate) const POSTING: &str = "posting.lock";
/// Who publishes what has ended.
pub(crate) const PUBLISHING: &str = "publishing.lock";

/// A temporary file of a writer that was killed is older than this, and a trace that nobody waits for.
const STALE: Duration = Duration::from_secs(3600);

/// Why the spool did not take something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// It holds as much as it may.
    #[error("the spool is full ({0})")]
    Full(&'static str),
    /// The disk.
    #[error("the spool cannot be used: {0}")]
    Disk(io::ErrorKind),
    /// Somebody else had the lock all the time.
    #[error("another program is at it")]
    Busy,
}

impl From<io::Error> for SpoolError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error.kind())
    }
}

/// The folder.
pub(crate) struct Spool {
    folder: PathBuf,
    count: usize,
    bytes: u64,
}

/// A file of it, by name. Names begin with the time, so that their order is that of the messages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry(String);

/// A lock; gone when this is dropped, or its holder dies.
pub(crate) struct Lock {
    _file: File,
}

impl Spool {
    /// How the name of a trace ends.
    pub(crate) const TRACE: &str = ".ended";

    pub(crate) fn new(folder: PathBuf, count: usize, bytes: u64) -> Self {
        Self { folder, count, bytes }
    }

    fn open(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)
    }

    /// Puts a new message in, if there is room for it.
    pub(crate) fn insert(&self, journal: &Journal) -> Result<Entry, SpoolError> {
        self.open()?;
        let (mut count, mut bytes) = (0, 0);
        for entry in self.list()? {
            count += 1;
            bytes += fs::metadata(self.folder.join(&entry.0)).map_or(0, |file| file.len());
        }
        let form = form(journal)?;
        if count >= self.count {
            return Err(SpoolError::Full("messages"));
        }
        if bytes + form.len() as u64 > self.bytes {
            return Err(SpoolError::Full("bytes"));
        }
        let entry = Entry(format!("{:014}-{}.json", journal.created.as_millisecond().max(0), journal.uid));
        self.write(&entry.0, &form)?;
        Ok(entry)
    }

    /// Writes down how far a message is that is in already: there is always room for that.
    pub(crate) fn save(&self, entry: &Entry, journal: &Journal) -> Result<(), SpoolError> {
        Ok(self.write(&entry.0, &form(journal)?)?)
    }

    pub(crate) fn remove(&self, entry: &Entry) -> Result<(), SpoolError> {
        match fs::remove_file(self.folder.join(&entry.0)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// What there is, oldest first.
    pub(crate) fn list(&self) -> Result<Vec<Entry>, SpoolError> {
        let folder = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut entries = Vec::new();
        for file in folder {
            let name = file?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".json") && !name.starts_with('.') {
                entries.push(Entry(name));
            }
        }
        entries.sort();
        Ok(entries)
    }

    /// The message of this uid and bot, if it is in, and not this one.
    pub(crate) fn find(&self, uid: Uuid, bot: Uuid, but: Option<&Entry>) -> Option<(Entry, Journal)> {
        let name = format!("-{uid}.json");
        let named = self.list().ok()?.into_iter().filter(|entry| entry.0.ends_with(&name) && Some(entry) != but);
        named
            .filter_map(|entry| self.load(&entry).ok().flatten().map(|journal| (entry, journal)))
            .find(|(_, journal)| journal.bot == bot)
    }

    /// Reads one; `None` if it is gone. One that cannot be read is put out of the way, for a person to see.
    pub(crate) fn load(&self, entry: &Entry) -> Result<Option<Journal>, SpoolError> {
        let path = self.folder.join(&entry.0);
        let form = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        match serde_json::from_slice(&form) {
            Ok(journal) => Ok(Some(journal)),
            Err(_) => {
                fs::rename(&path, path.with_extension("unreadable"))?;
                Err(SpoolError::Disk(io::ErrorKind::InvalidData))
            }
        }
    }

    /// Takes a lock, waiting for it until then.
    pub(crate) async fn lock(&self, name: &str, until: Instant) -> Result<Lock, SpoolError> {
        self.open()?;
        let file = private().create(true).truncate(false).open(self.folder.join(name))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::Error(error)) => return Err(error.into()),
                Err(TryLockError::WouldBlock) if Instant::now() + LOOK >= until => return Err(SpoolError::Busy),
                Err(TryLockError::WouldBlock) => sleep(LOOK).await,
            }
        }
    }

    /// A small file beside the messages, whose loss does no harm.
    pub(crate) fn read_aside(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(name)).ok()
    }

    pub(crate) fn write_aside(&self, name: &str, text: &str) -> Result<(), SpoolError> {
        self.open()?;
        Ok(self.replace(name, text.as_bytes(), false)?)
    }

    /// Takes away what killed writers left, and old traces.
    pub(crate) fn sweep(&self) {
        for file in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let is_temporary = name.ends_with(".tmp") || name.ends_with(Self::TRACE);
            let age = file.metadata().and_then(|file| file.modified()).ok().and_then(|at| at.elapsed().ok());
            if is_temporary && age.is_some_and(|age| age > STALE) {
                // The next one tries again.
                let _ = fs::remove_file(file.path());
            }
        }
    }

    fn write(&self, name: &str, form: &[u8]) -> io::Result<()> {
        self.replace(name, form, true)
    }

    fn replace(&self, name: &str, form: &[u8], durable: bool) -> io::Result<()> {
        let aside = self.folder.join(format!(".{name}.{}.tmp", Uuid::new_v4().simple()));
        let written = self.write_whole(&aside, name, form, durable);
        if written.is_err() {
            // It takes room that others need; the first error is the one to tell.
            let _ = fs::remove_file(&aside);
        }
        written
    }

    fn write_whole(&self, aside: &Path, name: &str, form: &[u8], durable: bool) -> io::Result<()> {
        let mut file = private().create_new(true).open(aside)?;
        file.write_all(form)?;
        if durable {
            file.sync_all()?;
        }
        fs::rename(aside, self.folder.join(name))?;
        if durable {
            // The name is the folder's, not the file's.
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

fn form(journal: &Journal) -> Result<Vec<u8>, SpoolError> {
    serde_json::to_vec(journal).map_err(|_| SpoolError::Disk(io::ErrorKind::InvalidData))
}

//! Where an embedded store is at home, so that a stray copy is not taken for it.
//!
//! Base backups and standbys take the store's directory with PostgreSQL's, while both change; and what
//! replays PostgreSQL's log changes the catalog and not the store. What comes of that opens, and misses
//! commits. The writer therefore keeps a note in the directory:
//!
//! ```text
//! file 131077 1764352800.123456789
//! in use
//! ```
//!
//! The first line is the note's own inode and time of birth, which no copy has, and a snapshot of the
//! whole file system has. The second is padded with spaces and written over in place. It says `closed`
//! while no writer has the store, and then a copy is as good as the store; or `left behind` once
//! PostgreSQL has started to replay a log from elsewhere.

use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::UNIX_EPOCH;

use kv::{Error, Result};

const FILE: &str = "home";

/// Whether a store is served.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    InUse,
    Closed,
    LeftBehind,
}

/// The states as they are written, all of one length.
const STATES: [(State, &str); 3] = [
    (State::InUse, "in use     "),
    (State::Closed, "closed     "),
    (State::LeftBehind, "left behind"),
];

/// A note that is there.
struct Note {
    /// It is of this very file.
    original: bool,
    state: State,
    /// Where the state is in the file.
    state_at: u64,
}

/// Refuses a store that is not what its writer left.
pub(crate) fn check(dir: &Path) -> Result<()> {
    let why = match read(dir)? {
        Some(Note { state: State::LeftBehind, .. }) => {
            "PostgreSQL replayed its log without it, as a standby or from a backup"
        }
        Some(Note { state: State::InUse, original: false, .. }) => {
            "it was copied while it was in use"
        }
        _ => return Ok(()),
    };
    Err(Error::LostData(format!(
        "the embedded store may miss commits: {why}. If it is known to be complete, remove {} and restart",
        dir.join(FILE).display()
    )))
}

/// A writer has the store from here on.
pub(crate) fn open(dir: &Path) -> Result<()> {
    match read(dir)? {
        Some(note) if note.original => write_over(dir, &note, State::InUse),
        _ => create(dir, State::InUse),
    }
}

/// The writer has closed the store.
pub(crate) fn close(dir: &Path) -> Result<()> {
    match read(dir)? {
        Some(note) => write_over(dir, &note, State::Closed),
        None => Ok(()),
    }
}

/// PostgreSQL starts to replay a log from elsewhere, of which a store that is there hears nothing.
pub(crate) fn leave_behind(dir: &Path) -> Result<()> {
    match read(dir)? {
        Some(note) => write_over(dir, &note, State::LeftBehind),
        None if dir.is_dir() => create(dir, State::LeftBehind),
        None => Ok(()),
    }
}

fn read(dir: &Path) -> Result<Option<Note>> {
    let path = dir.join(FILE);
    let (text, metadata) =
        match fs::read_to_string(&path).and_then(|text| Ok((text, fs::metadata(&path)?))) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failure(&path, &error)),
        };
    let note = text.split_once('\n').and_then(|(own, state)| {
        let state = state.strip_suffix('\n')?;
        let (state, _) = STATES.into_iter().find(|(_, written)| *written == state)?;
        let original = own == own_line(&metadata);
        Some(Note { original, state, state_at: own.len() as u64 + 1 })
    });
    note.map(Some)
        .ok_or_else(|| Error::Corrupt(format!("{} is not as it was written", path.display())))
}

fn create(dir: &Path, state: State) -> Result<()> {
    let draft = dir.join("home.new");
    let write = || {
        let mut file = File::create(&draft)?;
        let own = own_line(&file.metadata()?);
        file.write_all(format!("{own}\n{}\n", written(state)).as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, dir.join(FILE))?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|error| failure(&draft, &error))
}

/// Needs no room on the disk.
fn write_over(dir: &Path, note: &Note, state: State) -> Result<()> {
    let path = dir.join(FILE);
    if note.state == state {
        return Ok(());
    }
    let write = || {
        let file = File::options().write(true).open(&path)?;
        file.write_all_at(written(state).as_bytes(), note.state_at)?;
        file.sync_data()
    };
    write().map_err(|error| failure(&path, &error))
}

fn written(state: State) -> &'static str {
    STATES.into_iter().find(|(other, _)| *other == state).map_or("", |(_, written)| written)
}

/// What a file system without times of birth does not say is left out.
fn own_line(metadata: &Metadata) -> String {
    let birth = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let birth = birth
        .map_or_else(|| "-".to_owned(), |at| format!("{}.{:09}", at.as_secs(), at.subsec_nanos()));
    format!("file {} {birth}", metadata.ino())
}

fn failure(path: &Path, error: &std::io::Error) -> Error {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        ErrorKind::StorageFull => Error::Full(text),
        _ => Error::Denied(text),
    }
}

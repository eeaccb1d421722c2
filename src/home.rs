//! Where an embedded store is at home, so that a stray copy is not taken for it.
//!
//! Base backups and standbys take the store's directory with PostgreSQL's, while both change; and what
//! replays PostgreSQL's log changes the catalog and not the store. What comes of that opens, and misses
//! commits. The writer therefore keeps a note in the directory:
//!
//! ```text
//! directory 131077
//! timeline 1
//! in use
//! ```
//!
//! The directory is known by its inode, which a copy does not have and a snapshot of the whole file
//! system has. The last line is `closed` while no writer has the store: then a copy is as good as it.
//! PostgreSQL begins another timeline when a standby is promoted, or a backup brought up to date.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kv::{Error, Result};
use pgrx::prelude::*;

const FILE: &str = "home";
const IN_USE: &str = "in use";
const CLOSED: &str = "closed";

/// Refuses a store that is not what this server left.
pub(crate) fn check(dir: &Path) -> Result<()> {
    let file = dir.join(FILE);
    let note = match fs::read_to_string(&file) {
        Ok(note) => note,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failure(&file, &error)),
    };
    let stray = |why: &str| {
        Err(Error::LostData(format!(
            "the embedded store may miss commits: {why}. If it is known to be complete, remove {} and restart",
            file.display()
        )))
    };
    let lines: Vec<&str> = note.lines().collect();
    let [directory, timeline, state] = lines[..] else {
        return Err(Error::Corrupt(format!("{} has {} lines", file.display(), lines.len())));
    };
    if timeline != timeline_line() {
        return stray("PostgreSQL replayed its log without it, as standby or from a backup");
    }
    if state == IN_USE && directory != directory_line(dir)? {
        return stray("its directory was copied while it was in use");
    }
    Ok(())
}

/// Says that a writer has the store, or that it has closed it.
pub(crate) fn note(dir: &Path, in_use: bool) -> Result<()> {
    let state = if in_use { IN_USE } else { CLOSED };
    let text = format!("{}\n{}\n{state}\n", directory_line(dir)?, timeline_line());
    let draft = dir.join("home.new");
    let written = File::create(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&draft, dir.join(FILE)))
        .and_then(|()| File::open(dir)?.sync_all());
    written.map_err(|error| failure(&draft, &error))
}

fn directory_line(dir: &Path) -> Result<String> {
    let found = fs::metadata(dir).map_err(|error| failure(dir, &error))?;
    Ok(format!("directory {}", found.ino()))
}

fn timeline_line() -> String {
    // SAFETY: reads shared memory; the callers have seen the end of recovery.
    format!("timeline {}", unsafe { pg_sys::GetWALInsertionTimeLine() })
}

fn failure(path: &Path, error: &std::io::Error) -> Error {
    Error::Denied(format!("{}: {error}", path.display()))
}

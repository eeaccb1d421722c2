//! `LOCK`: who writes. Held for as long as a writer lives, and by one at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use kv::{Error, Result};

use crate::failure::from_io;

/// The exclusive right to write. Given back when dropped, also by a crash.
#[derive(Debug)]
pub(crate) struct LockFile {
    _held: File,
}

impl LockFile {
    /// Takes the lock, or says who has it: `Denied` for a writer of the same server, `WrongStore`
    /// for another server's.
    pub(crate) fn take(dir: &Path, identity: &[u8]) -> Result<LockFile> {
        let path = dir.join("LOCK");
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file =
            opened.map_err(|e| from_io(&e, &format!("cannot open {}", path.display())))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(&mut file, dir, identity)),
            Err(TryLockError::Error(e)) => {
                return Err(from_io(&e, &format!("cannot lock {}", path.display())));
            }
        }
        sign(&mut file, identity)
            .map_err(|e| from_io(&e, &format!("cannot write {}", path.display())))?;
        Ok(LockFile { _held: file })
    }
}

fn sign(file: &mut File, identity: &[u8]) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}\n{}\n", std::process::id(), identity.escape_ascii())
}

fn held(file: &mut File, dir: &Path, identity: &[u8]) -> Error {
    let mut text = String::new();
    let known = file.read_to_string(&mut text).is_ok();
    let mut lines = text.lines();
    let pid = lines.next().filter(|_| known).unwrap_or("unknown");
    let owner = lines.next().unwrap_or("unknown");
    let text =
        format!("the store in {} is in use by process {pid} of the server {owner}", dir.display());
    if owner == identity.escape_ascii().to_string() {
        Error::Denied(text)
    } else {
        Error::WrongStore(text)
    }
}

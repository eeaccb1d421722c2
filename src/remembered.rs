//! What this cluster's backends were told by Redis servers, kept where it outlives them.
//!
//! Redis may come back without what it acknowledged: restarted empty or from an old snapshot, flushed,
//! or failed over to a replica that was behind. Whoever has seen newer versions notices, so what one
//! backend saw, all must know, and those of tomorrow too. It is a file of a few bytes per namespace,
//! mapped by every backend. The newest version is raised by one atomic instruction and costs no call
//! of the operating system; it survives whatever happens to PostgreSQL's processes. A crash of the
//! machine may take back the last seconds of it, and what is not known any more cannot be missed.
//!
//! ```text
//! 0   magic: fakegres
//! 8   version, in the byte order of the machine
//! 16  id of the namespace
//! 32  which namespace it is, as text
//! ```

use std::cell::OnceCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use kv::{Error, Result, Version};
use kv_redis::{Known, Memory};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

const MAGIC: &[u8; 8] = b"fakegres";
const VERSION_AT: usize = 8;
const ID_AT: usize = 16;
/// Bytes before the text, and all that is mapped.
const HEAD: usize = 32;

/// What is remembered of one namespace.
pub(crate) struct Remembered {
    path: PathBuf,
    /// Which namespace it is; stands in the file for people, and against files that were swapped.
    name: String,
    mapped: OnceCell<Mapped>,
}

impl Remembered {
    /// What is remembered of a namespace at a place, in a directory of such files.
    pub(crate) fn open(dir: &Path, place: &str, namespace: &str) -> Result<Remembered> {
        let name = format!("{place} {namespace}\n");
        let path = dir.join(format!("redis-{:016x}", fnv(name.as_bytes())));
        let remembered = Remembered { path, name, mapped: OnceCell::new() };
        if let Some(mapped) = remembered.find()? {
            remembered.mapped.get_or_init(|| mapped);
        }
        Ok(remembered)
    }

    fn find(&self) -> Result<Option<Mapped>> {
        match OpenOptions::new().read(true).write(true).open(&self.path) {
            Ok(file) => Mapped::of(&file, &self.name).map(Some).map_err(|e| self.failure(&e)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// Makes the file, whole or not at all, unless somebody else has made it.
    fn make(&self, known: Known) -> io::Result<()> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let draft = self.path.with_extension(std::process::id().to_string());
        let written = self.write(&draft, known).and_then(|()| fs::hard_link(&draft, &self.path));
        let removed = fs::remove_file(&draft);
        match written {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            written => written.and(removed).and_then(|()| File::open(dir)?.sync_all()),
        }
    }

    fn write(&self, path: &Path, known: Known) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(MAGIC)?;
        file.write_all(&known.version.0.to_ne_bytes())?;
        file.write_all(&known.id)?;
        file.write_all(self.name.as_bytes())?;
        file.sync_all()
    }

    fn mapped(&self, known: Known) -> Result<&Mapped> {
        if let Some(mapped) = self.mapped.get() {
            return Ok(mapped);
        }
        self.make(known).map_err(|error| self.failure(&error))?;
        let gone = || self.failure(&io::ErrorKind::NotFound.into());
        let mapped = self.find()?.ok_or_else(gone)?;
        Ok(self.mapped.get_or_init(|| mapped))
    }

    fn failure(&self, error: &io::Error) -> Error {
        let path = self.path.display();
        Error::Faulty(format!("what is known of the Redis server is kept in {path}: {error}"))
    }
}

impl Memory for Remembered {
    fn recall(&self) -> Option<Known> {
        self.mapped.get().map(Mapped::known)
    }

    fn note(&self, known: Known) -> Result<()> {
        let mapped = self.mapped(known)?;
        if mapped.id != known.id {
            return Err(Error::LostData(format!(
                "the namespace in Redis is another one than {} knows",
                self.path.display()
            )));
        }
        // Most replies bring nothing new, and then the memory need not be taken from the others.
        if mapped.known().version < known.version {
            mapped.version().fetch_max(known.version.0, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The mapped head of a file. Nobody ever shortens one; one that is removed lives on in who maps it.
struct Mapped {
    head: NonNull<u8>,
    id: [u8; 16],
}

impl Mapped {
    fn of(file: &File, name: &str) -> io::Result<Mapped> {
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, 0)?;
        let mut rest = vec![0; name.len()];
        file.read_exact_at(&mut rest, HEAD as u64)?;
        if head[..MAGIC.len()] != *MAGIC || rest != name.as_bytes() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no such file"));
        }
        let id = head[ID_AT..].try_into().expect("an id has 16 bytes");
        // SAFETY: a new mapping at an address that the system chooses overlaps nothing.
        let mapped = unsafe {
            let (access, shared) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
            mmap(std::ptr::null_mut(), HEAD, access, shared, file, 0)
        };
        let head = NonNull::new(mapped?.cast()).ok_or(io::ErrorKind::Other)?;
        Ok(Mapped { head, id })
    }

    fn version(&self) -> &AtomicU64 {
        // SAFETY: the mapping is there for as long as this is, is aligned to a page, and reaches
        // behind the version, which all processes touch by atomic instructions only.
        unsafe { AtomicU64::from_ptr(self.head.as_ptr().add(VERSION_AT).cast()) }
    }

    fn known(&self) -> Known {
        Known { id: self.id, version: Version(self.version().load(Ordering::Relaxed)) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from the mapping any more.
        let unmapped = unsafe { munmap(self.head.as_ptr().cast(), HEAD) };
        debug_assert!(unmapped.is_ok());
    }
}

/// A hash that stays the same for ever, as the name of a file must (FNV-1a).
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

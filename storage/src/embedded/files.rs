//! The files of a data directory: the lock, replay at start, and the log that is being appended to.
//!
//! `LOCK` is held while the store is open. `<number>.log` are written one after the other; `<number>.base` replaces
//! every file up to its number. A file appears under its name only when its header is durable.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::index::{Index, Place};
use super::record::{self, FILE_HEADER, FRAME_HEADER, FileId, FileKind, Record};
use crate::{Error, Result};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// A data directory that no other process has open.
pub(super) struct Directory {
    path: PathBuf,
    lock: File,
}

/// The log that takes new writes.
pub(super) struct Log {
    pub(super) id: FileId,
    pub(super) file: Arc<File>,
    /// Where the next frame goes: all before is durable.
    pub(super) length: u64,
    /// The number of the next frame.
    sequence: u64,
    /// A write failed and left bytes after `length`, or the system's view of them is unknown.
    dirty: bool,
}

/// Says what an I/O error means to a caller.
pub(super) fn failed(doing: &str, path: &Path, error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Error::NoSpace(format!("{doing} {}: {error}", path.display()))
        }
        _ => Error::Unavailable(format!("{doing} {}: {error}", path.display())),
    }
}

impl Directory {
    /// Creates the directory if need be, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if !path.exists() {
            fs::create_dir_all(path).map_err(|error| failed("creating", path, &error))?;
            // Its name must survive as surely as what is written below it.
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(|error| failed("syncing", parent, &error))?;
        }
        let lock_path = path.join("LOCK");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|error| failed("opening", &lock_path, &error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(path.display().to_string())),
            Err(TryLockError::Error(error)) => Err(failed("locking", &lock_path, &error)),
        }
    }

    /// Lets another process open the directory.
    pub(super) fn unlock(&self) {
        if let Err(error) = self.lock.unlock() {
            tracing::error!(path = %self.path.display(), %error, "cannot unlock the store");
        }
    }

    pub(super) fn file_path(&self, id: FileId) -> PathBuf {
        let suffix = match id.kind() {
            FileKind::Log => "log",
            FileKind::Base => "base",
        };
        self.path.join(format!("{:08}.{suffix}", id.number()))
    }

    /// Makes names of files durable.
    pub(super) fn sync(&self) -> Result<()> {
        File::open(&self.path).and_then(|directory| directory.sync_all()).map_err(|error| failed("syncing", &self.path, &error))
    }

    /// The numbers of the files that `id` names, in order. Leftovers of unfinished files are removed.
    fn list(&self, id: fn(u32) -> FileId) -> Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(|error| failed("listing", &self.path, &error))? {
            let path = entry.map_err(|error| failed("listing", &self.path, &error))?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                fs::remove_file(&path).map_err(|error| failed("removing", &path, &error))?;
            }
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            numbers.extend(number.filter(|number| path == self.file_path(id(*number))));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Writes a file under a passing name, and gives it its own when it is durable.
    pub(super) fn create(&self, id: FileId, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<Arc<File>> {
        let path = self.file_path(id);
        let passing = path.with_extension("tmp");
        let written = (|| {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(&passing)
                .map_err(|error| failed("creating", &passing, &error))?;
            file.write_all(&record::file_header(id)).map_err(|error| failed("writing", &passing, &error))?;
            fill(&mut file)?;
            file.sync_all().map_err(|error| failed("syncing", &passing, &error))?;
            fs::rename(&passing, &path).map_err(|error| failed("renaming", &passing, &error))?;
            Ok(file)
        })();
        match written {
            Ok(file) => {
                self.sync()?;
                Ok(Arc::new(file))
            }
            Err(error) => {
                // The next start removes it where this fails.
                let _ = fs::remove_file(&passing);
                Err(error)
            }
        }
    }

    pub(super) fn remove(&self, id: FileId) -> Result<()> {
        let path = self.file_path(id);
        fs::remove_file(&path).map_err(|error| failed("removing", &path, &error))
    }

    /// Bytes that the files take. The housekeeper may remove one between its listing and its measuring: it takes none.
    pub(super) fn size(&self) -> Result<u64> {
        let size = |entry: io::Result<fs::DirEntry>| match entry?.metadata() {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        };
        let sizes = fs::read_dir(&self.path).and_then(|entries| entries.map(size).sum::<io::Result<u64>>());
        sizes.map_err(|error| failed("listing", &self.path, &error))
    }

    /// Reads everything into an index, and opens the log for more.
    pub(super) fn replay(&self) -> Result<(Index, Log)> {
        let mut index = Index::new();
        let base = self.list(FileId::base)?.pop();
        for stale in self.list(FileId::base)?.into_iter().filter(|number| Some(*number) != base) {
            self.remove(FileId::base(stale))?;
        }
        let (stale, logs): (Vec<u32>, Vec<u32>) = self.list(FileId::log)?.into_iter().partition(|number| Some(*number) <= base);
        for number in stale {
            self.remove(FileId::log(number))?;
        }
        if let Some(number) = base {
            self.replay_file(&mut index, FileId::base(number), None, false)?;
        }
        let first = base.unwrap_or(0) + 1;
        if logs.iter().zip(first..).any(|(found, wanted)| *found != wanted) {
            return Err(Error::Corrupt(format!("a file is missing in {}", self.path.display())));
        }
        let mut log = None;
        for number in &logs {
            let sequence = log.as_ref().map(|log: &Log| log.sequence);
            log = Some(self.replay_file(&mut index, FileId::log(*number), sequence, Some(number) == logs.last())?);
        }
        let log = match log {
            Some(log) => log,
            // A base is renamed only after the log that follows it.
            None if base.is_some() => return Err(Error::Corrupt(format!("a file is missing in {}", self.path.display()))),
            None => self.create_log(first, 0)?,
        };
        index.files.insert(log.id, log.file.clone());
        index.settle();
        Ok((index, log))
    }

    /// A new, empty log.
    pub(super) fn create_log(&self, number: u32, sequence: u64) -> Result<Log> {
        let id = FileId::log(number);
        let file = self.create(id, |_| Ok(()))?;
        Ok(Log { id, file, length: FILE_HEADER as u64, sequence, dirty: false })
    }

    /// Reads one file into the index. Only the `last` one may end in the middle of a frame.
    fn replay_file(&self, index: &mut Index, id: FileId, mut sequence: Option<u64>, last: bool) -> Result<Log> {
        let path = self.file_path(id);
        let name = path.display().to_string();
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(|error| failed("opening", &path, &error))?;
        let size = file.metadata().map_err(|error| failed("reading", &path, &error))?.len();
        let mut reader = Reader { file: &file, path: &path, at: 0, size, buffer: Vec::new(), closed: false };
        record::check_file_header(reader.take(FILE_HEADER)?.unwrap_or_default(), id, &name)?;
        loop {
            let start = reader.at;
            match reader.frame(&mut sequence, index, id)? {
                Frame::Applied => {}
                Frame::End => break,
                Frame::Broken if last && reader.torn(start, sequence)? => {
                    tracing::warn!(file = %name, at = start, lost = size - start, "removing a write that was cut short and never answered");
                    file.set_len(start).and_then(|()| file.sync_all()).map_err(|error| failed("truncating", &path, &error))?;
                    reader.at = start;
                    break;
                }
                Frame::Broken => return Err(Error::Corrupt(format!("{name} is damaged at byte {start}"))),
            }
        }
        if id.kind() == FileKind::Base && !reader.closed {
            return Err(Error::Corrupt(format!("{name} has lost its end")));
        }
        let length = reader.at;
        let file = Arc::new(file);
        index.files.insert(id, file.clone());
        Ok(Log { id, file, length, sequence: sequence.unwrap_or(0), dirty: false })
    }
}

enum Frame {
    Applied,
    End,
    Broken,
}

/// Reads a file from front to back.
struct Reader<'a> {
    file: &'a File,
    path: &'a Path,
    at: u64,
    size: u64,
    buffer: Vec<u8>,
    /// Whether the record that ends a base was the last one.
    closed: bool,
}

impl Reader<'_> {
    /// The next `length` bytes, if there are so many.
    fn take(&mut self, length: usize) -> Result<Option<&[u8]>> {
        if self.size - self.at < length as u64 {
            return Ok(None);
        }
        self.buffer.resize(length, 0);
        self.file.read_exact_at(&mut self.buffer, self.at).map_err(|error| failed("reading", self.path, &error))?;
        self.at += length as u64;
        Ok(Some(&self.buffer))
    }

    /// Applies the next frame, which must be number `sequence` where that is known.
    fn frame(&mut self, sequence: &mut Option<u64>, index: &mut Index, file: FileId) -> Result<Frame> {
        if self.at == self.size {
            return Ok(Frame::End);
        }
        let header = self.take(FRAME_HEADER)?.and_then(record::frame_header);
        let Some((length, found)) = header.filter(|(_, found)| sequence.is_none_or(|wanted| wanted == *found)) else {
            return Ok(Frame::Broken);
        };
        let start = self.at;
        let Some(payload) = self.take(length)? else { return Ok(Frame::Broken) };
        let mut records = Vec::new();
        let mut at = 0;
        while at < payload.len() {
            let Some((record, length)) = Record::decode(&payload[at..]) else { return Ok(Frame::Broken) };
            records.push((record, Place { file, length: length as u32, offset: start + at as u64 }));
            at += length;
        }
        // Only now, so that a frame counts whole or not at all.
        let closed = matches!(records.last(), Some((Record::Base { .. }, _)));
        for (record, place) in records {
            index.apply(&record, place);
        }
        self.closed = closed;
        *sequence = Some(found + 1);
        Ok(Frame::Applied)
    }

    /// Whether the broken frame at `start` is one that was being written when power or the process went: nothing
    /// written later follows, and a part of it is missing. A frame that was answered is whole, so damage to one
    /// shows: either there is a later frame, or no part is missing.
    fn torn(&mut self, start: u64, sequence: Option<u64>) -> Result<bool> {
        self.at = start;
        let rest = (self.size - start) as usize;
        let bytes = self.take(rest)?.unwrap_or_default();
        let later = bytes
            .windows(FRAME_HEADER)
            .skip(1)
            .filter_map(record::frame_header)
            .any(|(_, found)| sequence.is_none_or(|wanted| found > wanted));
        let whole = record::frame_header(bytes).map_or(FRAME_HEADER, |(length, _)| FRAME_HEADER + length);
        // Sectors that were never written read as zeros.
        let (lead, sectors) = bytes.split_at((SECTOR - start as usize % SECTOR).min(rest));
        let missing =
            whole > rest || std::iter::once(lead).chain(sectors.chunks(SECTOR)).any(|sector| sector.iter().all(|byte| *byte == 0));
        Ok(missing && !later)
    }
}

impl Log {
    /// Makes one frame durable. `frame` begins with room for its header. Where it fails, nothing of it remains,
    /// and the offset does not move.
    pub(super) fn append(&mut self, directory: &Directory, frame: &mut [u8]) -> Result<u64> {
        let path = directory.file_path(self.id);
        self.repair(&path)?;
        record::seal_frame(frame, self.sequence);
        self.dirty = true;
        let written = self.file.write_all_at(frame, self.length).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Where it cannot be undone now, it is before the next write.
            let _ = self.repair(&path);
            return Err(failed("writing", &path, &error));
        }
        self.dirty = false;
        self.sequence += 1;
        let payload = self.length + FRAME_HEADER as u64;
        self.length += frame.len() as u64;
        Ok(payload)
    }

    /// Removes what a failed write left.
    fn repair(&mut self, path: &Path) -> Result<()> {
        if self.dirty {
            self.file.set_len(self.length).and_then(|()| self.file.sync_all()).map_err(|error| failed("truncating", path, &error))?;
            self.dirty = false;
        }
        Ok(())
    }

    /// The number of the frame that comes next.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }
}

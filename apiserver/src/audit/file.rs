//! The file of the audit log: whole lines are appended, and it is rotated by size as operators know it from upstream:
//! `audit.log` becomes `audit-2026-01-31T23-59-59.123.log`, or that with `.gz`; what is too old or too much is removed.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const STAMP: &str = "%Y-%m-%dT%H-%M-%S%.3f";
const GZ: &str = ".gz";

/// When a file is full, and what becomes of full ones.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// 0: never full.
    pub most_bytes: u64,
    /// How long full files are kept; None: as long as there is room.
    pub longest: Option<Duration>,
    /// How many full files are kept; 0: all.
    pub most_files: usize,
    pub compress: bool,
}

/// An open log file.
pub struct LogFile {
    path: PathBuf,
    file: fs::File,
    bytes: u64,
    rotation: Rotation,
}

impl LogFile {
    /// Opens the file to append to it, or makes it, for its owner alone.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(directory)?;
        }
        let mut this = Self { path: path.to_owned(), file: open(path)?, bytes: 0, rotation };
        this.bytes = this.file.metadata()?.len();
        if this.bytes > 0 && !this.ends_whole()? {
            // A machine that lost power may have left part of a line: the next one is not to be part of it.
            this.append(b"\n")?;
        }
        this.clean();
        Ok(this)
    }

    fn ends_whole(&mut self) -> io::Result<bool> {
        let mut last = [0];
        let mut reader = fs::File::open(&self.path)?;
        reader.seek(io::SeekFrom::End(-1))?;
        reader.read_exact(&mut last)?;
        Ok(last == *b"\n")
    }

    /// Appends whole lines: all of them, or none.
    ///
    /// # Errors
    /// Those of the file system, a full disk above all. The file then ends as it did before.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let most = self.rotation.most_bytes;
        if most > 0
            && self.bytes > 0
            && self.bytes + lines.len() as u64 > most
            && let Err(error) = self.rotate(Timestamp::now())
        {
            // Better too large a file than no log.
            tracing::warn!(%error, path = %self.path.display(), "the audit log cannot be rotated");
        }
        if let Err(error) = self.file.write_all(lines) {
            // Part of it may have been written.
            let _ = self.file.set_len(self.bytes);
            return Err(error);
        }
        self.bytes += lines.len() as u64;
        Ok(())
    }

    fn rotate(&mut self, now: Timestamp) -> io::Result<()> {
        let full = self.full_name(now);
        fs::rename(&self.path, &full)?;
        self.file = open(&self.path)?;
        self.bytes = 0;
        self.clean();
        Ok(())
    }

    /// The name before and after the time, in names of full files.
    fn around(&self) -> (String, String) {
        let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let end = self.path.extension().map(|end| format!(".{}", end.to_string_lossy())).unwrap_or_default();
        (format!("{}-", text(self.path.file_stem())), end)
    }

    fn full_name(&self, now: Timestamp) -> PathBuf {
        let (begin, end) = self.around();
        let mut at = now;
        loop {
            let stamp = at.to_zoned(TimeZone::UTC).strftime(STAMP).to_string();
            let path = self.path.with_file_name(format!("{begin}{stamp}{end}"));
            if !path.exists() && !packed(&path).exists() {
                return path;
            }
            // Two in one millisecond.
            at += Duration::from_millis(1);
        }
    }

    /// The full files, the newest first.
    fn full(&self) -> Vec<(Timestamp, PathBuf)> {
        let (begin, end) = self.around();
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let stamp = |name: &str| {
            let name = name.strip_prefix(begin.as_str())?;
            let stamp = name.strip_suffix(GZ).unwrap_or(name).strip_suffix(end.as_str())?;
            Some(DateTime::strptime(STAMP, stamp).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
        };
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut full: Vec<_> = entries.filter_map(|entry| Some((stamp(&entry.file_name().to_string_lossy())?, entry.path()))).collect();
        full.sort_by(|a, b| b.cmp(a));
        full
    }

    /// Removes full files that are too old or too many, and compresses the others.
    fn clean(&self) {
        let Rotation { longest, most_files, compress, .. } = self.rotation;
        let oldest = longest.and_then(|longest| Timestamp::now().checked_sub(longest).ok());
        for (index, (at, path)) in self.full().into_iter().enumerate() {
            let too_many = most_files > 0 && index >= most_files;
            let done = if too_many || oldest.is_some_and(|oldest| at < oldest) {
                fs::remove_file(&path)
            } else if compress && !path.to_string_lossy().ends_with(GZ) {
                pack(&path)
            } else {
                Ok(())
            };
            if let Err(error) = done {
                tracing::warn!(%error, path = %path.display(), "an old audit log cannot be removed or compressed");
            }
        }
    }
}

fn open(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// The name of a full file when it is compressed.
fn packed(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}{GZ}", path.display()))
}

/// Puts a compressed file in the place of a full one.
fn pack(path: &Path) -> io::Result<()> {
    let packed = packed(path);
    // Unfinished, it has a name that is nobody's.
    let unfinished = PathBuf::from(format!("{}.tmp", packed.display()));
    let target = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&unfinished)?;
    let mut encoder = flate2::write::GzEncoder::new(target, flate2::Compression::default());
    io::copy(&mut fs::File::open(path)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(&unfinished, &packed)?;
    fs::remove_file(path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NEVER: Rotation = Rotation { most_bytes: 0, longest: None, most_files: 0, compress: false };

    #[test]
    fn a_line_that_was_cut_short_does_not_spoil_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/audit.log");
        LogFile::open(&path, NEVER).unwrap().append(b"one\ntw").unwrap();
        LogFile::open(&path, NEVER).unwrap().append(b"three\n").unwrap();
        LogFile::open(&path, NEVER).unwrap().append(b"four\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntw\nthree\nfour\n");
    }

    #[test]
    fn files_of_one_millisecond_have_names_of_their_own() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(&directory.path().join("audit.log"), Rotation { compress: true, ..NEVER }).unwrap();
        log.append(b"one\n").unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let first = log.full_name(now);
        fs::write(&first, "full").unwrap();
        assert_ne!(log.full_name(now), first);
        pack(&first).unwrap();
        assert!(!first.exists());
        assert_ne!(log.full_name(now), first);
    }

    #[test]
    fn full_files_are_kept_as_long_and_as_many_as_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        fs::write(directory.path().join("audit-2001-01-01T00-00-00.000.log"), "old").unwrap();
        fs::write(directory.path().join("audit-other.log"), "not ours").unwrap();
        let day = Duration::from_secs(86_400);
        let mut log = LogFile::open(&path, Rotation { most_bytes: 10, longest: Some(day), most_files: 2, compress: true }).unwrap();
        for line in ["aaaaaa\n", "bbbbbb\n", "cccccc\n", "dddddddddddddddd\n", "eeeeee\n"] {
            log.append(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "eeeeee\n");
        let full = log.full();
        assert_eq!(full.len(), 2, "{full:?}");
        let mut text = String::new();
        flate2::read::GzDecoder::new(fs::File::open(&full[0].1).unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "dddddddddddddddd\n");
        assert!(directory.path().join("audit-other.log").exists());
        assert!(!directory.path().join("audit-2001-01-01T00-00-00.000.log").exists());
    }
}

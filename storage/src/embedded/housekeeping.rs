//! The housekeeper: a thread that drops what a compaction made unreadable, and gives its room on disk back. It works
//! a little at a time, so that writers never wait for it.
//!
//! Room comes back by copying everything wanted into a new base file, after which the files before it go. A base
//! takes effect by its renaming; until then the old files count, from then on they are ignored, so a crash at any
//! point leaves one or the other.

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use tokio::sync::oneshot;

use super::Shared;
use super::commit::{Request, Sealed};
use super::files::{Directory, failed};
use super::index::{Key, Place, Stored};
use super::record::{self, FRAME_HEADER, FileId, Record};
use crate::feed::closed;
use crate::{Error, Result, Revision};

/// Versions dropped, or moved, under one hold of the index's lock.
const STEP: usize = 512;
/// Bytes in one frame of a base.
const FRAME: usize = 1 << 20;
/// Frames between syncs, so that the log's own syncs never wait for a large one.
const SYNC_EVERY: u64 = 4;

pub(super) struct Housekeeper {
    shared: Arc<Shared>,
    directory: Arc<Directory>,
    requests: Sender<Request>,
    garbage_limit: u64,
}

/// A version that was copied.
struct Moved {
    key: Key,
    revision: Revision,
    place: Place,
}

impl Housekeeper {
    pub(super) fn new(shared: Arc<Shared>, directory: Arc<Directory>, requests: Sender<Request>, garbage_limit: u64) -> Self {
        Self { shared, directory, requests, garbage_limit }
    }

    /// Works whenever something was compacted, until nobody can ask any more.
    pub(super) fn run(self, chores: &Receiver<()>) {
        while chores.recv().is_ok() {
            while self.shared.index.write().trim(STEP) {
                std::thread::yield_now();
            }
            let done = self.wasteful().and_then(|wasteful| if wasteful { self.rewrite() } else { Ok(()) });
            if let Err(error) = done
                && !self.shared.is_closed()
            {
                tracing::warn!(%error, "the store's files could not be rewritten; the next compaction tries again");
            }
        }
    }

    fn wasteful(&self) -> Result<bool> {
        let live = self.shared.index.read().live_bytes;
        let garbage = self.directory.size()?.saturating_sub(live);
        Ok(garbage >= self.garbage_limit && garbage >= live)
    }

    /// Copies what is wanted into a base, and removes the files before it.
    fn rewrite(&self) -> Result<()> {
        let (reply, sealed) = oneshot::channel();
        self.requests.send(Request::Roll { reply }).map_err(|_| closed())?;
        let sealed = sealed.blocking_recv().map_err(|_| closed())??;
        let id = FileId::base(sealed.number);
        let mut moved = Vec::new();
        let file = self.directory.create(id, |file| {
            let mut base =
                Base { file, id, frame: vec![0; FRAME_HEADER], frames: 0, moved: &mut moved, path: self.directory.file_path(id) };
            self.copy(&sealed, &mut base)
        })?;
        self.shared.index.write().files.insert(id, file);
        for step in moved.chunks(STEP) {
            let mut index = self.shared.index.write();
            for Moved { key, revision, place } in step {
                index.relocate(key, *revision, *place);
            }
        }
        let stale: Vec<FileId> = {
            let mut index = self.shared.index.write();
            let stale = index.files.keys().filter(|old| old.number() <= id.number() && **old != id).copied().collect();
            index.files.retain(|old, _| old.number() > id.number() || *old == id);
            stale
        };
        for old in stale {
            self.directory.remove(old)?;
        }
        self.directory.sync()
    }

    fn copy(&self, sealed: &Sealed, base: &mut Base<'_>) -> Result<()> {
        for (lease, ends) in &sealed.leases {
            Record::Grant { lease: *lease, ends: *ends }.encode(&mut base.frame);
        }
        let mut start = Vec::new();
        loop {
            let (page, last) = self.shared.index.read().stored(&start, STEP, sealed.number)?;
            let Some(last) = last else { break };
            start = [&last[..], &[0]].concat();
            for Stored { key, revision, located } in page {
                base.add(key, revision, &located.read_raw()?)?;
            }
            if self.shared.is_closed() {
                return Err(closed());
            }
        }
        Record::Base { revision: sealed.revision, compacted: sealed.compacted, last_lease: sealed.last_lease }.encode(&mut base.frame);
        base.flush()
    }
}

/// A base that is being written.
struct Base<'a> {
    file: &'a mut File,
    id: FileId,
    frame: Vec<u8>,
    frames: u64,
    moved: &'a mut Vec<Moved>,
    path: std::path::PathBuf,
}

impl Base<'_> {
    fn add(&mut self, key: Key, revision: Revision, record: &[u8]) -> Result<()> {
        // Damage must be found now, while the original can still be restored, not copied.
        if !matches!(Record::decode(record), Some((_, length)) if length == record.len()) {
            return Err(Error::Corrupt(format!("the record of revision {} does not match its checksum", revision.0)));
        }
        if self.frame.len() + record.len() > FRAME {
            self.flush()?;
        }
        let position = self.file.stream_position().map_err(|error| failed("writing", &self.path, &error))?;
        let place = Place { file: self.id, length: record.len() as u32, offset: position + self.frame.len() as u64 };
        self.frame.extend_from_slice(record);
        self.moved.push(Moved { key, revision, place });
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        record::seal_frame(&mut self.frame, self.frames);
        self.frames += 1;
        let mut written = self.file.write_all(&self.frame);
        if self.frames.is_multiple_of(SYNC_EVERY) {
            written = written.and_then(|()| self.file.sync_data());
        }
        self.frame.truncate(FRAME_HEADER);
        written.map_err(|error| failed("writing", &self.path, &error))
    }
}

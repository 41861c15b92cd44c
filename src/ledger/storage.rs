//! The few things that the ledger asks of a disk, behind traits so that tests can fail any of them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// A folder of segments.
pub trait Storage: Send + Sync + 'static {
    /// The numbers of all segments, ascending.
    fn list(&self) -> io::Result<Vec<u64>>;
    /// Makes a segment that does not exist yet.
    fn create(&self, segment: u64) -> io::Result<Arc<dyn SegmentFile>>;
    fn open(&self, segment: u64) -> io::Result<Arc<dyn SegmentFile>>;
    fn remove(&self, segment: u64) -> io::Result<()>;
    /// Makes created and removed segments durable.
    fn sync_folder(&self) -> io::Result<()>;
}

/// One segment.
pub trait SegmentFile: Send + Sync {
    /// Writes all of `bytes` at `offset`, in one call to the kernel unless it takes less.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reads up to `bytes.len()` bytes; 0 at the end.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Makes all that was written durable.
    fn sync(&self) -> io::Result<()>;
    fn truncate(&self, length: u64) -> io::Result<()>;
    fn length(&self) -> io::Result<u64>;
}

/// A folder of a real file system.
pub struct Disk {
    folder: PathBuf,
    writable: bool,
}

impl Disk {
    /// Makes the folder if there is none.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, writable: true })
    }

    /// To read what is there: makes and changes nothing.
    pub fn open_read_only(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        fs::read_dir(&folder)?;
        Ok(Self { folder, writable: false })
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.folder.join(format!("{segment:016}.seg"))
    }
}

impl Storage for Disk {
    fn list(&self) -> io::Result<Vec<u64>> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let number: Option<u64> = name.to_str().and_then(|name| name.strip_suffix(".seg")?.parse().ok());
            segments.extend(number);
        }
        segments.sort_unstable();
        Ok(segments)
    }

    fn create(&self, segment: u64) -> io::Result<Arc<dyn SegmentFile>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(self.path(segment))?;
        Ok(Arc::new(file))
    }

    fn open(&self, segment: u64) -> io::Result<Arc<dyn SegmentFile>> {
        let file = OpenOptions::new().read(true).write(self.writable).open(self.path(segment))?;
        Ok(Arc::new(file))
    }

    fn remove(&self, segment: u64) -> io::Result<()> {
        fs::remove_file(self.path(segment))
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

impl SegmentFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

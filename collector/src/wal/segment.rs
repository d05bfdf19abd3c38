//! Segment files: their names, their headers, and the folder they are in.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::record::Salt;
use super::writer::BlockFile;

const MAGIC: &[u8; 8] = b"HALDWAL\0";
const VERSION: u32 = 3;
/// What the header has before its block is filled.
pub(crate) const HEADER_BYTES: usize = 32;
/// What disks write at once, or a multiple of it.
pub(crate) const BLOCK_BYTES: usize = 4_096;
const EXTENSION: &str = "wal";
/// What is appended to the name of a segment that was moved aside.
const DAMAGED: &str = "damaged";

/// A segment on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    /// The first sequence it may hold.
    pub(crate) first: u64,
    /// The last sequence it does hold; none when it is empty.
    pub(crate) last: Option<u64>,
    /// How many bytes of it are good.
    pub(crate) bytes: u64,
}

/// Why a header is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    /// The file is shorter than a header, or its bytes are not what was written.
    #[error("the segment's header is damaged")]
    Damaged,
    /// The header is good, but of a format unknown here.
    #[error("the segment has format version {version}, this haldane knows {VERSION}")]
    Version {
        /// Which one it is.
        version: u32,
    },
}

/// How a segment's records are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Each group begins at a multiple of this, a power of two.
    pub(super) block_bytes: u32,
    /// What the checksums of its records begin with.
    pub(super) salt: Salt,
}

/// Checks a segment's header against the sequence in its name.
pub(super) fn check_header(bytes: &[u8], first: u64) -> Result<Layout, HeaderError> {
    let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(HeaderError::Damaged)?;
    let number = |at: usize| header[at..at + 4].iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
    let layout = Layout { block_bytes: number(20), salt: Salt(number(24)) };
    if *header == header_of(first, layout) && layout.block_bytes.is_power_of_two() {
        return Ok(layout);
    }
    // Earlier versions had their checksum where this one has the block size, and then where it has the salt.
    let version = number(8);
    let is_earlier = [(1, 20), (2, 24)].iter().any(|&(earlier, at)| version == earlier && crc32c::crc32c(&header[0..at]) == number(at));
    let is_other = header.starts_with(MAGIC) && (is_earlier || version > VERSION);
    Err(if is_other { HeaderError::Version { version } } else { HeaderError::Damaged })
}

fn header_of(first: u64, layout: Layout) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..20].copy_from_slice(&first.to_le_bytes());
    header[20..24].copy_from_slice(&layout.block_bytes.to_le_bytes());
    header[24..28].copy_from_slice(&layout.salt.0.to_le_bytes());
    let sum = crc32c::crc32c(&header[0..28]);
    header[28..32].copy_from_slice(&sum.to_le_bytes());
    header
}

/// Begins a segment whose first record will have sequence `first`. An empty one of that name is begun anew.
pub(super) fn create(dir: &Path, first: u64, block_bytes: usize) -> io::Result<(BlockFile, Salt, Segment)> {
    let path = dir.join(format!("{first:020}.{EXTENSION}"));
    let salt = Salt(crc32c::crc32c(&RandomState::new().hash_one(first).to_le_bytes()));
    let layout = Layout { block_bytes: u32::try_from(block_bytes).map_err(io::Error::other)?, salt };
    let file = BlockFile::create(&path, block_bytes, &header_of(first, layout))?;
    file.file().sync_all()?;
    sync_folder(dir)?;
    let bytes = HEADER_BYTES.next_multiple_of(block_bytes) as u64;
    Ok((file, salt, Segment { path, first, last: None, bytes }))
}

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    device: u64,
    inode: u64,
}

impl Place {
    /// The place of an open file.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|found| Self { device: found.dev(), inode: found.ino() })
    }

    /// Fails when the file is no longer found under this path.
    pub(super) fn check(self, path: &Path) -> io::Result<()> {
        let found = std::fs::metadata(path)?;
        if (Self { device: found.dev(), inode: found.ino() }) == self {
            return Ok(());
        }
        Err(io::Error::other("another file has taken the place of the log's segment; start haldane again to go on with it"))
    }
}

/// Puts an empty segment in the place of one whose header is lost.
pub(super) fn begin_again(path: &Path, first: u64) -> io::Result<()> {
    create(path.parent().unwrap_or(path), first, BLOCK_BYTES).map(|_| ())
}

/// The segments of a folder by first sequence; none when there is no folder.
pub(super) fn list(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut segments = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == EXTENSION);
        if let Some(first) = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).filter(|_| is_segment) {
            segments.push((first, path));
        }
    }
    segments.sort();
    Ok(segments)
}

/// Cuts a file to its good part, durably.
pub(super) fn truncate(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(bytes)?;
    file.sync_all()
}

/// Keeps a copy of a damaged segment beside it.
pub(crate) fn keep_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = aside(path);
    std::fs::copy(path, &aside)?;
    File::open(&aside)?.sync_all()?;
    sync_folder(path.parent().unwrap_or(path))?;
    Ok(aside)
}

/// Whether a copy of this segment was moved aside.
pub(super) fn was_moved_aside(path: &Path) -> bool {
    aside(path).exists()
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension(format!("{EXTENSION}.{DAMAGED}"))
}

/// Makes a folder and those above it that are missing, durably.
pub(crate) fn create_folder(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = dir.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_folder(above)?;
    match std::fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) | Ok(()) => {}
    }
    sync_folder(above)
}

/// Makes new names in a folder durable.
pub(crate) fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

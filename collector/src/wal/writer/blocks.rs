//! A file that is written in whole blocks, past the page cache where the file system lets us: what is written here is read again after a crash at
//! most, and copying it into fresh pages is what a log costs otherwise.
//!
//! Always holds: each write begins and ends at a multiple of the block size, from memory that does too; what is left of the last block is zero.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Bytes that are collected before they are written, at least.
const CHUNK_BYTES: usize = 1 << 20;

/// The open file.
#[derive(Debug)]
pub(in crate::wal) struct BlockFile {
    file: File,
    buffer: Aligned,
}

impl BlockFile {
    /// Begins the file anew, with these bytes in its first blocks.
    pub(in crate::wal) fn create(path: &Path, block_bytes: usize, head: &[u8]) -> io::Result<Self> {
        match Self::begin(path, block_bytes, head, direct()) {
            // Some file systems have no such writes, or only of larger blocks.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Self::begin(path, block_bytes, head, 0),
            begun => begun,
        }
    }

    fn begin(path: &Path, block_bytes: usize, head: &[u8], flags: i32) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(path)?;
        let mut begun = Self { file, buffer: Aligned::new(block_bytes) };
        begun.append([head].into_iter())?;
        Ok(begun)
    }

    /// Writes all pieces, one behind the other, and fills the last block. Answers how many bytes the file has grown by.
    pub(in crate::wal) fn append<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) -> io::Result<u64> {
        self.buffer.clear();
        let mut written = 0;
        for mut piece in pieces {
            while !piece.is_empty() {
                piece = self.buffer.take_from(piece);
                if self.buffer.is_full() {
                    written += self.write()?;
                }
            }
        }
        self.buffer.fill_block();
        Ok(written + self.write()?)
    }

    fn write(&mut self) -> io::Result<u64> {
        let blocks = self.buffer.bytes();
        self.file.write_all(blocks)?;
        let written = blocks.len() as u64;
        self.buffer.clear();
        Ok(written)
    }

    pub(in crate::wal) fn file(&self) -> &File {
        &self.file
    }
}

#[cfg(target_os = "linux")]
fn direct() -> i32 {
    libc::O_DIRECT
}

#[cfg(not(target_os = "linux"))]
fn direct() -> i32 {
    0
}

/// Memory that begins at a multiple of the block size.
#[derive(Debug)]
struct Aligned {
    memory: Vec<u8>,
    start: usize,
    length: usize,
    block_bytes: usize,
}

impl Aligned {
    fn new(block_bytes: usize) -> Self {
        let memory = vec![0; CHUNK_BYTES.next_multiple_of(block_bytes) + block_bytes];
        let start = memory.as_ptr().align_offset(block_bytes);
        Self { memory, start, length: 0, block_bytes }
    }

    fn clear(&mut self) {
        self.length = 0;
    }

    fn capacity(&self) -> usize {
        self.memory.len() - self.block_bytes
    }

    fn is_full(&self) -> bool {
        self.length == self.capacity()
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }

    /// Takes what there is room for, and answers the rest.
    fn take_from<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let (taken, rest) = piece.split_at(piece.len().min(self.capacity() - self.length));
        let at = self.start + self.length;
        self.memory[at..at + taken.len()].copy_from_slice(taken);
        self.length += taken.len();
        rest
    }

    fn fill_block(&mut self) {
        let (from, to) = (self.start + self.length, self.start + self.length.next_multiple_of(self.block_bytes));
        self.memory[from..to].fill(0);
        self.length = to - self.start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_size_follow_one_another_and_each_append_begins_a_block() {
        let dir = tempfile::tempdir().unwrap();
        for block_bytes in [64, 4_096] {
            let path = dir.path().join("file");
            let mut file = BlockFile::create(&path, block_bytes, b"head").unwrap();
            let large: Vec<u8> = (0..3 * CHUNK_BYTES + 7).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let appends: [&[&[u8]]; 3] = [&[b"one", b"", b"two"], &[&large, b"end"], &[&large[..2 * CHUNK_BYTES]]];
            let mut expected = b"head".to_vec();
            for pieces in appends {
                expected.resize(expected.len().next_multiple_of(block_bytes), 0);
                let before = expected.len();
                expected.extend(pieces.concat());
                let grown = file.append(pieces.iter().copied()).unwrap();
                assert_eq!(grown, (expected.len().next_multiple_of(block_bytes) - before) as u64);
            }
            expected.resize(expected.len().next_multiple_of(block_bytes), 0);
            assert!(std::fs::read(&path).unwrap() == expected, "blocks of {block_bytes}");
        }
    }
}

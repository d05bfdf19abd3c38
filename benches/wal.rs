//! What does a group of the log cost by the way it is written? One buffer that bodies are copied into, slices of the bodies as they are, slices into a
//! file that was given its size before, and an aligned buffer past the page cache, as the log does it; MB/s and ms a group, with `fdatasync` after
//! each and without.
//!
//! `make bench-wal`: they take turns in one run, on the disk of the temporary folder; TMPDIR names another.

use std::fs::{File, OpenOptions};
use std::io::{IoSlice, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

/// Bytes of a file before the next is begun.
const FILE_BYTES: usize = 64 << 20;
const HEADER_BYTES: usize = 36;
/// The ways take turns so often.
const REPEATS: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Copied,
    Slices,
    SlicesIntoRoom,
    PastPageCache,
}

const WAYS: [Way; 4] = [Way::Copied, Way::Slices, Way::SlicesIntoRoom, Way::PastPageCache];
/// What a write past the page cache begins and ends at.
const BLOCK_BYTES: usize = 4_096;

fn main() -> std::io::Result<()> {
    let dir = tempfile::tempdir()?;
    for (bodies, body_bytes, groups) in [(1, 2 << 10, 200), (16, 32 << 10, 100), (64, 128 << 10, 24)] {
        for synced in [true, false] {
            let mut times = [const { Vec::new() }; WAYS.len()];
            for _ in 0..REPEATS {
                for (way, times) in WAYS.into_iter().zip(&mut times) {
                    times.push(write(&dir.path().join("segment"), way, (bodies, body_bytes, groups), synced)?);
                }
            }
            for (way, times) in WAYS.into_iter().zip(&mut times) {
                times.sort();
                let group = times[REPEATS / 2].as_secs_f64() / groups as f64;
                let rate = (bodies * (body_bytes + HEADER_BYTES)) as f64 / group / 1e6;
                let sync = if synced { "fdatasync" } else { "no sync" };
                #[expect(clippy::print_stdout, reason = "a bench prints its result")]
                {
                    println!(
                        "{bodies:3} bodies of {:4} KiB, {sync:9}, {:15} {:8.3} ms a group, {rate:7.0} MB/s",
                        body_bytes >> 10,
                        format!("{way:?}:"),
                        group * 1e3
                    );
                }
            }
        }
    }
    Ok(())
}

/// The time that so many groups take; a file's room is not counted, as it could be made ahead.
fn write(path: &std::path::Path, way: Way, (bodies, body_bytes, groups): (usize, usize, usize), synced: bool) -> std::io::Result<Duration> {
    let header = [7; HEADER_BYTES];
    let bodies = vec![vec![5_u8; body_bytes]; bodies];
    let (mut buffer, mut file, mut written) = (Vec::new(), begin(path, way)?, 0);
    let mut spent = Duration::ZERO;
    for _ in 0..groups {
        if written >= FILE_BYTES {
            (file, written) = (begin(path, way)?, 0);
        }
        let start = Instant::now();
        match way {
            Way::Copied => {
                buffer.clear();
                for body in &bodies {
                    buffer.extend_from_slice(&header);
                    buffer.extend_from_slice(body);
                }
                file.write_all(&buffer)?;
                buffer.shrink_to(1 << 20);
            }
            Way::PastPageCache => {
                let bytes = bodies.len() * (HEADER_BYTES + body_bytes);
                buffer.resize(bytes.next_multiple_of(BLOCK_BYTES) + BLOCK_BYTES, 0);
                let start = buffer.as_ptr().align_offset(BLOCK_BYTES);
                let mut at = start;
                for piece in bodies.iter().flat_map(|body| [&header[..], body]) {
                    buffer[at..at + piece.len()].copy_from_slice(piece);
                    at += piece.len();
                }
                file.write_all(&buffer[start..start + bytes.next_multiple_of(BLOCK_BYTES)])?;
            }
            Way::Slices | Way::SlicesIntoRoom => {
                let mut slices: Vec<IoSlice<'_>> = bodies.iter().flat_map(|body| [IoSlice::new(&header), IoSlice::new(body)]).collect();
                let mut slices = &mut slices[..];
                while !slices.is_empty() {
                    let taken = file.write_vectored(slices)?;
                    IoSlice::advance_slices(&mut slices, taken);
                }
            }
        }
        if synced {
            file.sync_data()?;
        }
        spent += start.elapsed();
        written += bodies.len() * (HEADER_BYTES + body_bytes);
    }
    Ok(spent)
}

fn begin(path: &std::path::Path, way: Way) -> std::io::Result<File> {
    let flags = if way == Way::PastPageCache { libc::O_DIRECT } else { 0 };
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(path)?;
    if way == Way::SlicesIntoRoom {
        file.write_all(&vec![0; FILE_BYTES + (16 << 20)])?;
        file.seek(SeekFrom::Start(0))?;
    }
    file.sync_all()?;
    Ok(file)
}

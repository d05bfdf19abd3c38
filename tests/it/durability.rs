//! What was acknowledged is there, whole and once, whatever happens to the process, the disk and the folder.

mod book;
mod disk;
mod folder;
mod kills;
mod load;
mod parcel;
mod proof;
mod server;
mod start;
mod tmpfs;

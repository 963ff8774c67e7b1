//! Files that the host names. An error has the path and errno's words.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::tls::raw::Secret;

/// No certificate, key or list is larger; a device file would never end.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// All of a file.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let whole = File::open(path).and_then(|file| {
        // With the room made beforehand no copy of a key is left behind by a vector that grew.
        let size = file.metadata()?.len().min(MAX_FILE);
        bytes.reserve_exact(usize::try_from(size).unwrap_or(0) + 1);
        file.take(MAX_FILE + 1).read_to_end(&mut bytes)
    });
    match whole {
        Ok(len) if len as u64 > MAX_FILE => {
            let words = io::Error::from_raw_os_error(libc::EFBIG);
            Err(Error::system(path.display(), &words))
        }
        Ok(_) => Ok(bytes),
        Err(cause) => Err(Error::system(path.display(), &cause)),
    }
}

/// All of a file that holds a key.
pub(super) fn read_secret(path: &Path) -> Result<Secret> {
    read_file(path).map(Secret::new)
}

/// A file to append secrets to; a new one is for its owner's eyes only. A pipe that nobody reads holds nobody up: if there
/// is no reader, it cannot be opened (fifo(7)), and what does not fit into it is lost.
pub(super) fn open_log(path: &Path) -> Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|cause| Error::system(path.display(), &cause))
}

//! Files that others read while we write them: replaced whole, never seen half-written. And logs that cannot grow without bound.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A log longer than this is moved to `<name>.1`, so that a log takes at most about twice this.
pub const LOG_LIMIT: u64 = 1 << 20;

/// Replaces a file by renaming a new one over it: a reader sees the old text or the new one.
pub fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let temporary = with_suffix(path, ".new");
    // An old temporary may have other permissions, and `mode` only counts for a new file.
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&temporary, path)
}

/// A directory that only its owner can look into, made when missing.
pub fn private_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// Opens a log for a process that will write to it by itself. Append mode, so that [`bound_log`] may cut it at any time.
pub fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Copies a log that has grown too long to `<name>.1` and empties it. Lines written meanwhile may be lost; the process that writes
/// never waits and needs to know nothing.
pub fn bound_log(path: &Path) -> io::Result<()> {
    let length = fs::metadata(path)?.len();
    if length > LOG_LIMIT {
        let old = with_suffix(path, ".1");
        copy_tail(path, &old, length)?;
        OpenOptions::new().write(true).open(path)?.set_len(0)?;
    }
    Ok(())
}

/// At most [`LOG_LIMIT`] bytes, however fast the log grew since the last look.
fn copy_tail(from: &Path, to: &Path, length: u64) -> io::Result<()> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut source = File::open(from)?;
    source.seek(SeekFrom::Start(length.saturating_sub(LOG_LIMIT)))?;
    let mut target = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    io::copy(&mut source.take(LOG_LIMIT), &mut target).map(|_| ())
}

/// The last lines of a log, for an error message.
pub fn last_lines(path: &Path, lines: usize) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_whole_and_as_private_as_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret.json");
        replace(&path, "one", 0o600).unwrap();
        replace(&path, "two", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_log_is_bounded_while_its_writer_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        let mut writer = open_log(&path).unwrap();
        for _ in 0..3 {
            writer.write_all(&vec![b'x'; LOG_LIMIT as usize + 10]).unwrap();
            bound_log(&path).unwrap();
            writer.write_all(b"after\n").unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
        assert_eq!(fs::metadata(dir.path().join("app.log.1")).unwrap().len(), LOG_LIMIT);
        assert_eq!(last_lines(&path, 5), "after");
    }
}

//! Stretches of a file as memory, read where they lie.
//!
//! A mapping of a file has two dangers. Somebody may write to it while Rust code holds its octets
//! for constant, and somebody may cut the file short, after which a look at what is gone ends the
//! process with SIGBUS. A lease on the file (`F_SETLEASE`, fcntl(2)) keeps both out: the kernel
//! grants it when nobody has the file open for writing, and has whoever wants to write or cut wait
//! until it is given back, [`Leased::is_wanted`], or for `/proc/sys/fs/lease-break-time`, 45 seconds.
//! It binds whoever comes by this kernel: on a network another machine may cut the file all the same,
//! and under an overlay whoever knows the layer. So only files of a [`LOCAL`] file system are mapped.
//! What a failing disk does not give is an error when the stretch is mapped, not later, because
//! all of it is brought in at once (`MADV_POPULATE_READ`, madvise(2), Linux 5.14).

use core::ffi::c_int;
use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;
use core::slice;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::check;

/// File systems that one kernel alone writes to, by their numbers (statfs(2), and those of ZFS and
/// bcachefs, which are not there): ext2 to ext4, XFS, Btrfs, F2FS, ZFS, bcachefs, tmpfs.
const LOCAL: [i128; 7] =
    [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x2fc1_2fc1, 0xca45_1a4e, 0x0102_1994];

/// A file that nobody writes to until this is dropped, or [`Self::is_wanted`] was left unanswered
/// for too long.
#[derive(Debug)]
pub struct Leased {
    file: File,
    size: u64,
}

impl Leased {
    /// Takes the lease.
    ///
    /// # Errors
    /// When somebody has the file open for writing, it belongs to another user and this process has
    /// no `CAP_LEASE`, or its file system has no leases or may be others' as well.
    pub fn take(file: File) -> io::Result<Self> {
        /// `fcntl(2)`; the `libc` crate has it for few systems.
        const F_SETSIG: c_int = 10;
        // The type of the field differs between platforms, and with it how its highest bit extends.
        let kind = i128::from(rustix::fs::fstatfs(&file)?.f_type) & 0xffff_ffff;
        if !LOCAL.contains(&kind) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let fd = file.as_raw_fd();
        // The signal that tells of the wish to write is one that does nothing: it is asked for.
        // SAFETY: commands that take a number and touch no memory; the file is open.
        check(unsafe { libc::fcntl(fd, F_SETSIG, libc::SIGURG) })?;
        // SAFETY: as before.
        check(unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) })?;
        let mut leased = Self { file, size: 0 };
        // From now on it cannot change.
        leased.size = leased.file.metadata()?.len();
        Ok(leased)
    }

    /// Does somebody wait to write?
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        // SAFETY: a command that touches no memory; the file is open.
        let lease = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_GETLEASE) };
        lease != libc::F_RDLCK
    }

    /// Octets of the file.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The file itself.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        // Another descriptor of the file may stay open, and with it the lease.
        // SAFETY: a command that takes a number and touches no memory; the file is open.
        unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
    }
}

/// A stretch of a leased file.
///
/// Invariant: `start` points at `length` octets mapped from the file, readable, unmapped only by
/// `drop`; all of them lay within the file when its lease was taken.
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
    /// Until the last mapping is gone.
    _lease: Arc<Leased>,
}

// SAFETY: the mapping is never written to and is not tied to a thread.
unsafe impl Send for Mapping {}
// SAFETY: as before.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `length` octets from `offset` on, a multiple of the page size.
    ///
    /// # Errors
    /// When the file does not reach so far, or cannot be mapped or read.
    pub fn new(lease: &Arc<Leased>, offset: u64, length: usize) -> io::Result<Self> {
        let end = offset.checked_add(length as u64);
        if length == 0 || end.is_none_or(|end| end > lease.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let offset = offset.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: a new mapping at an address the kernel chooses, of a file that is open.
        let map = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_PRIVATE,
                lease.file.as_raw_fd(),
                offset,
            )
        };
        if map == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(map.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let mapping = Self { start, length, _lease: Arc::clone(lease) };
        // SAFETY: exactly the mapping just made; this advice changes no contents.
        check(unsafe { libc::madvise(map, length, libc::MADV_POPULATE_READ) })?;
        Ok(mapping)
    }
}

impl Deref for Mapping {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the invariant; the lease keeps writers away, as the module says.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`; whoever had its octets borrowed it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapping of {} octets", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_leased_on_a_local_file_system_alone() {
        // The kernel would lease it: nobody has it open for writing.
        let elsewhere = File::open("/proc/version").unwrap();
        let refused = Leased::take(elsewhere).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported, "{refused}");
        let kept = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let here = Leased::take(File::open(&kept).unwrap());
        assert!(here.is_ok(), "is TMPDIR on a local file system? {here:?}");
    }

    #[test]
    fn what_others_write_to_is_not_local() {
        // NFS, SMB and SMB2, FUSE, 9P, Ceph, OCFS2, GFS2, AFS, overlays.
        let shared = [
            0x6969,
            0xff53_4d42,
            0xfe53_4d42,
            0x6573_5546,
            0x0102_1997,
            0x00c3_6400,
            0x7461_636f,
            0x0116_1970,
            0x5346_414f,
            0x794c_7630,
        ];
        assert!(shared.iter().all(|kind| !LOCAL.contains(kind)));
    }
}

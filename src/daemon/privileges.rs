//! Giving up what is not needed once the sockets are open.

use std::fs;

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};
use rustix::process::{Gid, Uid};

/// Why privileges could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    #[error("no user `{0}` in /etc/passwd")]
    NoUser(String),
    #[error("cannot become user `{user}`: {why}")]
    Become { user: String, why: rustix::io::Errno },
    #[error("cannot give up capabilities; capset(2) must be allowed to do it")]
    Capabilities(#[from] CapsError),
}

/// Becomes `user`, when there is one, and gives up every capability but CAP_NET_RAW, by which an
/// interface that went away is opened again, and, with a filter in the kernel, CAP_BPF, by which
/// its maps are written.
///
/// Where capset(2) is refused, what a service manager handed over is kept, with a warning: each of
/// it was written into a unit. What root has by being root, or had before it became `user`, nobody
/// asked to keep, and that is an error.
///
/// Capabilities belong to threads (capabilities(7)): call this before any thread is started.
pub(super) fn give_up(user: Option<&str>, kernel_filter: bool) -> Result<(), PrivilegeError> {
    let handed_over = user.is_none() && !is_root();
    let held = caps::read(None, CapSet::Permitted)?;
    let mut kept = CapsHashSet::new();
    for capability in [Capability::CAP_NET_RAW, Capability::CAP_BPF] {
        let wanted = capability == Capability::CAP_NET_RAW || kernel_filter;
        if wanted && held.contains(&capability) {
            kept.insert(capability);
        }
    }
    if held.contains(&Capability::CAP_SETPCAP) {
        for capability in caps::all().difference(&kept) {
            // The kernel may know fewer than the library.
            let _ = caps::drop(None, CapSet::Bounding, *capability);
        }
    }
    if let Some(user) = user {
        become_user(user)?;
    }
    // A unit that already gives no more than that also forbids capset(2): what is as it should be
    // is left alone.
    if let Err(why) = leave(&kept) {
        bear(why, handed_over)?;
    }
    // These two only matter to programs that this one would start, and it starts none.
    let _ = caps::clear(None, CapSet::Ambient);
    let _ = caps::clear(None, CapSet::Inheritable);
    Ok(())
}

fn leave(kept: &CapsHashSet) -> Result<(), CapsError> {
    for set in [CapSet::Effective, CapSet::Permitted] {
        if caps::read(None, set)? != *kept {
            caps::set(None, set, kept)?;
        }
    }
    Ok(())
}

/// Goes on with capabilities that could not be given up, if they were `handed_over`.
fn bear(why: CapsError, handed_over: bool) -> Result<(), PrivilegeError> {
    if !handed_over {
        return Err(why.into());
    }
    tracing::warn!(
        %why,
        "capabilities that are needed no more are kept: SystemCallFilter must allow capset \
         (SystemCallFilter=capset in a drop-in), or the unit may hand over fewer"
    );
    Ok(())
}

/// Does the process run as root?
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Is there a `user` to become?
pub(super) fn check(user: &str) -> Result<(), PrivilegeError> {
    look_up(user).map(|_| ())
}

fn become_user(user: &str) -> Result<(), PrivilegeError> {
    let (uid, gid) = look_up(user)?;
    let failed = |why| PrivilegeError::Become { user: user.to_owned(), why };
    rustix::thread::set_keep_capabilities(true).map_err(failed)?;
    rustix::thread::set_thread_groups(&[]).map_err(failed)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(failed)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(failed)?;
    rustix::thread::set_keep_capabilities(false).map_err(failed)
}

fn look_up(user: &str) -> Result<(Uid, Gid), PrivilegeError> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    find(&passwd, user).ok_or_else(|| PrivilegeError::NoUser(user.to_owned()))
}

/// passwd(5): name, password, user id, group id, …
fn find(passwd: &str, user: &str) -> Option<(Uid, Gid)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(user) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some((Uid::from_raw(uid), Gid::from_raw(gid)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_handed_over_may_be_kept_where_it_cannot_be_given_up() {
        let refused = || CapsError::from("capset: not permitted");
        assert!(bear(refused(), true).is_ok());
        let error = bear(refused(), false).unwrap_err();
        assert!(matches!(error, PrivilegeError::Capabilities(_)));
        let said = format!("{:#}", anyhow::Error::from(error));
        assert_eq!(said.matches("not permitted").count(), 1, "{said}");
    }

    #[test]
    fn users_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nwatch:x:7:8::/:/bin/false\nbad:x:one:2::/:\n";
        assert_eq!(find(passwd, "watch"), Some((Uid::from_raw(7), Gid::from_raw(8))));
        assert_eq!(find(passwd, "wat"), None);
        assert_eq!(find(passwd, "bad"), None);
    }
}

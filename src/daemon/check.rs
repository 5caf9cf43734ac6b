//! What a start would refuse, said without one: nothing is opened but files of signatures.

use super::live::{self, DaemonError};
use super::privileges;
use crate::capture::Filter;
use crate::config::{Config, Policy, keys};
use crate::export::web;
use crate::time::Timestamp;

/// Every reason for which [`super::run`] would refuse `config`, as far as that can be told without
/// opening interfaces and sockets. That no interface is named is none: a flag may name it.
#[must_use]
pub fn faults(config: &Config) -> Vec<DaemonError> {
    let interfaces = live::interfaces(config).unwrap_or_default();
    let policy = Policy::load(config, &interfaces, Timestamp::ZERO);
    let filter = live::filter(config).map(|filter| Filter::check(&filter));
    let addresses = web::check(config.list(&keys::WEB_LISTEN_ADDRESS));
    let user = live::user(config).map(privileges::check);
    let mut faults: Vec<DaemonError> = policy.err().map(DaemonError::from).into_iter().collect();
    faults.extend(live::cpus(config).err());
    faults.extend(filter.and_then(Result::err).map(DaemonError::from));
    faults.extend(addresses.into_iter().map(DaemonError::from));
    faults.extend(user.and_then(Result::err).map(DaemonError::from));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    fn said(text: &str) -> Vec<String> {
        let config = Config::read(None, text, |_| None, &Flags::default()).unwrap();
        let faults = faults(&config);
        assert!(faults.iter().all(DaemonError::is_usage), "{faults:?}");
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_a_start_refuses_is_said_without_one_and_all_of_it_at_once() {
        for (text, want) in [
            ("[signatures]\ndisable = [\"nobody\"]\n", "nobody"),
            (
                "[signatures]\nregulates = [\"breathing\"]\n",
                "no listing regulates breathing; known: use, purchase",
            ),
            ("[signatures]\ndirectories = [\"/nonexistent/s\"]\n", "/nonexistent/s"),
            ("[signatures]\nkeys = [\"no key\"]\n", "no key"),
            ("[web]\nlisten_address = [\"nonsense\"]\n", "nonsense"),
            ("[web]\nlisten_address = [\":1\", \":1\"]\n", ":1 cannot be listened on beside :1"),
            ("[capture]\ncpus = [\"one\"]\n", "one"),
            #[cfg(feature = "libpcap")]
            ("[capture]\nfilter = \"udp port nosuch\"\n", "nosuch"),
            ("[daemon]\nuser = \"nobody at all\"\n", "nobody at all"),
            (
                "[capture]\ninterfaces = [\"eth0\"]\n\
                 [[network]]\nname = \"n\"\ninterfaces = [\"eth9\"]\n",
                "eth9",
            ),
        ] {
            let said = said(text);
            assert!(matches!(&said[..], [one] if one.contains(want)), "{text}: {said:?}");
        }
        let several = "[capture]\ncpus = [\"one\"]\n\
                       [web]\nlisten_address = [\"nonsense\", \":10064\", \":many\"]\n";
        assert_eq!(said(several).len(), 3);
        assert_eq!(said(""), [""; 0]);
        assert_eq!(said("[[network]]\nname = \"n\"\ninterfaces = [\"eth9\"]\n"), [""; 0]);
    }
}

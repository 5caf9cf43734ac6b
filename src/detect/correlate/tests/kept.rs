//! What is kept from one question to the next is what would be found anew.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Clients by vendor, strength and network, counted one by one.
fn counted(correlator: &Correlator, since: Timestamp) -> BTreeMap<VendorKey, u64> {
    let mut distinct: BTreeMap<VendorKey, BTreeSet<Addr>> = BTreeMap::new();
    for finding in correlator.findings().filter(|finding| finding.last_seen >= since) {
        let key = &finding.key;
        let vendor = (Arc::clone(&key.vendor), key.strength, Arc::clone(&key.network));
        distinct.entry(vendor).or_default().insert(key.client);
    }
    distinct.into_iter().map(|(key, clients)| (key, clients.len() as u64)).collect()
}

proptest! {
    #[test]
    fn clients_are_counted_anew_when_others_came(
        // Which client goes where, how much later, and since when is asked then.
        steps in prop::collection::vec((0..6_u8, any::<bool>(), 0..40_u64, 0..4_u64), 1..60),
    ) {
        let set = set();
        // Fewer findings than there are clients: one comes, and another goes.
        let limits = Limits { findings: 4, ..Limits::default() };
        let mut correlator = Correlator::new(&limits, 1, Arc::clone(&set), Arc::default());
        let mut now = 1_000;
        for (number, (who, strong, later, back)) in (0..).zip(steps) {
            now += later;
            let name = if strong { "upd.acme.test" } else { "acme-site.test" };
            let mut record = detection(&set, now, Signal::DnsQuery, name, number);
            if let Record::Detection(detection) = &mut record {
                detection.client = client(&format!("192.0.2.{who}"));
            }
            said(&mut correlator, [record]);
            // The window moves in steps, so that most questions are the same.
            let since = Timestamp::from_nanos((now - 100 * back) / 50 * 50);
            let expected = counted(&correlator, since);
            prop_assert_eq!(&*correlator.clients(since), &expected);
        }
    }
}

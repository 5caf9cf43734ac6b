use proptest::prelude::*;

use super::*;
use crate::frame::SourceId;

fn addr(v6: bool, last: u8) -> Addr {
    if v6 {
        let mut octets = [0; 16];
        (octets[0], octets[15]) = (0xfd, last);
        Addr::from_v6(octets)
    } else {
        Addr::from_v4([10, 0, 0, last])
    }
}

/// A fragment of `datagram`, whole in the capture.
fn fragment(v6: bool, id: u32, datagram: &[u8], start: usize, end: usize) -> Fragment<'_> {
    Fragment {
        seen: Seen { at: Timestamp::from_parts(100, 0), source: SourceId(0), ..Seen::default() },
        source: addr(v6, 1),
        destination: addr(v6, 2),
        carrier: Carrier::Ip,
        protocol: IpProtocol::UDP,
        id,
        offset: u32::try_from(start).unwrap(),
        more: end < datagram.len(),
        payload: &datagram[start..end],
        payload_wire_len: u32::try_from(end - start).unwrap(),
    }
}

fn at(fragment: Fragment<'_>, seconds: u64) -> Fragment<'_> {
    Fragment { seen: Seen { at: Timestamp::from_parts(seconds, 0), ..fragment.seen }, ..fragment }
}

fn table() -> Fragments {
    Fragments::new(1 << 20, FlowHasher::new(7))
}

/// What a run of fragments came to.
#[derive(Debug, Default, Eq, PartialEq)]
struct Account {
    whole: Vec<Vec<u8>>,
    heads: Vec<Vec<u8>>,
    decoded: u64,
    kept: u64,
    copies: u64,
    lost: u64,
    malformed: u64,
}

impl Account {
    fn given_up(&mut self, given_up: &GivenUp<'_>) {
        self.lost += given_up.waited;
        if let Some(head) = &given_up.head {
            assert!(head.payload.len() < head.payload_wire_len as usize);
            self.heads.push(head.payload.to_vec());
        }
    }

    fn push(&mut self, table: &mut Fragments, fragment: &Fragment<'_>) {
        let mut scratch = Vec::new();
        self.expire(table, fragment.seen.at);
        while let Some(gone) = table.overfull(&mut scratch) {
            self.given_up(&gone);
        }
        match table.push(fragment, 1, fragment.seen.at, &mut scratch) {
            Taken::Waits => {}
            Taken::Whole { datagram, waited } => {
                self.whole.push(datagram.payload.to_vec());
                self.decoded += 1;
                self.kept += waited;
            }
            Taken::Copy => self.copies += 1,
            Taken::Refused { waited } => self.lost += waited + 1,
            Taken::Malformed => self.malformed += 1,
        }
    }

    fn expire(&mut self, table: &mut Fragments, now: Timestamp) {
        let mut scratch = Vec::new();
        while let Some(gone) = table.overdue(now, &mut scratch) {
            self.given_up(&gone);
        }
    }

    fn finish(&mut self, table: &mut Fragments) {
        let mut scratch = Vec::new();
        while let Some(gone) = table.unfinished(&mut scratch) {
            self.given_up(&gone);
        }
        assert_eq!(table.waiting(), 0);
    }

    fn settled(&self) -> u64 {
        self.decoded + self.kept + self.copies + self.lost + self.malformed
    }
}

/// Cuts a datagram at multiples of eight octets.
fn cut(len: usize, cuts: &[usize]) -> Vec<(usize, usize)> {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut * 8).filter(|end| *end < len).collect();
    ends.extend([0, len]);
    ends.sort_unstable();
    ends.dedup();
    ends.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

proptest! {
    /// However a datagram is cut, reordered and duplicated, it comes out whole, once.
    #[test]
    fn a_datagram_is_put_together(
        v6: bool,
        datagram in prop::collection::vec(any::<u8>(), 9..400),
        cuts in prop::collection::vec(1_usize..50, 1..12),
        order in any::<u64>(),
        twice: bool,
    ) {
        let mut parts = cut(datagram.len(), &cuts);
        prop_assume!(parts.len() > 1);
        if twice {
            parts.extend(parts.clone());
        }
        shuffle(&mut parts, order);
        let mut table = table();
        let mut account = Account::default();
        for (start, end) in &parts {
            account.push(&mut table, &fragment(v6, 9, &datagram, *start, *end));
        }
        prop_assert_eq!(&account.whole, &[datagram]);
        prop_assert_eq!(account.settled(), parts.len() as u64);
        prop_assert_eq!(table.waiting(), 0);
        account.finish(&mut table);
        prop_assert_eq!(account.lost, 0);
    }

    /// Frames are conserved and the budget is kept, whatever comes.
    #[test]
    fn every_frame_is_settled_once(
        parts in prop::collection::vec(
            (any::<bool>(), 0_u32..40, 0_usize..30, 0_usize..40, any::<bool>(), 0_u64..3, 0_usize..9),
            0..300,
        ),
    ) {
        let octets = [0x5a; 400];
        let budget = 2 * 65_535 + 16 * 1_024;
        let mut table = Fragments::new(budget, FlowHasher::new(1));
        let mut account = Account::default();
        let mut time = 0;
        for (pushed, (v6, id, start, len, more, later, missing)) in parts.into_iter().enumerate() {
            time += later * 7;
            let payload = &octets[..(len * 8).saturating_sub(missing)];
            let fragment = Fragment {
                offset: u32::try_from(start * 8).unwrap(),
                more,
                payload,
                payload_wire_len: u32::try_from(len * 8).unwrap(),
                ..at(fragment(v6, id, &octets, 0, 8), time)
            };
            account.push(&mut table, &fragment);
            prop_assert_eq!(account.settled() + table.waiting(), pushed as u64 + 1);
            let (_, bytes, _) = table.usage();
            prop_assert!(bytes <= budget, "{} octets", bytes);
            if later == 2 {
                account.expire(&mut table, Timestamp::from_parts(time, 0));
                prop_assert_eq!(account.settled() + table.waiting(), pushed as u64 + 1);
            }
        }
        account.finish(&mut table);
    }
}

/// Fisher and Yates, by a linear congruential generator.
fn shuffle<T>(items: &mut [T], mut state: u64) {
    for at in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        items.swap(at, usize::try_from(state >> 33).unwrap() % (at + 1));
    }
}

const DATAGRAM: [u8; 64] = [0x11; 64];

/// The budget is worth as much as the account of what is held.
#[test]
fn what_waits_is_counted_and_no_longer_when_it_was_read_or_discarded() {
    const LONG: [u8; 4_096] = [0x33; 4_096];
    let mut account = Account::default();
    let mut table = table();
    let bytes = |table: &Fragments| table.usage().1;
    let empty = bytes(&table);
    for id in 1..=20 {
        account.push(&mut table, &fragment(true, id, &LONG, 0, 2_048));
    }
    let waiting = bytes(&table);
    assert!(waiting >= empty + 20 * 2_048, "{waiting}");
    for id in 1..=10 {
        account.push(&mut table, &fragment(true, id, &LONG, 2_048, 4_096));
    }
    assert_eq!(account.whole.len(), 10);
    let half = bytes(&table);
    assert!(half <= waiting - 10 * 2_048, "{half} of {waiting}");
    for id in 11..=20 {
        account.push(&mut table, &fragment(true, id, &LONG, 1_024, 3_072));
    }
    assert_eq!(account.lost, 20);
    let none = bytes(&table);
    assert!(none <= half - 10 * 2_048, "{none} of {half}");
}

#[test]
fn ids_and_directions_are_kept_apart() {
    let mut table = table();
    let mut account = Account::default();
    account.push(&mut table, &fragment(false, 1, &DATAGRAM, 0, 32));
    account.push(&mut table, &fragment(false, 2, &DATAGRAM, 32, 64));
    let back = fragment(false, 1, &DATAGRAM, 32, 64);
    let (source, destination) = (back.destination, back.source);
    account.push(&mut table, &Fragment { source, destination, ..back });
    let other = fragment(false, 1, &DATAGRAM, 32, 64);
    account.push(&mut table, &Fragment { protocol: IpProtocol::TCP, ..other });
    let tenant = Seen { tenant: TenantId(4), ..other.seen };
    account.push(&mut table, &Fragment { seen: tenant, ..other });
    assert!(account.whole.is_empty());
    account.push(&mut table, &other);
    assert_eq!(account.whole, [DATAGRAM]);
}

#[test]
fn of_ipv6_only_the_first_fragment_names_the_protocol() {
    let mut table = table();
    let last = Fragment { protocol: IpProtocol(60), ..fragment(true, 1, &DATAGRAM, 32, 64) };
    let mut scratch = Vec::new();
    assert!(matches!(table.push(&last, 1, last.seen.at, &mut scratch), Taken::Waits));
    let first = fragment(true, 1, &DATAGRAM, 0, 32);
    let Taken::Whole { datagram, .. } = table.push(&first, 1, first.seen.at, &mut scratch) else {
        panic!()
    };
    assert_eq!(datagram.protocol, IpProtocol::UDP);
}

#[test]
fn overlapping_fragments_of_ipv6_discard_the_datagram_for_good() {
    let mut table = table();
    let mut account = Account::default();
    account.push(&mut table, &fragment(true, 1, &DATAGRAM, 0, 32));
    account.push(&mut table, &fragment(true, 1, &DATAGRAM, 24, 48));
    account.push(&mut table, &fragment(true, 1, &DATAGRAM, 32, 64));
    account.push(&mut table, &fragment(true, 1, &DATAGRAM, 0, 32));
    assert_eq!((account.lost, account.whole.len()), (4, 0));
    // With IPv4 what came first counts.
    let other = [0x22; 64];
    let mut account = Account::default();
    account.push(&mut table, &fragment(false, 1, &DATAGRAM, 0, 32));
    account.push(&mut table, &fragment(false, 1, &other, 24, 48));
    account.push(&mut table, &fragment(false, 1, &other, 40, 64));
    assert_eq!(account.whole, [[&[0x11; 32][..], &[0x22; 32]].concat()]);
}

#[test]
fn time_ends_a_datagram_and_its_beginning_is_not_lost() {
    let mut table = table();
    let mut account = Account::default();
    account.push(&mut table, &at(fragment(false, 1, &DATAGRAM, 0, 32), 100));
    account.push(&mut table, &at(fragment(false, 2, &DATAGRAM, 32, 64), 100));
    account.expire(&mut table, Timestamp::from_parts(130, 0));
    assert_eq!(account.lost, 0);
    account.expire(&mut table, Timestamp::from_parts(131, 0));
    assert_eq!(account.lost, 2);
    assert_eq!(account.heads, [[0x11; 32]]);
}

/// One of several files, whose clock was behind the others'.
#[test]
fn what_its_source_takes_for_the_time_does_not_matter() {
    let (mut table, mut scratch) = (table(), Vec::new());
    let now = Timestamp::from_parts(5_000, 0);
    let first = at(fragment(false, 1, &DATAGRAM, 0, 32), 100);
    assert!(matches!(table.push(&first, 1, now, &mut scratch), Taken::Waits));
    assert!(table.overdue(now, &mut scratch).is_none());
    let last = at(fragment(false, 1, &DATAGRAM, 32, 64), 100);
    assert!(matches!(table.push(&last, 1, now, &mut scratch), Taken::Whole { .. }));
}

#[test]
fn a_copy_is_told_from_an_identification_used_again() {
    let mut table = table();
    let mut account = Account::default();
    for seconds in [100, 101, 110] {
        for (start, end) in [(0, 32), (32, 64)] {
            account.push(&mut table, &at(fragment(false, 1, &DATAGRAM, start, end), seconds));
        }
    }
    assert_eq!((account.whole.len(), account.copies, account.lost), (2, 2, 0));
}

#[test]
fn a_cut_fragment_gives_what_is_before_the_cut() {
    let mut table = table();
    let first = fragment(false, 1, &DATAGRAM, 0, 32);
    let cut = Fragment { payload: &first.payload[..20], ..first };
    let mut scratch = Vec::new();
    assert!(matches!(table.push(&cut, 1, cut.seen.at, &mut scratch), Taken::Waits));
    let last = fragment(false, 1, &DATAGRAM, 32, 64);
    let Taken::Whole { datagram, waited } = table.push(&last, 1, last.seen.at, &mut scratch) else {
        panic!()
    };
    assert_eq!((datagram.payload.len(), datagram.payload_wire_len, waited), (20, 64, 1));
}

#[test]
fn what_cannot_be_a_fragment_is_malformed() {
    let mut table = table();
    let good = fragment(false, 1, &DATAGRAM, 0, 32);
    for bad in [
        Fragment { payload: &[], payload_wire_len: 0, ..good },
        Fragment { payload_wire_len: 33, ..good },
        Fragment { offset: 65_528, ..good },
    ] {
        assert!(
            matches!(table.push(&bad, 1, bad.seen.at, &mut Vec::new()), Taken::Malformed),
            "{bad:?}"
        );
    }
    assert_eq!(table.usage().0, 0);
}

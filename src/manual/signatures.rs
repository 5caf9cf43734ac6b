//! # Signatures: what is looked for, and who says so
//!
//! A signature file answers two questions that are kept apart. *What was contacted, and where is
//! that documented?* That is an **indicator**. *Who ordered what to whom?* That is a **listing**.
//! Neither is a verdict: the program says that a host asked for an update server which the vendor's
//! handbook names, and that a statute speaks about the use of the vendor's products. Whether the
//! two meet is for people to say.
//!
//! The files of `signatures/` are built into the program. `signatures.directories` in the
//! configuration (or `--signatures DIR`) adds more; a file replaces the built-in one of its
//! vendor, unless it says that it extends it.
//!
//! # The format
//!
//! One TOML file a vendor, read strictly: a key that the format does not know is a fault, and
//! every fault is reported with file, line, key and advice, all of them in one run.
//!
//! ```
//! use vendorwatch::signature::{Set, format};
//!
//! let text = r#"
//! [vendor]
//! id = "acme"                      # in labels: letters, digits and hyphens
//! name = "Acme Networks"
//! country = "XX"                   # ISO 3166-1 alpha-2
//! affiliates = ["Acme Labs"]
//! default_enabled = true           # else: disabled_reason = "…"
//!
//! [[listing]]
//! id = "xx-act-2026-1"
//! jurisdiction = "XX"
//! instrument = "Act 1 of 2026, section 2"
//! issuer = "Parliament"
//! date = "2026-03"                 # as precise as the source
//! binding = true
//! names_vendor = true              # false for a rule that names a kind of product
//! regulates = ["use"]              # use, purchase, supply, export, naming, advice
//! scope = "public bodies"
//! status = "in-force"              # in-force, superseded, repealed, proposal, non-binding
//! status_checked = "2026-11-21"
//! source = ["https://law.example/act-1"]
//! counter_evidence = []            # statements to the contrary, with their source
//!
//! [[indicator]]
//! id = "acme.update.zone"          # stable: it is quoted in every event
//! number = 1900001                 # stable event number; files of your own begin at 1900000
//! match = { kind = "suffix", value = "upd.acme.example" }
//! purpose = "update"
//! product = "Acme Agent"
//! strength = "strong"
//! confounders = ["resellers' test machines"]
//! first_seen = "2026-11-21"
//! review_by = "2027-05-21"
//! evidence = [
//!   { class = "A", title = "Acme Agent handbook: network ports", says = "update servers, TCP 443",
//!     reference = "https://acme.example/handbook/ports", retrieved = "2026-11-21" },
//! ]
//!
//! [[excluded]]                     # wins over every shorter suffix, in whichever file
//! match = { kind = "suffix", value = "mirror.upd.acme.example" }
//! reason = "a public mirror of free software"
//! "#;
//! let set = Set::build(vec![format::parse("acme.toml", text).unwrap()]).unwrap();
//! assert_eq!(&*set.lookup("s1.upd.acme.example").unwrap().indicator.vendor, "acme");
//! assert!(set.lookup("s1.mirror.upd.acme.example").is_none());
//! assert!(set.lookup("notupd.acme.example").is_none());
//! ```
//!
//! | kind of match | means |
//! |---|---|
//! | `suffix` | the name and every name below it, by whole labels |
//! | `host` | this name only |
//! | `prefix` | addresses, as `192.0.2.0/24` |
//! | `list`, `host-list` | the names of a file in a pack, with the names below them or without |
//!
//! The longest match decides; a `host` is longer than a `suffix` of the same name, and of an
//! exclusion and an indicator of the same pattern the exclusion wins. Names may be written with
//! capital letters, with a trailing dot and in any script; they are compared in lower case as
//! A-labels. What was seen on the wire is never mapped. Optional keys of an indicator: `signals`
//! (only these, as `["dns_query"]`), `cname = true` (also as a link of a CNAME chain), `note`.
//!
//! # Strength
//!
//! Strength answers one question: who else asks for this name?
//!
//! * `strong`: only an installed product or device.
//! * `moderate`: the product, but also tools, integrators, and libraries in other firms' software.
//! * `weak`: anybody with a browser, or a page that embeds it. Every web site is weak.
//!
//! An address alone is never more than moderate, and its record must be looked at again within a
//! hundred days: addresses change hands.
//!
//! A certificate says by which names a server may be called, not by which it was: it is detected
//! once, as the weakest of its names, and as weak where one of them is on no list.
//!
//! # Evidence
//!
//! | class | source | cited as |
//! |---|---|---|
//! | A | the vendor's or a reseller's documentation | `https://…` |
//! | B1 | a public list that is kept | `owner/repository: path @ commit` |
//! | C | derived, as the parent of documented hosts | what it is derived from |
//! | B2 | a lead: a public file whose origin is not known | never enough alone |
//!
//! What is remembered and cannot be cited (class D) is refused.
//!
//! # What `signatures check` refuses
//!
//! Public suffixes; zones that many firms share (delivery networks at all, hosting as a whole);
//! prefixes wider than /16 or /29, and those that belong to nobody; ids, numbers and patterns that
//! stand twice; records without evidence or confounders; a web site that is not weak; reviews that
//! lie too far away; words that judge. It warns about records that say no more than a shorter
//! suffix does, and about those whose day of review has passed. The same check guards every start
//! and reload: a set with a fault is refused whole, and the old one stays.
//!
//! # To add a vendor
//!
//! 1. Copy a file of `signatures/`, take the next free thousand of numbers (`signatures/README.md`).
//! 2. Write what the vendor documents, zones before hosts: a zone that is the vendor's alone finds
//!    the host that nobody listed. Weaker names inside get a record of their own.
//! 3. `vendorwatch signatures check FILE`; then `vendorwatch match --signatures FILE NAME…`.
//! 4. `vendorwatch signatures diff built-in FILE --against CAPTURE` says what would be found.
//!
//! To add records to a vendor that is built in, write `[vendor]` with the id and `extends = true`.
//!
//! # Selection
//!
//! `[signatures]` in the configuration chooses what is *reported*; what is detected does not depend
//! on it, so that a change of policy needs no new traffic.
//!
//! * `listings = ["US", "eu-2023-tiktok"]`: vendors that a listing of these jurisdictions, or one of
//!   these listings, speaks about. Listings that were repealed or superseded, and proposals, choose
//!   nobody.
//! * `regulates = ["use"]`: only where the listing speaks about this. Most instruments do not speak
//!   about use at all: a list of exporters says nothing about a phone in the network.
//! * `enable`, `disable`: vendors by id, whatever their listings say; `disable` wins.
//! * `min_strength = "moderate"`: leaves web visits out.
//!
//! The inventory keeps every vendor and strength. `vendorwatch inventory` reports what the
//! configuration selects now, of what was recorded under whichever configuration; it says how much
//! it left out, and `--all` shows it.
//!
//! # Exceptions
//!
//! `[[exception]]` names a vendor, a network or prefix, a last day and a reason. What it covers is
//! counted and reported like anything else (reports by client say until when and why), and not
//! alerted: events of it are no `alert`s, and the shipped rules ask
//! `vendorwatch_vendor_unexcepted_first_seen_timestamp_seconds`, which knows only what no exception
//! covered when it began. So a second client outside the prefix of the exception is news, although
//! the vendor is not. When its day has passed an exception no longer covers anything, and says so
//! with an alert of its own (`VendorwatchExceptionExpired`).
//!
//! # Lists and packs
//!
//! Lists of others come in by `vendorwatch signatures import --vendor ID --format FORMAT FILE`
//! (hosts files, ad-block filters, plain domains, STIX bundles, MISP events and warning lists). Lines
//! that are no name, public suffixes and shared zones are reported and skipped; a warning list of
//! parts of names or of patterns is refused. The result is a list and a record that describes it,
//! weak until somebody knows better.
//!
//! `vendorwatch signatures pack DIR` builds one file from signature files and their lists, for
//! millions of names: about thirteen octets a name, on disk as in memory. `--secret-key` signs it
//! with a key of minisign (`minisign -G`). The daemon loads every `*.pack` of its signature
//! directories; `signatures.keys` holds the public keys that are believed, and
//! `signatures.require_signed` refuses packs without a signature. Versions and hashes are in
//! `vendorwatch_signatures_info`, at the end of every report, and as one hash in each of its JSON
//! objects. A pack that is taken away is gone with the next reload. The same lists make the same
//! octets, so that a pack can be built again to verify it.
//!
//! A reload hashes the packs on the disk; one that has not changed stays where it is in memory. One
//! that has changed is beside its predecessor until the workers have taken the new set over: for
//! that moment the process holds both. A pack that is older than the one in use, by the day in its
//! manifest, is taken (operators go back when a list was wrong), with a warning in the log that
//! names both versions: a signature proves who built a pack, not that it is the last one.
//!
//! `vendorwatch signatures export` gives back: to resolvers (`rpz`, `hosts`), to sensors
//! (`suricata`, `zeek`), to platforms (`stix`, `misp`), to other instances (`toml`). Only a resolver
//! can enforce a zone of a list; Suricata's datasets hold whole names, so that of lists with the
//! names below them only the heads are found there. Zeek compares the names of its intelligence
//! whole: there the head of every zone is found, and no name below it.
//!
//! What is excluded is excluded from `rpz`, `suricata` and `toml`, too, and so are names from `hosts`
//! and `zeek`, which find none below another; blocks of addresses within larger ones Zeek finds all
//! the same. The patterns of `stix` and `misp` say nothing of it; the description or comment of such
//! a record names what is not meant.
//!
//! # What millions of names cost
//!
//! Measured on two cores of a shared virtual machine (AMD EPYC, 1 MB of second-level cache a core,
//! 150 ns to memory), with names made in the proportions of public block lists:
//!
//! | what | shipped set | 8 million names |
//! |---|---|---|
//! | a look-up in traffic: names by Zipf's law, one in fifty listed | 37 ns | 92 ns |
//! | the worst misses: every name another, none of them listed | 39 ns | 141 ns |
//! | the worst hits: every name another, all of them listed | 41 ns | 493 ns |
//! | to load (read, hash, check every entry) | | 0.2 s |
//! | the pack, on disk as in memory | | 101 MB, 12.6 octets a name |
//! | resident, `vendorwatch read` at work with it | | 118 MB |
//! | to build the pack | | 24 s |
//!
//! A hosts file of a million lines is imported in 3.2 s. `cargo bench --bench lookup` and
//! `cargo bench --bench pack` (both in `make bench`) measure this again. The measure it was
//! built against is a well-known peer that takes 892 MB and 7.8 s for 7.85 million domains.
//!
//! A worst hit waits for memory twice, one access after the other: for the group of the name, then
//! for its entries. No network asks for eight million listed names evenly, so it was left at that.
//! The work of a look-up is bounded by what the builder measures, whatever name is asked for: a
//! walk over the name's labels, one group of a bounded number of entries, and a comparison of the
//! whole name. Hashes begin with a seed that depends on the names of the pack.
//!
//! # The commands, by example
//!
#![doc = include_str!("signature-commands.md")]
//!
//! `stix` and `misp` write a bundle and an event of the same records, for platforms; the ids of the
//! records stay the same from export to export.
//!
//!
//! # What the built-in files hold
//!
//! `vendorwatch signatures list --summary` prints this table. Evidence is counted by the best class
//! of each record.
//!
#![doc = include_str!("vendors.md")]

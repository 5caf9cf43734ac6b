//! What the sensor cannot see, and how that shows.
//!
//! A zero is only worth what could be seen. `vendorwatch read` ends with an account of what could
//! not, the page `/` has the same account, and each line of it is a metric.
//!
//! | what | why | where it shows |
//! | --- | --- | --- |
//! | names inside ECH | the inner hello is encrypted (RFC 9849); the outer name is reported, and whether it is taken for real or GREASE | `vendorwatch_ech_hellos_total` |
//! | names asked of encrypted resolvers | DNS over HTTPS, TLS, QUIC | `vendorwatch_encrypted_dns_connections_total` |
//! | connections without a name | resumed sessions, raw addresses, hellos without SNI; DNS seen before names many of them | `vendorwatch_connections_total` |
//! | connections that were open before the capture began | they said their names then; of what follows only what begins anew is read | the last line of the account; no count, for that takes a table of all connections. The filter in the kernel has their packets among `tcp_unknown` (`vendorwatch_capture_skipped_packets_total`) |
//! | datagrams of protocols that name no host | cameras and telephones speak UDP of their own to addresses that they know | the last line of the account; a name that was resolved for them is a `dns_query` |
//! | traffic that the mirror does not copy | one direction only, lost before the sensor | handshakes `one_way`, `gap` |
//! | what lost segments held | after ten seconds, or 128 KiB behind the hole, reading goes on where a hello, a request or a DNS message begins; HTTP/2 in clear is lost from there on | handshakes and DNS messages `gap`; connections without a name |
//! | traffic that the sensor drops | a ring that is full | `vendorwatch_capture_dropped_packets_total` |
//! | IPsec behind address translation | ESP in UDP (RFC 3948) is told from other datagrams by its port alone, so it is counted as a datagram, not as encrypted | nowhere by itself; ESP without UDP is packets `encrypted` |
//! | a server that goes on answering a client that is gone | its ServerHello comes again after pauses that double; from about half a minute on each may pass for a handshake of its own | handshakes `one_way` |
//! | cut packets | a snap length, a mirror that truncates | packets `truncated` where nothing is left of their payload, handshakes and DNS messages `truncated` where the name may be in what is not |
//! | how much went to a vendor through a proxy | its address is that of all that is asked for through it | detections `proxy_connect`, `socks`, `http_target`, and of what is inside; no volume |
//! | what is behind a relay | a resolver or proxy asks for others | findings carry the `role` that the configuration declares |
//! | hosts behind address translation | they share an address | they are one client |
//! | products without documented endpoints | nobody wrote them down | the signatures say what they cover |
//!
//! Attribution from DNS is evidence of another kind than a name in the connection itself: it is a
//! signal of its own (`dns_attributed`), says how old the answer was, and is `weak` where unrelated
//! names share the address.
//!
//! A name is on a list or not when it is answered. Where a reload adds a vendor whose names were
//! answered shortly before, the same name counts as two unrelated ones until the next day: what is
//! attributed to its servers is `weak` until then.
//!
//! That a client is spoken of with "product traffic observed" for two moderate names rests on when
//! each was seen first and last; what came between is counted, not dated.
//!
//! With several workers a conversation inside a tunnel stays whole when frames are spread by the
//! innermost flow; where the kernel cannot do that, and for tunnels whose outer packets are
//! fragmented, its packets may reach different workers (in `read --workers` only where the first
//! fragment does not come first): a hello in several of them is then a `gap`. Connections whose two
//! directions are found so are counted in `vendorwatch_split_flows_total` and in the account; the
//! handshake of such a one may be counted by both workers, by the server's as `one_way`.
//!
//! Two interfaces that mirror the same traffic are read by workers of their own: detections,
//! findings and connections are counted once, handshakes and DNS messages by each worker.

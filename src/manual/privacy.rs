//! Personal data.
//!
//! What the sensor keeps about people are client addresses (and hardware addresses, where the
//! mirror shows them) with the listed vendors' endpoints that these clients contacted, when, and
//! how often. It keeps nothing of what is said in a connection, and of names that match no
//! indicator nothing at all: they are looked up and forgotten. `vendorwatch read --names` is the
//! one exception: it prints every name of a capture, on standard output, because it was asked to.
//!
//! | where | client addresses | kept for |
//! | --- | --- | --- |
//! | metrics, rules, dashboards | none | as Prometheus keeps them |
//! | the page `/` | none | |
//! | the API | yes; served to this host only | while in memory |
//! | events | yes; a new file is for its owner and group | as whoever collects them keeps them |
//! | the inventory | yes | `inventory.retention`, 400 days |
//! | the log | none | |
//!
//! A finding says that a client contacted a documented endpoint of a vendor that a government
//! instrument names, what that endpoint is for, and how strongly it implies an installed product.
//! It says nothing about a person, and `weak` means that a person who browses goes there too.
//! Which vendors are reported is the operator's choice (`[signatures]`); the listings behind the
//! choice are data with references, not a judgement of the program.

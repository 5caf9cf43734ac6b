//! The metrics.
//!
//! Labels take values of closed sets only: signatures, configuration, and enums of the program.
//! Names and client addresses are never labels; they are in events, inventory and the API.
//! Every series of vendor, strength and network that a rule asks for exists from the start with
//! value 0, because a series that is born at 1 has not increased.
//!
//! Three sums hold at every moment but for what is just under way: `vendorwatch_packets_total` is
//! what was captured; handshakes begun, and DNS messages begun, are the sum of their outcomes and
//! what is pending.
//!
//! Times are those of the packets. First and last seen are kept in the inventory and survive
//! restarts; counters begin at 0 with the process. What is estimated of a mirror is of the last half
//! hour, or longer where few talk.
//!
//! # Families
//!
#![doc = include_str!("metrics.md")]
